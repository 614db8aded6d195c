"""Endpoints of Services, compared with the pods that they refer to. Both come from the API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wirecheck.api_index.endpoint_slices import SlicesByService, is_ready
from wirecheck.api_index.node_addresses import valid_addresses
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.service import ServiceKey, selects
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.endpoint_slice import Endpoint as EndpointObject
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject, TargetRef
from wirecheck.snapshot.objects.service import ServiceObject

MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
CONTROLLER = "endpointslice-controller.k8s.io"
"""It manages slices that follow a selector. Other slices are written by hand or mirrored."""

TERMINAL = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of a Service that refers to a pod; `pod` is None if it does not exist."""

    service: ServiceObject
    slice: EndpointSliceObject
    object: EndpointObject
    target: TargetRef
    pod: Pod | None

    @property
    def ref(self) -> Ref:
        """The Service, whose name outlives its endpoints."""
        return _service_ref(self.service)

    @property
    def key(self) -> str:
        return f"{self.target.namespace}/{self.target.name} {', '.join(self.object.addresses)}"

    @property
    def concerns(self) -> tuple[Ref, ...]:
        """The objects whose change during the round makes a finding inconclusive."""
        metadata = self.slice.metadata
        return (
            Ref("EndpointSlice", metadata.name, metadata.namespace),
            Ref("Pod", self.target.name, self.target.namespace),
        )

    @property
    def address(self) -> str:
        """The first address, the only one that kube-proxy uses."""
        return self.object.addresses[0] if self.object.addresses else "no address"

    @property
    def description(self) -> str:
        """`10.244.1.2 for pod shop/web-0`."""
        return f"{self.address} for pod {self.target.namespace}/{self.target.name}"

    @property
    def mismatch(self) -> str:
        """How the endpoint and its pod differ; empty if they agree."""
        pod = self.pod
        if pod is None:
            return "the pod does not exist"
        if self.target.uid not in {"", pod.ref.uid}:
            return "the pod was replaced by another one of the same name"
        if not frozenset(valid_addresses(self.object.addresses)) <= pod.addresses:
            return f"the pod has {', '.join(sorted(map(str, pod.addresses))) or 'no address'}"
        if self.object.node_name not in {"", pod.node_name}:
            return f"the pod is on node {pod.node_name}, not on {self.object.node_name}"
        return ""

    @property
    def is_ready(self) -> bool:
        """Whether the endpoint counts as Ready, as in kube-proxy."""
        return is_ready(self.object)

    @property
    def should_be_ready(self) -> bool | None:
        """What the controller derives from the pod; None if it does not manage the slice."""
        if self.pod is None or self.slice.metadata.labels.get(MANAGED_BY) != CONTROLLER:
            return None
        return is_endpoint_ready(self.service, self.pod)


@dataclass(frozen=True, slots=True)
class MissingEndpoint:
    """A Ready pod that a Service selects, but that is missing from its endpoints."""

    service: ServiceObject
    pod: Pod

    @property
    def ref(self) -> Ref:
        return _service_ref(self.service)


def is_endpoint_ready(service: ServiceObject, pod: Pod) -> bool:
    """Whether the EndpointSlice controller marks the pod's endpoint as Ready."""
    if service.spec.publish_not_ready_addresses:
        return True
    return pod.is_ready and not pod.is_terminating


def endpoints_of(
    services: Mapping[ServiceKey, ServiceObject],
    slices: SlicesByService,
    pods: Mapping[tuple[str, str], Pod],
) -> Iterator[Endpoint]:
    """Every endpoint of every Service that refers to a pod."""
    for key, service in services.items():
        for slice_ in slices.get(key, ()):
            for each in slice_.endpoints or ():
                target = each.target_ref
                if target is not None and target.kind == "Pod":
                    pod = pods.get((target.namespace, target.name))
                    yield Endpoint(service, slice_, each, target, pod)


def missing_endpoints_of(
    services: Iterable[ServiceObject], endpoints: Iterable[Endpoint], pods: Iterable[Pod]
) -> Iterator[MissingEndpoint]:
    """Every Ready pod that a Service selects, and that is missing from its endpoints."""
    listed = defaultdict(set)
    for each in endpoints:
        listed[each.ref].add((each.target.namespace, each.target.name))
    by_label: dict[tuple[str, str, str], list[Pod]] = defaultdict(list)
    for pod in pods:
        if pod.addresses and not pod.is_terminating and pod.object.status.phase not in TERMINAL:
            for name, value in pod.object.metadata.labels.items():
                by_label[pod.namespace, name, value].append(pod)
    for service in services:
        for pod in _selected(service, by_label):
            is_listed = (pod.namespace, pod.name) in listed[_service_ref(service)]
            if not is_listed and is_endpoint_ready(service, pod):
                yield MissingEndpoint(service, pod)


def _selected(
    service: ServiceObject, by_label: Mapping[tuple[str, str, str], list[Pod]]
) -> Iterator[Pod]:
    """The pods that the Service selects; none without a selector."""
    selector = service.spec.selector
    if not selector or service.spec.type == "ExternalName":
        return
    namespace = service.metadata.namespace
    candidates = [by_label.get((namespace, *label), []) for label in selector.items()]
    for pod in min(candidates, key=len):
        if selects(service, pod.object):
            yield pod


def _service_ref(service: ServiceObject) -> Ref:
    metadata = service.metadata
    return Ref("Service", metadata.name, metadata.namespace, uid=metadata.uid)
