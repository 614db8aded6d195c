"""Marks are followed by value, whoever sets them."""

import pytest

from tests.dataplane import small
from tests.dataplane.small import NAT, service, slice_of
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import ACCEPTED_BEFORE, Difference, Kind
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.table import Client

EMPTY = ([service()], [slice_of()])
REJECT = """
    -A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES
    -A OUTPUT -m conntrack --ctstate NEW -j KUBE-SERVICES
    -A KUBE-SERVICES -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j REJECT
"""
HOOKS = """
    -A PREROUTING -j KUBE-SERVICES
    -A OUTPUT -j KUBE-SERVICES
    -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j RETURN
"""
KUBE_ROUTER = """
    -A FORWARD -j KUBE-ROUTER-FORWARD
    -A KUBE-ROUTER-FORWARD -s 10.244.1.2/32 -j KUBE-POD-FW-A
    -A KUBE-ROUTER-FORWARD -s 10.244.1.2/32 -m physdev --physdev-is-bridged -j KUBE-POD-FW-A
    -A KUBE-ROUTER-FORWARD -m mark --mark 0x20000/0x20000 -j ACCEPT
    -A KUBE-POD-FW-A -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    -A KUBE-POD-FW-A -s 10.244.1.2/32 -j KUBE-NWPLCY-DEFAULT
    -A KUBE-POD-FW-A -m mark ! --mark 0x10000/0x10000 -m limit --limit 10/min -j NFLOG
    -A KUBE-POD-FW-A -m mark ! --mark 0x10000/0x10000 -j REJECT
    -A KUBE-POD-FW-A -j MARK --set-xmark 0x0/0x10000
    -A KUBE-POD-FW-A -j MARK --set-xmark 0x20000/0x20000
    -A KUBE-NWPLCY-DEFAULT -j MARK --set-xmark 0x10000/0x10000
"""


def of_empty(rules: str) -> list[Difference]:
    """What is found where these rules of table filter come before kube-proxy's REJECT."""
    wanted = small.expected(*EMPTY)
    text = small.save({"nat": HOOKS, "filter": rules + REJECT})
    return list(compare(wanted, read_iptables({4: text}, small.clients(), wanted.entries)))


def test_a_packet_that_a_policy_engine_accepts_is_not_refused():
    (found,) = of_empty(KUBE_ROUTER)

    assert (found.kind, found.clients, found.found) == (
        Kind.VERDICT,
        (Client.POD,),
        ACCEPTED_BEFORE,
    )
    assert found.by_mark
    assert found.evidence == (
        "-A FORWARD -j KUBE-ROUTER-FORWARD",
        "-A KUBE-ROUTER-FORWARD -m mark --mark 0x20000/0x20000 -j ACCEPT",
    )


def test_a_packet_that_lost_its_mark_again_is_refused():
    undone = "-A KUBE-POD-FW-A -j MARK --set-xmark 0x0/0x20000\n"

    assert of_empty(KUBE_ROUTER + undone) == []


def test_a_policy_that_refuses_the_packet_itself_is_no_difference():
    assert of_empty(KUBE_ROUTER.replace("-j MARK --set-xmark 0x10000/0x10000", "-j LOG")) == []


@pytest.mark.parametrize(
    ("rules", "is_by_mark"),
    [
        ("-A FORWARD -j ACCEPT", False),
        ("-A FORWARD -s 10.244.0.0/16 -j ACCEPT", False),
        ("-A FORWARD -j NPM\n-A NPM -j NPM-ACCEPT\n-A NPM-ACCEPT -j ACCEPT", False),
        (
            "-A FORWARD -s 10.244.1.0/24 -j MARKED\n-A MARKED -j MARK --set-xmark 0x8/0x8\n"
            "-A FORWARD -m mark --mark 0x8/0x8 -j ACCEPT",
            True,
        ),
        (
            "-A FORWARD -s 10.244.1.2/32 -j MARKED\n-A MARKED -j MARK --set-xmark 0x8/0x8\n"
            "-A FORWARD -m mark --mark 0x8/0x8 -j ACCEPT",
            True,
        ),
        ("-A FORWARD -m conntrack --ctstate NEW -j ACCEPT", False),
    ],
)
def test_the_rule_that_accepts_is_the_evidence(rules, is_by_mark):
    (found,) = of_empty(rules)

    assert Client.POD in found.clients
    assert found.third_party
    assert found.by_mark is is_by_mark
    assert found.evidence[-1] == next(r for r in reversed(rules.split("\n")) if "ACCEPT" in r)


@pytest.mark.parametrize(
    "rules",
    [
        "-A FORWARD -m mark --mark 0x8/0x8 -j ACCEPT",
        "-A FORWARD -o docker0 -j DOCKER\n-A DOCKER -j RETURN",
        "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-A FORWARD -s 10.244.1.2/32 -j MARK --set-xmark 0x8/0x8",
    ],
)
def test_rules_that_do_not_accept_the_packet_are_no_difference(rules):
    assert of_empty(rules) == []


def test_a_mark_of_its_own_is_no_hairpin_mark():
    chain = "-A KUBE-SEP-A -s 10.244.1.2/32 -j"
    other = NAT.replace(f"{chain} KUBE-MARK-MASQ", f"{chain} OTHER")
    other += "-A OTHER -j MARK --set-xmark 0x8/0x8\n"

    assert {each.kind for each in small.differences({"nat": other})} == {Kind.HAIRPIN}


def test_a_hairpin_mark_that_another_rule_sets_counts():
    chain = "-A KUBE-SEP-A -s 10.244.1.2/32 -j"
    other = NAT.replace(f"{chain} KUBE-MARK-MASQ", f"{chain} OTHER")
    other += "-A OTHER -j MARK --set-xmark 0x4000/0x4000\n"

    assert not small.differences({"nat": other}).items
