"""Which endpoints of a Service port one node uses: readiness, traffic policies, hints.

Follows kube-proxy's CategorizeEndpoints (pkg/proxy/topology.go), 1.26 and later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import permutations

from wirecheck.api_index.backend import Backend
from wirecheck.api_index.service_ports import EndpointFacts, PortFacts
from wirecheck.dataplane.proxy import ProxyFacts

HINTS_OFF = frozenset({"", "disabled", "Disabled"})
MOST_PERMUTED = 5
SLICES_IN_ORDER = 31
"""From this minor version on endpoints of a slice have the slice's order; before, they were sorted
by all their addresses, of which only the first is known here."""


@dataclass(frozen=True, slots=True)
class UsableEndpoints:
    """The endpoints that the traffic policies select from on one node, sorted."""

    cluster: tuple[Backend, ...]
    """For policy Cluster, and for connections of the node and its pods in any case."""
    local: tuple[Backend, ...]
    """For policy Local: on this node."""
    has_any: bool
    """Whether the port has a usable endpoint anywhere: if not, REJECT instead of DROP."""


def usable_endpoints(
    port: PortFacts, node: str, zone: str, facts: ProxyFacts
) -> tuple[UsableEndpoints, ...]:
    """The endpoints that `node`, in `zone` (empty without a label), uses for a port.

    Several answers only if slices contradict each other about one address: the order in which
    kube-proxy takes slices is not known.
    """
    if not port.slices:
        return (_usable(port, _watched(port.endpoints, facts), node, zone, facts),)
    slices = tuple(_watched(each, facts) for each in port.slices)
    orders = list(_orders(slices))
    if facts.minor < SLICES_IN_ORDER:
        orders += [tuple(each[::-1] for each in order) for order in orders]
    ways = dict.fromkeys(_once_each(order, node, facts) for order in orders)
    return tuple(dict.fromkeys(_usable(port, way, node, zone, facts) for way in ways))


def _watched(endpoints: tuple[EndpointFacts, ...], facts: ProxyFacts) -> tuple[EndpointFacts, ...]:
    """Without slices that name another proxy, until 1.35; from 1.36 only Services' labels count."""
    if facts.minor >= 36 or not any(each.of_other_proxy for each in endpoints):
        return endpoints
    return tuple(each for each in endpoints if not each.of_other_proxy)


def _usable(
    port: PortFacts,
    endpoints: tuple[EndpointFacts, ...],
    node: str,
    zone: str,
    facts: ProxyFacts,
) -> UsableEndpoints:
    external_ips = facts.external_ips_of(port)
    is_external = bool(port.node_port or external_ips or facts.vips_of(port))
    uses_cluster = not port.internal_local or is_external
    uses_local = port.internal_local or (port.external_local and is_external)
    cluster: tuple[Backend, ...] = ()
    local: tuple[Backend, ...] = ()
    has_any = False
    if uses_cluster:
        prefers = _preference(port, endpoints, node, zone, facts)
        cluster = _ready_else_terminating(endpoints, prefers)
        has_any = bool(cluster)
    if uses_local:
        has_any = has_any or any(_is_usable(each) for each in endpoints)
        here = [each for each in endpoints if each.node == node]
        local = _ready_else_terminating(here, None)
    return UsableEndpoints(cluster, local, has_any)


Slices = tuple[tuple[EndpointFacts, ...], ...]


def _orders(slices: Slices) -> Iterable[Slices]:
    """The orders in which slices may be taken; for many slices, each of them once in front."""
    if len(slices) <= MOST_PERMUTED:
        return permutations(slices)
    return (slices[at:] + slices[:at] for at in range(len(slices)))


def _once_each(slices: Slices, node: str, facts: ProxyFacts) -> tuple[EndpointFacts, ...]:
    """Each address and port once, even if several slices name it.

    The first one wins, unless a later one is on this node (until 1.35) or is not terminating
    (from 1.36): a new pod may have the address while the old pod still terminates.
    """
    chosen: dict[Backend, EndpointFacts] = {}
    for endpoints in slices:
        for each in endpoints:
            wins = each.node == node if facts.minor < 36 else not each.terminating
            if each.backend not in chosen or wins:
                chosen[each.backend] = each
    return tuple(chosen[backend] for backend in sorted(chosen))


def _is_usable(endpoint: EndpointFacts) -> bool:
    return endpoint.ready or (endpoint.serving and endpoint.terminating)


def _ready_else_terminating(
    endpoints: Iterable[EndpointFacts], prefers: Callable[[EndpointFacts], bool] | None
) -> tuple[Backend, ...]:
    """Ready endpoints, or else those that still serve while they terminate."""
    ready = [each for each in endpoints if each.ready and (prefers is None or prefers(each))]
    chosen = ready or [each for each in endpoints if each.serving and each.terminating]
    return tuple(sorted(each.backend for each in chosen))


def _preference(
    port: PortFacts,
    endpoints: tuple[EndpointFacts, ...],
    node: str,
    zone: str,
    facts: ProxyFacts,
) -> Callable[[EndpointFacts], bool] | None:
    """The preference by hints; None if one ready endpoint has no hint."""
    ready = [each for each in endpoints if each.ready]
    by_node = facts.gate("PreferSameTrafficDistribution") and all(each.nodes for each in ready)
    if by_node and any(node in each.nodes for each in ready):
        return lambda endpoint: node in endpoint.nodes
    if not facts.gate("TopologyAwareHints") or not zone:
        return None
    if not facts.gate("ServiceTrafficDistribution") and port.hints_annotation in HINTS_OFF:
        return None
    if all(each.zones for each in ready) and any(zone in each.zones for each in ready):
        return lambda endpoint: zone in endpoint.zones
    return None
