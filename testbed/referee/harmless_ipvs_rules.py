"""Why an edit of the iptables rules beside virtual servers changes nothing for Services."""

from __future__ import annotations

import re
from collections.abc import Iterator

from testbed.referee import harmless_iptables
from testbed.referee.harmless_ipvs import Around, plain, why_of_node_port
from testbed.referee.iptables_words import Rule, rules_of
from testbed.referee.mutation import Edit, NodeFacts

_SET = re.compile(r"(! )?--match-set (\S+) (\S+)")
_NUMBERS = {"6": "tcp", "17": "udp", "132": "sctp"}
NODE_PORTS = "KUBE-NODE-PORT"
LOOPBACK = ("127.0.0.0/8", "::1/128")
HEALTH_CHECKS = ("INPUT", NODE_PORTS)
UNKNOWN_PORTS = "ports of a ClusterIP that no Service has"


def why_of_rules(edit: Edit, before: str, around: Around, facts: NodeFacts) -> str:
    """Why a change of the iptables rules does no harm, or nothing."""
    why = harmless_iptables.why_harmless(edit, before, facts)
    return why or next(_of_rule(edit, before, around, facts), "")


def _of_rule(edit: Edit, before: str, around: Around, facts: NodeFacts) -> Iterator[str]:
    rules = list(rules_of(before))
    rule = next(each for each in rules if each.line == edit.before)
    if rule.chain == NODE_PORTS and edit.kind == "delete":
        names = [name for _, name, _ in _SET.findall(rule.line) if "NODE-PORT-LOCAL" in name]
        if names and all(
            any(why_of_node_port(name, plain(name), entry, around, facts))
            for name in names
            for entry in around.entries.get(name, ())
        ):
            yield "no entry of its set matters"
    if _is_about_no_server(rule, around):
        yield "its virtual server has no real server"
    if _server_of(rule) in facts.contested:
        yield "an address that several Services claim"
    yield from _of_access_filter(edit, rule, rules)
    if rule.matches.get("-s") in LOOPBACK and edit.kind in harmless_iptables.GONE:
        yield "no connection to a Service has a loopback source"
    is_by_mark = rule.chain == "KUBE-FORWARD" and "--mark" in rule.matches
    if is_by_mark or (rule.chain == "FORWARD" and edit.kind in harmless_iptables.GONE):
        yield "IPVS receives connections to Services in INPUT, not in FORWARD"
    if edit.kind == "shadow" and _only_passes(rule, rules, around):
        yield "the following rules accept it as well"
    if _is_of_empty_set(rule, around):
        yield "no packet is in its set"
    if edit.kind == "reorder":
        other = rules[rules.index(rule) + 1]
        yield from _of_swap(rule, other, rules, around)
        if {rule.target, other.target} == {"KUBE-IPVS-FILTER", "KUBE-PROXY-FIREWALL"}:
            yield "each accepts what the other matches"
        if other.matches.get("-s") in LOOPBACK:
            yield "no connection to a Service has a loopback source"
        if any((each.chain, each.target) == HEALTH_CHECKS for each in (rule, other)):
            yield "one accepts health checks, the other does not match their port"


def _of_access_filter(edit: Edit, rule: Rule, rules: list[Rule]) -> Iterator[str]:
    """About KUBE-IPVS-FILTER, which refuses what comes to Services' addresses otherwise."""
    if (
        rule.chain == "KUBE-IPVS-FILTER"
        and "HEALTH-CHECK-NODE-PORT dst" in rule.line
        and edit.kind in harmless_iptables.GONE
    ):
        yield "health checks at a Service's address are not compared"
    if (rule.chain, rule.target) == ("KUBE-IPVS-FILTER", "REJECT") and edit.kind != "reorder":
        yield UNKNOWN_PORTS
    if rule.target == "KUBE-IPVS-FILTER" and edit.kind in ("delete", "redirect"):
        fresh = next(rules_of(f"*filter\n{edit.after}\n"), None)
        if fresh is None or _is_about_servers_themselves(fresh.target, rules):
            yield UNKNOWN_PORTS


