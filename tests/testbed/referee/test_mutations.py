"""Mutations: each edit is one change, and a harmless one has a reason that holds."""

import json

import pytest

from testbed.referee.dice import Dice
from testbed.referee.harmless_iptables import is_exclusive, why_harmless
from testbed.referee.mutate_iptables import KINDS, edit_iptables
from testbed.referee.mutate_nftables import edit_nftables
from testbed.referee.mutation import Edit, NodeFacts
from tests.dataplane.recorded import nft
from tests.dataplane.recorded import text as recorded_text

RULES = recorded_text("1.35.4.iptables-save.txt")
FACTS = NodeFacts(frozenset({"172.31.0.10"}), frozenset({"10.244.1.2"}))

SMALL = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-OLD - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SERVICES -d 10.96.0.2/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SVC-A -j KUBE-SEP-A
-A KUBE-SEP-A -s {source}/32 -j KUBE-MARK-MASQ
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination {source}:8080
-A KUBE-SVC-OLD -j KUBE-SEP-A
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
COMMIT
"""


def reordered(text: str, at: int) -> Edit:
    lines = text.splitlines()
    fresh = [*lines[:at], lines[at + 1], lines[at], *lines[at + 2 :]]
    return Edit("reorder", lines[at], "", "\n".join(fresh) + "\n")


def deleted(text: str, at: int) -> Edit:
    lines = text.splitlines()
    return Edit("delete", lines[at], "", "\n".join(lines[:at] + lines[at + 1 :]) + "\n")


def line(text: str, start: str) -> int:
    return next(at for at, each in enumerate(text.splitlines()) if each.startswith(start))


def test_an_edit_of_iptables_rules_is_one_change():
    kinds = set()
    before = RULES.splitlines()
    for seed in range(60):
        edit = edit_iptables(Dice(seed), RULES)
        if edit is None:
            continue
        kinds.add(edit.kind)
        after = edit.text.splitlines()
        assert after != before
        differing = {"delete": -1, "shadow": 1}.get(edit.kind, 0)
        assert len(after) - len(before) == differing
        assert len(set(before) - set(after)) <= 1
    assert kinds == set(KINDS)


def test_an_edit_of_an_nftables_table_is_one_change():
    before = nft("1.35.4")
    kinds = set()
    for seed in range(60):
        edit = edit_nftables(Dice(seed), before)
        if edit is not None:
            kinds.add(edit.kind)
            assert json.loads(edit.text) != json.loads(before)
    assert {"delete", "delete element", "redirect", "shadow"} <= kinds


@pytest.mark.parametrize(
    ("one", "other", "exclusive"),
    [
        ({"-d": "10.0.0.1/32"}, {"-d": "10.0.0.2/32"}, True),
        ({"-d": "10.0.0.1/32"}, {"-d": "10.0.0.0/8"}, False),
        ({"-d": "10.0.0.1/32", "--dport": "80"}, {"-d": "10.0.0.1/32", "--dport": "81"}, True),
        ({"-p": "tcp"}, {"-p": "udp"}, True),
        ({"-d": "10.0.0.1/32"}, {"-p": "tcp"}, False),
        ({"-s": "10.244.0.0/16"}, {"--src-type": "LOCAL"}, True),
        ({"-s": "172.31.0.0/16"}, {"--src-type": "LOCAL"}, False),
    ],
)
def test_rules_are_exclusive_where_no_packet_matches_both(one, other, exclusive):
    assert is_exclusive(one, other, FACTS.addresses) is exclusive


def test_rules_of_two_services_may_be_swapped():
    text = SMALL.format(source="10.244.1.2")
    at = line(text, "-A KUBE-SERVICES -d 10.96.0.1")
    assert why_harmless(reordered(text, at), text, FACTS) == "no packet matches both"


def test_what_nothing_leads_to_may_go():
    text = SMALL.format(source="10.244.1.2")
    edit = deleted(text, line(text, "-A KUBE-SVC-OLD"))
    assert why_harmless(edit, text, FACTS) == "nothing leads to its chain"


def test_hairpins_matter_where_the_endpoint_is():
    here, there = SMALL.format(source="10.244.1.2"), SMALL.format(source="10.244.2.2")
    at = line(here, "-A KUBE-SEP-A -s")
    assert why_harmless(deleted(here, at), here, FACTS) == ""
    assert "another node" in why_harmless(deleted(there, at), there, FACTS)


def test_a_frontends_rule_is_never_harmless_to_delete():
    text = SMALL.format(source="10.244.1.2")
    at = line(text, "-A KUBE-SERVICES -d 10.96.0.1")
    assert why_harmless(deleted(text, at), text, FACTS) == ""


@pytest.mark.parametrize(
    ("interface", "exclusive"), [("veth+", True), ("lo", False)], ids=["pods", "loopback"]
)
def test_a_packet_of_the_nodes_own_does_not_come_in_by_an_interface_of_pods(interface, exclusive):
    assert is_exclusive({"-i": interface}, {"--src-type": "LOCAL"}) is exclusive


def test_an_edit_is_the_same_whatever_order_the_kernel_tells_things_in():
    listing = json.loads(nft("1.35.4"))
    for each in listing["nftables"]:
        (inner,) = each.values()
        if inner.get("elem"):
            inner["elem"].reverse()
    turned = json.dumps(listing)
    for seed in range(40):
        one, other = (edit_nftables(Dice(seed), text) for text in (nft("1.35.4"), turned))
        assert (one and (one.kind, one.before)) == (other and (other.kind, other.before))
