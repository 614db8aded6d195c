"""The referee of traces: the same seed gives the same world, and what counts as a disagreement."""

from __future__ import annotations

import pytest

from testbed.referee.dice import Dice
from testbed.trace_referee.changes import KINDS, OF_IPV4, OF_PAIR, change, in_ipv6, site_of
from testbed.trace_referee.cli import Outcome
from testbed.trace_referee.pair import NODES
from testbed.trace_referee.stages import Deciding


def test_the_same_seed_gives_the_same_changes() -> None:
    first, second = ([change(Dice(seed)) for seed in range(200)] for _ in range(2))

    assert first == second
    assert {kind for kind, _ in first} == set(KINDS)


@pytest.mark.parametrize(("family", "kinds"), [(4, {*OF_PAIR}), (6, {*OF_PAIR} - OF_IPV4)])
def test_changes_of_two_nodes_are_of_one_family(family: int, kinds: set[str]) -> None:
    found = [change(Dice(seed), site_of(NODES[1], family)) for seed in range(300)]

    assert {kind for kind, _ in found} == kinds
    texts = [command for kind, command in found if kind in ("iptables", "nft", "route", "rule")]
    own, other = ("10.24", "fd00:") if family == 4 else ("fd00:", "10.24")
    assert any(own in each for each in texts)
    assert not any(other in each for each in texts)


@pytest.mark.parametrize(
    ("command", "wanted"),
    [
        ("ip netns exec a iptables-nft -A INPUT -j DROP",
         "ip netns exec a ip6tables-nft -A INPUT -j DROP"),
        ("ip -n a route add blackhole fd00::1/32", "ip -6 -n a route add blackhole fd00::1/128"),
        ("nft 'table ip t { chain c { ip daddr fd00::1 drop; }; }'",
         "nft 'table ip6 t { chain c { ip6 daddr fd00::1 drop; }; }'"),
        ("ip address add fd00::1/32 dev lo", "ip -6 address add fd00::1/128 nodad dev lo"),
        ("iptables-nft -t mangle -A FORWARD -j TTL --ttl-set 1",
         "ip6tables-nft -t mangle -A FORWARD -j HL --hl-set 1"),
    ],
)  # fmt: skip
def test_a_command_in_the_other_family(command: str, wanted: str) -> None:
    assert in_ipv6(command) == wanted


def test_the_table_of_changes_and_stages() -> None:
    deciding = Deciding()
    deciding.add(["nft", "nft", "route"], [("dies", "neighbour on cni0"), ("reaches", "")])
    deciding.add([], [("dies", "neighbour on eth0"), ("dies", "veth pair"), ("dies", "forward")])

    assert [" ".join(each.split()) for each in deciding.lines()] == [
        "Changes, with the share of worlds that have them:",
        "nft 1 50%",
        "route 1 50%",
        "Stages, with the packets that died there:",
        "neighbour 2",
        "veth pair 1",
        "forward 1",
    ]


@pytest.mark.parametrize(
    ("is_made", "result", "reason", "is_wrong"),
    [
        (True, "reaches", "", False),
        (False, "dies", "dropped by this rule", False),
        (True, "dies", "dropped by this rule", True),
        (False, "reaches", "", True),
        (True, "cannot be decided", "it is not known", False),
        (True, "dies", "the node has the address and takes the packet of pod world/b", False),
    ],
)
def test_disagreements(is_made: bool, result: str, reason: str, is_wrong: bool) -> None:
    assert Outcome("a", "10.244.0.3", 8080, is_made, result, reason).is_wrong is is_wrong
