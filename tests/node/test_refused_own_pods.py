"""Rules and routes that refuse what is sent to a pod of the node itself."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster
from tests.network.all_clusters import CLUSTERS
from wirecheck.snapshot.netns import Route, Rule

CHECK = "routes.no_blackholes"
PLUGINS = ["flannel", "kindnet", "AWS VPC CNI"]
USUAL = [Rule(4, 0, 255), Rule(4, 32766, 254), Rule(4, 32767, 253)]


def cluster(plugin: str) -> tuple[SmallCluster, str]:
    """The cluster, and the address of pod web."""
    small = SmallCluster()
    if plugin != "flannel":
        CLUSTERS[plugin](small)
    pod = next(each for each in small.node.pods if each.name == "web")
    return small, str(next(iter(pod.addresses)))


def change(small: SmallCluster, *routes: Route, rule: Rule | None = None) -> None:
    assert small.document
    host = small.document.namespaces[0]
    rules = [*(host.rules or USUAL), *([rule] if rule else [])]
    small.change_netns(HOST, rules=rules, routes=[*host.routes, *routes])


def found(small: SmallCluster) -> list[tuple[str, str]]:
    return [(each.subject.part, each.found) for each in small.findings(CHECK)]


@pytest.mark.parametrize("plugin", PLUGINS)
@pytest.mark.parametrize("action", ["prohibit", "blackhole", "unreachable"])
def test_a_rule_that_refuses_packets_to_a_pod_is_found(plugin: str, action: str) -> None:
    small, address = cluster(plugin)
    change(small, rule=Rule(4, 100, 0, destination=f"{address}/32", action=action))

    assert found(small) == [(f"to shop/web {address}", f"{action} by routing rule 100")]
    (finding,) = small.findings(CHECK)
    assert "ip {family} rule del pref" in finding.remedy


def test_a_route_for_the_pods_address_is_found() -> None:
    small, address = cluster("flannel")
    change(small, Route(4, f"{address}/32", type="blackhole"))

    assert found(small) == [(f"to shop/web {address}", f"blackhole {address}/32")]


@pytest.mark.parametrize(
    "rule",
    [
        Rule(4, 100, 0, destination="10.244.0.99/32", action="prohibit"),
        Rule(4, 100, 0, destination="10.244.0.3/32", mark="0x1", action="prohibit"),
        Rule(4, 40000, 0, destination="10.244.0.3/32", action="prohibit"),
    ],
)
def test_rules_for_others_and_behind_the_usual_ones_are_harmless(rule: Rule) -> None:
    small, address = cluster("flannel")
    assert address == "10.244.0.3"
    change(small, rule=rule)

    assert found(small) == []


def test_a_blackhole_for_the_nodes_range_is_the_plugins() -> None:
    small, _ = cluster("kindnet")
    change(small, Route(4, "10.244.0.0/24", type="blackhole", metric=9999))

    assert found(small) == []
