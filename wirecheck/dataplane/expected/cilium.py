"""How Cilium on one node must handle Services according to the API.

Differs from kube-proxy (pkg/loadbalancer in Cilium 1.20): the node and its pods follow
internalTrafficPolicy at every address of a Service, clients outside the cluster follow
externalTrafficPolicy; a Service without a usable endpoint rejects; node ports also stand at the
address `0.0.0.0`, which is for connections from this node to any node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from wirecheck.api_index.cilium_services import CiliumBackend, CiliumPort, Endpoints
from wirecheck.dataplane.clients import difference, intervals
from wirecheck.dataplane.ebpf.maps import SURROGATES
from wirecheck.dataplane.ebpf.node_view import NODE_PORTS, OUTSIDE, CiliumNode
from wirecheck.dataplane.expected.claims import claims
from wirecheck.dataplane.expected.handling import REJECTED, forwarded, restricted
from wirecheck.dataplane.table import (
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    ServiceTable,
    Verdict,
)

Handlings = Mapping[Client, Handling]
FROM_HERE = (Client.POD, Client.NODE)
SAME_NODE = "PreferSameNode"
SAME_ZONE = ("PreferClose", "PreferSameZone")


AT_FIRST_ADDRESS = frozenset({""})


class AlikeEntries:
    """The entries of ports that are the same on many nodes, by port; one for a round."""

    def __init__(self) -> None:
        self._by_mode: dict[bool, dict[CiliumPort, tuple[Entry, ...]]] = {}

    def of_mode(self, node: CiliumNode) -> dict[CiliumPort, tuple[Entry, ...]]:
        """Those of nodes where Cilium replaces kube-proxy, or of the others."""
        return self._by_mode.setdefault(node.replaces_kube_proxy, {})


def expected_for_cilium(
    ports: Iterable[CiliumPort], node: CiliumNode, alike: AlikeEntries | None = None
) -> ServiceTable:
    """The handling that the API requires on a node where Cilium forwards Services.

    `alike` keeps entries for other nodes.
    """
    known = (alike or AlikeEntries()).of_mode(node)
    # Node ports stand at the addresses of the node's devices: usually at its first one.
    is_usual = {
        family: {node.frontend_address(family, each) for each in places} == AT_FIRST_ADDRESS
        for family, places in node.node_port_addresses.items()
    }
    entries: list[tuple[Entry, ...]] = []
    for port in ports:
        family = port.facts.family
        if family not in node.families:
            continue
        if is_usual.get(family) and port in known:
            entries.append(known[port])
            continue
        made = tuple(each for of in port.endpoints for each in _entries(port, of, node))
        entries.append(made)
        if is_usual.get(family) and _is_alike(port):
            known[port] = made
    found = claims({}, chain.from_iterable(entries))
    return ServiceTable(entries=found.entries, contested=found.contested, ambiguous=found.ambiguous)


def _is_alike(port: CiliumPort) -> bool:
    """Whether its entries are the same on all nodes that have node ports at their first address."""
    facts = port.facts
    is_local = facts.internal_local or facts.external_local
    may_hide = facts.port in NODE_PORTS and bool(facts.external_ips or facts.vips)
    return not (is_local or port.distribution or may_hide)


def _entries(port: CiliumPort, endpoints: Endpoints, node: CiliumNode) -> Iterator[Entry]:
    facts = port.facts
    inner = _handling(port, endpoints, node, is_local=facts.internal_local)
    outer = _handling(port, endpoints, node, is_local=facts.external_local)

    def entry(address: str, number: int, handlings: Handlings) -> Entry:
        frontend = Frontend(facts.family, address, facts.protocol, number)
        own = {each: of for each, of in handlings.items() if each in node.kinds}
        return Entry(frontend, own, facts.owner, port.known)

    from_here = dict.fromkeys(FROM_HERE, inner)
    if facts.cluster_ip:
        yield entry(facts.cluster_ip, facts.port, from_here)
    for address in facts.external_ips:
        if not _is_node_port(node, facts.family, address, facts.port):
            yield entry(address, facts.port, _to_external_ip(port, outer, node))
    if not node.replaces_kube_proxy:
        return
    everyone = {**from_here, Client.OUTSIDE: outer}
    for address in facts.vips if port.is_load_balancer else ():
        is_own = not _is_node_port(node, facts.family, address, facts.port)
        if is_own and address not in facts.proxied_vips:
            yield entry(address, facts.port, {**from_here, Client.OUTSIDE: _limited(port, outer)})
    if facts.node_port:
        yield entry(SURROGATES[facts.family], facts.node_port, from_here)
        for address in sorted(node.node_port_addresses.get(facts.family, ())):
            where = node.frontend_address(facts.family, address)
            yield entry(where, facts.node_port, everyone)


def _is_node_port(node: CiliumNode, family: int, address: str, port: int) -> bool:
    """Cilium leaves out external addresses that would hide the node ports of a node's address."""
    return port in NODE_PORTS and address in node.node_port_addresses.get(family, ())


def _to_external_ip(port: CiliumPort, outer: Handling, node: CiliumNode) -> Handlings:
    """External IPs have one entry, for all clients.

    The node itself is not translated when it connects to one. Neither are its pods if the two
    traffic policies differ: their entry is missing, so that is not compared.
    """
    is_alike = port.facts.internal_local == port.facts.external_local
    from_pods = {Client.POD: outer} if is_alike or not node.replaces_kube_proxy else {}
    limited = _limited(port, outer) if port.is_load_balancer else outer
    return {**from_pods, Client.OUTSIDE: limited}


def _limited(port: CiliumPort, handling: Handling) -> Handling:
    """With loadBalancerSourceRanges, which only clients outside the cluster meet."""
    if port.source_ranges is None or handling.verdict is Verdict.UNDECIDED:
        return handling
    family = port.facts.family
    allowed = intervals(port.source_ranges)
    sources = OUTSIDE[family]
    if port.denies_ranges:
        allowed = difference(sources, allowed)
    return restricted(handling, sources, allowed, family)


def _handling(
    port: CiliumPort, endpoints: Endpoints, node: CiliumNode, *, is_local: bool
) -> Handling:
    """Active endpoints, or else those that still serve while they terminate."""
    usable = [each for each in endpoints if not is_local or each.node in ("", node.name)]
    preferred = _preferred(port, usable, node)
    reason = port.undecided
    if node.follows_topology is None and preferred != usable:
        reason = reason or "the setting enable-service-topology of Cilium was not read"
    if reason:
        return Handling(Verdict.UNDECIDED, reason=reason)
    if node.follows_topology:
        usable = preferred
    active = [each for each in usable if each.is_active]
    backends = tuple(sorted({each.backend for each in active or usable}))
    if not backends:
        return REJECTED
    # Clients return to active backends only.
    affinity = port.facts.affinity if active else 0
    return forwarded(backends, affinity, Masquerade.UNKNOWN)


def _preferred(
    port: CiliumPort, usable: list[CiliumBackend], node: CiliumNode
) -> list[CiliumBackend]:
    """The endpoints that the Service's traffic distribution prefers; all if it prefers none."""
    active = [each for each in usable if each.is_active]
    if port.distribution == SAME_NODE:
        return [each for each in active if each.node == node.name] or usable
    if port.distribution not in SAME_ZONE or not node.zone:
        return usable
    has_hints = all(each.zones for each in active)
    if not has_hints or not any(node.zone in each.zones for each in active):
        return usable
    return [each for each in usable if node.zone in each.zones]
