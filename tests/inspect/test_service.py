"""A Service on every node: expected, found, and the rules."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import SmallCluster
from tests.served_cluster import ServedCluster
from tests.snapshots import unreachable, written
from wirecheck.snapshot.folder import Snapshot


def nodes_of(view) -> dict[str, list[tuple[str, str]]]:
    """By node the (frontend, kind of difference) pairs."""
    return {
        each["node"]: [
            (front["frontend"], difference["kind"])
            for front in each["frontends"]
            for difference in front["differences"]
        ]
        for each in view["nodes"]
    }


def test_each_node_is_compared_with_what_the_api_asks_for(as_json, broken):
    view = as_json("service", "shop/web", "--snapshot", broken)

    cluster_ip = "10.96.169.41:80/tcp"
    assert nodes_of(view) == {
        "wc-cp": [],
        "wc-w1": [(cluster_ip, "backend missing"), (cluster_ip, "backend stale")],
        "wc-w2": [(cluster_ip, "frontend missing")],
    }
    w1, w2 = view["nodes"][1], view["nodes"][2]
    assert "10.244.9.9:8080" in w1["frontends"][0]["found"][0]["backends"]
    assert "10.244.9.9:8080" not in w1["frontends"][0]["expected"][0]["backends"]
    assert {each["verdict"] for each in w2["frontends"][0]["found"]} <= {"not handled"}


def test_the_differences_are_shown_node_by_node(inspect, broken):
    _, out, _ = inspect("service", "shop/web", "--snapshot", broken)

    assert "✓ wc-cp (iptables)" in out
    assert "✗ wc-w1 (iptables)" in out
    assert "backend missing: expected 10.244.1.17:8080; found 10.244.2.8:8080" in out
    assert "✗ wc-w2 (iptables)" in out
    assert "10.244.1.16 8080/TCP http  shop/web-678979c555-h9f9s  on wc-w1  not ready" in out


def test_findings_about_other_services_are_left_out(as_json, broken):
    view = as_json("service", "shop/web", "--snapshot", broken)

    found = {(each["check"], each["node"], each["kind"]) for each in view["findings"]}
    assert ("services.no_stale_backends", "wc-w1", "Service") in found
    assert ("services.nodes_agree", "", "Service") in found
    assert ("kube_proxy.healthz", "wc-w2", "Node") in found
    assert {each["name"] for each in view["findings"] if each["kind"] == "Service"} == {"web"}


@pytest.mark.slow
def test_every_service_of_a_healthy_cluster_is_as_asked_on_every_node(as_json, healthy):
    for each in Snapshot.open(healthy).api().services:
        name = f"{each.metadata.namespace}/{each.metadata.name}"
        view = as_json("service", name, "--snapshot", healthy)

        assert [n for n in view["nodes"] if n["unknown"]] == [], name
        assert not any(nodes_of(view).values()), name
        assert view["findings"] == [], name
        frontends = {len(on["frontends"]) for on in view["nodes"]}
        assert frontends == {0} if view["note"] else 0 not in frontends, name


def test_on_one_node_the_rules_are_shown_as_they_are(inspect, broken):
    _, out, _ = inspect("service", "shop/web", "--snapshot", broken, "--node", "wc-w1")

    assert "wc-w2 (" not in out
    (rule,) = (line for line in out.splitlines() if "rule         -A KUBE-SERVICES" in line)
    assert "-d 10.96.169.41/32 -p tcp" in rule
    assert rule.endswith("-j KUBE-SVC-67NZLRHBNDSAWJRO")
    assert "--to-destination 10.244.9.9:8080" in out


def test_a_node_without_rules_for_it_says_so(inspect, broken):
    _, out, _ = inspect("service", "shop/web", "--snapshot", broken, "--node", "wc-w2")

    assert "none on this node" in out


def test_traffic_policies_tell_nodes_apart_without_a_difference(as_json, healthy):
    view = as_json("service", "shop/web-public-local", "--snapshot", healthy)

    outside = {
        each["node"]: next(
            handling["text"]
            for front in each["frontends"]
            if front["frontend"].startswith("node port")
            for handling in front["expected"]
            if "clients outside the cluster" in handling["clients"]
        )
        for each in view["nodes"]
    }
    assert outside["wc-cp"] == "dropped"
    assert outside["wc-w1"] != outside["wc-w2"]
    assert not any(nodes_of(view).values())


def test_a_node_that_was_not_seen_is_not_taken_for_equal(inspect, as_json, tmp_path):
    snapshot = written(tmp_path / "seen", unreachable())

    _, out, _ = inspect("service", "kube-system/kube-dns", "--snapshot", snapshot)
    view = as_json("service", "kube-system/kube-dns", "--snapshot", snapshot)

    assert "not known        n1: n1 refuses the connection." in out
    assert "As expected" not in out
    assert view["nodes"][0]["unknown"] == "n1 refuses the connection."


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["service", "shop/wbe"], "Service shop/wbe not found; did you mean shop/web"),
        (["service", "shop/web", "--node", "wc-w9"], "Node wc-w9 not found; did you mean wc-w"),
    ],
)
def test_what_is_not_there_is_a_sentence(inspect, broken, arguments, sentence):
    status, out, err = inspect(*arguments, "--snapshot", broken)

    assert (status, out) == (4, "")
    assert sentence in err


def test_live_one_node_is_visited_if_one_is_named(inspect, server, kubeconfig, monkeypatch):
    served = ServedCluster(server)
    served.serve(SmallCluster())
    monkeypatch.setattr("wirecheck.run.round.visit_all", served.visit_all)
    monkeypatch.setattr("wirecheck.run.access.container_access", served.container_access)

    status, *_ = inspect(
        "service", "kube-system/kube-dns", "--node", "n9", "--kubeconfig", kubeconfig
    )
    assert (status, served.visited) == (4, [])

    inspect("service", "kube-system/kube-dns", "--node", "n1", "--kubeconfig", kubeconfig)
    assert served.visited == [["n1"]]
