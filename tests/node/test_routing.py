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
        (Rule(4, 100, 7, mark="0x80"), Origin(mark=0x81), 254),
        (Rule(4, 100, 7, mark="0x80"), Origin(mark=0x80000080), 254),
        (Rule(4, 100, 7, mark="0x80"), Origin(mark=0x80), 7),
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


SELECTIVE = Rule(4, 5, 7, mark="0x99")
"""A rule for other packets: with it, the rules are evaluated one by one."""


@pytest.mark.parametrize("own", ["192.0.2.1", "127.0.0.1", "127.8.8.8"])
def test_own_addresses_are_local_beside_rules_for_other_packets(own):
    known = routing(SELECTIVE, Rule(4, 100, 7))
    assert not known.is_by_destination(4)

    route, rule = known.decision(address(own))
    assert (route.type, route.destination, route.table, rule.table) == ("local", own, 255, 255)
    assert known.route_to(address(own), longest=31).table == 7
    assert routing(SELECTIVE, Rule(4, -1, 7)).route_to(address(own)).table == 7


@pytest.mark.parametrize("more", [(), (SELECTIVE,)])
@pytest.mark.parametrize(
    ("target", "longest", "destination"),
    [
        ("10.9.1.1", 32, "10.9.0.0/16"),
        ("10.9.1.1", 16, "10.9.0.0/16"),
        ("10.9.1.1", 15, "default"),
        ("10.9.1.1", 0, "default"),
        ("10.10.0.0", 32, "default"),
        ("10.8.255.255", 32, "default"),
        ("10.9.255.255", 32, "10.9.0.0/16"),
    ],
)
def test_the_longest_prefix_up_to_a_limit_wins(more, target, longest, destination):
    assert routing(*more).route_to(address(target), longest).destination == destination


def test_documents_without_rules_have_those_of_every_new_netns():
    def found(*routes: Route) -> tuple[int, int]:
        netns = Netns(Namespace(inode=1, links=[Link(2, "eth0")], routes=list(routes)))
        route, rule = Routing(netns).decision(address("10.1.1.1"))
        return route.table, rule.priority

    main, default = Route(4, "default", index=2), Route(4, "default", index=2, table=253)
    assert found(default, main) == (254, 32766)
    assert found(default) == (253, 32767)
    assert Routing(Netns(Namespace(inode=1))).decision(address("10.1.1.1")) == (None, None)


def test_each_family_has_its_own_rules_and_routes():
    netns = Namespace(
        inode=1,
        links=[Link(2, "eth0")],
        addresses=[Address(2, "fd00::1", 64)],
        routes=[Route(6, "default", index=2, table=9), Route(6, "fd00::/64", index=2)],
        rules=[Rule(6, 0, 255), Rule(6, 10, 9, source="fd00::7/128"), Rule(6, 32766, 254)],
    )
    known = Routing(Netns(netns))
    source = Origin(address("fd00::7"))

    assert known.route_to(address("fd00::9")).destination == "fd00::/64"
    assert known.route_to(address("2001:db8::1")) is None
    assert known.route_to(address("2001:db8::1"), origin=source).table == 9
    assert known.route_to(address("fd00::1")).type == "local"
    assert known.route_to(address("::1")).type == "local"
    assert known.route_to(address("::2")) is None
    assert (known.is_by_destination(4), known.is_by_destination(6)) == (True, False)
    assert (known.has_routes(9, 6), known.has_routes(9, 4)) == (True, False)


def test_the_lower_metric_wins_in_one_table():
    def taken(*metrics: int) -> int:
        routes = [Route(4, "default", index=2, metric=each) for each in metrics]
        return (
            Routing(Netns(Namespace(inode=1, routes=routes))).route_to(address("10.1.1.1")).metric
        )

    assert (taken(100, 50), taken(50, 100), taken(0, 100)) == (50, 50, 0)


@pytest.mark.parametrize(
    ("rule", "destination"),
    [
        (Rule(4, 100, 0, action="prohibit"), "default"),
        (Rule(4, 100, 0, action="prohibit", destination="10.1.0.0/16"), "10.1.0.0/16"),
    ],
)
def test_the_route_of_a_refusing_rule_stands_for_it(rule, destination):
    route, by = routing(rule).decision(address("10.1.1.1"))

    assert (route.destination, route.type, route.table, route.metric) == (
        destination,
        "prohibit",
        0,
        100,
    )
    assert by == rule


@pytest.mark.parametrize("limit", [0, 8, 16])
def test_a_rule_ignores_routes_up_to_a_prefix_length(limit):
    """suppress_prefixlength ignores routes whose prefix is that long, too."""
    known = routing(Rule(4, 100, 254, suppress_prefix=limit), Rule(4, 200, 7))

    assert known.route_to(address("10.9.1.1")).table == (7 if limit == 16 else 254)


@pytest.mark.parametrize(
    ("route", "text"),
    [
        (None, "no route"),
        (Route(4, "10.9.0.0/16", index=3), "10.9.0.0/16 dev eth1"),
        (
            Route(4, "default", gateway="192.0.2.254", index=2),
            "default via 192.0.2.254 dev eth0",
        ),
        (Route(4, "10.8.0.0/16", type="blackhole"), "blackhole 10.8.0.0/16"),
        (
            Route(4, "10.8.0.0/16", hops=[{"gateway": "192.0.2.2"}, {"index": "3"}]),
            "10.8.0.0/16 via 192.0.2.2 and a device",
        ),
    ],
)
def test_a_route_is_printed_as_by_ip(route, text):
    assert routing().text_of(route) == text


@pytest.mark.parametrize(
    ("routes", "rules", "is_uniform"),
    [
        ([], [], True),
        ([Route(4, "10.1.1.0/24")], [], True),
        ([Route(4, "10.1.1.0/25")], [], False),
        ([Route(4, "10.1.1.128/25")], [], False),
        ([Route(4, "10.1.2.0/25")], [], True),
        ([], [Rule(4, 100, 7, destination="10.1.1.7/32")], False),
        ([], [Rule(4, 100, 7, destination="10.1.0.0/16")], True),
    ],
)
def test_a_block_is_uniform_unless_something_divides_it(routes, rules, is_uniform):
    known = Routing(Netns(Namespace(inode=1, routes=routes, rules=rules)))
    start = int(address("10.1.1.0"))

    assert known.is_uniform((4, start >> 8)) is is_uniform


def test_a_rule_of_unknown_effect_hides_none_of_those_after_it():
    """A rule for a user, a protocol or a port applies to some packets only."""
    unknown = Rule(4, 50, 9, other_selectors=["uidrange"])

    assert routing(unknown, Rule(4, 100, 7)).route_to(address("10.1.1.1")).table == 7
    inverted = Rule(4, 60, 7, destination="10.2.0.0/16", action="lookup (not)")
    assert routing(unknown, inverted).route_to(address("10.1.1.1")).table == 7
    assert routing(unknown, inverted).route_to(address("10.2.1.1")).table == 254


@pytest.mark.parametrize(("own", "longest"), [("192.0.2.1", 32), ("fd00::1", 128), ("::1", 128)])
def test_a_lookup_of_the_full_length_finds_an_own_address(own, longest):
    netns = Namespace(
        inode=1,
        links=[Link(2, "eth0")],
        addresses=[Address(2, "192.0.2.1", 24), Address(2, "fd00::1", 64)],
        routes=[Route(4, "default", index=2), Route(6, "default", index=2)],
    )
    known = Routing(Netns(netns))

    assert known.route_to(address(own), longest).type == "local"
    assert known.route_to(address(own), longest - 1).type == "unicast"
