"""Where rules of iptables lead, and whether two ways are the same."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.referee.iptables_words import (
    BUILT_IN,
    Rule,
    called,
    chains_from,
    is_exclusive,
    is_within,
)
from testbed.referee.mutation import NodeFacts

MET_BY_ALL = ("-p", "--set", "--name", "--mask", "--rsource")
"""Conditions of an endpoint's rule: the protocol of its Service, and that the client be noted."""


def refuses_forwarded(rules: list[Rule], text: str) -> bool:
    """Whether what is translated already may be refused in FORWARD: by its policy or a rule.

    Rules about an address and a port are Services': no translated packet has these any more.
    """
    _, _, filter_ = text.partition("*filter\n")
    if ":FORWARD ACCEPT" not in filter_.partition("COMMIT")[0]:
        return True
    own = [each for each in rules if each.table == "filter"]
    reached = chains_from(["FORWARD"], own)
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


def is_last(rule: Rule, rules: list[Rule]) -> bool:
    """Whether only the policy of a built-in chain follows where its chain returns to."""
    own = [each for each in rules if each.table == rule.table]
    callers = [at for at, each in enumerate(own) if each.target == rule.chain]
    return all(
        own[at].chain in BUILT_IN and not any(e.chain == own[at].chain for e in own[at + 1 :])
        for at in callers
    )


def is_of_other_protocols(rule: Rule, fresh: Rule, rules: list[Rule]) -> bool:
    """Whether what gets to a rule passes the chain that is called instead of its own."""
    protocols = _protocols_of(rule, rules)
    reached = chains_from([fresh.target], [e for e in rules if e.table == rule.table])
    ends = [e for e in rules if e.chain in reached and "--to-destination" in e.options]
    others = {each.matches.get("-p", "") for each in ends}
    return bool(protocols and ends) and "" not in others and not others & protocols


