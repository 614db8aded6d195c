"""Why an edit of iptables rules changes nothing for any Service, told from the text alone.

Nothing of the reader that is on trial is used here: rules are lists of words, and each reason
is one that can be checked by looking at the two rules.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from testbed.referee.mutation import Edit, NodeFacts

BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
NO_SERVICES = ("KUBE-FORWARD", "KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "KUBE-PROXY-CANARY")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its table, its chain and the value of each of its options."""

    table: str
    chain: str
    options: dict[str, str]
    line: str

    @property
    def target(self) -> str:
        return self.options.get("-j", "")

    @property
    def does(self) -> str:
        """The target with its own options."""
        return self.line.partition(" -j ")[2]

    @property
    def matches(self) -> dict[str, str]:
        """The conditions, without comments."""
        head = self.line.partition(" -j ")[0]
        return {
            key: each
            for key, each in _options(shlex.split(head)[2:]).items()
            if key not in ("--comment", "-m")
        }


def rules_of(text: str) -> Iterator[Rule]:
    """The rules of what iptables-save prints."""
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A "):
            words = shlex.split(line)
            yield Rule(table, words[1], _options(words[2:]), line)


def _options(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    negated = ""
    name = ""
    for word in words:
        if word == "!":
            negated = "! "
        elif word.startswith("-"):
            name = negated + word
            negated = ""
            found.setdefault(name, "")
        elif name:
            found[name] = word
    return found


def why_harmless(edit: Edit, before: str, facts: NodeFacts) -> str:
    """The reason, or nothing where there is none."""
    return next(_reasons(edit, list(rules_of(before)), list(rules_of(edit.text)), facts), "")


def _reasons(edit: Edit, old: list[Rule], new: list[Rule], facts: NodeFacts) -> Iterator[str]:
    if edit.kind == "shadow" and edit.after.splitlines()[0] == edit.before:
        yield "both do the same"
        return
    at = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new))
    rule = old[min(at, len(old) - 1)]
    if {rule.chain, rule.target} & set(NO_SERVICES):
        yield "a rule of no Service"
    if not _is_reachable(rule, old) and not _is_reachable(rule, new):
        yield "nothing leads to its chain"
    if rule.target.startswith("KUBE-") and not any(
        (each.table, each.chain) == (rule.table, rule.target) for each in old
    ):
        yield "it calls an empty chain"
    if rule.chain == "KUBE-POSTROUTING" and rule.target == "MARK":
        yield "a mark that nothing looks at any more"
    if edit.kind == "reorder":
        yield from _reasons_for_swap(rule, old[at + 1], old, facts)
        return
    if not rule.target:
        yield "a rule without a target"
    if rule.matches.get("-d") == "127.0.0.0/8":
        yield "a node port at a loopback address, of which some are compared"
    yield from _reasons_for_own(rule, old, facts, is_gone=edit.kind != "redirect")
    if edit.kind == "shadow":
        yield from _reasons_for_shadow(rule, new[at], old)
    if edit.kind == "redirect" and _endpoints(rule, old) == _endpoints(new[at], new):
        yield "leads to the same endpoints"
    if edit.kind == "delete" and any(_is_twin(each, rule) for each in old if each is not rule):
        yield "the same rule is there once more"
    if edit.kind == "delete" and _is_same_way(rule, old):
        yield "what follows leads to the same endpoints"


def _reasons_for_own(
    rule: Rule, rules: list[Rule], facts: NodeFacts, *, is_gone: bool
) -> Iterator[str]:
    """About an endpoint that connects to itself, or the node."""
    if is_gone and _is_never_the_nodes(rule, rules, facts):
        yield "the node's own connections do not get there"
    if _is_for_elsewhere(rule, facts):
        yield "a pod on another node that connects to itself"
    if is_gone and _is_never_pods(rule, rules):
        yield "pods do not get there"
    if is_gone and _is_masqueraded_anyhow(rule, rules):
        yield "every connection to the Service is masqueraded"


