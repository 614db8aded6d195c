"""The ends of a path as a user names them: pods, nodes, Services and addresses.

pod/shop/web-1   node/w1   service/shop/web:80   10.96.0.10:53   [fd00::10]:53
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_addresses import node_ips
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.service import cluster_ips
from wirecheck.catalogue.findings import Ref
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec

KINDS = ("pod", "node", "service")
OUTSIDE = "outside"
SOMEBODY = {4: address("192.0.2.1"), 6: address("2001:db8::1")}
"""Stand for any client outside of the cluster (RFC 5737, RFC 3849)."""
NAME = re.compile(r"(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc(?:\.[a-z0-9.-]*)?")
"""A Service's DNS name; the cluster's domain may be left out."""
LONGEST_NAME = 253
MOST_PORT = 65_535
FORMS = (
    "pod/NAMESPACE/NAME, node/NAME, service/NAMESPACE/NAME[:PORT], a Service's DNS name, outside "
    "or an address"
)


class NoSuchEndError(ValueError):
    """The text names nothing that a path can begin or end at: one sentence."""


@dataclass(frozen=True, slots=True)
class Named:
    """A name as it was typed, in its parts."""

    kind: str
    """One of KINDS, `address` or `outside`."""
    name: str
    """`shop/web-1`, `w1`, `10.96.0.10`."""
    port: str = ""

    @property
    def label(self) -> str:
        if self.kind == OUTSIDE:
            return "outside of the cluster"
        return self.name if self.kind == "address" else f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where packets go."""

    label: str
    address: IPAddress
    port: int
    protocol: str


def trace_arguments(pod: Ref | None, node: str, where: str, port: int, protocol: str) -> str:
    """The arguments of `wirecheck trace` for a packet of a pod, or without one of the node."""
    source = f"pod/{pod.namespace}/{pod.name}" if pod else f"node/{node}"
    return shlex.join([source, where, "--port", str(port), "--protocol", protocol])


def named(text: str) -> Named:
    """The parts of a name. Raises NoSuchEndError for any other form."""
    kind, slash, rest = text.partition("/")
    if slash and kind in KINDS:
        name, _, port = rest.partition(":")
        if name.count("/") != (kind != "node") or not all(name.split("/")):
            raise NoSuchEndError(f"{text} is incomplete: name {FORMS}.")
        return Named(kind, name, port)
    if text == OUTSIDE:
        return Named(OUTSIDE, "")
    host, port = _host_and_port(text)
    if len(host) <= LONGEST_NAME and (found := NAME.fullmatch(host.lower())):
        return Named("service", f"{found['namespace']}/{found['name']}", port)
    try:
        return Named("address", str(address(host)), port)
    except ValueError as error:
        raise NoSuchEndError(f"{text} names no end of a path: name {FORMS}.") from error


def _host_and_port(text: str) -> tuple[str, str]:
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port.removeprefix(":")
    if text.count(":") == 1:
        host, _, port = text.partition(":")
        return host, port
    return text, ""


def destinations(
    cluster: ClusterSeen, end: Named, port: str = "", protocol: str = ""
) -> Iterator[Destination]:
    """The addresses of a destination, by family. Raises NoSuchEndError where there is none."""
    port = port or end.port
    if end.kind == "service":
        service = cluster.services.get(_pair(end.name))
        if service is None:
            raise NoSuchEndError(f"Service {end.name} does not exist.")
        yield from _of_service(service, end, port, protocol)
        return
    found: list[IPAddress]
    if end.kind == "pod":
        pod = pod_of(cluster, end)
        found, port = sorted(pod.addresses, key=_order), port or _first_port(pod, protocol)
    elif end.kind == "node":
        found = sorted(node_ips(cluster.nodes[node_of(cluster, end)]), key=_order)
    elif end.kind == OUTSIDE:
        raise NoSuchEndError("outside is a source only: name an address outside of the cluster.")
    else:
        found = [address(end.name)]
    if not found:
        raise NoSuchEndError(f"{end.label} has no address in the API.")
    number = _number(port, end)
    yield from (Destination(end.label, each, number, protocol or "tcp") for each in found)


def _of_service(
    service: ServiceObject, end: Named, port: str, protocol: str
) -> Iterator[Destination]:
    addresses = cluster_ips(service)
    if not addresses:
        raise NoSuchEndError(f"Service {end.name} has no cluster IP: name one of its pods.")
    ports = [
        each
        for each in service.spec.ports
        if port in ("", str(each.port), each.name) and protocol in ("", each.protocol.lower())
    ]
    if not ports:
        known = ", ".join(f"{e.port}/{e.protocol.lower()}" for e in service.spec.ports)
        wanted = f"{port or 'any'}/{protocol or 'any'}"
        raise NoSuchEndError(f"Service {end.name} has no port {wanted}; it has {known or 'none'}.")
    chosen: ServicePortSpec = ports[0]
    for each in sorted(map(address, addresses), key=_order):
        yield Destination(end.label, each, chosen.port, chosen.protocol.lower())


def pod_of(cluster: ClusterSeen, end: Named) -> Pod:
    """The pod of that name. Raises NoSuchEndError where there is none."""
    for pod in cluster.pods:
        if f"{pod.namespace}/{pod.name}" == end.name:
            return pod
    raise NoSuchEndError(f"Pod {end.name} does not exist.")


def node_of(cluster: ClusterSeen, end: Named) -> str:
    """The node's name. Raises NoSuchEndError where there is no such node."""
    if end.name not in cluster.nodes:
        raise NoSuchEndError(f"Node {end.name} does not exist.")
    return end.name


def nodes_concerned(cluster: ClusterSeen, *ends: Named) -> frozenset[str]:
    """The nodes that packets between these ends can pass: those of the ends, and of backends."""
    found = {name for end in ends for name in _nodes_of(cluster, end)}
    return frozenset(each for each in found if each in cluster.nodes)


def _nodes_of(cluster: ClusterSeen, end: Named) -> Iterator[str]:
    if end.kind == "pod":
        yield pod_of(cluster, end).node_name
    elif end.kind == "node":
        yield node_of(cluster, end)
        yield from cluster.nodes if end.port else ()  # A node port leads to any node.
    elif end.kind == OUTSIDE:
        return
    elif end.kind == "address":
        where = address(end.name)
        pods = cluster.pod_index.by_address.get(where, ())
        node = cluster.node_index.by_any_address.get(where)
        yield from (each.node_name for each in pods)
        yield from [node] if node and not end.port else ()
        yield from cluster.nodes if not pods and (end.port or not node) else ()
    else:
        yield from cluster.nodes


def _pair(name: str) -> tuple[str, str]:
    namespace, _, own = name.partition("/")
    return namespace, own


def _order(each: IPAddress) -> tuple[int, int]:
    return each.version, int(each)


def _first_port(pod: Pod, protocol: str) -> str:
    ports = (
        str(each.container_port)
        for container in pod.object.spec.containers
        for each in container.ports
        if each.protocol.lower() == (protocol or "tcp")
    )
    return next(ports, "")


def _number(port: str, end: Named) -> int:
    if not port:
        raise NoSuchEndError(f"{end.label} has no port by itself: name one with --port.")
    if not port.isascii() or not port.isdecimal() or not 0 < int(port[:6]) <= MOST_PORT:
        raise NoSuchEndError(f"{port} is not a port: --port is a number from 1 to {MOST_PORT}.")
    return int(port)
