"""Rules outside of table filter that drop what pods send, or what carries it between nodes."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import FILTER, HOST, SmallCluster
from tests.dataplane.small import save

CHECK = "firewall.forwards_pods"


@pytest.fixture
def small() -> SmallCluster:
    cluster = SmallCluster()
    cluster.change_link(HOST, "flannel.1", vxlan_id=1, vxlan_port=8472)
    return cluster


def put(small: SmallCluster, table: str, *rules: str) -> None:
    text = save({table: "\n".join(rules)})
    small.change_output("iptables-nft-save", f"{FILTER}{text}")


def found(small: SmallCluster) -> set[tuple[str, str]]:
    return {(each.subject.part.split()[0], each.evidence[0]) for each in small.findings(CHECK)}


@pytest.mark.parametrize(
    ("table", "rule", "part"),
    [
        ("mangle", "-A FORWARD -d 10.244.0.0/16 -j DROP", "FORWARD"),
        ("mangle", "-A FORWARD -i flannel.1 -j DROP", "FORWARD"),
        ("mangle", "-A POSTROUTING -o flannel.1 -j DROP", "FORWARD"),
        ("security", "-A FORWARD -p tcp -j DROP", "FORWARD"),
        ("mangle", "-A PREROUTING -d 10.244.0.0/16 -j DROP", "FORWARD"),
        ("raw", "-A PREROUTING -s 10.244.0.0/16 -d 10.244.0.0/16 -j DROP", "FORWARD"),
        ("raw", "-A PREROUTING -p udp -m udp --dport 8472 -j DROP", "INPUT"),
        ("mangle", "-A INPUT -p udp -m udp --dport 8472 -j DROP", "INPUT"),
        ("security", "-A INPUT -p udp -j DROP", "INPUT"),
    ],
)
def test_a_rule_of_another_table_drops_as_well(
    small: SmallCluster, table: str, rule: str, part: str
) -> None:
    put(small, table, rule)

    assert found(small) == {(part, rule)}


@pytest.mark.parametrize(
    ("table", "rule"),
    [
        ("mangle", "-A FORWARD -p tcp -m tcp --dport 25 -j DROP"),
        ("mangle", "-A FORWARD -m conntrack --ctstate INVALID -j DROP"),
        ("mangle", "-A PREROUTING -p tcp -m tcp --dport 22 -j DROP"),
        ("mangle", "-A FORWARD -j TCPMSS --clamp-mss-to-pmtu"),
        ("raw", "-A PREROUTING -m rpfilter --invert -j DROP"),
        ("raw", "-A PREROUTING -m mark --mark 0x40000/0x40000 -j DROP"),
        ("raw", "-A PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP"),
        ("mangle", "-A POSTROUTING -o docker0 -j DROP"),
        ("security", "-A OUTPUT -d 168.63.129.16/32 -j DROP"),
    ],
)
def test_rules_for_other_packets_are_none(small: SmallCluster, table: str, rule: str) -> None:
    put(small, table, rule)

    assert found(small) == set()


@pytest.mark.parametrize("rule", ["-s 10.244.1.0/24 -j DROP", "-i flannel.1 -j DROP"])
def test_a_ban_by_source_before_translation_is_reported_as_such(
    small: SmallCluster, rule: str
) -> None:
    put(small, "raw", f"-A PREROUTING {rule}")

    assert found(small) == set()
    assert small.findings("firewall.source_bans")
