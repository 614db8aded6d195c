"""A node: links with their pods, routes, kube-proxy, the conntrack table, findings."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster
from tests.snapshots import unreachable, written
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.netns import Rule
from wirecheck.snapshot.node_document import Command, ConntrackSample, NewConnections

DNS_ENTRIES = "".join(
    f"udp      17 29 src=10.244.0.3 dst=10.96.0.10 sport={port} dport=53 {word}"
    f"src={backend} dst=10.244.0.3 sport=53 dport={port} mark=0 use=1\n"
    for port, word, backend in (
        (40000, "", "10.244.0.2"),
        (40001, "[UNREPLIED] ", "10.244.0.9"),
        (40002, "", "10.244.0.2"),
    )
)


def of_small(as_json, folder, small: SmallCluster):
    return as_json("node", "n1", "--snapshot", written(folder, small))


def test_each_link_shows_its_pod(as_json, broken):
    view = as_json("node", "wc-w1", "--snapshot", broken)

    pods = {each["interface"]["name"]: each["pod"] for each in view["links"]}
    assert pods["veth633c31f6"] == "shop/web-678979c555-h9f9s"
    assert pods["cni0"] == ""
    assert sum(map(bool, pods.values())) == 11


def test_routes_kube_proxy_and_table_are_there(inspect, broken):
    _, out, _ = inspect("node", "wc-w1", "--snapshot", broken)

    for said in (
        "Node wc-w1: Ready, 172.31.250.11",
        "10.244.0.0/24 via 10.244.0.0 dev flannel.1 onlink",
        "v1.34.4, iptables mode",
        "last sync      04:51:34 UTC IPv4",
        "228 entries of 262,144 (0.1 %)  the node's own netns",
        "+126 entries in 2.0 s",
        "services.no_stale_backends  wc-w1",
    ):
        assert said in out


def test_a_kube_proxy_that_does_not_answer_is_shown(inspect, broken):
    _, out, _ = inspect("node", "wc-w2", "--snapshot", broken)

    assert "healthz        no answer at http://127.0.0.1:10256/healthz: timed out" in out


def test_findings_are_the_nodes_own(as_json, broken):
    assert {
        each["node"] for each in as_json("node", "wc-w2", "--snapshot", broken)["findings"]
    } == {"wc-w2"}
    others = as_json("node", "wc-cp", "--snapshot", broken)["findings"]
    assert [each for each in others if each["level"] == "fail"] == []


def test_every_node_of_a_healthy_cluster_is_fine(inspect, healthy):
    for name in Snapshot.open(healthy).node_names():
        _, out, _ = inspect("node", name, "--snapshot", healthy)

        assert "FAIL" not in out


def test_entries_are_counted_by_destination(as_json, inspect, tmp_path):
    small = SmallCluster()
    small.change_document(
        commands={"conntrack-dns": Command(["conntrack", "-L"], status=0, output=DNS_ENTRIES)}
    )
    (found,) = of_small(as_json, tmp_path / "seen", small)["conntrack"]["destinations"]
    _, out, _ = inspect("node", "n1", "--snapshot", tmp_path / "seen")

    assert found == {
        "protocol": "udp",
        "destination": "10.96.0.10",
        "port": 53,
        "entries": 3,
        "unreplied": 1,
        "backends": ["10.244.0.2", "10.244.0.9"],
    }
    assert "3 to 10.96.0.10:53/udp, 1 without an answer" in out


def test_drops_are_shown(inspect, tmp_path):
    small = SmallCluster()
    samples = [ConntrackSample(1000.0, {"drop": 5}), ConntrackSample(1002.0, {"drop": 9})]
    small.change_document(conntrack=samples)

    _, out, _ = inspect("node", "n1", "--snapshot", written(tmp_path / "seen", small))

    assert "lost           drop 4" in out


def test_the_rate_and_the_destinations_of_new_connections_are_shown(inspect, tmp_path):
    small = SmallCluster()
    small.change_document(
        new_connections=NewConnections(2.0, 84, destinations={"10.96.0.10:53/udp": 80})
    )

    _, out, _ = inspect("node", "n1", "--snapshot", written(tmp_path / "seen", small))

    assert "new            42 a second, mostly to 10.96.0.10:53/udp" in out
    assert "new to         80 to 10.96.0.10:53/udp" in out


def test_routing_rules_beyond_the_usual_three_are_shown(as_json, tmp_path):
    small = SmallCluster()
    usual = [Rule(4, 0, 255), Rule(4, 32766, 254), Rule(4, 32767, 253)]
    small.change_netns(HOST, rules=[*usual, Rule(4, 100, 2004, mark="0x200/0xf00")])

    view = of_small(as_json, tmp_path / "seen", small)

    assert view["policy_rules"] == ["100: from all mark 0x200/0xf00 lookup 2004"]


def test_a_link_that_is_down_is_shown(inspect, tmp_path):
    small = SmallCluster()
    small.change_link(HOST, "cni0", flags=[])

    _, out, _ = inspect("node", "n1", "--snapshot", written(tmp_path / "seen", small))

    assert "10.244.0.1/24  mtu 1450  DOWN" in out


def test_a_node_that_was_not_seen_says_why(inspect, as_json, tmp_path):
    snapshot = written(tmp_path / "seen", unreachable())

    _, out, _ = inspect("node", "n1", "--snapshot", snapshot)

    assert "not seen         n1 refuses the connection." in out
    assert "No check" not in out
    assert as_json("node", "n1", "--snapshot", snapshot)["links"] == []


@pytest.mark.parametrize("name", ["wc-w9", "w1"])
def test_a_node_that_is_not_there_is_a_sentence(inspect, broken, name):
    status, out, err = inspect("node", name, "--snapshot", broken)

    assert (status, out) == (4, "")
    assert f"Node {name} not found;" in err