def _reasons_for_shadow(rule: Rule, fresh: Rule, rules: list[Rule]) -> Iterator[str]:
    if rule.target == fresh.target:
        yield "both do the same"
    if (rule.target, fresh.target) == ("RETURN", "ACCEPT") and _is_last(rule, rules):
        yield "nothing follows the rules that call its chain"
    if any(_is_twin(each, rule) for each in rules if each is not rule):
        yield "the same rule is there once more"
    if any(_is_rival(each, rule) for each in rules):
        yield "an address that another Service claims as well"


def _reasons_for_swap(one: Rule, other: Rule, rules: list[Rule], facts: NodeFacts) -> Iterator[str]:
    if not one.target or not other.target:
        yield "a rule without a target"
    if is_exclusive(one.matches, other.matches, facts.addresses):
        yield "no packet matches both"
    if one.does == other.does:
        yield "both do the same"
    own, others = (
        [r for r in rules if r.table == e.table and r.chain == e.target] for e in (one, other)
    )
    if (
        own
        and others
        and all(
            is_exclusive(left.matches, right.matches, facts.addresses)
            for left in own
            for right in others
        )
    ):
        yield "no packet meets a rule of both chains"
    yield from _reasons_for_own(one, rules, facts, is_gone=True)
    if _is_for_elsewhere(other, facts):
        yield "a pod on another node that connects to itself"
    if "--rcheck" in one.options and "--rcheck" in other.options:
        yield "either endpoint has met the client before"
    if _endpoints(one, rules) and _endpoints(one, rules) == _endpoints(other, rules):
        yield "both lead to the same endpoints"


def _called(rule: Rule, rules: list[Rule]) -> list[Rule]:
    return [each for each in rules if (each.table, each.chain) == (rule.table, rule.target)]


def is_exclusive(
    one: dict[str, str], other: dict[str, str], addresses: Collection[str] = ()
) -> bool:
    """Whether no packet matches both sets of conditions; `addresses` are the node's own."""
    for key in ("-p", "--dport"):
        if key in one and key in other and one[key] != other[key]:
            return True
    for key in ("-s", "-d"):
        if key in one and key in other and not _overlap(one[key], other[key]):
            return True
    for left, right in ((one, other), (other, one)):
        if "-d" in left and right.get("--dst-type") == "LOCAL":
            return not any(_overlap(left["-d"], each) for each in addresses)
    # A packet with an address of the node itself does not come in by an interface of pods.
    if any(
        left.get("-i", "lo") != "lo" and right.get("--src-type") == "LOCAL"
        for left, right in ((one, other), (other, one))
    ):
        return True
    return any(
        "-s" in left
        and right.get("--src-type") == "LOCAL"
        and not any(_overlap(left["-s"], each) for each in addresses)
        for left, right in ((one, other), (other, one))
    )


def _overlap(one: str, other: str) -> bool:
    left, right = ip_network(one), ip_network(other)
    return int(left[0]) <= int(right[-1]) and int(right[0]) <= int(left[-1])


def _is_for_elsewhere(rule: Rule, facts: NodeFacts) -> bool:
    """Whether it masquerades the connections to itself of an endpoint that is not here."""
    source = rule.matches.get("-s", "").partition("/")[0]
    is_own = rule.chain.startswith("KUBE-SEP-") and rule.target == "KUBE-MARK-MASQ"
    return is_own and bool(source) and source not in facts.endpoints


def _is_last(rule: Rule, rules: list[Rule]) -> bool:
    """Whether only the policy of a built-in chain follows where its chain returns to."""
    own = [each for each in rules if each.table == rule.table]
    callers = [at for at, each in enumerate(own) if each.target == rule.chain]
    return all(
        own[at].chain in BUILT_IN and not any(e.chain == own[at].chain for e in own[at + 1 :])
        for at in callers
    )


