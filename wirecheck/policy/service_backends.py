"""The ports of Services behind which pods of a class are: policies apply after translation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wirecheck.api_index.endpoint_slices import SlicesByService
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.service import ServiceKey
from wirecheck.policy.peers import Peer, PodClass
from wirecheck.policy.ports import PortSet
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject


class ServicePort(NamedTuple):
    """One port of a Service."""

    namespace: str
    name: str
    protocol: str
    port: int

    def __str__(self) -> str:
        """`shop/web TCP 80`."""
        return f"{self.namespace}/{self.name} {self.protocol} {self.port}"


@dataclass(frozen=True)
class ServiceBackends:
    """The pods behind Services, by class, with their own port numbers."""

    services: Mapping[ServiceKey, ServiceObject]
    slices: SlicesByService
    pods: Mapping[tuple[str, str], Pod]
    class_of: Callable[[Pod], PodClass]

    def concerned(self, target: Peer, ports: PortSet) -> list[ServicePort]:
        """The ports of Services that forward to one of these ports of the target's pods."""
        found = (
            service
            for service, number in self._by_class.get(target, {})
            if ports.has(service.protocol, number)
        )
        return sorted(dict.fromkeys(found))

    @cached_property
    def _by_class(self) -> Mapping[Peer, dict[tuple[ServicePort, int], None]]:
        """The ports of Services, each with the number that the pods have for it."""
        found: dict[Peer, dict[tuple[ServicePort, int], None]] = {}
        for key, service in self.services.items():
            for slice_ in self.slices.get(key, ()):
                ports = _ports(service, slice_)
                for each in slice_.endpoints or ():
                    target = each.target_ref
                    pod = self.pods.get((target.namespace, target.name)) if target else None
                    if pod is not None:
                        found.setdefault(self.class_of(pod), {}).update(ports)
        return found


def _ports(
    service: ServiceObject, slice_: EndpointSliceObject
) -> dict[tuple[ServicePort, int], None]:
    meta = service.metadata
    numbers = {(e.name or "", e.protocol): e.port for e in slice_.ports or () if e.port}
    return {
        (ServicePort(meta.namespace, meta.name, each.protocol, each.port), number): None
        for each in service.spec.ports
        if (number := numbers.get((each.name, each.protocol)))
    }