def _is_about_servers_themselves(chain: str, rules: list[Rule]) -> bool:
    """Whether a chain is about what virtual servers' own addresses send to themselves.

    It ends that on its way out already.
    """
    own = [each.matches for each in rules if each.chain == chain]
    return all(each.get("-s", "").partition("/")[0] == each.get("--vaddr", "-") for each in own)


def _is_about_no_server(rule: Rule, around: Around) -> bool:
    """Whether it is about virtual servers that lead nowhere: one by `-m ipvs`, or a set's."""
    if not (server := _server_of(rule)):
        sets = [
            around.entries.get(name, ())
            for negated, name, _ in _SET.findall(rule.line)
            if not negated
        ]
        return any(of and all(map(around.leads_nowhere, of)) for of in sets)
    return not around.backends.get(server)


def _server_of(rule: Rule) -> str:
    """The virtual server that the rule is about by `-m ipvs`, as `10.96.0.1,tcp:443`."""
    matches = rule.matches
    if "--vaddr" not in matches:
        return ""
    protocol = _NUMBERS.get(matches.get("--vproto", ""), "")
    return f"{matches['--vaddr']},{protocol}:{matches.get('--vport')}"


def _only_marks(rule: Rule, rules: list[Rule]) -> bool:
    """Whether a packet comes back from the rule's target to the next rule, marked or not."""
    if rule.target == "KUBE-MARK-MASQ":
        return True
    own = [each for each in rules if (each.table, each.chain) == (rule.table, rule.target)]
    return bool(own) and all(each.target in ("RETURN", "KUBE-MARK-MASQ") for each in own)


def _only_passes(rule: Rule, rules: list[Rule], around: Around) -> bool:
    """Whether a RETURN of table nat leads to rules that only accept, or to none.

    Rules that ask a set in which nothing of this one's is do not count.
    """
    if (rule.table, rule.target) != ("nat", "RETURN"):
        return False
    own = [each for each in rules if each.table == "nat"]
    callers = [at for at, each in enumerate(own) if each.target == rule.chain]
    follow = [each for at in callers for each in own[at + 1 :] if each.chain == own[at].chain]
    return all(each.target == "ACCEPT" or _is_apart(rule, each, around) for each in follow)


def _is_apart(one: Rule, other: Rule, around: Around) -> bool:
    """Whether no packet is in the sets that both ask."""
    if other.target == NODE_PORTS:
        return not _meets_node_ports(one, around)
    asked = [[name for _, name, _ in _SET.findall(each.line)] for each in (one, other)]
    return any(
        not (around.entries.get(left, set()) & around.entries.get(right, set()))
        for left in asked[0]
        for right in asked[1]
    )


def _meets_node_ports(rule: Rule, around: Around) -> bool:
    """Whether some entry of the rule's set has the number of a node port."""
    ports = {
        entry.rpartition(":")[2]
        for name, of in around.entries.items()
        if "NODE-PORT" in name
        for entry in of
    }
    names = [name for negation, name, _ in _SET.findall(rule.line) if not negation]
    own = {entry.rpartition(":")[2] for name in names for entry in around.entries.get(name, ())}
    return not names or bool(own & ports)


def _of_swap(one: Rule, other: Rule, rules: list[Rule], around: Around) -> Iterator[str]:
    if _is_about_no_server(other, around):
        yield "its virtual server has no real server"
    if _only_marks(one, rules) and _only_marks(other, rules):
        yield "both only mark packets for masquerading"
    if _is_of_empty_set(other, around):
        yield "no packet is in its set"
    if one.chain == "KUBE-SERVICES" and NODE_PORTS in (one.target, other.target):
        asking = other if one.target == NODE_PORTS else one
        if not _meets_node_ports(asking, around):
            yield "no packet is in both sets"
    left, right = (_SET.findall(each.line) for each in (one, other))
    for _, name, fields in left:
        for _, another, others in right:
            apart = not (around.entries.get(name, set()) & around.entries.get(another, set()))
            if fields == others and apart:
                yield "no packet is in both sets"


def _is_of_empty_set(rule: Rule, around: Around) -> bool:
    return any(
        not negation and not around.entries.get(name)
        for negation, name, _ in _SET.findall(rule.line)
    )
