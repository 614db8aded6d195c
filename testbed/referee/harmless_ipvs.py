"""Why an edit of virtual servers, ipsets or the rules beside them changes nothing for Services.

As with the rules of other modes, each reason can be checked by looking at the texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from testbed.referee import harmless_iptables
from testbed.referee.harmless_iptables import Rule, rules_of
from testbed.referee.mutation import Edit, NodeFacts

_SET = re.compile(r"(! )?--match-set (\S+) (\S+)")
_MARKING = ("EXTERNAL-IP", "EXTERNAL-IP-LOCAL", "LOAD-BALANCER", "LOAD-BALANCER-LOCAL")
_LONGEST_NAME = 31
NODE_PORTS = "KUBE-NODE-PORT"
HEALTH_CHECKS = ("INPUT", NODE_PORTS)
_KINDS = {"-t": "tcp", "-u": "udp", "--sctp-service": "sctp"}


@dataclass(frozen=True)
class Around:
    """The texts beside the one that was changed."""

    servers: str
    sets: str

    @cached_property
    def backends(self) -> dict[str, list[str]]:
        """By `10.96.0.1,tcp:443` the real servers, as `ipvsadm --save` prints them."""
        found: dict[str, list[str]] = {}
        for line in self.servers.splitlines():
            command, kind, place, *words = line.split()
            of = found.setdefault(_entry(kind, place), [])
            if command == "-a":
                of.append(words[1])
        return found

    @cached_property
    def served(self) -> frozenset[str]:
        """Every real server, as entries of sets are written."""
        return frozenset(
            _entry("", backend, protocol=place.partition(",")[2].partition(":")[0])
            for place, backends in self.backends.items()
            for backend in backends
        )

    @cached_property
    def entries(self) -> dict[str, frozenset[str]]:
        """By set."""
        found: dict[str, set[str]] = {}
        for line in self.sets.splitlines():
            command, name, entry, *_ = line.split()
            of = found.setdefault(name, set())
            if command == "add":
                of.add(entry)
        return {name: frozenset(of) for name, of in found.items()}


def _entry(kind: str, place: str, protocol: str = "") -> str:
    host, _, port = place.rpartition(":")
    return f"{host.strip('[]')},{protocol or _KINDS[kind]}:{port}"


def why_of_servers(edit: Edit, around: Around, facts: NodeFacts) -> str:
    """Why a change of virtual servers does no harm, or nothing."""
    _, kind, place, *_ = edit.before.split()
    entry = _entry(kind, place)
    if edit.kind == "weight" and len(around.backends[entry]) == 1:
        return "the only real server of its virtual server"
    if edit.kind in ("scheduler", "affinity") and not around.backends[entry]:
        return "its virtual server has no real server"
    if entry in facts.contested:
        return "an address that several Services claim"
    return ""


def why_of_sets(edit: Edit, around: Around, facts: NodeFacts) -> str:
    """Why a change of ipsets does no harm, or nothing."""
    return next(_of_entry(edit, around, facts), "")


def _of_entry(edit: Edit, around: Around, facts: NodeFacts) -> Iterator[str]:
    _, name, entry = (edit.before or edit.after).split()
    of = _plain(name)
    if of == "IPVS-IPS":
        yield "ports of a ClusterIP that no Service has"
    if of == "HEALTH-CHECK-NODE-PORT" and edit.after:
        yield "one more port that health checks may come to"
    if of == "LOOP-BACK":
        address = entry.partition(",")[0]
        if address not in facts.endpoints:
            yield "a pod on another node that connects to itself"
        if entry.rpartition(",")[0] not in around.served:
            yield "no virtual server leads to the endpoint"
        if facts.masquerades_all:
            yield "every connection to the Service is masqueraded"
    if entry in facts.contested:
        yield "an address that several Services claim"
    is_clusters = of == "CLUSTER-IP" and edit.before
    if (of in _MARKING or is_clusters) and not around.backends.get(entry):
        yield "its virtual server has no real server"
    if of.startswith("LOAD-BALANCER-SOURCE"):
        limited = around.entries.get(f"{name.removesuffix(of)}LOAD-BALANCER-FW", ())
        if entry.rpartition(",")[0] not in limited:
            yield "asked only for addresses with source ranges"
    if of.startswith("NODE-PORT"):
        yield from _of_node_port(name, of, entry, around, facts)
    if edit.after and of in (*_MARKING, "CLUSTER-IP"):
        yield from _of_more(name, of, entry, around)


def _plain(name: str) -> str:
    """The name of a set without what all of its family have in common."""
    return name.removeprefix("KUBE-").removeprefix("6-")


def _of_node_port(
    name: str, of: str, entry: str, around: Around, facts: NodeFacts
) -> Iterator[str]:
    protocol = next(each for each in ("tcp", "udp", "sctp") if each.upper() in of)
    number = entry.rpartition(":")[2]
    served = [
        backends
        for place, backends in around.backends.items()
        if place.endswith(f",{protocol}:{number}")
        and place.partition(",")[0] in facts.addresses
        and (":" in place.partition(",")[0]) == name.startswith("KUBE-6-")
    ]
    plain = name.replace("-LOCAL", "")
    masked = {
        each for set_, of_set in around.entries.items() if set_.startswith(plain) for each in of_set
    }
    local = name.replace("NODE-PORT-", "NODE-PORT-LOCAL-")[:_LONGEST_NAME]
    if "-LOCAL" not in of and entry in around.entries.get(local, ()):
        yield "the set of policy Local goes before"
    if "-LOCAL" in of and entry not in masked:
        yield "asked only for what would be masqueraded"
    if not any(served):
        yield "no virtual server at that node port leads anywhere"
    passing = name[: -len(of)] + "EXTERNAL-IP-LOCAL"
    if "HASH" in of and entry in around.entries.get(passing, ()):
        yield "the set of policy Local goes before"


def _of_more(name: str, of: str, entry: str, around: Around) -> Iterator[str]:
    """One more entry, where another set says the same already."""
    prefix = name.removesuffix(of)
    others = around.entries
    is_local = any(entry in others.get(f"{prefix}{each}", ()) for each in ("LOAD-BALANCER-LOCAL",))
    if of == "LOAD-BALANCER-LOCAL" and entry not in others.get(f"{prefix}LOAD-BALANCER", ()):
        yield "asked only for load balancer addresses"
    if of == "LOAD-BALANCER" and is_local:
        yield "the set of policy Local goes before"
    passed = [f"{prefix}{each}" for each in ("EXTERNAL-IP", "LOAD-BALANCER", "CLUSTER-IP")]
    if of == "EXTERNAL-IP-LOCAL" and any(entry in others.get(each, ()) for each in passed):
        yield "another set lets it pass as well"
    marked = [f"{prefix}{each}" for each in ("EXTERNAL-IP", "LOAD-BALANCER")]
    if of in ("EXTERNAL-IP", "LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP-LOCAL") and any(
        entry in others.get(each, ()) for each in marked
    ):
        yield "its connections are masqueraded anyway"


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
            any(_of_node_port(name, _plain(name), entry, around, facts))
            for name in names
            for entry in around.entries.get(name, ())
        ):
            yield "no entry of its set matters"
    if "KUBE-IPVS-OUT-FILTER" in (rule.chain, rule.target):
        yield "what the node itself sends from an address of a Service"
    if rule.chain == "KUBE-IPVS-FILTER" and "HEALTH-CHECK-NODE-PORT dst" in rule.line:
        yield "health checks at an address of a Service, which are not compared"
    if (rule.chain, rule.target) == ("KUBE-IPVS-FILTER", "REJECT") and edit.kind == "shadow":
        yield "ports of a ClusterIP that no Service has"
    if rule.chain == "FORWARD":
        yield "connections to Services come in, they are not forwarded"
    if edit.kind == "shadow" and _only_passes(rule, rules, around):
        yield "what follows lets it pass as well"
    if _is_of_empty_set(rule, around):
        yield "no packet is in its set"
    if edit.kind == "reorder":
        other = rules[rules.index(rule) + 1]
        yield from _of_swap(rule, other, around)
        if {rule.target, other.target} == {"KUBE-IPVS-FILTER", "KUBE-PROXY-FIREWALL"}:
            yield "each lets pass what the other is about"
        if any(" -s 127.0.0.0/8 " in each.line for each in (rule, other)):
            yield "no connection to a Service comes from a loopback address"
        if any((each.chain, each.target) == HEALTH_CHECKS for each in (rule, other)):
            yield "one accepts health checks, the other is about no such port"


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


def _of_swap(one: Rule, other: Rule, around: Around) -> Iterator[str]:
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
