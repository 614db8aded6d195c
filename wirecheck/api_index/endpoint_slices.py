"""EndpointSlices by Service, and what their endpoints' conditions mean: the one place for both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.service import ServiceKey
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject

SERVICE_NAME = "kubernetes.io/service-name"
"""The label of a slice that names its Service."""

FAMILIES = {"IPv4": 4, "IPv6": 6}
"""IP version by the word that Services and EndpointSlices use; a slice can also be of type FQDN."""

SlicesByService = Mapping[ServiceKey, tuple[EndpointSliceObject, ...]]
"""In the order of the API's list. A Service without slices has no key."""


def service_of(slice_: EndpointSliceObject) -> ServiceKey | None:
    """The Service that the slice belongs to; None without the label."""
    name = slice_.metadata.labels.get(SERVICE_NAME)
    return (slice_.metadata.namespace, name) if name else None


def slices_by_service(slices: Iterable[EndpointSliceObject]) -> SlicesByService:
    """Index all slices once; everything that asks for a Service's slices uses the index."""
    return grouped((key, each) for each in slices if (key := service_of(each)))


def endpoints_with_addresses(slices: Iterable[EndpointSliceObject]) -> Iterator[Endpoint]:
    """Endpoints that have IP addresses: those of type FQDN have host names."""
    for slice_ in slices:
        if slice_.address_type in FAMILIES:
            yield from slice_.endpoints or ()


def endpoint_addresses(slices: Iterable[EndpointSliceObject]) -> Iterator[str]:
    """Every address of every endpoint, Ready or not, as the API writes it."""
    for endpoint in endpoints_with_addresses(slices):
        yield from endpoint.addresses


def is_ready(endpoint: Endpoint) -> bool:
    """Whether the endpoint is Ready: a missing condition counts as True, as in kube-proxy."""
    return endpoint.conditions.ready is not False


def is_serving(endpoint: Endpoint) -> bool:
    """Whether a Service sends new connections to the endpoint."""
    return is_ready(endpoint) and not endpoint.conditions.terminating


def serves_while_terminating(endpoint: Endpoint) -> bool:
    """Whether the endpoint terminates, and is used where no other one is Ready."""
    return endpoint.conditions.serving is not False and bool(endpoint.conditions.terminating)
