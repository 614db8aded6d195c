"""Nodes compared with each other."""

from collections.abc import Mapping

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.findings import NotApplicable, Ref
from wirecheck.model.traits import AS_ASKED, Traits, disagreements

WEB = Ref("Service", "web", "shop", part="http 10.96.0.9:80/tcp")
CLAIMED = Ref("frontend", "198.51.100.1:80/tcp", part="of shop/a, shop/b")


def told(**traits: Traits) -> list[tuple[str, str]]:
    return [(str(each.ref), each.told) for each in disagreements(traits)]


def differs(way: str = "not handled") -> Traits:
    return Traits(forwarding={WEB: way})


def test_nodes_that_all_do_as_asked_agree():
    assert not told(a=Traits(), b=Traits())


def test_the_node_that_differs_is_named():
    assert told(a=Traits(), b=differs(), c=Traits()) == [
        ("Service shop/web http 10.96.0.9:80/tcp", f"b: not handled; 2 other nodes: {AS_ASKED}")
    ]


def test_nodes_that_are_all_wrong_in_the_same_way_agree():
    assert not told(a=differs(), b=differs())


def test_nodes_that_are_wrong_in_different_ways_do_not():
    assert told(a=differs("to one"), b=differs("to two"), c=differs("to two")) == [
        ("Service shop/web http 10.96.0.9:80/tcp", "a: to one; 2 other nodes: to two")
    ]


def test_of_a_node_that_is_not_known_nothing_is_said():
    assert not told(a=differs(), b=Traits(unknown="unreachable"))


def test_nodes_that_follow_different_claims_to_one_address_are_found():
    ways: Mapping[str, Traits] = {
        "a": Traits(claims={CLAIMED: "forwarded to 10.0.0.1:80"}),
        "b": Traits(claims={CLAIMED: "forwarded to 10.0.0.2:80"}),
    }
    assert told(**ways) == [
        (
            "frontend 198.51.100.1:80/tcp of shop/a, shop/b",
            "a: forwarded to 10.0.0.1:80; 1 other node: forwarded to 10.0.0.2:80",
        )
    ]


def test_many_nodes_are_counted():
    others = {f"n{number}": differs() for number in range(5)}
    (only,) = told(**others, z0=Traits(), z1=Traits(), z2=Traits(), z3=Traits())

    assert only[1].startswith("z0, z1, z2 and 1 more: as the API asks; 5 other nodes: ")


def test_one_node_alone_can_be_compared_with_nothing():
    with pytest.raises(NotApplicable, match="takes two"):
        SmallCluster().findings("services.nodes_agree")
