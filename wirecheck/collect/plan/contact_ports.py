"""Plans connections to ports of nodes: node ports, health check node ports, host ports. Pure.

Each node connects to a sample of the ports, on itself and on the nodes after it. All nodes
together cover every port and every node.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wirecheck.api_index.host_ports import HostPort
from wirecheck.api_index.node_addresses import is_contactable, node_ips
from wirecheck.api_index.node_ports import Backend, HealthCheck, NodePort
from wirecheck.collect.plan.contact_targets import ContactTargets
from wirecheck.collect.plan.planned_contact import PlannedContact
from wirecheck.collect.plan.sampling import following, share
from wirecheck.snapshot.objects.metadata import is_ready
from wirecheck.snapshot.objects.node import NodeObject

PEERS = 3
"""The number of other nodes whose ports a node connects to."""
ATTEMPTS = 4
"""Attempts at a port with policy Cluster: other checks report a single endpoint that does not
respond, so it must not fail this check by chance in every round."""
CLUSTER_PORTS, LOCAL_PORTS, HEALTH_CHECKS = 4, 2, 2
"""How many ports of each kind a node connects to."""
HOST_PORTS = 4
"""How many host ports a node connects to on each of the nodes."""


def to_ports(targets: ContactTargets, name: str) -> Iterator[PlannedContact]:
    """All connections of one node to such ports, each once."""
    place = targets.places[name]
    own = targets.nodes[place]
    peers = [
        each for each in following(targets.nodes, place, PEERS) if is_ready(each.status.conditions)
    ]
    asked = [
        *_to_node_ports(targets.node_ports, place, own, peers),
        *_to_health_checks(targets.health_checks, place, [own, *peers]),
        *_to_host_ports(targets, [own, *peers]),
    ]
    yield from dict.fromkeys(asked)


def _to_node_ports(
    ports: Sequence[NodePort], place: int, own: NodeObject, peers: Sequence[NodeObject]
) -> Iterator[PlannedContact]:
    to_all = share([each for each in ports if not each.is_local], place, CLUSTER_PORTS)
    to_own = share([each for each in ports if each.is_local], place, LOCAL_PORTS)
    for port in [*to_all, *to_own]:
        # From the node itself, only some modes of kube-proxy forward to all endpoints.
        if port.is_open_at(own.metadata.name):
            yield from _to_node_port(port, own)
        for peer in peers:
            yield from _to_node_port(port, peer)


def _to_node_port(port: NodePort, node: NodeObject) -> Iterator[PlannedContact]:
    is_open = port.is_open_at(node.metadata.name)
    attempts = 1 if not is_open else 2 if port.is_local else ATTEMPTS
    for each in _addresses(node, port.family):
        yield PlannedContact("", "node port", each, port.port, attempts=attempts)
    if is_open:
        yield _directly(_backend_at(port, node.metadata.name))


def _backend_at(port: NodePort, node: str) -> Backend:
    """A backend that the node may choose."""
    return next(each for each in port.backends if each.node == node or not port.is_local)


def _directly(backend: Backend | HostPort) -> PlannedContact:
    """A connection to the pod itself: if nothing listens there, its node ports fail as well."""
    if isinstance(backend, HostPort):
        return PlannedContact("", "backend", backend.pod_address, backend.pod_port)
    return PlannedContact("", "backend", backend.address, backend.port)


def _to_health_checks(
    checks: Sequence[HealthCheck], place: int, nodes: Sequence[NodeObject]
) -> Iterator[PlannedContact]:
    for check in share(checks, place, HEALTH_CHECKS):
        for node in nodes:
            for each in _addresses(node, check.family):
                yield PlannedContact("", "health check", each, check.port, http=True)


def _to_host_ports(
    targets: ContactTargets, nodes: Sequence[NodeObject]
) -> Iterator[PlannedContact]:
    for node in nodes:
        for port in targets.host_ports.get(node.metadata.name, ())[:HOST_PORTS]:
            for each in port.open_at(node):
                yield PlannedContact("", "host port", each, port.port)
                yield _directly(port)


def _addresses(node: NodeObject, family: int) -> Iterator[str]:
    """The node's first address of a family: kube-proxy always opens node ports there."""
    own = [each for each in node_ips(node) if is_contactable(each)]
    yield from [str(each) for each in own if each.version == family][:1]