def _protocols_of(rule: Rule, rules: list[Rule]) -> set[str]:
    """The protocols of what gets to a rule; none where it may be any."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [rule]
    while waiting:
        each = waiting.pop()
        if "-p" in each.matches:
            found.add(each.matches["-p"])
        elif each.chain in BUILT_IN:
            return set()
        elif each.chain not in seen:
            seen.add(each.chain)
            waiting += [e for e in rules if (e.table, e.target) == (each.table, each.chain)]
    return found


def only_counts(rule: Rule, following: Rule) -> bool:
    """Whether the next rule takes all that it does, and more, to the same place."""
    counted = {key: each for key, each in rule.matches.items() if key != "--nfacct-name"}
    return (rule.table, rule.chain, rule.does) == (
        following.table,
        following.chain,
        following.does,
    ) and following.matches.items() <= counted.items()


def is_same_way(rule: Rule, rules: list[Rule]) -> bool:
    """Whether the rule after it, which takes all packets, leads to the same endpoints."""
    last = _follows(rule, rules)
    leads = last is not None and bool(endpoints(rule, rules))
    return leads and way(rule, rules) == way(last or rule, rules)


def _follows(rule: Rule, rules: list[Rule]) -> Rule | None:
    """The rule after it that takes all packets, where they get there as they are."""
    own = [each for each in rules if (each.table, each.chain) == (rule.table, rule.chain)]
    rest = own[own.index(rule) + 1 :]
    last = next((each for each in rest if not each.matches), None)
    between = rest[: rest.index(last)] if last else []
    if any(each.target == "KUBE-MARK-MASQ" for each in between):
        # Connections that would be masqueraded now were not before.
        sources = {each.matches.get("--src-type") for each in between}
        return None if sources - {"LOCAL"} else last
    return last


def is_same_way_after_chain(rule: Rule, rules: list[Rule]) -> bool:
    """Whether it takes what its chain has left, and what follows the callers does so too."""
    own = [each for each in rules if each.table == rule.table]
    is_last = [each for each in own if each.chain == rule.chain][-1] == rule
    follow = [_follows(each, rules) for each in own if each.target == rule.chain]
    return (
        is_last
        and not rule.matches
        and bool(follow and endpoints(rule, rules))
        and all(each and _at_end(each, rules) == way(rule, rules) for each in follow)
    )


def _at_end(rule: Rule, rules: list[Rule]) -> object:
    """What its target does, past chains of one rule for all."""
    does = _for_all_addresses(called(rule, rules))
    is_past = len(does) == 1 and not does[0].matches and bool(called(does[0], rules))
    return _at_end(does[0], rules) if is_past else way(rule, rules)


def is_same_way_without_chain(rule: Rule, rules: list[Rule]) -> bool:
    """Whether its chain leads nowhere else, and what follows each rule that calls it as well."""
    own = [each for each in rules if each.table == rule.table]
    does = {each.does for each in own if each.chain == rule.chain and each.target}
    callers = [each for each in own if each.target == rule.chain]
    leads = does == {rule.does} and bool(callers)
    return leads and all(is_same_way(each, rules) for each in callers)


def is_taken_before(rule: Rule, rules: list[Rule]) -> bool:
    """Whether a rule before it takes all its packets to the same chain, which lets none return."""
    own = [each for each in rules if (each.table, each.chain) == (rule.table, rule.chain)]
    return any(
        each.does == rule.does and is_within(rule.matches, each.matches)
        for each in own[: own.index(rule)]
    ) and _returns_none(rule, rules)


def _returns_none(rule: Rule, rules: list[Rule]) -> bool:
    """Whether all packets that meet a rule are translated where it leads."""
    if "--to-destination" in rule.options:
        return True
    from_there = {"-s": rule.matches["-s"]} if "-s" in rule.matches else {}
    return any(
        is_within(from_there, {k: v for k, v in each.matches.items() if k not in MET_BY_ALL})
        and _returns_none(each, rules)
        for each in called(rule, rules)
    )


def does_nothing(rule: Rule, rules: list[Rule], facts: NodeFacts) -> bool:
    """Whether all that it takes comes back as it was, since what follows is about others."""
    own = [each for each in rules if each.table == rule.table]
    waiting: list[tuple[Rule, ...]] = [(rule,)]
    while waiting:
        path = waiting.pop()
        follow = [each for each in own if each.chain == path[-1].target and each not in path]
        if not follow and path[-1].target and not path[-1].target.startswith("KUBE-"):
            return False
        waiting += [
            (*path, each)
            for each in follow
            if not any(is_exclusive(each.matches, e.matches, facts.sources) for e in path)
        ]
    return True


def is_dropped_before(rule: Rule, rules: list[Rule]) -> bool:
    """Whether the firewall drops all that a rule drops, in every hook that leads to it."""
    place = ("-d", "-p", "--dport")
    own = [each for each in rules if each.table == rule.table]
    firewall = "KUBE-PROXY-FIREWALL"
    hooks = [{e.chain for e in own if e.target == chain} for chain in (rule.chain, firewall)]
    return (
        rule.does == "DROP"
        and "-d" in rule.matches
        and hooks[0] <= hooks[1]
        and any(
            (each.chain, each.does) == (firewall, "DROP")
            and all(each.matches.get(key) == rule.matches.get(key) for key in place)
            for each in own
        )
    )


def way(rule: Rule, rules: list[Rule], depth: int = 0) -> object:
    """What a rule's target does, rule by rule, whatever its chains are called."""
    does = called(rule, rules)
    if not does and rule.target.startswith("KUBE-"):
        return ()
    if not does or depth > len(rules):
        return rule.does
    return tuple(
        (tuple(sorted(_named_by_endpoint(each))), way(each, rules, depth + 1))
        for each in _for_all_addresses(does)
    )


def _for_all_addresses(rules: list[Rule]) -> list[Rule]:
    """Without what marks connections to one address.

    It is about a ClusterIP, and those to it do not come by a rule that others are led by as well.
    """
    return [each for each in rules if each.target != "KUBE-MARK-MASQ" or "-d" not in each.matches]


def _named_by_endpoint(rule: Rule) -> Iterator[tuple[str, str]]:
    """The conditions; what remembers clients is called as its chain."""
    for key, value in rule.matches.items():
        yield key, "" if key == "--name" else value


def endpoints(rule: Rule, rules: list[Rule]) -> frozenset[str]:
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
