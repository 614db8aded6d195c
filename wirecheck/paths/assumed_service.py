"""Where a Service that does not exist yet would forward to."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.addresses import IPAddress
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.service import selects
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.paths.ends import Destination, Named, NoSuchEndError
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec

MOST_BACKENDS = 16


def backends_of(
    cluster: ClusterSeen, service: ServiceObject, end: Named, port: str, protocol: str
) -> tuple[Destination, ...]:
    """The pods that the Service would forward to, each with its own port, all families together.

    Raises NoSuchEndError if it has no such port, or selects no pod that is ready.
    """
    wanted = _port(service, end, port or end.port, protocol)
    if not service.spec.selector:
        raise NoSuchEndError(f"Service {end.name} has no selector: its endpoints are not known.")
    found = [
        Destination(f"pod {pod.namespace}/{pod.name}", where, number, wanted.protocol.lower())
        for pod in _selected(cluster, service)
        if (number := _number(pod, wanted))
        for where in sorted(pod.addresses, key=_order)
    ]
    if not found:
        raise NoSuchEndError(
            f"Service {end.name} selects no pod that is ready and has port {wanted.target_port}."
        )
    return tuple(found)


def _selected(cluster: ClusterSeen, service: ServiceObject) -> Iterator[Pod]:
    namespace, is_lenient = service.metadata.namespace, service.spec.publish_not_ready_addresses
    for pod in cluster.pods:
        is_own = pod.namespace == namespace and selects(service, pod.object)
        if is_own and pod.is_running and (pod.is_ready or is_lenient):
            yield pod


def _port(service: ServiceObject, end: Named, port: str, protocol: str) -> ServicePortSpec:
    for each in service.spec.ports:
        is_named = port in ("", str(each.port), each.name)
        if is_named and protocol in ("", each.protocol.lower()):
            return each
    known = ", ".join(f"{e.port}/{e.protocol.lower()}" for e in service.spec.ports)
    wanted = f"{port or 'any'}/{protocol or 'any'}"
    raise NoSuchEndError(f"Service {end.name} has no port {wanted}; it has {known or 'none'}.")


def _number(pod: Pod, port: ServicePortSpec) -> int:
    """The pod's own port; 0 if it has none of the name. Without a targetPort both are equal."""
    if isinstance(port.target_port, int):
        return port.target_port or port.port
    numbers = (
        each.container_port
        for container in pod.object.spec.containers
        for each in container.ports
        if each.name == port.target_port and each.protocol == port.protocol
    )
    return next(numbers, 0)


def _order(each: IPAddress) -> tuple[int, int]:
    return each.version, int(each)
