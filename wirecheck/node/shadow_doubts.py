"""Third-party rules that take, or may take, connections to Services."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from wirecheck.api_index.host_ports import host_ports
from wirecheck.catalogue.findings import Ref
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.iptables.rules import OF_PROGRAMS
from wirecheck.dataplane.rules.steps import BY_PROGRAM
from wirecheck.dataplane.table import table_in
from wirecheck.node.dataplane import Dataplane, NamedDifference
from wirecheck.node.firewall import Firewall
from wirecheck.node.host_port_rules import PortMapping
from wirecheck.node.port_mappings import PortMappings, target_of
from wirecheck.node.seen import NodeSeen
from wirecheck.text import plural

SAME_PRIORITY = (
    "a third-party chain has the same priority as kube-proxy's, and the node does not show which "
    "one the kernel asks first"
)
UNREAD = "the rules of further nftables tables were not read"
UNRECOGNISED = "an nftables table of another program has a rule that is not recognised"
THIRD_PARTY = "a third-party rule on their way is not recognised, or depends on what is not known"
OF_PROGRAM = "a third-party rule gives them to a program on the node, which decides about them"
GIVEN_AWAY = re.compile(rf" -j (?:{'|'.join(OF_PROGRAMS)})(?: |$)")
MOST_FRONTENDS = 8
"""Frontends of one unrecognised rule that are listed one by one."""
MOST_SHADOWED = 2
"""The same of a rule that takes connections: its node ports over TCP and UDP, for example."""
MOST_NAMED = 3
"""Frontends that stand for the others of such a rule."""
BALANCES, BALANCES_IN = (f"svccontroller.k3s.cattle.io/svc{each}" for each in ("name", "namespace"))
"""Labels of ServiceLB's pods: the Service to which they forward."""


@dataclass(frozen=True)
class ShadowDoubt:
    """A frontend, or a table of rules, that is inconclusive."""

    ref: Ref
    expected: str
    found: str
    evidence: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Shadow:
    """Connections to one frontend, or to all those that one third-party rule decides about."""

    ref: Ref
    expected: str
    found: str
    evidence: tuple[str, ...]
    concerns: tuple[Ref, ...] = ()


def shadowed(seen: NodeSeen, dataplane: Dataplane) -> Iterator[Shadow]:
    """Frontends that third-party rules handle, except for the Service's own load balancer."""
    found = dataplane.of(Kind.SHADOWED)
    yield from once_for_each_rule(
        seen, (each for each in found if not _is_own_load_balancer(seen, each.difference))
    )


def once_for_each_rule(seen: NodeSeen, found: Iterable[NamedDifference]) -> Iterator[Shadow]:
    """The differences by third-party rules; a rule for many frontends is one of them."""
    by_rule: dict[str, list[NamedDifference]] = {}
    for each in found:
        by_rule.setdefault(each.evidence[-1] if each.evidence else "", []).append(each)
    for rule, of in by_rule.items():
        if rule and len({each.ref for each in of}) > MOST_SHADOWED:
            yield _of_rule(seen.part(rule), of)
        else:
            yield from (Shadow(e.ref, e.expected, e.found, e.evidence) for e in of)


def _of_rule(part: Ref, found: list[NamedDifference]) -> Shadow:
    refs = tuple(dict.fromkeys(each.ref for each in found))
    services = {(ref.namespace, ref.name) for ref in refs if ref.kind == "Service"}
    first, named = found[0], ", ".join(map(str, refs[:MOST_NAMED]))
    more = f" and {len(refs) - MOST_NAMED:,} more" if len(refs) > MOST_NAMED else ""
    what = f"{len(refs):,} frontends of {plural(len(services), 'Service')}"
    return Shadow(
        part,
        "connections to Services handled by kube-proxy's rules only",
        f"it decides about those of {what}: {named}{more}; of the first one: {first.found}",
        first.evidence,
        refs[:MOST_NAMED],
    )


