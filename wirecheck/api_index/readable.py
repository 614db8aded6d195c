"""The API objects with every address in its canonical form, and what could not be read.

The API server accepts any text in some fields (a container's hostIP, a Node's addresses), and old
forms of addresses in others. Everything after this module can rely on the form: one odd object
affects what is known of itself, never the run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from msgspec import Struct
from msgspec.structs import asdict, replace

from wirecheck.addresses import IPAddress, IPNetwork, api_address, api_network, is_canonical_ipv4
from wirecheck.api_index.odd_fields import odd_field
from wirecheck.api_index.static_pods import with_credible_hashes
from wirecheck.snapshot.api_objects import ApiObjects, OddField
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import Container, ContainerPort, PodObject
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec

Object = TypeVar("Object", NodeObject, PodObject, ServiceObject, EndpointSliceObject)
Item = TypeVar("Item", bound=Struct)

LARGEST_PORT = 65535
NODE_IPS = ("InternalIP", "ExternalIP")
NO_ADDRESS = ("", "None")
"""What a Service's clusterIP is without an address."""
FAMILIES = {"IPv4": 4, "IPv6": 6}


class ReadableObjects(ApiObjects, frozen=True):
    """The API's objects as `readable` returns them."""

    odd: tuple[OddField, ...] = ()
    raw: ApiObjects | None = None
    """The objects that they were made of."""


_KNOWN: WeakValueDictionary[int, ReadableObjects] = WeakValueDictionary()
"""By the id of `raw`, which exists as long as the value refers to it."""


def readable(api: ApiObjects) -> ReadableObjects:
    """The objects with canonical addresses and valid ports; what is neither is left out.

    A list without odd objects stays the same list.
    """
    if isinstance(api, ReadableObjects):
        return api
    known = _KNOWN.get(id(api))
    if known is None:
        known = _KNOWN[id(api)] = _read(api)
    return known


def _read(api: ApiObjects) -> ReadableObjects:
    odd = list(api.undecodable)
    return ReadableObjects(
        **asdict(api)
        | {
            "nodes": _all(api.nodes, "Node", _node, odd),
            "pods": with_credible_hashes(_all(api.pods, "Pod", _pod, odd), odd),
            "services": _all(api.services, "Service", _service, odd),
            "endpoint_slices": _all(api.endpoint_slices, "EndpointSlice", _slice, odd),
        },
        odd=tuple(odd),
        raw=api,
    )


@dataclass(slots=True)
class _Reader:
    """Reads the fields of one object, and notes the odd ones."""

    kind: str
    item: Any
    odd: list[OddField] = field(default_factory=list)

    def address(self, text: str, where: str) -> str:
        """The address in its canonical form; empty if the text is not an address."""
        if not text or is_canonical_ipv4(text):
            return text
        known = api_address(text)
        return self._canonical(known, text, where, is_old=str(known) != text)

    def range(self, text: str, where: str) -> str:
        """The range in its canonical form; empty if the text is not a range."""
        start = text.strip().partition("/")[0]
        is_old = str(api_address(start)) != start
        return self._canonical(api_network(text), text, where, is_old=is_old)

    def _canonical(
        self, known: IPAddress | IPNetwork | None, text: str, where: str, *, is_old: bool
    ) -> str:
        """The text of `known`. Notes an unreadable text and an old form of an IPv4 address."""
        if known is None:
            if text:
                self._note(where, text)
            return ""
        if known.version == 4 and is_old:
            self._note(where, text, str(known))
        return str(known)

    def port(self, number: int, where: str) -> int:
        """The port; 0 if the number is not a port."""
        if 0 <= number <= LARGEST_PORT:
            return number
        self._note(where, str(number))
        return 0

    def _note(self, where: str, found: str, read_as: str = "") -> None:
        self.odd.append(odd_field(self.kind, self.item.metadata, where, found, read_as))


def _all(
    items: list[Object], kind: str, read: Callable[[_Reader], Object], odd: list[OddField]
) -> list[Object]:
    changed: dict[int, Object] = {}
    for at, item in enumerate(items):
        reader = _Reader(kind, item)
        if (found := read(reader)) is not item:
            changed[at] = found
        odd += reader.odd
    return [changed.get(at, each) for at, each in enumerate(items)] if changed else items


def _with(item: Item, **fields: Any) -> Item:
    """The item itself if it has these values already."""
    new = {name: value for name, value in fields.items() if getattr(item, name) != value}
    changed: Item = replace(item, **new) if new else item
    return changed


def _node(reader: _Reader) -> NodeObject:
    node: NodeObject = reader.item
    spec, status = node.spec, node.status
    addresses = []
    for at, each in enumerate(status.addresses):
        is_ip = each.type in NODE_IPS
        text = reader.address(each.address, f"status.addresses[{at}]") if is_ip else each.address
        addresses.append(_with(each, address=text))
    kubelet = status.daemon_endpoints.kubelet_endpoint
    port = reader.port(kubelet.port, "status.daemonEndpoints.kubeletEndpoint.Port")
    return _with(
        node,
        spec=_with(
            spec,
            pod_cidr=reader.range(spec.pod_cidr, "spec.podCIDR"),
            pod_cidrs=_kept(spec.pod_cidrs, reader.range, "spec.podCIDRs"),
        ),
        status=_with(
            status,
            addresses=addresses,
            daemon_endpoints=_with(
                status.daemon_endpoints, kubelet_endpoint=_with(kubelet, port=port)
            ),
        ),
    )


