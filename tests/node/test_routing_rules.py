"""Routing rules: that the node's own addresses come first, and which are third-party rules."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.node.routing_rules import RoutingRules
from wirecheck.snapshot.netns import Address, Route, Rule

LOCAL, MAIN, DEFAULT = Rule(4, 0, 255), Rule(4, 32766, 254), Rule(4, 32767, 253)
LOCAL6, MAIN6 = Rule(6, 0, 255), Rule(6, 32766, 254)


def rules_of(*rules: Rule, routes: tuple[Route, ...] = ()) -> RoutingRules:
    small = SmallCluster()
    assert small.document
    host = small.document.namespaces[0]
    addresses = [Address(2, "192.0.2.1", 24), Address(2, "fd00::1", 64)]
    small.change_netns(HOST, rules=list(rules), routes=[*host.routes, *routes], addresses=addresses)
    return RoutingRules(small.node.seen)


def test_rules_are_in_the_kernels_order_by_family() -> None:
    found = rules_of(MAIN, LOCAL6, DEFAULT, LOCAL, MAIN6).by_family

    assert found == {4: [LOCAL, MAIN, DEFAULT], 6: [LOCAL6, MAIN6]}


def test_a_node_without_any_rule_was_not_read() -> None:
    with pytest.raises(FactMissingError, match="read no routing rules"):
        _ = rules_of().by_family


TABLE_7 = Route(4, "default", index=2, table=7)


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([LOCAL, MAIN], []),
        ([MAIN, DEFAULT], ["no rule looks up table local"]),
        ([Rule(4, 32767, 255), MAIN], ["32766: from all lookup main comes before table local"]),
        ([Rule(4, 1, 255), Rule(4, 0, 7)], ["0: from all lookup 7 comes before table local"]),
        ([Rule(4, 1, 255), Rule(4, 0, 8)], []),
        ([Rule(4, 1, 255), Rule(4, 0, 0, action="prohibit")], ["0: from all prohibit"]),
        ([Rule(4, 1, 255), Rule(4, 0, 0, action="nop")], []),
        # A rule for local packets of one source does not stand for all of them.
        ([Rule(4, 0, 255, source="192.0.2.9/32"), MAIN], ["32766: from all lookup main"]),
        ([Rule(4, 1, 255), Rule(4, 0, 7, destination="198.51.100.0/24")], []),
        ([Rule(4, 1, 255), Rule(4, 0, 7, destination="192.0.2.0/24")], ["0: "]),
    ],
)
def test_the_nodes_own_addresses_are_looked_up_in_table_local_first(
    rules: list[Rule], found: list[str]
) -> None:
    diverted = list(rules_of(*rules, LOCAL6, routes=(TABLE_7,)).diverted)

    assert len(diverted) == len(found)
    for each, text in zip(diverted, found, strict=True):
        assert (each.family, str(each.address)) == (4, "192.0.2.1")
        assert each.found.startswith(text)


def test_a_family_is_evaluated_if_the_node_or_its_pods_use_it() -> None:
    """The small cluster uses IPv4 alone, although the node has an IPv6 address."""
    assert not list(rules_of(LOCAL, MAIN, MAIN6).diverted)


@pytest.mark.parametrize(
    ("rule", "is_other"),
    [
        (Rule(4, 100, 7, protocol=3), True),
        (Rule(6, 100, 7, protocol=3), True),
        (Rule(4, 100, 7, protocol=0), True),
        (Rule(4, 100, 7, protocol=2), False),
        (Rule(4, 100, 7, protocol=4), False),
        (Rule(4, 100, 7), False),
        # The rules of every netns, which some program has added again.
        (Rule(4, 0, 255, protocol=3), False),
        (Rule(4, 32766, 254, protocol=3), False),
        (Rule(4, 32767, 253, protocol=3), False),
        (Rule(4, 32766, 255, protocol=3), True),
    ],
)
def test_third_party_rules_are_neither_the_kernels_nor_networkds(
    rule: Rule, is_other: bool
) -> None:
    assert list(rules_of(LOCAL, rule).third_party) == ([rule] if is_other else [])
