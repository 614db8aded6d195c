"""What the API asks one node to do for Services: the expected side of the comparison.

    index = index_services(api)                         # once per look
    clients = clients_of(node, facts, host_addresses)   # per node
    table = expected_table(index, node, facts, clients)

Pure. Follows kube-proxy 1.29 to 1.37 in the modes iptables and nftables; `expected_ipvs.py`
has what IPVS does otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from wirecheck.addresses import contains, network
from wirecheck.api_index.services import PortFacts, ServiceIndex
from wirecheck.dataplane.clients import Clients, intervals
from wirecheck.dataplane.expected.endpoints import UsableEndpoints, usable_endpoints
from wirecheck.dataplane.expected.handling import dead_end, forwarded, restricted
from wirecheck.dataplane.expected.ipvs import ipvs_entries, rivals
from wirecheck.dataplane.expected.proxy_view import Vantage, vantages_of
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
    """What `node` must do, if kube-proxy runs there with `facts`."""
    node_ports = sum(1 for each in index.ports if each.node_port)
    vantages = vantages_of(node, facts, clients, node_ports)
    ports = index.ports if facts.mode is Mode.IPVS else index.other_ports
    entries = {} if facts.mode is Mode.IPVS else _plain_entries(index, vantages).copy()
    contested: dict[Frontend, tuple[Entry, ...]] = {}
    ambiguous: dict[Frontend, tuple[Entry, ...]] = {}
    for port in ports:
        for entry in _entries_of(index, port, vantages[port.family]):
            first = entries.setdefault(entry.frontend, entry)
            if first is not entry:
                into = ambiguous if first.owner is entry.owner else contested
                into[entry.frontend] = (*into.get(entry.frontend, (first,)), entry)
    contested = {
        frontend: (*claims, *ambiguous.pop(frontend, ())[1:])
        for frontend, claims in contested.items()
    }
    if facts.mode is Mode.IPVS:
        contested = {at: (*claims, *rivals(claims)) for at, claims in contested.items()}
    return ServiceTable(
        entries=entries,
        contested=contested,
        ambiguous=ambiguous,
        local_backends=index.backends_by_node.get(vantages[4].hostname, frozenset()),
        # In nftables mode there is no rule for them: nobody accepts what kube-proxy does not.
        health_check_ports=frozenset() if facts.mode is Mode.NFTABLES else index.health_check_ports,
        problems=index.problems,
    )


def _plain_entries(index: ServiceIndex, vantages: Mapping[int, Vantage]) -> dict[Frontend, Entry]:
    """The entries of the ports of which all nodes with this view make the same."""
    key = ("plain", *(each.key for each in vantages.values()))
    found = index.memo.get(key)
    if found is None:
        found = index.memo[key] = {
            entry.frontend: entry
            for port in index.plain_ports
            for entry in _entries_of(index, port, vantages[port.family])
        }
    return found  # type: ignore[return-value]


def _entries_of(index: ServiceIndex, port: PortFacts, vantage: Vantage) -> Iterator[Entry]:
    """The entries of one port, and those that it may have just as well."""
    for usable in _usable(index, port, vantage):
        yield from _entries_with(index, port, usable, vantage)


def _entries_with(
    index: ServiceIndex, port: PortFacts, usable: UsableEndpoints, vantage: Vantage
) -> tuple[Entry, ...]:
    """Computed once for all nodes for which they are the same."""
    local = tuple(each for each in _externals(port, vantage) if each in vantage.local_addresses)
    # Source ranges cut through the kinds of clients, whose addresses differ by node.
    own = (vantage.hostname,) if port.source_ranges else ()
    # Each node has other addresses, at which nothing but node ports is looked at.
    is_own = port.node_port or vantage.facts.mode is Mode.IPVS
    is_apart = port.node_port in vantage.apart_on_localhost
    places = (vantage.further_addresses, vantage.stride, is_apart) if is_own else ()
    key = (port, vantage.key, usable, local, own, places)
    found = index.memo.get(key)
    if found is None:
        make = ipvs_entries if vantage.facts.mode is Mode.IPVS else _entries
        found = index.memo[key] = tuple(make(port, usable, vantage))
    return found  # type: ignore[return-value]


def _usable(index: ServiceIndex, port: PortFacts, vantage: Vantage) -> tuple[UsableEndpoints, ...]:
    found = index.memo.get(port)
    if found is None:
        # Nothing is kept where one node may have to use other endpoints than the next.
        of_all = usable_endpoints(port, "", "", vantage.facts) if port.is_uniform else ()
        found = index.memo[port] = of_all
    return found or usable_endpoints(port, vantage.hostname, vantage.zone, vantage.facts)  # type: ignore[return-value]


def _externals(port: PortFacts, vantage: Vantage) -> tuple[str, ...]:
    return (*vantage.facts.external_ips_of(port), *vantage.facts.vips_of(port))


def _entries(port: PortFacts, usable: UsableEndpoints, vantage: Vantage) -> Iterator[Entry]:
    def entry(address: str, number: int, handlings: Handlings) -> Entry:
        frontend = Frontend(port.family, address, port.protocol, number)
        return Entry(frontend, handlings, port.owner, port.known)

    yield entry(port.cluster_ip, port.port, _to_cluster_ip(port, usable, vantage))
    vips = vantage.facts.vips_of(port)
    external_ips = vantage.facts.external_ips_of(port)
    if not (external_ips or vips or port.node_port):
        return
    external = _to_external(port, usable, vantage)
    is_refused = not usable.has_any or (port.external_local and not usable.local)
    for address in dict.fromkeys((*external_ips, *vips)):
        handlings = _to_address(external, is_refused, usable, vantage, address)
        # Of an address that is both, iptables mode's rule of the external IP comes first.
        is_let_past = not vantage.is_nftables and (address in external_ips or not usable.has_any)
        if address in vips and port.source_ranges and not is_let_past:
            limited = _with_source_ranges(handlings, port, vips, vantage)
            handlings = limited if usable.has_any else _refused_first(handlings, limited, vantage)
        yield entry(address, port.port, handlings)
    if port.node_port:
        is_open = vantage.accepts_node_ports
        handlings = _to_node_port(external, is_refused, usable, vantage, is_open)
        yield entry("", port.node_port, handlings)
        for own in vantage.looked_at(port.node_port):
            is_open = vantage.accepts_at(own)
            handlings = _to_node_port(external, is_refused, usable, vantage, is_open)
            yield entry(str(own), port.node_port, vantage.only_at(own, handlings))


def _to_cluster_ip(port: PortFacts, usable: UsableEndpoints, vantage: Vantage) -> Handlings:
    backends = usable.local if port.internal_local else usable.cluster
    if not usable.has_any or not backends:
        return dict.fromkeys(vantage.kinds, dead_end(usable))
    by_masquerade = {
        masquerade: forwarded(backends, port.affinity, masquerade)
        for masquerade in set(vantage.masquerade_to_cluster_ip.values())
    }
    return {
        client: by_masquerade[masquerade]
        for client, masquerade in vantage.masquerade_to_cluster_ip.items()
    }


def _to_external(port: PortFacts, usable: UsableEndpoints, vantage: Vantage) -> Handlings:
    """External addresses and node ports, before what tells these apart.

    Policy Local spares the node and its pods: they go where policy Cluster leads. A kind of
    client is left out where it cannot be told whether kube-proxy takes it for pods.
    """
    if not usable.has_any:
        return dict.fromkeys(vantage.kinds, dead_end(usable))
    if not port.external_local:
        masqueraded = forwarded(usable.cluster, port.affinity, Masquerade.ALWAYS)
        return dict.fromkeys(vantage.kinds, masqueraded)
    from_outside = dead_end(usable)
    if usable.local:
        from_outside = forwarded(usable.local, port.affinity, Masquerade.NEVER)
    handlings = {}
    for client, is_pod in vantage.is_pod.items():
        if is_pod:
            handlings[client] = forwarded(usable.cluster, port.affinity, Masquerade.NEVER)
        elif is_pod is not None and client is Client.NODE:
            handlings[client] = forwarded(usable.cluster, port.affinity, Masquerade.ALWAYS)
        elif is_pod is not None:
            handlings[client] = from_outside
    return handlings


def _to_address(
    external: Handlings, is_refused: bool, usable: UsableEndpoints, vantage: Vantage, address: str
) -> Handlings:
    """An external or load balancer address."""
    if not is_refused or Client.NODE not in external:
        return external
    if vantage.is_nftables:
        return _before_dnat(external, usable, vantage)
    if not usable.has_any and address not in vantage.local_addresses:
        # KUBE-EXTERNAL-SERVICES is not called from OUTPUT, only on the way in or through.
        return {**external, Client.NODE: NOTHING}
    return external


def _before_dnat(external: Handlings, usable: UsableEndpoints, vantage: Vantage) -> Handlings:
    """What the node sends to an address that outsiders are refused at.

    Its check for endpoints once came before DNAT, and what was to be spared from policy Local
    was dropped. That was mended between 1.32.2 and 1.33.13 (both seen): in between nothing
    is expected.
    """
    if not usable.has_any or vantage.facts.minor > 33:
        return external
    if vantage.facts.minor == 33:
        return {client: each for client, each in external.items() if client is not Client.NODE}
    return {**external, Client.NODE: dead_end(usable)}


def _refused_first(refused: Handlings, limited: Handlings, vantage: Vantage) -> Handlings:
    """Without endpoints: what of refusing and of source ranges comes first in nftables mode.

    For what the node sends it was the refusal until that moved behind DNAT, see `_before_dnat`.
    """
    if vantage.facts.minor > 33 or Client.NODE not in limited:
        return limited
    others = dict(limited)
    del others[Client.NODE]
    return others if vantage.facts.minor == 33 else {**others, Client.NODE: refused[Client.NODE]}


def _to_node_port(
    external: Handlings,
    is_refused: bool,
    usable: UsableEndpoints,
    vantage: Vantage,
    is_open: bool,
) -> Handlings:
    if not is_open:
        # In iptables mode the refusal in table filter holds for all local addresses.
        is_closed = is_refused and not vantage.is_nftables
        return dict.fromkeys(external, dead_end(usable) if is_closed else NOTHING)
    if vantage.is_nftables and vantage.facts.minor <= 29 and is_refused and usable.has_any:
        return {**external, Client.NODE: dead_end(usable)}
    return external


def _with_source_ranges(
    handlings: Handlings, port: PortFacts, vips: tuple[str, ...], vantage: Vantage
) -> Handlings:
    """Load balancer addresses with loadBalancerSourceRanges, which hold for pods as well."""
    allowed = list(port.source_ranges)
    if vantage.node_address is not None and contains(allowed, vantage.node_address):
        # An address that is bound on the node becomes the source of the node's own packets.
        allowed += map(network, vips)
    spans = intervals(allowed)
    return {
        client: restricted(handling, vantage.kinds[client], spans, vantage.family)
        for client, handling in handlings.items()
    }
