"""Whose connections meet a rule of iptables: pods', the node's own or those of others."""

from __future__ import annotations

from testbed.referee.iptables_words import BUILT_IN, Rule, called, is_exclusive, overlap
from testbed.referee.mutation import NodeFacts


def is_about_no_own_address(rule: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
    """Whether INPUT leads by it to rules about single addresses, none of which the node has."""
    hosts = [each.matches.get("-d", "") for each in called(rule, rules)]
    return (
        rule.chain == "INPUT"
        and bool(hosts)
        and all(hosts)
        and not any(overlap(host, own) for host in hosts for own in facts.addresses)
    )


def is_past_the_node(rule: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
    """Whether OUTPUT leads by it to the firewall of load balancers that all let the node in.

    Their chains in table nat translate what they let in; the rest is refused in table filter.
    """
    if (rule.chain, rule.target) != ("OUTPUT", "KUBE-PROXY-FIREWALL"):
        return False
    refusals = called(rule, rules)
    return bool(refusals) and all(_lets_the_node_in(each, rules, facts) for each in refusals)


def _lets_the_node_in(refusal: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
    place = ("-d", "-p", "--dport")
    guards = [
        each
        for each in rules
        if each.target.startswith("KUBE-FW-")
        and all(each.matches.get(key) == refusal.matches.get(key) for key in place)
    ]
    is_v6 = ":" in refusal.matches.get("-d", "")
    own = [each for each in facts.sources if (":" in each) is is_v6]
    return bool(guards and own) and all(
        any(overlap(source, each.matches["-s"]) for each in called(guard, rules) if each.matches)
        for guard in guards
        for source in own
    )


def is_led_to(rule: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
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
    if "-s" in matches and not overlap(matches["-s"], from_it["-s"]):
        return True
    return matches.get("--src-type") == "LOCAL" and "! --src-type" in from_it


def is_for_elsewhere(rule: Rule, facts: NodeFacts) -> bool:
    """Whether it masquerades the connections to itself of an endpoint that is not here."""
    source = rule.matches.get("-s", "").partition("/")[0]
    is_own = rule.chain.startswith("KUBE-SEP-") and rule.target == "KUBE-MARK-MASQ"
    return is_own and bool(source) and source not in facts.endpoints


def is_never_the_nodes(rule: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
    """Whether it is about the node's own connections, in a chain for sources that are others'."""
    own = {"--src-type": "LOCAL"}
    callers = [each for each in rules if (each.table, each.target) == (rule.table, rule.chain)]
    return rule.matches.get("--src-type") == "LOCAL" and all(
        is_exclusive(each.matches, own, facts.sources) for each in callers
    )


def _callers(rule: Rule, rules: list[Rule]) -> tuple[list[Rule], set[str], set[str]]:
    """The rules of its table, the chains that call its chain, and those that call these."""
    own = [each for each in rules if each.table == rule.table]
    callers = {each.chain for each in own if each.target == rule.chain}
    return own, callers, {each.chain for each in own if each.target in callers}


def is_never_pods(rule: Rule, rules: list[Rule]) -> bool:
    """Whether it is about pods at an endpoint that only clients from outside are led to.

    With policy Local pods take another way, to the endpoints of the whole cluster.
    """
    if not rule.chain.startswith("KUBE-SEP-") or rule.target != "KUBE-MARK-MASQ":
        return False
    own, callers, outer = _callers(rule, rules)
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


def is_masqueraded_anyhow(rule: Rule, rules: list[Rule]) -> bool:
    """Whether masqueradeAll makes no difference between an endpoint's own connections and others.

    Where it is reached at other addresses too, these must masquerade pods as well.
    """
    if not rule.chain.startswith("KUBE-SEP-") or rule.target != "KUBE-MARK-MASQ":
        return False
    own, callers, outer = _callers(rule, rules)
    marked = {
        each.chain
        for each in own
        if each.target == "KUBE-MARK-MASQ" and set(each.matches) <= {"-d", "-p", "--dport"}
    }
    return bool(callers) and callers <= marked and outer - {"KUBE-SERVICES"} <= marked
