"""Addresses in EndpointSlices that another manager than Kubernetes' controller writes.

They are evaluated where the API proves what they are: a node's address, or one from a node's range
of pod addresses that no pod has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, IPNetwork, address, contains
from wirecheck.api_index.endpoint_slices import SlicesByService, is_ready
from wirecheck.api_index.endpoints import CONTROLLER, MANAGED_BY
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.service import ServiceKey, selects
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject


@dataclass(frozen=True, slots=True)
class WrongAddress:
    """An address of a slice that is certainly no endpoint of the Service."""

    service: ServiceObject
    slice: EndpointSliceObject
    address: IPAddress
    found: str

    @property
    def ref(self) -> Ref:
        meta = self.service.metadata
        return Ref("Service", meta.name, meta.namespace, uid=meta.uid)

    @property
    def concerns(self) -> tuple[Ref, ...]:
        meta = self.slice.metadata
        return (Ref("EndpointSlice", meta.name, meta.namespace),)

    @property
    def manager(self) -> str:
        """Who writes the slice, as far as its label tells."""
        return self.slice.metadata.labels.get(MANAGED_BY, "an unknown manager")


@dataclass(frozen=True)
class Known:
    """What the API shows about addresses."""

    nodes: Mapping[IPAddress, str]
    pods: Mapping[IPAddress, Sequence[Pod]]
    """Every running pod, also on the host network."""
    ranges: Sequence[IPNetwork]
    """The ranges of pod addresses; none if pods have addresses from other pools."""


def wrong_addresses(
    services: Mapping[ServiceKey, ServiceObject], slices: SlicesByService, known: Known
) -> Iterator[WrongAddress]:
    """Yield the ready endpoints that name no pod and are certainly wrong."""
    for key, service in services.items():
        for slice_ in slices.get(key, ()):
            manager = slice_.metadata.labels.get(MANAGED_BY)
            if manager == CONTROLLER or slice_.address_type == "FQDN":
                continue
            for where in _addresses(slice_):
                if found := _problem(service, where, known):
                    yield WrongAddress(service, slice_, where, found)


def _addresses(slice_: EndpointSliceObject) -> Iterator[IPAddress]:
    for endpoint in slice_.endpoints or ():
        if endpoint.target_ref is None and is_ready(endpoint) and endpoint.addresses:
            try:
                yield address(endpoint.addresses[0])
            except ValueError:
                continue


def _problem(service: ServiceObject, where: IPAddress, known: Known) -> str:
    """What is wrong with the address; empty if nothing is certain."""
    pods = known.pods.get(where, ())
    if where in known.nodes:
        # Without a selector, a node can be meant, as by the Service of the API server.
        selected = not service.spec.selector or any(selects(service, pod.object) for pod in pods)
        return "" if selected else f"the address of node {known.nodes[where]}"
    if pods or not contains(known.ranges, where) or _is_gateway(where, known.ranges):
        return ""
    return "an address from a node's pod range that no pod has"


def _is_gateway(where: IPAddress, ranges: Sequence[IPNetwork]) -> bool:
    """Whether the address is a node's own on its bridge or tunnel: one of the range's first two.

    Programs of the node listen there for pods.
    """
    same = (each for each in ranges if each.version == where.version)
    return any(int(where) - int(each.network_address) in (0, 1) for each in same)