def _pod(reader: _Reader) -> PodObject:
    pod: PodObject = reader.item
    spec, status = pod.spec, pod.status
    containers = [
        _container(reader, each, f"spec.containers[{at}]")
        for at, each in enumerate(spec.containers)
    ]
    ips = [
        _with(each, ip=reader.address(each.ip, f"status.podIPs[{at}].ip"))
        for at, each in enumerate(status.pod_ips)
    ]
    return _with(
        pod,
        spec=_with(spec, containers=containers),
        status=_with(
            status,
            pod_ip=reader.address(status.pod_ip, "status.podIP"),
            pod_ips=ips,
            host_ip=reader.address(status.host_ip, "status.hostIP"),
        ),
    )


def _container(reader: _Reader, container: Container, where: str) -> Container:
    if not container.ports:
        return container
    ports = [_port(reader, each, f"{where}.ports[{at}]") for at, each in enumerate(container.ports)]
    return _with(container, ports=ports)


def _port(reader: _Reader, port: ContainerPort, where: str) -> ContainerPort:
    """A port with a hostIP that is not an address has no host port: its address is unknown."""
    host_ip = reader.address(port.host_ip, f"{where}.hostIP")
    host_port = reader.port(port.host_port, f"{where}.hostPort")
    return _with(
        port,
        container_port=reader.port(port.container_port, f"{where}.containerPort"),
        host_port=0 if port.host_ip and not host_ip else host_port,
        host_ip=host_ip,
    )


def _service(reader: _Reader) -> ServiceObject:
    """An address that cannot be read stays: a Service that has one is not compared at all."""
    service: ServiceObject = reader.item
    spec, status = service.spec, service.status

    def known(text: str, where: str) -> str:
        return text if text in NO_ADDRESS else reader.address(text, where) or text

    def range_(text: str, where: str) -> str:
        return reader.range(text, where) or text

    ingress = [
        _with(each, ip=known(each.ip, f"status.loadBalancer.ingress[{at}].ip"))
        for at, each in enumerate(status.load_balancer.ingress)
    ]
    ports = [_service_port(reader, each, f"spec.ports[{at}]") for at, each in enumerate(spec.ports)]
    return _with(
        service,
        spec=_with(
            spec,
            cluster_ip=known(spec.cluster_ip, "spec.clusterIP"),
            cluster_ips=_kept(spec.cluster_ips, known, "spec.clusterIPs"),
            external_ips=_kept(spec.external_ips, known, "spec.externalIPs"),
            load_balancer_source_ranges=_kept(
                spec.load_balancer_source_ranges, range_, "spec.loadBalancerSourceRanges"
            ),
            health_check_node_port=reader.port(
                spec.health_check_node_port, "spec.healthCheckNodePort"
            ),
            ports=[each for each in ports if each.port],
        ),
        status=_with(status, load_balancer=_with(status.load_balancer, ingress=ingress)),
    )


def _service_port(reader: _Reader, port: ServicePortSpec, where: str) -> ServicePortSpec:
    target = port.target_port
    return _with(
        port,
        port=reader.port(port.port, f"{where}.port"),
        node_port=reader.port(port.node_port, f"{where}.nodePort"),
        target_port=reader.port(target, f"{where}.targetPort")
        if isinstance(target, int)
        else target,
    )


def _slice(reader: _Reader) -> EndpointSliceObject:
    found: EndpointSliceObject = reader.item
    if found.address_type == "FQDN" or not found.endpoints:
        return found
    # Of an unknown type nothing is an address.
    family = FAMILIES.get(found.address_type, 0)
    endpoints = [
        _endpoint(reader, each, family, f"endpoints[{at}]")
        for at, each in enumerate(found.endpoints)
    ]
    ports = found.ports and [
        _with(each, port=each.port and reader.port(each.port, f"ports[{at}].port"))
        for at, each in enumerate(found.ports)
    ]
    return _with(found, endpoints=endpoints, ports=ports)


def _endpoint(reader: _Reader, endpoint: Endpoint, family: int, where: str) -> Endpoint:
    """Addresses of another family than the slice's are left out, as kube-proxy ignores them."""

    def own(text: str, where: str) -> str:
        found = reader.address(text, where)
        return found if (6 if ":" in found else 4) == family else ""

    return _with(endpoint, addresses=_kept(endpoint.addresses, own, f"{where}.addresses"))


def _kept(texts: Sequence[str], read: Callable[[str, str], str], where: str) -> list[str]:
    """The readable texts among these."""
    found = (read(text, f"{where}[{at}]") for at, text in enumerate(texts))
    return [each for each in found if each]