def _is_never_the_nodes(rule: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
    """Whether it is about the node's own connections, in a chain for sources that are others'."""
    own = {"--src-type": "LOCAL"}
    callers = [each for each in rules if (each.table, each.target) == (rule.table, rule.chain)]
    return rule.matches.get("--src-type") == "LOCAL" and all(
        is_exclusive(each.matches, own, facts.sources) for each in callers
    )


def _is_never_pods(rule: Rule, rules: list[Rule]) -> bool:
    """Whether it is about pods at an endpoint that only clients from outside are led to.

    With policy Local pods take another way, to the endpoints of the whole cluster.
    """
    if not rule.chain.startswith("KUBE-SEP-") or rule.target != "KUBE-MARK-MASQ":
        return False
    own = [each for each in rules if each.table == rule.table]
    callers = {each.chain for each in own if each.target == rule.chain}
    outer = {each.chain for each in own if each.target in callers}
    spared = {
        each.chain
        for each in own
        if each.target.startswith("KUBE-SVC-") and {"-s", "-i"} & set(each.matches)
    }
    return (
        bool(callers)
        and all(each.startswith("KUBE-SVL-") for each in callers)
        and (outer <= spared)
    )


def _is_masqueraded_anyhow(rule: Rule, rules: list[Rule]) -> bool:
    """Whether masqueradeAll makes no difference between an endpoint's own connections and others.

    Where it is reached at other addresses too, these must masquerade pods as well.
    """
    if not rule.chain.startswith("KUBE-SEP-") or rule.target != "KUBE-MARK-MASQ":
        return False
    own = [each for each in rules if each.table == rule.table]
    callers = {each.chain for each in own if each.target == rule.chain}
    outer = {each.chain for each in own if each.target in callers}
    marked = {
        each.chain
        for each in own
        if each.target == "KUBE-MARK-MASQ" and set(each.matches) <= {"-d", "-p", "--dport"}
    }
    return bool(callers) and callers <= marked and outer - {"KUBE-SERVICES"} <= marked


def _is_rival(one: Rule, other: Rule) -> bool:
    """Whether it is another Service's rule about the same address and port."""
    place = ("-d", "-p", "--dport")
    names = [each.options.get("--comment", "").split(" ")[0] for each in (one, other)]
    is_same = all(one.matches.get(key) == other.matches.get(key) for key in place)
    return is_same and "-d" in one.matches and names[0] != names[1]


def _is_twin(one: Rule, other: Rule) -> bool:
    return (one.table, one.chain, one.matches, one.does) == (
        other.table,
        other.chain,
        other.matches,
        other.does,
    )


def _is_same_way(rule: Rule, rules: list[Rule]) -> bool:
    """Whether the rule after it, which takes all packets, leads to the same endpoints."""
    own = [each for each in rules if (each.table, each.chain) == (rule.table, rule.chain)]
    rest = own[own.index(rule) + 1 :]
    last = next((each for each in rest if not each.matches), None)
    between = rest[: rest.index(last)] if last else []
    if last is None or any(each.target == "KUBE-MARK-MASQ" for each in between):
        # Connections that would be masqueraded now were not before.
        sources = {each.matches.get("--src-type") for each in between}
        if last is None or sources - {"LOCAL"}:
            return False
    return _endpoints(rule, rules) == _endpoints(last, rules) != frozenset()


def _endpoints(rule: Rule, rules: list[Rule]) -> frozenset[str]:
    """Where connections can end up that take a rule."""
    found, waiting, seen = set(), [rule.target], set()
    if "--to-destination" in rule.options:
        return frozenset({rule.options["--to-destination"]})
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for each in rules:
            if (each.table, each.chain) == (rule.table, name):
                waiting.append(each.target)
                if "--to-destination" in each.options:
                    found.add(each.options["--to-destination"])
    return frozenset(found)


def _is_reachable(rule: Rule, rules: list[Rule]) -> bool:
    own = [each for each in rules if each.table == rule.table]
    seen: set[str] = set()
    waiting = list(BUILT_IN)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [each.target for each in own if each.chain == name]
    return rule.chain in seen
