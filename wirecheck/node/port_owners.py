"""The Service, or the pod with a host port, that a port of a node forwards to by the API."""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.addresses import IPAddress
from wirecheck.api_index.destinations import Destinations
from wirecheck.api_index.node_ports import HealthCheck, NodePort
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.attempts import Contact


@dataclass(frozen=True)
class PortOwner:
    """The Service or pod that a port of a node belongs to."""

    name: str
    """`node port of Service shop/web`."""
    pods: tuple[Pod, ...]
    owner: tuple[Ref, ...]
    """The Service that it belongs to; empty for a pod's host port."""


def owner_of(destinations: Destinations, contact: Contact, where: IPAddress) -> PortOwner | None:
    """Return what a connection to a port of a node must reach; None for other connections."""
    if contact.purpose == "host port":
        pod = destinations.pods_at_host_ports.get((where, contact.port))
        name = f"host port of Pod {pod.namespace}/{pod.name}" if pod else "host port"
        return PortOwner(name, (pod,) if pod else (), ())
    found = _service(destinations, contact, where)
    if found is None:
        return None
    namespace, name = found.service
    owner = (Ref("Service", name, namespace),)
    if isinstance(found, HealthCheck):
        return PortOwner(f"health checks of Service {namespace}/{name}", (), owner)
    pods = destinations.pods_behind.get(found.service, ())
    return PortOwner(f"node port of Service {namespace}/{name}", pods, owner)


def _service(
    destinations: Destinations, contact: Contact, where: IPAddress
) -> NodePort | HealthCheck | None:
    key = where.version, contact.port
    if contact.purpose == "node port":
        return destinations.node_ports.get(key)
    return destinations.health_checks.get(key) if contact.purpose == "health check" else None
