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
    if entry in facts.contested:
        return "an address that several Services claim"
    return ""


def why_of_sets(edit: Edit, around: Around, facts: NodeFacts) -> str:
    """Why a change of ipsets does no harm, or nothing."""
    return next(_of_entry(edit, around, facts), "")


def _of_entry(edit: Edit, around: Around, facts: NodeFacts) -> Iterator[str]:
    _, name, entry = (edit.before or edit.after).split()
    of = name.removeprefix("KUBE-").removeprefix("6-")
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
    if of in _MARKING and not around.backends.get(entry):
        yield "its virtual server has no real server"
    if of.startswith("NODE-PORT"):
        yield from _of_node_port(of, entry, around, facts)
    if edit.after and of in (*_MARKING, "CLUSTER-IP"):
        yield from _of_more(name, of, entry, around)


def _of_node_port(of: str, entry: str, around: Around, facts: NodeFacts) -> Iterator[str]:
    protocol = next(each for each in ("tcp", "udp", "sctp") if each.upper() in of)
    number = entry.rpartition(":")[2]
    served = [
        backends
        for place, backends in around.backends.items()
        if place.endswith(f",{protocol}:{number}") and place.partition(",")[0] in facts.addresses
    ]
    if not any(served):
        yield "no virtual server at that node port leads anywhere"


def _of_more(name: str, of: str, entry: str, around: Around) -> Iterator[str]:
    """One more entry, where another set says the same already."""
    prefix = name.removesuffix(of)
    others = around.entries
    is_local = any(entry in others.get(f"{prefix}{each}", ()) for each in ("LOAD-BALANCER-LOCAL",))
    if of == "LOAD-BALANCER-LOCAL" and entry not in others.get(f"{prefix}LOAD-BALANCER", ()):
        yield "asked only for load balancer addresses"
    if of == "LOAD-BALANCER" and is_local:
        yield "the set of policy Local goes before"
    marked = [f"{prefix}{each}" for each in ("EXTERNAL-IP", "LOAD-BALANCER")]
    if of in ("EXTERNAL-IP", "LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP-LOCAL") and any(
        entry in others.get(each, ()) for each in marked
    ):
        yield "its connections are masqueraded anyway"


def why_of_rules(edit: Edit, before: str, around: Around, facts: NodeFacts) -> str:
    """Why a change of the iptables rules does no harm, or nothing."""
    why = harmless_iptables.why_harmless(edit, before, facts)
    return why or next(_of_rule(edit, before, around), "")


def _of_rule(edit: Edit, before: str, around: Around) -> Iterator[str]:
    rules = list(rules_of(before))
    rule = next(each for each in rules if each.line == edit.before)
    if rule.chain == "KUBE-IPVS-OUT-FILTER" or rule.target == "KUBE-IPVS-OUT-FILTER":
        yield "what the node itself sends and IPVS has not translated"
    if _is_of_empty_set(rule, around):
        yield "no packet is in its set"
    if edit.kind == "reorder":
        other = rules[rules.index(rule) + 1]
        yield from _of_swap(rule, other, around)


def _of_swap(one: Rule, other: Rule, around: Around) -> Iterator[str]:
    if _is_of_empty_set(other, around):
        yield "no packet is in its set"
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
