"""Route lookups as the kernel makes them: rules by source, interface and mark, and refusals."""

from __future__ import annotations

import pytest

from wirecheck.addresses import address
from wirecheck.node.netns import Netns
from wirecheck.node.routing import Routing, leads_on
from wirecheck.node.rule_selectors import FROM_NODE, Origin
from wirecheck.snapshot.netns import Address, Link, Namespace, Route, Rule

LOCAL, MAIN = Rule(4, 0, 255), Rule(4, 32766, 254)
ROUTES = [
    Route(4, "default", gateway="192.0.2.254", index=2),
    Route(4, "10.9.0.0/16", index=3),
    Route(4, "default", gateway="198.51.100.254", index=3, table=7),
    Route(4, "10.8.0.0/16", type="throw", table=8),
    Route(4, "default", index=3, table=8),
]


def routing(*rules: Rule) -> Routing:
    return Routing(
        Netns(
            Namespace(
                inode=1,
                links=[Link(2, "eth0"), Link(3, "eth1")],
                addresses=[Address(1, "127.0.0.1", 8), Address(2, "192.0.2.1", 24)],
                routes=ROUTES,
                rules=[LOCAL, *rules, MAIN] if rules else [],
            )
        )
    )


def table_of(rule: Rule, origin: Origin = FROM_NODE, to: str = "10.1.1.1") -> int:
    route = routing(rule).route_to(address(to), origin=origin)
    assert route
    return route.table


@pytest.mark.parametrize(
    ("rule", "origin", "table"),
    [
        (Rule(4, 100, 7), FROM_NODE, 7),
        (Rule(4, 100, 7, source="192.0.2.1/32"), FROM_NODE, 254),
        (Rule(4, 100, 7, source="192.0.2.1/32"), Origin(address("192.0.2.1")), 7),
        (Rule(4, 100, 7, source="192.0.2.1/32"), Origin(address("192.0.2.2")), 254),
        (Rule(4, 100, 7, source="fd00::/64"), Origin(address("192.0.2.2")), 254),
        (Rule(4, 100, 7, iif="eni1"), FROM_NODE, 254),
        (Rule(4, 100, 7, iif="eni1"), Origin(interface="eni1"), 7),
        (Rule(4, 100, 7, iif="lo"), FROM_NODE, 7),
        (Rule(4, 100, 7, oif="eth1"), FROM_NODE, 254),
        (Rule(4, 100, 7, mark="0x80/0x80"), FROM_NODE, 254),
        (Rule(4, 100, 7, mark="0x80/0x80"), Origin(mark=0x180), 7),
        (Rule(4, 100, 7, mark="0x80"), Origin(mark=0x180), 254),
        (Rule(4, 100, 7, mark="0x0/0xff"), FROM_NODE, 7),
        (Rule(4, 100, 7, mark="0xca6c", action="lookup (not)"), FROM_NODE, 7),
        (Rule(4, 100, 7, mark="0xca6c", action="lookup (not)"), Origin(mark=0xCA6C), 254),
        (Rule(4, 100, 7, destination="10.1.1.0/24", action="lookup (not)"), FROM_NODE, 254),
        (Rule(4, 100, 7, destination="10.2.0.0/16", action="lookup (not)"), FROM_NODE, 7),
        (Rule(4, 100, 7, other_selectors=["uidrange"]), FROM_NODE, 254),
        (Rule(4, 100, 7, other_selectors=["dport"], action="lookup (not)"), FROM_NODE, 254),
        (Rule(4, 100, 9), FROM_NODE, 254),
    ],
)
def test_a_rule_applies_to_the_packets_that_it_selects(rule, origin, table):
    assert table_of(rule, origin) == table


def test_rules_for_destinations_keep_their_place_among_the_others():
    first, second = Rule(4, 50, 7, destination="10.1.0.0/16"), Rule(4, 60, 254)
    assert routing(first, second).route_to(address("10.1.1.1")).table == 7
    assert routing(first, second).route_to(address("10.2.1.1")).table == 254
    assert routing(Rule(4, 40, 254), first).route_to(address("10.1.1.1")).table == 254


def test_throw_continues_with_the_next_rule():
    assert table_of(Rule(4, 100, 8), to="10.8.1.1") == 254
    assert table_of(Rule(4, 100, 8), to="10.7.1.1") == 8


def test_a_rule_that_ignores_the_default_route_continues():
    """`lookup main suppress_prefixlength 0`, as wg-quick and nm-cloud-setup write it."""
    rules = Rule(4, 100, 254, suppress_prefix=0), Rule(4, 200, 7)

    assert routing(*rules).route_to(address("10.1.1.1")).table == 7
    assert routing(*rules).route_to(address("10.9.1.1")).table == 254


def test_goto_skips_the_rules_before_its_target():
    skipped = Rule(4, 100, 0, action="goto", goto=300), Rule(4, 200, 7)
    assert routing(*skipped).route_to(address("10.1.1.1")).table == 254

    unknown = Rule(4, 100, 0, action="goto"), Rule(4, 200, 7)
    assert routing(*unknown).route_to(address("10.1.1.1")).table == 7


@pytest.mark.parametrize("action", ["blackhole", "unreachable", "prohibit"])
def test_a_rule_that_refuses_packets_is_named(action):
    known = routing(Rule(4, 100, 0, destination="10.1.0.0/16", action=action))
    route = known.route_to(address("10.1.1.1"))

    assert not leads_on(route)
    assert known.text_of(route) == f"{action} by routing rule 100"
    assert leads_on(known.route_to(address("10.2.1.1")))


@pytest.mark.parametrize("own", ["192.0.2.1", "127.0.0.1", "127.8.8.8"])
def test_own_addresses_are_local(own):
    assert routing(Rule(4, 100, 7)).route_to(address(own)).type == "local"
    assert routing(Rule(4, -1, 7)).route_to(address(own)).table == 7
    assert routing().route_to(address(own)).type == "local"


def test_the_route_of_a_range_is_not_that_of_an_own_address():
    assert routing().route_to(address("192.0.2.1"), longest=24).destination == "default"
