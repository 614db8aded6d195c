"""EndpointSlices are indexed by Service, and conditions mean what they mean in kube-proxy."""

import pytest

from wirecheck.api_index.endpoint_slices import (
    endpoint_addresses,
    endpoints_with_addresses,
    is_ready,
    is_serving,
    serves_while_terminating,
    service_of,
    slices_by_service,
)
from wirecheck.snapshot.objects.endpoint_slice import (
    Endpoint,
    EndpointConditions,
    EndpointSliceObject,
)
from wirecheck.snapshot.objects.metadata import Metadata


def slice_of(
    name: str,
    service: str = "web",
    namespace: str = "shop",
    addresses: tuple[str, ...] = (),
    address_type: str = "IPv4",
) -> EndpointSliceObject:
    labels = {"kubernetes.io/service-name": service} if service else {}
    return EndpointSliceObject(
        metadata=Metadata(name=name, namespace=namespace, labels=labels),
        address_type=address_type,
        endpoints=[Endpoint(addresses=[each]) for each in addresses],
    )


def test_slices_are_grouped_by_namespace_and_service():
    first, second = slice_of("web-1"), slice_of("web-2")
    other, elsewhere = slice_of("api-1", "api"), slice_of("web-1", namespace="test")

    found = slices_by_service([first, other, second, elsewhere])

    assert found == {
        ("shop", "web"): (first, second),
        ("shop", "api"): (other,),
        ("test", "web"): (elsewhere,),
    }


def test_a_slice_without_the_label_belongs_to_no_service():
    alone = slice_of("alone", service="")

    assert service_of(alone) is None
    assert slices_by_service([alone]) == {}


def test_host_names_are_not_addresses():
    slices = [
        slice_of("a", addresses=("10.244.0.3", "10.244.1.3")),
        slice_of("b", addresses=("fd00::3",), address_type="IPv6"),
        slice_of("c", addresses=("db.example.test",), address_type="FQDN"),
    ]

    assert list(endpoint_addresses(slices)) == ["10.244.0.3", "10.244.1.3", "fd00::3"]


def test_a_slice_may_have_no_endpoints():
    empty = EndpointSliceObject(metadata=Metadata(name="empty"), address_type="IPv4")

    assert list(endpoints_with_addresses([empty])) == []


@pytest.mark.parametrize(
    ("ready", "serving", "terminating", "expected"),
    [
        (None, None, None, (True, True, False)),
        (True, True, False, (True, True, False)),
        (False, True, False, (False, False, False)),
        (False, True, True, (False, False, True)),
        (False, None, True, (False, False, True)),
        (False, False, True, (False, False, False)),
        (True, True, True, (True, False, True)),
    ],
)
def test_conditions(ready, serving, terminating, expected):
    endpoint = Endpoint(
        addresses=["10.244.0.3"],
        conditions=EndpointConditions(ready=ready, serving=serving, terminating=terminating),
    )

    assert (is_ready(endpoint), is_serving(endpoint), serves_while_terminating(endpoint)) == (
        expected
    )
