"""Pods' devices in Calico's chains that choose rules by the device."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster
from tests.network.clusters.calico import calico_bgp
from wirecheck.node.pod_dispatch import PodDispatch

FROM, TO = "-A cali-from-wl-dispatch -i", "-A cali-to-wl-dispatch -o"
SENDS, RECEIVES = "what the pod sends", "what is sent to the pod"


@pytest.fixture
def small() -> SmallCluster:
    cluster = SmallCluster()
    calico_bgp(cluster)
    return cluster


def gaps(small: SmallCluster) -> list[tuple[str, str]]:
    node = small.node
    found = PodDispatch(node.seen, node.namespaces, node.firewall, node.routes).gaps
    return [(str(each.ref), each.way) for each in found]


def without(small: SmallCluster, *starts: str) -> None:
    """Remove the rules that begin so."""
    assert small.document
    lines = small.document.commands["iptables-nft-save"].output.splitlines()
    kept = [each for each in lines if not each.startswith(starts)]
    small.change_output("iptables-nft-save", "".join(f"{each}\n" for each in kept))


def test_every_pods_device_is_named(small: SmallCluster) -> None:
    assert gaps(small) == []


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ([f"{FROM} cali0d7763web"], [("Pod shop/web eth0", SENDS)]),
        ([f"{TO} cali0d7763web"], [("Pod shop/web eth0", RECEIVES)]),
        ([f"{TO} cali0d7763dns"], [("Pod kube-system/dns eth0", RECEIVES)]),
        (
            [f"{FROM} cali0d7763dns", f"{TO} cali0d7763web"],
            [("Pod kube-system/dns eth0", SENDS), ("Pod shop/web eth0", RECEIVES)],
        ),
    ],
)
def test_a_device_that_no_rule_names_is_found(
    small: SmallCluster, rules: list[str], found: list[tuple[str, str]]
) -> None:
    without(small, *rules)

    assert gaps(small) == found


def test_the_rule_that_drops_its_packets_is_named(small: SmallCluster) -> None:
    without(small, f"{FROM} cali0d7763web")
    node = small.node

    (gap,) = PodDispatch(node.seen, node.namespaces, node.firewall, node.routes).gaps
    (rule,) = gap.rules
    assert rule.startswith("-A cali-from-wl-dispatch")
    assert rule.endswith("-j DROP")
    assert gap.expected == ("a rule for cali0d7763web before the one that drops unknown interfaces")
    assert gap.found == f"no such rule: {SENDS} is dropped"


@pytest.mark.parametrize(("short", "way"), [("fw", SENDS), ("tw", RECEIVES)])
def test_a_chain_without_rules_restricts_nothing(small: SmallCluster, short: str, way: str) -> None:
    without(small, f"-A cali-{short}-cali0d7763web")

    assert gaps(small) == [("Pod shop/web eth0", way)]


def test_packets_that_no_rule_drops_are_no_gap(small: SmallCluster) -> None:
    unknown = '-A cali-from-wl-dispatch -m comment --comment "Unknown interface"'
    without(small, f"{FROM} cali0d7763web", unknown)

    assert gaps(small) == []


def test_a_pod_on_a_bridge_has_no_rules_of_its_own(small: SmallCluster) -> None:
    without(small, f"{FROM} cali0d7763web")
    assert small.document
    host = small.document.namespaces[0]
    bridge = next(each for each in SmallCluster().node.seen.host.record.links if each.index == 5)
    small.change_netns(HOST, links=[*host.links, bridge])
    small.change_link(HOST, "cali0d7763web", master=5)

    assert gaps(small) == []
