"""The TCP ports at which Services expect their Ready pods to accept connections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.endpoint_slices import SlicesByService, is_serving
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.service import ServiceKey, has_cluster_ip
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec


@dataclass(frozen=True, slots=True)
class EndpointPort:
    """One TCP port of a Service at one of its Ready pods."""

    service: ServiceObject
    port: ServicePortSpec
    pod: Pod
    address: IPAddress
    number: int | None
    """None if the pod has no port of the name that the Service refers to."""

    @property
    def ref(self) -> Ref:
        """The Service and its port: `Service shop/web port http`."""
        meta = self.service.metadata
        part = f"port {self.port.name or self.port.port}"
        return Ref("Service", meta.name, meta.namespace, part, uid=meta.uid)


def tcp_ports_by_node(
    services: Mapping[ServiceKey, ServiceObject],
    slices: SlicesByService,
    pods: Mapping[tuple[str, str], Pod],
) -> Mapping[str, tuple[EndpointPort, ...]]:
    """The TCP ports of all Ready endpoints, by the node of their pods.

    Headless Services are left out: nothing forwards to their ports, and clients connect to any
    port of the pods.
    """
    return grouped(
        (each.pod.node_name, each)
        for key, service in services.items()
        if has_cluster_ip(service)
        for slice_ in slices.get(key, ())
        for endpoint in slice_.endpoints or ()
        if (pod := _ready_pod(endpoint, pods))
        for each in _ports(service, slice_, pod, endpoint.addresses[0])
    )


def _ready_pod(endpoint: Endpoint, pods: Mapping[tuple[str, str], Pod]) -> Pod | None:
    """The endpoint's pod, if both are Ready. Other checks compare the two."""
    target = endpoint.target_ref
    if target is None or target.kind != "Pod" or not endpoint.addresses:
        return None
    pod = pods.get((target.namespace, target.name))
    is_usable = pod and is_serving(endpoint) and pod.is_running and pod.is_ready
    return pod if is_usable else None


def _ports(
    service: ServiceObject, slice_: EndpointSliceObject, pod: Pod, where: str
) -> Iterator[EndpointPort]:
    try:
        place = address(where)
    except ValueError:  # a host name in a slice of type FQDN
        return
    if place not in pod.addresses:
        return
    numbers = {each.name or "": each.port for each in slice_.ports or () if each.protocol == "TCP"}
    for port in service.spec.ports:
        if port.protocol == "TCP":
            number = numbers.get(port.name)
            if number or (service.spec.selector and not _has_named_port(pod, port)):
                yield EndpointPort(service, port, pod, place, number)


def _has_named_port(pod: Pod, port: ServicePortSpec) -> bool:
    """Whether the Service's port refers to a number, or to a name that the pod's spec has.

    The EndpointSlice controller leaves out a port whose name no container has. Pods with other
    numbers for the name are in slices of their own.
    """
    if not isinstance(port.target_port, str) or port.target_port.isdigit():
        return True
    spec = pod.object.spec
    sidecars = [each for each in spec.init_containers if each.restart_policy == "Always"]
    return any(
        (each.name, each.protocol) == (port.target_port, port.protocol)
        for container in (*spec.containers, *sidecars)
        for each in container.ports
    )
