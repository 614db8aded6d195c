"""The differences between IPVS mode and the modes with rules.

A virtual server handles connections of all clients alike: all have the same backends, and policy
Local falls back to the endpoints of the cluster.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product

from msgspec import structs

from wirecheck.addresses import contains, network
from wirecheck.api_index.backend import Backend
from wirecheck.api_index.service_ports import PortFacts
from wirecheck.dataplane.clients import intervals
from wirecheck.dataplane.expected.endpoints import UsableEndpoints
from wirecheck.dataplane.expected.handling import DROPPED, REJECTED, forwarded, restricted
from wirecheck.dataplane.expected.proxy_view import ProxyView
from wirecheck.dataplane.table import (
    NOTHING,
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    Verdict,
)

_REFUSED = {each: structs.replace(REJECTED, masquerade=each) for each in Masquerade} | {
    Masquerade.NEVER: REJECTED
}


def ipvs_entries(port: PortFacts, usable: UsableEndpoints, view: ProxyView) -> Iterator[Entry]:
    """The entries of one port in IPVS mode."""

    def entry(address: str, number: int, handlings: Mapping[Client, Handling]) -> Entry:
        frontend = Frontend(port.family, address, port.protocol, number)
        return Entry(frontend, handlings, port.owner, port.known)

    internal = _backends(usable, port.internal_local)
    to_cluster_ip = {
        client: _served(internal, port, masquerade)
        for client, masquerade in _to_cluster_ip(view).items()
    }
    yield entry(port.cluster_ip, port.port, to_cluster_ip)
    external = _backends(usable, port.external_local)
    masquerade = Masquerade.NEVER if port.external_local else Masquerade.ALWAYS
    to_external = dict.fromkeys(view.kinds, _served(external, port, masquerade))
    vips = view.facts.vips_of(port)
    for address in dict.fromkeys((*view.facts.external_ips_of(port), *vips)):
        is_limited = address in vips and port.source_ranges
        limited = _limited(to_external, port, view, address) if is_limited else to_external
        yield entry(address, port.port, limited)
    if port.node_port:
        closed = dict.fromkeys(view.kinds, NOTHING)
        is_open = view.accepts_node_ports
        yield entry("", port.node_port, to_external if is_open else closed)
        for own in view.compared_at(port.node_port):
            handlings = to_external if view.accepts_at(own) else closed
            yield entry(str(own), port.node_port, view.only_at(own, handlings))


def rivals(claims: Sequence[Entry]) -> Iterator[Entry]:
    """The entries that one address may have if several Services claim it.

    The virtual server has the backends of one of them, but the sets have entries of all.
    """
    for backends, marks, limits in product(claims, repeat=3):
        handlings = {
            client: _mixed(each, marks.handlings.get(client), limits.handlings.get(client))
            for client, each in backends.handlings.items()
        }
        yield structs.replace(backends, handlings=handlings)


def _mixed(backends: Handling, marks: Handling | None, limits: Handling | None) -> Handling:
    if limits is None or marks is None:
        return backends
    if limits.verdict is Verdict.DROP:
        return limits
    if backends.verdict is Verdict.DROP:
        return backends
    return structs.replace(backends, masquerade=marks.masquerade, allowed=limits.allowed)


def _backends(usable: UsableEndpoints, is_local: bool) -> tuple[Backend, ...]:
    """Local endpoints for policy Local; all endpoints of the cluster if there are none.

    The fallback serves pods of the node; replies to other clients are lost.
    """
    return (usable.local if is_local else ()) or usable.cluster


def _served(backends: tuple[Backend, ...], port: PortFacts, masquerade: Masquerade) -> Handling:
    """A virtual server without real servers answers with port unreachable."""
    if backends:
        return forwarded(backends, port.affinity, masquerade)
    # Masquerading matters if another Service has endpoints for the address, see `rivals`.
    return _REFUSED[masquerade]


def _to_cluster_ip(view: ProxyView) -> Mapping[Client, Masquerade]:
    masquerade = view.masquerade_to_cluster_ip
    if view.detects_pods is False and not view.facts.masquerade_all:
        # The node has every Service address itself and connects from it to it.
        return {
            client: Masquerade.ALWAYS if client is Client.NODE else each
            for client, each in masquerade.items()
        }
    return masquerade


def _limited(
    handlings: Mapping[Client, Handling], port: PortFacts, view: ProxyView, vip: str
) -> Mapping[Client, Handling]:
    """With loadBalancerSourceRanges: the node may connect if its own address is in one.

    It does so from the load balancer's address itself, which is bound on the node.
    """
    ranges = list(port.source_ranges)
    admits_node = view.node_address is not None and contains(ranges, view.node_address)
    if admits_node:
        ranges.append(network(vip))
    spans = intervals(ranges)
    limited = {
        client: restricted(handling, view.kinds[client], spans, view.family)
        for client, handling in handlings.items()
    }
    if Client.NODE in limited:
        limited[Client.NODE] = handlings[Client.NODE] if admits_node else DROPPED
    return limited