def _is_own_load_balancer(seen: NodeSeen, difference: Difference) -> bool:
    """Whether connections go to a pod of ServiceLB (k3s, RKE2), which forwards to the Service.

    The load balancer's addresses are those of the nodes, and the pod's host port is the Service's.
    """
    owner, frontend = difference.owner, difference.frontend
    if owner is None or frontend.is_node_port:
        return False
    targets = {
        target_of(port)
        for pod in seen.pods
        if pod.object.metadata.labels.get(BALANCES) == owner.service
        and pod.object.metadata.labels.get(BALANCES_IN, owner.namespace) == owner.namespace
        for port in host_ports(pod.object)
        if (port.port, port.protocol) == (frontend.port, frontend.protocol)
    }
    return any(word in targets for rule in difference.evidence for word in rule.split())


def shadow_doubts(
    seen: NodeSeen, dataplane: Dataplane, mappings: PortMappings, firewall: Firewall
) -> Iterator[ShadowDoubt]:
    """Frontends that chains of one priority handle, and tables that were not read."""
    for each in dataplane.of(Kind.ORDER_UNKNOWN):
        if not _is_own_load_balancer(seen, each.difference):
            yield ShadowDoubt(each.ref, each.expected, each.found, each.evidence, SAME_PRIORITY)
    yield from _by_rule(seen, dataplane.of(Kind.RULE_UNKNOWN), _why_unknown)
    iptables = firewall.iptables
    yield from _by_rule(
        seen,
        dataplane.of(Kind.CONDITIONS_UNKNOWN),
        lambda each: iptables.may_lack_conditions(each.difference.frontend.family, each.evidence),
    )
    for mapping in mappings.in_nftables:
        yield from _of_mapping(seen, mapping)
    for table in firewall.unread_tables:
        if not mappings.has_read(table):
            part = seen.part(f"nftables table {table}")
            nothing = "no rule that handles connections to Services"
            yield ShadowDoubt(part, nothing, "rules that were not read", (), UNREAD)


def _why_unknown(each: NamedDifference) -> str:
    rule = each.evidence[-1]
    if GIVEN_AWAY.search(rule) or BY_PROGRAM in each.found:
        return OF_PROGRAM
    return UNRECOGNISED if table_in(rule) else THIRD_PARTY


def _by_rule(
    seen: NodeSeen, doubted: Iterable[NamedDifference], why: Callable[[NamedDifference], str]
) -> Iterator[ShadowDoubt]:
    """Frontends behind rules whose effect is not known; a rule for many is one doubt."""
    by_rule: dict[str, dict[Ref, NamedDifference]] = {}
    for each in doubted:
        by_rule.setdefault(each.evidence[-1], {})[each.ref] = each
    for rule, by_frontend in by_rule.items():
        found = list(by_frontend.values())
        if len(found) > MOST_FRONTENDS:
            first, part = found[0], seen.part(rule)
            what = f"{len(found):,} frontends, for example {first.ref}: {first.found}"
            yield ShadowDoubt(part, "a known effect", what, first.evidence, why(first))
        else:
            for each in found:
                yield ShadowDoubt(each.ref, each.expected, each.found, each.evidence, why(each))


def _of_mapping(seen: NodeSeen, mapping: PortMapping) -> Iterator[ShadowDoubt]:
    """The node ports with the number of a host port in another nftables table.

    portmap and CRI-O hook their chains with the priority of DNAT, as kube-proxy does.
    """
    for (namespace, name), service in seen.cluster.services.items():
        for port in service.spec.ports:
            if (port.protocol.lower(), port.node_port) == (mapping.protocol, mapping.port):
                part = f"{port.name} node port {port.node_port}/{mapping.protocol}".strip()
                ref = Ref("Service", name, namespace, part=part, uid=service.metadata.uid)
                found = f"a host port of {mapping.chain}, forwarded to {mapping.target}"
                expected = "the endpoints of the Service"
                yield ShadowDoubt(ref, expected, found, (mapping.rule,), SAME_PRIORITY)
