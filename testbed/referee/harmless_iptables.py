"""Why an edit of iptables rules changes nothing for any Service, told from the text alone.

Nothing of the reader that is on trial is used here: rules are lists of words, and each reason
is one that can be checked by looking at the two rules.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from testbed.referee.mutation import Edit, NodeFacts

BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
GONE = ("delete", "reorder")
"""Edits that leave a rule out, at least for the one that it changed places with."""


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
    if edit.kind in GONE:
        yield from _reasons_to_leave_out(rule, old, edit.text, facts)
    if not _is_reachable(rule, old) and not _is_reachable(rule, new):
        yield "nothing leads to its chain"
    if edit.kind == "reorder":
        yield from _reasons_for_swap(rule, old[at + 1], old, facts)
        return
    if not rule.target:
        yield "a rule without a target"
    yield from _reasons_for_own(rule, old, facts, edit.kind)
    if edit.kind == "shadow":
        yield from _reasons_for_shadow(rule, new[at], old)
    if edit.kind == "redirect":
        yield from _reasons_for_redirect(rule, new[at], old, new, facts)
    if edit.kind == "delete":
        yield from _reasons_for_delete(rule, at, old)


def _reasons_for_redirect(
    rule: Rule, fresh: Rule, old: list[Rule], new: list[Rule], facts: NodeFacts
) -> Iterator[str]:
    ways = _way(rule, old), _way(fresh, new)
    if ways[0] == ways[1]:
        yield "both chains do the same"
    if not ways[1] and _is_about_no_own_address(rule, old, facts):
        yield "what comes in has none of the addresses that its chain is about"
    if _is_of_other_protocols(rule, fresh, old) and _is_same_way(rule, old):
        yield "it calls a chain of another protocol, and what follows does the same"


def _reasons_for_delete(rule: Rule, at: int, rules: list[Rule]) -> Iterator[str]:
    if any(_is_twin(each, rule) for each in rules if each is not rule):
        yield "the same rule is there once more"
    if at + 1 < len(rules) and _only_counts(rule, rules[at + 1]):
        yield "the next rule does the same, and for more addresses"
    if _is_same_way(rule, rules):
        yield "what follows does the same"


def _reasons_to_leave_out(
    rule: Rule, rules: list[Rule], text: str, facts: NodeFacts
) -> Iterator[str]:
    """Why a rule may be left out, whatever comes in its place."""
    called = [each for each in rules if (each.table, each.chain) == (rule.table, rule.target)]
    if rule.target.startswith("KUBE-") and not called:
        yield "it calls an empty chain"
    if rule.chain == "KUBE-POSTROUTING" and rule.target == "MARK":
        yield "a mark that nothing looks at any more"
    if _is_about_no_own_address(rule, rules, facts):
        yield "what comes in has none of the addresses that its chain is about"
    if "KUBE-FIREWALL" in (rule.chain, rule.target):
        yield "connections from elsewhere to loopback addresses, which are no Service's"
    if rule.matches.get("--ctstate") == "INVALID":
        yield "packets of no connection"
    if "KUBE-FORWARD" in (rule.chain, rule.target) and not _refuses_forwarded(rules, text):
        yield "what nobody refuses needs nobody's leave to be forwarded"


def _is_about_no_own_address(rule: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
    """Whether INPUT leads by it to rules about single addresses, none of which the node has."""
    hosts = [each.matches.get("-d", "") for each in _called(rule, rules)]
    return (
        rule.chain == "INPUT"
        and bool(hosts)
        and all(hosts)
        and not any(_overlap(host, own) for host in hosts for own in facts.addresses)
    )


def _refuses_forwarded(rules: list[Rule], text: str) -> bool:
    """Whether what is translated already may be refused in FORWARD: by its policy or a rule.

    Rules about an address and a port are Services': no translated packet has these any more.
    """
    _, _, filter_ = text.partition("*filter\n")
    if ":FORWARD ACCEPT" not in filter_.partition("COMMIT")[0]:
        return True
    own = [each for each in rules if each.table == "filter"]
    reached = _chains_from(["FORWARD"], own)
    return any(
        each.target in ("DROP", "REJECT")
        and each.chain in reached
        and not {"--dport", "--match-set"} & set(each.matches)
        and each.matches.get("--ctstate") != "INVALID"
        and not _is_behind_a_set(each, own)
        for each in own
    )


def _is_behind_a_set(rule: Rule, own: list[Rule]) -> bool:
    """Whether only packets for load balancer addresses, listed in a set, are led to it."""
    callers = [each for each in own if each.target == rule.chain]
    return bool(callers) and all("--match-set" in each.matches for each in callers)


def _reasons_for_own(rule: Rule, rules: list[Rule], facts: NodeFacts, kind: str) -> Iterator[str]:
    """About an endpoint that connects to itself, or the node."""
    if _is_never_the_nodes(rule, rules, facts):
        yield "the node's own connections do not get there"
    if kind in GONE and _is_for_elsewhere(rule, facts):
        yield "a pod on another node that connects to itself"
    if kind != "redirect" and _is_never_pods(rule, rules):
        yield "pods do not get there"
    source = rule.matches.get("-s", "")
    if rule.chain.startswith("KUBE-SEP-") and source and not _is_led_to(rule, rules, facts):
        yield "nothing from that address is led there"
    if kind in GONE and _is_masqueraded_anyhow(rule, rules):
        yield "every connection to the Service is masqueraded"


def _is_led_to(rule: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
    """Whether some way to its chain is open to what comes from its one source."""
    own = [each for each in rules if each.table == rule.table]
    source = rule.matches["-s"]
    host = source.partition("/")[0]
    from_it = {"-s": source, **({} if host in facts.addresses else {"! --src-type": "LOCAL"})}
    seen: set[str] = set()
    waiting = [rule.chain]
    while waiting:
        name = waiting.pop()
        if name in BUILT_IN:
            return True
        if name in seen:
            continue
        seen.add(name)
        for each in own:
            # By an interface of pods only what pods here send comes in.
            is_pods = "-i" in each.matches and host not in facts.endpoints
            if each.target == name and not is_pods and not _is_from_others(each, from_it):
                waiting.append(each.chain)
    return False


def _is_from_others(rule: Rule, from_it: dict[str, str]) -> bool:
    """Whether a rule is about other sources than this one."""
    matches = rule.matches
    if "-s" in matches and not _overlap(matches["-s"], from_it["-s"]):
        return True
    return matches.get("--src-type") == "LOCAL" and "! --src-type" in from_it


def _reasons_for_shadow(rule: Rule, fresh: Rule, rules: list[Rule]) -> Iterator[str]:
    if rule.target == fresh.target:
        yield "both do the same"
    if (rule.target, fresh.target) == ("RETURN", "ACCEPT") and _is_last(rule, rules):
        yield "nothing follows the rules that call its chain"
    if any(_is_twin(each, rule) for each in rules if each is not rule):
        yield "the same rule is there once more"
    own = [each for each in rules if (each.table, each.chain) == (rule.table, rule.chain)]
    if any(_is_rival(each, rule) for each in own[: own.index(rule)]):
        yield "a rule before it takes the address for another Service"


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
    yield from _reasons_for_own(one, rules, facts, "reorder")
    if _is_for_elsewhere(other, facts):
        yield "a pod on another node that connects to itself"
    if "--rcheck" in one.options and "--rcheck" in other.options:
        yield "either endpoint has met the client before"
    if _endpoints(one, rules) and _way(one, rules) == _way(other, rules):
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
    if _are_of_other_states(one, other):
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


def _are_of_other_states(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether the states of connections that they ask for exclude each other."""
    states = [{*each.get("--ctstate", "").split(",")} - {""} for each in (one, other)]
    is_sure = all(states) and not {"DNAT", "SNAT"} & (states[0] | states[1])
    return is_sure and not states[0] & states[1]


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


