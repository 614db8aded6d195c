"""Objects: odd fields are named, and cost nothing but themselves."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import Level
from wirecheck.catalogue.registry import load

READABLE = "objects.readable_fields"


def with_odd_fields(small: SmallCluster) -> None:
    """Everything that an API server is known to accept."""
    ports = [{"containerPort": 80, "hostPort": 80, "hostIP": "localhost"}]
    small.api["pods"][1]["spec"]["containers"][0]["ports"] = ports
    notes = {"kubernetes.io/config.hash": "x" * 100_000}
    small.api["pods"][1]["metadata"]["annotations"] = notes
    small.api["nodes"][1]["spec"]["podCIDRs"] = ["010.244.1.0/24"]


def test_each_odd_field_is_named(small: SmallCluster):
    with_odd_fields(small)

    found = {str(each.subject): each for each in small.findings(READABLE)}
    assert found.keys() == {
        "Node n2 spec.podCIDRs[0]",
        "Pod shop/web metadata.annotations[kubernetes.io/config.hash]",
        "Pod shop/web spec.containers[0].ports[0].hostIP",
    }
    assert {each.level for each in found.values()} == {Level.WARN}
    assert found["Node n2 spec.podCIDRs[0]"].expected == "10.244.1.0/24"
    host = found["Pod shop/web spec.containers[0].ports[0].hostIP"]
    assert host.found == "'localhost', which is not checked"


def test_odd_fields_change_no_other_check(small: SmallCluster):
    before = {each.id: outcome(small, each.id) for each in load()}
    with_odd_fields(small)

    after = {each.id: outcome(small, each.id) for each in load()}
    changed = {id_ for id_ in before if before[id_] != after[id_]}
    assert changed == {READABLE}


def outcome(small: SmallCluster, check: str) -> object:
    try:
        return [(each.subject, each.found) for each in small.findings(check)]
    except Exception as reason:
        return str(reason)
