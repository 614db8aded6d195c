"""Many packets at once end as each of them does alone."""

from __future__ import annotations

import random
from functools import partial
from ipaddress import ip_address

import pytest

from wirecheck.dataplane.iptables.rules import steps_of
from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.followed_packets import followed, kept
from wirecheck.dataplane.rules.many_packets import Ends, ManyPackets
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.dataplane.rules.set_members import IpsetMembers
from wirecheck.parse.ipset import parse_ipset_save
from wirecheck.parse.iptables import parse_iptables_save

SETS = """\
create pods hash:ip family inet
add pods 10.0.0.1 timeout 0
add pods 10.0.0.3 timeout 0
create block hash:net family inet
add block 10.0.0.0/8
add block 10.0.1.0/24 nomatch comment "not these"
add block 10.0.1.7
create named hash:ip,port family inet
add named 10.0.0.2,tcp:80
add named 10.0.0.2,udp:53
create ports bitmap:port range 0-65535
add ports 443
create pairs hash:net,net family inet
"""
MEMBERS = {name: IpsetMembers(each) for name, each in parse_ipset_save(SETS).items()}
ADDRESSES = [f"10.0.{n}.{m}" for n in (0, 1) for m in (1, 2, 3, 7)]
PORTS = [("tcp", 80), ("tcp", 443), ("tcp", 8080), ("udp", 53), ("sctp", 80)]


def stage(*rules, policy="ACCEPT"):
    """Chain FORWARD with these rules and chains A and B."""
    names = ["FORWARD", "A", "B"]
    lines = [f":{each} {policy if each == 'FORWARD' else '-'} [0:0]" for each in names]
    dump = parse_iptables_save(
        "\n".join(
            ["*filter", *lines, *rules, "COMMIT", "# Completed on Mon Nov 30 16:00:00 2026", ""]
        )
    )
    chains = Chains("filter", dump.tables["filter"].chains, partial(steps_of, resolve=kept))
    return Stage("FORWARD", chains, policy)


def packets(ends=None, ports=PORTS):
    found = ends or [(a, b) for a in ADDRESSES for b in ADDRESSES if a != b]
    return ManyPackets(
        tuple(Ends(ip_address(a), ip_address(b), "eth0", "cni0") for a, b in found), tuple(ports)
    )


def fates(rules, of, policy="ACCEPT"):
    return followed([stage(*rules, policy=policy)], of, MEMBERS)


CONDITIONS = [
    "-s 10.0.0.1/32",
    "! -s 10.0.0.0/24",
    "-d 10.0.0.2/32",
    "-d 10.0.1.0/24",
    "-p tcp -m tcp --dport 80",
    "-p udp -m udp --dport 53",
    "-p tcp -m multiport --dports 80,8000:9000",
    "-i eth0",
    "-o veth+",
    "-m set --match-set pods src",
    "-m set ! --match-set block dst",
    "-m set --match-set named dst,dst",
    "-m set --match-set ports dst",
    "-m mark --mark 0x1/0x1",
    "-m mark ! --mark 0x2/0x2",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m physdev --physdev-is-bridged",
    "-m unknown --thing",
    "",
]
TARGETS = ["ACCEPT", "DROP", "RETURN", "MARK --set-xmark 0x1/0x1", "MARK --set-xmark 0x2/0x3", "A"]


@pytest.mark.parametrize("seed", range(12))
def test_packets_end_together_as_each_alone(seed):
    choose = random.Random(seed)
    policy = choose.choice(["ACCEPT", "DROP"])
    rules = [
        f"-A {chain} {' '.join(choose.sample(CONDITIONS, 2))} -j {target}"
        for chain, targets in (("FORWARD", TARGETS), ("A", TARGETS[:-1]))
        for target in choose.choices(targets, k=6)
    ]
    many = packets()
    together = fates(rules, many, policy)
    chosen = choose.sample(range(len(many.ends)), 6)
    for at in chosen:
        for n, port in enumerate(many.ports):
            bit = many.of_end(at, 1 << n)
            one = ManyPackets((many.ends[at],), (port,))
            alone = fates(rules, one, policy)
            assert bool(together.passed & bit) is bool(alone.passed)
            assert bool(together.refused & bit) is bool(alone.refused)
            assert bool(together.unknown & bit) is bool(alone.unknown)


@pytest.mark.parametrize(
    ("condition", "source", "target", "port", "matches"),
    [
        ("-m set --match-set pods src", "10.0.0.1", "10.0.0.2", ("tcp", 1), True),
        ("-m set --match-set pods src", "10.0.0.2", "10.0.0.1", ("tcp", 1), False),
        ("-m set ! --match-set pods dst", "10.0.0.2", "10.0.0.1", ("tcp", 1), False),
        ("-m set --match-set block src", "10.0.1.1", "10.0.0.2", ("tcp", 1), False),
        ("-m set --match-set block src", "10.0.1.7", "10.0.0.2", ("tcp", 1), True),
        ("-m set --match-set block src", "10.0.2.7", "10.0.0.2", ("tcp", 1), True),
        ("-m set --match-set block src", "11.0.0.7", "10.0.0.2", ("tcp", 1), False),
        ("-m set --match-set named dst,dst", "10.0.0.1", "10.0.0.2", ("tcp", 80), True),
        ("-m set --match-set named dst,dst", "10.0.0.1", "10.0.0.2", ("udp", 80), False),
        ("-m set --match-set named dst,dst", "10.0.0.1", "10.0.0.3", ("tcp", 80), False),
        ("-m set --match-set ports dst", "10.0.0.1", "10.0.0.3", ("tcp", 443), True),
        ("-m set --match-set pairs src,dst", "10.0.0.1", "10.0.0.3", ("tcp", 443), None),
        ("-m set --match-set gone src", "10.0.0.1", "10.0.0.3", ("tcp", 443), None),
        ("-m set --match-set named src,src", "10.0.0.2", "10.0.0.3", ("tcp", 80), None),
    ],
)
def test_a_set_decides_as_the_kernel_does(condition, source, target, port, matches):
    found = fates([f"-A FORWARD {condition} -j DROP"], packets([(source, target)], [port]))
    assert (found.refused, found.passed) == {True: (1, 0), False: (0, 1), None: (1, 1)}[matches]


def test_a_set_that_decided_is_named():
    rules = ["-A FORWARD -m set --match-set pods src -m set --match-set named dst,dst -j ACCEPT"]
    one = packets([("10.0.0.3", "10.0.0.3")], [("tcp", 80)])
    found = fates(rules, one, "DROP")
    assert found.refused_by == ("policy DROP of FORWARD: no rule accepts it",)
    assert found.lacking == ["10.0.0.3 with tcp 80 is not in set named"]
    assert found.members == []


def test_packets_that_are_not_tracked_are_undecided():
    found = fates(["-A FORWARD -p udp -m udp --dport 53 -j NOTRACK"], packets())
    assert found.unknown == packets().of_ports(lambda port: port == ("udp", 53))
    assert found.reason(found.unknown).startswith("the connection is not tracked")


def test_marks_pass_from_one_stage_to_the_next():
    first = stage("-A FORWARD -s 10.0.0.1/32 -j MARK --set-xmark 0x8/0x8")
    second = stage("-A FORWARD -m mark --mark 0x8/0x8 -j DROP")
    many = packets()
    found = followed([first, second], many, MEMBERS)
    assert found.refused == many.of_ends(lambda each: str(each.source) == "10.0.0.1")
    assert found.passed == many.all & ~found.refused
