"""Which endpoints of a port one node uses, as kube-proxy's CategorizeEndpoints selects them."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.api_index.service_ports import EndpointFacts, PortFacts
from wirecheck.dataplane.expected.endpoints import UsableEndpoints, usable_endpoints
from wirecheck.dataplane.proxy import ProxyFacts

FACTS = ProxyFacts(minor=34)


def endpoint(number: int, node: str = "there", **changes: Any) -> EndpointFacts:
    conditions = {"ready": True, "serving": True, "terminating": False, **changes}
    hints = {each: frozenset(conditions.pop(each, ())) for each in ("zones", "nodes")}
    return EndpointFacts(Backend(f"10.244.1.{number}", 8080), node, **conditions, **hints)


def terminating(number: int, node: str = "there", *, serving: bool = True) -> EndpointFacts:
    return endpoint(number, node, ready=False, serving=serving, terminating=True)


def port(*endpoints: EndpointFacts, slices: Any = (), **changes: Any) -> PortFacts:
    fields: dict[str, Any] = {
        "cluster_ip": "10.96.0.20",
        "node_port": 0,
        "external_ips": (),
        "vips": (),
        "proxied_vips": frozenset(),
        "source_ranges": (),
        "internal_local": False,
        "external_local": False,
        "affinity": 0,
        "hints_annotation": "",
        **changes,
    }
    owner = ServicePort("shop", "web", "http", "TCP")
    known = frozenset(each.backend for each in endpoints)
    return PortFacts(
        owner, 4, "tcp", port=80, endpoints=endpoints, known=known, slices=slices, **fields
    )


def usable(
    *endpoints: EndpointFacts, facts: ProxyFacts = FACTS, zone: str = "a", **changes: Any
) -> UsableEndpoints:
    (found,) = usable_endpoints(port(*endpoints, **changes), "here", zone, facts)
    return found


def numbers(backends: tuple[Backend, ...]) -> list[int]:
    return [int(each.address.rpartition(".")[2]) for each in backends]


def chosen(*endpoints: EndpointFacts, **changes: Any) -> list[int]:
    """The endpoints for policy Cluster."""
    return numbers(usable(*endpoints, **changes).cluster)


def test_ready_endpoints_or_else_those_that_still_serve():
    ending, gone = terminating(2), terminating(3, serving=False)
    unready = endpoint(4, ready=False)

    assert chosen(ending, gone, unready, endpoint(5), endpoint(1)) == [1, 5]
    assert chosen(ending, gone, unready) == [2]
    assert chosen(gone, unready) == []
    assert chosen(endpoint(4, ready=False, serving=True)) == []


EXTERNAL = {
    "node_port": {"node_port": 30080},
    "external IP": {"external_ips": ("192.0.2.9",)},
    "load balancer": {"vips": ("192.0.2.10",)},
}


def policies(**changes: Any) -> tuple[list[int], list[int], bool]:
    found = usable(endpoint(1), endpoint(2, "here"), **changes)
    return numbers(found.cluster), numbers(found.local), found.has_any


def test_the_policies_select_from_all_endpoints_or_from_those_of_the_node():
    assert policies() == ([1, 2], [], True)
    assert policies(internal_local=True) == ([], [2], True)
    assert policies(external_local=True) == ([1, 2], [], True)
    for external in EXTERNAL.values():
        assert policies(**external) == ([1, 2], [], True)
        assert policies(external_local=True, **external) == ([1, 2], [2], True)
        assert policies(internal_local=True, **external) == ([1, 2], [2], True)


def test_addresses_that_kube_proxy_does_not_program_are_not_external():
    proxied = {"vips": ("192.0.2.10",), "proxied_vips": frozenset({"192.0.2.10"})}

    assert policies(external_local=True, **proxied) == ([1, 2], [], True)
    assert policies(external_local=True, **proxied, facts=ProxyFacts(minor=29)) == (
        [1, 2],
        [2],
        True,
    )
    off = ProxyFacts(minor=36, feature_gates={"AllowServiceExternalIPs": False})
    assert policies(external_local=True, external_ips=("192.0.2.9",), facts=off)[1] == []


def test_an_endpoint_anywhere_decides_between_reject_and_drop():
    def has_any(*endpoints: EndpointFacts, **changes: Any) -> bool:
        return usable(*endpoints, **changes).has_any

    assert has_any(endpoint(1), internal_local=True)
    assert has_any(terminating(1), internal_local=True)
    assert not has_any(terminating(1, serving=False), internal_local=True)
    assert not has_any(endpoint(1, ready=False), internal_local=True)
    assert not has_any(internal_local=True)
    assert has_any(terminating(1))
    assert not has_any(endpoint(1, ready=False))


def test_local_endpoints_may_be_terminating_too():
    found = usable(endpoint(1), terminating(2, "here"), internal_local=True)

    assert numbers(found.local) == [2]


A, B = (endpoint(at, zones=[zone]) for at, zone in ((1, "a"), (2, "b")))
BOTH = (A, B)


def test_hints_for_zones_count_where_every_endpoint_has_one_and_one_is_for_this_zone():
    assert chosen(*BOTH) == [1]
    assert chosen(*BOTH, zone="b") == [2]
    assert chosen(*BOTH, zone="c") == [1, 2]
    assert chosen(*BOTH, zone="") == [1, 2]
    assert chosen(*BOTH, endpoint(3)) == [1, 2, 3]
    assert chosen(*BOTH, endpoint(3, ready=False)) == [1]
    assert chosen(B, endpoint(3, zones=["a"], ready=False)) == [2]


def test_an_endpoint_without_a_zone_is_not_chosen_for_a_node_without_one():
    assert chosen(*BOTH, endpoint(3, zones=[""]), zone="") == [1, 2, 3]


def test_hints_for_zones_can_be_switched_off():
    def by(minor: int, annotation: str = "", **gates: bool) -> list[int]:
        facts = ProxyFacts(minor=minor, feature_gates=gates)
        return chosen(*BOTH, facts=facts, hints_annotation=annotation)

    assert by(30) == by(30, "disabled") == by(30, "Disabled") == [1, 2]
    assert by(30, "Auto") == by(30, "auto") == [1]
    assert by(31) == by(31, "Disabled") == [1]
    assert by(31, TopologyAwareHints=False) == [1, 2]
    assert by(31, ServiceTrafficDistribution=False) == [1, 2]
    assert by(31, "Auto", ServiceTrafficDistribution=False) == [1]
    assert by(33, TopologyAwareHints=False) == [1]


def test_hints_for_nodes_come_before_those_for_zones():
    here = endpoint(1, zones=["b"], nodes=["here"])
    there = endpoint(2, zones=["a"], nodes=["there"])

    assert chosen(here, there) == [1]
    assert chosen(here, there, facts=ProxyFacts(minor=33)) == [2]
    assert chosen(here, endpoint(2, zones=["a"])) == [2]
    assert chosen(there, endpoint(3, zones=["b"], nodes=["elsewhere"])) == [2]
    assert chosen(here, there, zone="") == [1]
    assert chosen(here, there, endpoint(3, zones=["a"], ready=False)) == [1]


def test_slices_of_another_proxy_are_left_out_until_1_35():
    other = endpoint(2, of_other_proxy=True)

    assert chosen(endpoint(1), other, facts=ProxyFacts(minor=35)) == [1]
    assert chosen(endpoint(1), other, facts=ProxyFacts(minor=36)) == [1, 2]


def ways(*slices: tuple[EndpointFacts, ...], minor: int = 34) -> set[tuple[int, ...]]:
    """The sets of endpoints that slices in any order may lead to."""
    every = tuple(each for of in slices for each in of)
    facts = ProxyFacts(minor=minor)
    found = usable_endpoints(port(*every, slices=slices), "here", "a", facts)
    assert len(found) == len(set(found))
    return {tuple(numbers(each.cluster)) for each in found}


def test_slices_that_contradict_each_other_have_several_answers():
    ready, unready = endpoint(1), endpoint(1, ready=False)

    assert ways((ready,), (unready,)) == {(1,), ()}
    assert ways((ready,), (ready,)) == {(1,)}
    assert ways((ready, endpoint(2)), (unready,)) == {(1, 2), (2,)}


def test_a_slice_that_contradicts_itself_is_read_in_its_order_from_1_31():
    ready, unready = endpoint(1), endpoint(1, ready=False)

    assert ways((ready, unready), minor=31) == {(1,)}
    assert ways((unready, ready), minor=31) == {()}
    assert ways((ready, unready), minor=30) == {(1,), ()}


def test_the_endpoint_on_this_node_wins_until_1_35_and_a_live_one_from_1_36():
    gone = endpoint(1, ready=False)
    here = endpoint(1, "here")
    assert ways((gone,), (here,), minor=35) == {(1,)}
    assert ways((here,), (gone,), minor=35) == {(1,)}
    ending = terminating(1, serving=False)
    assert ways((ending,), (endpoint(1),), minor=36) == {(1,)}
    assert ways((ending,), (endpoint(1),), minor=35) == {(1,), ()}


@pytest.mark.parametrize("number", [5, 6, 7])
def test_of_many_slices_each_may_come_first(number: int):
    ready, unready = endpoint(1), endpoint(1, ready=False)
    slices = [(unready, endpoint(2))] * (number - 1)

    assert ways((ready,), *slices) == {(1, 2), (2,)}
    assert ways(*slices, (ready,)) == {(1, 2), (2,)}
    different = [(endpoint(each, ready=each < 12),) for each in range(10, 10 + number)]
    assert ways(*different) == {(10, 11)}
