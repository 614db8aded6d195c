"""How one node must handle Services according to the API: the expected side of the comparison.

    index = index_services(services, slices)            # once per round
    clients = clients_of(node, facts, host_addresses)   # per node
    table = expected_table(index, node, facts, clients)

Pure. Follows kube-proxy 1.29 to 1.37 in the modes iptables and nftables; `ipvs.py` has the
differences of IPVS mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wirecheck.addresses import contains, network
from wirecheck.api_index.service_ports import PortFacts
from wirecheck.api_index.services import ServiceIndex
from wirecheck.dataplane.clients import Clients, intervals
from wirecheck.dataplane.expected.claims import claims
from wirecheck.dataplane.expected.endpoints import UsableEndpoints, usable_endpoints
from wirecheck.dataplane.expected.handling import dead_end, forwarded, restricted
from wirecheck.dataplane.expected.ipvs import ipvs_entries, rivals
from wirecheck.dataplane.expected.proxy_view import ProxyView, proxy_views_of
from wirecheck.dataplane.proxy import Mode, ProxyFacts
from wirecheck.dataplane.table import (
    NOTHING,
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    ServiceTable,
)
from wirecheck.snapshot.objects.node import NodeObject

Handlings = Mapping[Client, Handling]


def expected_table(
    index: ServiceIndex, node: NodeObject, facts: ProxyFacts, clients: Clients
) -> ServiceTable:
    """The handling that the API requires on `node`, where kube-proxy runs with `facts`."""
    node_ports = sum(1 for each in index.ports if each.node_port)
    views = proxy_views_of(node, facts, clients, node_ports)
    ports = index.ports if facts.mode is Mode.IPVS else index.other_ports
    entries = {} if facts.mode is Mode.IPVS else _plain_entries(index, views).copy()
    found = claims(
        entries,
        (entry for port in ports for entry in _entries_of(index, port, views[port.family])),
    )
    contested = found.contested
    if facts.mode is Mode.IPVS:
        contested = {at: (*of, *rivals(of)) for at, of in contested.items()}
    return ServiceTable(
        entries=found.entries,
        contested=contested,
        ambiguous=found.ambiguous,
        local_backends=index.backends_by_node.get(views[4].hostname, frozenset()),
        # nftables mode has no rules for them.
        health_check_ports=frozenset() if facts.mode is Mode.NFTABLES else index.health_check_ports,
        problems=index.problems,
    )


def _plain_entries(index: ServiceIndex, views: Mapping[int, ProxyView]) -> dict[Frontend, Entry]:
    """The entries of ports that are the same on all nodes with this view."""
    key = ("plain", *(each.key for each in views.values()))
    found = index.cache.get(key)
    if found is None:
        found = index.cache[key] = {
            entry.frontend: entry
            for port in index.plain_ports
            for entry in _entries_of(index, port, views[port.family])
        }
    return found  # type: ignore[return-value]


def _entries_of(index: ServiceIndex, port: PortFacts, view: ProxyView) -> Iterator[Entry]:
    """The entries of one port, for each set of endpoints that it may use."""
    for usable in _usable(index, port, view):
        yield from _entries_with(index, port, usable, view)


def _entries_with(
    index: ServiceIndex, port: PortFacts, usable: UsableEndpoints, view: ProxyView
) -> tuple[Entry, ...]:
    """The entries of one port, computed once for all nodes with the same ones."""
    local = tuple(each for each in _externals(port, view) if each in view.local_addresses)
    # Source ranges cut through the kinds of clients, whose addresses differ by node.
    own = (view.hostname,) if port.source_ranges else ()
    # Nodes have different addresses, but only node ports are compared there.
    is_own = port.node_port or view.facts.mode is Mode.IPVS
    is_apart = port.node_port in view.apart_on_localhost
    places = (view.further_addresses, view.stride, is_apart) if is_own else ()
    key = (port, view.key, usable, local, own, places)
    found = index.cache.get(key)
    if found is None:
        make = ipvs_entries if view.facts.mode is Mode.IPVS else _entries
        found = index.cache[key] = tuple(make(port, usable, view))
    return found  # type: ignore[return-value]


def _usable(index: ServiceIndex, port: PortFacts, view: ProxyView) -> tuple[UsableEndpoints, ...]:
    found = index.cache.get(port)
    if found is None:
        # Ports with different endpoints on each node are not kept.
        of_all = usable_endpoints(port, "", "", view.facts) if port.is_uniform else ()
        found = index.cache[port] = of_all
    return found or usable_endpoints(port, view.hostname, view.zone, view.facts)  # type: ignore[return-value]


def _externals(port: PortFacts, view: ProxyView) -> tuple[str, ...]:
    return (*view.facts.external_ips_of(port), *view.facts.vips_of(port))


def _entries(port: PortFacts, usable: UsableEndpoints, view: ProxyView) -> Iterator[Entry]:
    def entry(address: str, number: int, handlings: Handlings) -> Entry:
        frontend = Frontend(port.family, address, port.protocol, number)
        return Entry(frontend, handlings, port.owner, port.known)

    yield entry(port.cluster_ip, port.port, _to_cluster_ip(port, usable, view))
    vips = view.facts.vips_of(port)
    external_ips = view.facts.external_ips_of(port)
    if not (external_ips or vips or port.node_port):
        return
    external = _to_external(port, usable, view)
    is_refused = not usable.has_any or (port.external_local and not usable.local)
    for address in dict.fromkeys((*external_ips, *vips)):
        handlings = _to_address(external, is_refused, usable, view, address)
        # Of an address that is both, iptables mode's rule of the external IP comes first.
        is_let_past = not view.is_nftables and (address in external_ips or not usable.has_any)
        if address in vips and port.source_ranges and not is_let_past:
            limited = _with_source_ranges(handlings, port, vips, view)
            handlings = limited if usable.has_any else _refused_first(handlings, limited, view)
        yield entry(address, port.port, handlings)
    if port.node_port:
        is_open = view.accepts_node_ports
        handlings = _to_node_port(external, is_refused, usable, view, is_open)
        yield entry("", port.node_port, handlings)
        for own in view.compared_at(port.node_port):
            is_open = view.accepts_at(own)
            handlings = _to_node_port(external, is_refused, usable, view, is_open)
            yield entry(str(own), port.node_port, view.only_at(own, handlings))


def _to_cluster_ip(port: PortFacts, usable: UsableEndpoints, view: ProxyView) -> Handlings:
    backends = usable.local if port.internal_local else usable.cluster
    if not usable.has_any or not backends:
        return dict.fromkeys(view.kinds, dead_end(usable))
    by_masquerade = {
        masquerade: forwarded(backends, port.affinity, masquerade)
        for masquerade in set(view.masquerade_to_cluster_ip.values())
    }
    return {
        client: by_masquerade[masquerade]
        for client, masquerade in view.masquerade_to_cluster_ip.items()
    }


def _to_external(port: PortFacts, usable: UsableEndpoints, view: ProxyView) -> Handlings:
    """Connections to external addresses and node ports, as far as both are the same.

    Policy Local does not apply to the node and its pods: they use the endpoints of policy
    Cluster. A kind of client is left out if it is not known whether kube-proxy takes it for pods.
    """
    if not usable.has_any:
        return dict.fromkeys(view.kinds, dead_end(usable))
    if not port.external_local:
        masqueraded = forwarded(usable.cluster, port.affinity, Masquerade.ALWAYS)
        return dict.fromkeys(view.kinds, masqueraded)
    from_outside = dead_end(usable)
    if usable.local:
        from_outside = forwarded(usable.local, port.affinity, Masquerade.NEVER)
    handlings = {}
    for client, is_pod in view.is_pod.items():
        if is_pod:
            handlings[client] = forwarded(usable.cluster, port.affinity, Masquerade.NEVER)
        elif is_pod is not None and client is Client.NODE:
            handlings[client] = forwarded(usable.cluster, port.affinity, Masquerade.ALWAYS)
        elif is_pod is not None:
            handlings[client] = from_outside
    return handlings


def _to_address(
    external: Handlings, is_refused: bool, usable: UsableEndpoints, view: ProxyView, address: str
) -> Handlings:
    """An external or load balancer address."""
    if not is_refused or Client.NODE not in external:
        return external
    if view.is_nftables:
        return _before_dnat(external, usable, view)
    if not usable.has_any and address not in view.local_addresses:
        # KUBE-EXTERNAL-SERVICES is called from INPUT and FORWARD, but not from OUTPUT.
        return {**external, Client.NODE: NOTHING}
    return external


def _before_dnat(external: Handlings, usable: UsableEndpoints, view: ProxyView) -> Handlings:
    """How the node's connections to an address that refuses outside clients are handled.

    The check for endpoints once came before DNAT, and also dropped connections that policy Local
    does not apply to. That was fixed between 1.32.2 and 1.33.13 (both seen): nothing is expected
    in between.
    """
    if not usable.has_any or view.facts.minor > 33:
        return external
    if view.facts.minor == 33:
        return {client: each for client, each in external.items() if client is not Client.NODE}
    return {**external, Client.NODE: dead_end(usable)}


def _refused_first(refused: Handlings, limited: Handlings, view: ProxyView) -> Handlings:
    """Without endpoints: the refusal and the source ranges in nftables mode.

    For what the node sends, the refusal came first until it moved behind DNAT, see `_before_dnat`.
    """
    if view.facts.minor > 33 or Client.NODE not in limited:
        return limited
    others = dict(limited)
    del others[Client.NODE]
    return others if view.facts.minor == 33 else {**others, Client.NODE: refused[Client.NODE]}


def _to_node_port(
    external: Handlings,
    is_refused: bool,
    usable: UsableEndpoints,
    view: ProxyView,
    is_open: bool,
) -> Handlings:
    if not is_open:
        # In iptables mode the refusal in table filter applies to all local addresses.
        is_closed = is_refused and not view.is_nftables
        return dict.fromkeys(external, dead_end(usable) if is_closed else NOTHING)
    if view.is_nftables and view.facts.minor <= 29 and is_refused and usable.has_any:
        return {**external, Client.NODE: dead_end(usable)}
    return external


def _with_source_ranges(
    handlings: Handlings, port: PortFacts, vips: tuple[str, ...], view: ProxyView
) -> Handlings:
    """Load balancer addresses with loadBalancerSourceRanges, which apply to pods as well."""
    allowed = list(port.source_ranges)
    if view.node_address is not None and contains(allowed, view.node_address):
        # An address that is bound on the node becomes the source of the node's own packets.
        allowed += map(network, vips)
    spans = intervals(allowed)
    return {
        client: restricted(handling, view.kinds[client], spans, view.family)
        for client, handling in handlings.items()
    }