def _is_of_other_protocols(rule: Rule, fresh: Rule, rules: list[Rule]) -> bool:
    """Whether what gets to a rule passes the chain that is called instead of its own."""
    protocols: set[str] = set()
    waiting, seen = [rule.chain], set[str]()
    while waiting:
        name = waiting.pop()
        for each in rules if name not in seen else ():
            if (each.table, each.target) == (rule.table, name):
                protocols.add(each.matches.get("-p", ""))
                if "-p" not in each.matches:
                    waiting.append(each.chain)
        seen.add(name)
    reached = _chains_from([fresh.target], [e for e in rules if e.table == rule.table])
    ends = [e for e in rules if e.chain in reached and "--to-destination" in e.options]
    others = {each.matches.get("-p", "") for each in ends}
    return bool(ends) and "" not in others and not others & protocols


def _only_counts(rule: Rule, following: Rule) -> bool:
    """Whether the next rule takes all that it does, and more, to the same place."""
    counted = {key: each for key, each in rule.matches.items() if key != "--nfacct-name"}
    return (rule.table, rule.chain, rule.does) == (
        following.table,
        following.chain,
        following.does,
    ) and following.matches.items() <= counted.items()


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
    return bool(_endpoints(rule, rules)) and _way(rule, rules) == _way(last, rules)


def _way(rule: Rule, rules: list[Rule], depth: int = 0) -> object:
    """What a rule's target does, rule by rule, whatever its chains are called.

    What marks connections to one address is left out: it is about a ClusterIP, and those to
    it do not come by a rule that others are led by as well.
    """
    called = [each for each in rules if (each.table, each.chain) == (rule.table, rule.target)]
    if not called and rule.target.startswith("KUBE-"):
        return ()
    if not called or depth > len(rules):
        return rule.does
    return tuple(
        (tuple(sorted(_named_by_endpoint(each))), _way(each, rules, depth + 1))
        for each in called
        if not (each.target == "KUBE-MARK-MASQ" and "-d" in each.matches)
    )


def _named_by_endpoint(rule: Rule) -> Iterator[tuple[str, str]]:
    """The conditions; what remembers clients is called as its chain."""
    for key, value in rule.matches.items():
        yield key, "" if key == "--name" else value


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
    return rule.chain in _chains_from(BUILT_IN, [e for e in rules if e.table == rule.table])


def _chains_from(names: Iterable[str], own: list[Rule]) -> set[str]:
    """The chains of a table that these lead to."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [each.target for each in own if each.chain == name]
    return seen
