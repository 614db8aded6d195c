"""The wire of a pod: on recorded clusters, and with each part of it broken."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, WEB_NETNS, SmallCluster
from tests.served_cluster import ServedCluster
from tests.snapshots import healthy, unreachable, written
from wirecheck.inspect.drawing import CROSS
from wirecheck.snapshot.api_objects import Change
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.netns import Fdb, Neighbour, Route

NO_ADDRESS = "shop/web-678979c555-h9f9s"
WRONG_RESOLV_CONF = "ops/agent-27mct"


def lines(out: str, word: str) -> list[str]:
    return [line for line in out.splitlines() if word in line]


def test_a_whole_wire_is_drawn_from_the_container_to_the_other_nodes(inspect, broken):
    status, out, _ = inspect("pod", WRONG_RESOLV_CONF, "--snapshot", broken)

    order = [
        "container",
        "netns        4026533049, number 1 on the node  /run/netns/cni-b515c47d",
        "eth0@if17    10.244.1.15/24, fe80::5c67:74ff:fe60:f7da/64  mtu 1450  UP",
        "default via 10.244.1.1 dev eth0",
        "node wc-w1",
        "veth61163fec@if2 mtu 1450  UP  46:37:55:ea:79:2b  port of cni0",
        "cni0           10.244.1.1/24",
        "route to pod   10.244.1.0/24 dev cni0",
        "flannel.1      10.244.1.0/32",
        "vxlan 1 from 172.31.250.11 port 8472",
        "eth0@if276     172.31.250.11/24",
        "wc-w2         10.244.2.0/24 by flannel.1 via 10.244.2.0 (22:ca:70:17:81:58) "
        "in a tunnel to 172.31.250.12",
        "resolv.conf      nameserver 192.0.2.53",
        "kubernetes.default.svc.cluster.local A at 10.96.0.10 over UDP: 10.96.0.1",
        "Services         ops/agent",
    ]
    places = [out.find(each) for each in order]
    assert status == 0
    assert -1 not in places
    assert places == sorted(places)
    assert CROSS not in out


def test_the_drawing_shows_where_the_wire_is_broken(inspect, broken):
    _, out, _ = inspect("pod", NO_ADDRESS, "--snapshot", broken)

    (at,) = lines(out, "eth0@if18")
    after = out.splitlines()[out.splitlines().index(at) + 1]
    assert "no address" in at
    assert "✗ fail     pods.ip_on_interface: nothing; expected 10.244.1.16" in after
    assert lines(out, f"{CROSS} route")
    assert lines(out, "unreachable in 3 of 3 tries")


def test_findings_are_those_of_a_run_on_the_same_snapshot(as_json, broken):
    view = as_json("pod", NO_ADDRESS, "--snapshot", broken)

    found = {
        (each["check"], each["kind"], each["step"])
        for each in view["findings"]
        if each["level"] == "fail"
    }
    assert found == {
        ("dns.pods_resolve_udp", "Pod", "dns"),
        ("dns.pods_resolve_tcp", "Pod", "dns"),
        ("pods.ip_on_interface", "Pod", "interface"),
        ("services.backends_programmed", "Service", "services"),
        ("services.no_stale_backends", "Service", "services"),
    }


@pytest.mark.slow
def test_no_pod_of_a_healthy_cluster_is_drawn_broken(inspect, as_json, healthy):
    api = Snapshot.open(healthy).api()
    nodes = {each.metadata.name for each in api.nodes}
    running = [
        f"{each.metadata.namespace}/{each.metadata.name}"
        for each in api.pods
        if each.status.phase == "Running" and each.spec.node_name in nodes
    ]

    assert len(running) > 30
    for pod in running:
        _, out, _ = inspect("pod", pod, "--snapshot", healthy)
        assert CROSS not in out, out
        assert "✗ fail" not in out, out


def test_the_json_has_every_field_even_where_nothing_is_known(as_json, tmp_path):
    view = as_json("pod", "shop/web", "--snapshot", written(tmp_path / "seen", unreachable()))

    assert set(view["wire"]) == {
        "unseen",
        "runtime",
        "netns",
        "pod_side",
        "node_side",
        "way_out",
        "dns",
        "connections",
        "connections_note",
    }
    assert view["wire"]["unseen"] == "n1 refuses the connection."
    assert view["wire"]["netns"] is None
    assert [each["check"] for each in view["findings"]] == ["nodes.reachable"]


def test_a_node_that_was_not_seen_is_said_and_not_drawn_as_whole(inspect, tmp_path):
    _, out, _ = inspect("pod", "shop/web", "--snapshot", written(tmp_path / "seen", unreachable()))

    assert f"{CROSS} netns        n1 refuses the connection." in out


def test_a_pod_on_the_hosts_network_has_no_pair(inspect, as_json, healthy):
    pods = (each.metadata.name for each in Snapshot.open(healthy).api().pods)
    name = "kube-system/" + next(each for each in pods if each.startswith("kube-proxy"))
    _, out, _ = inspect("pod", name, "--snapshot", healthy)
    wire = as_json("pod", name, "--snapshot", healthy)["wire"]

    assert "the node's own (hostNetwork)" in out
    assert wire["pod_side"] is None
    assert wire["node_side"] is None
    assert wire["dns"]["lookups"]


def cut_at_the_node(small: SmallCluster) -> None:
    assert small.document
    links = [each for each in small.document.namespaces[0].links if each.name != "veth12"]
    small.change_netns(HOST, links=links)


BREAKS = {
    "no interface": (
        lambda small: small.change_netns(WEB_NETNS, links=[]),
        f"{CROSS} eth0         no interface but lo",
    ),
    "no host side": (cut_at_the_node, f"{CROSS} host side      the node has no pair with index 12"),
    "leads elsewhere": (
        lambda small: small.change_link(HOST, "veth12", peer_nsid=7),
        f"{CROSS} host side      veth12 points to interface 2 of netns 7",
    ),
    "down in the pod": (
        lambda small: small.change_link(WEB_NETNS, "eth0", flags=[]),
        "✗ fail     links.up eth0: eth0 is DOWN",
    ),
    "down on the node": (
        lambda small: small.change_link(HOST, "veth12", flags=[]),
        "✗ fail       links.up veth12: veth12 is DOWN",
    ),
    "off the bridge": (
        lambda small: small.change_link(HOST, "veth12", master=None),
        "✗ fail       links.attached",
    ),
    "MTU": (
        lambda small: small.change_link(HOST, "veth12", mtu=9000),
        "✗ fail       links.equal_mtu",
    ),
    "silent DNS": (
        lambda small: small.change_probes(WEB_NETNS, "udp", [Try(2.0, error="timeout")]),
        "over UDP: timeout in 1 of 1 tries, 2.0 s in total",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_break_is_drawn_where_it_is(inspect, tmp_path, name):
    small = SmallCluster()
    change, said = BREAKS[name]
    change(small)

    _, out, _ = inspect("pod", "shop/web", "--snapshot", written(tmp_path / "seen", small))

    assert said in out


def test_the_way_to_a_peer_is_followed_to_its_tunnels_end(as_json, tmp_path):
    small = SmallCluster()
    small.api["nodes"].append(
        {
            "metadata": {"name": "n3", "uid": "node-3"},
            "spec": {"podCIDR": "10.244.7.0/24", "podCIDRs": ["10.244.7.0/24"]},
            "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.3"}]},
        }
    )
    without = as_json("pod", "shop/web", "--snapshot", written(tmp_path / "a", small))
    small.change_netns(
        HOST,
        routes=[
            Route(4, "default", gateway="192.0.2.254", index=2),
            Route(4, "10.244.0.0/16", gateway="192.0.2.9", index=2),
            Route(4, "10.244.7.0/24", gateway="10.244.7.0", index=5),
        ],
        neighbours=[Neighbour(5, "10.244.7.0", mac="02:00:00:00:00:03", state="PERMANENT")],
        fdb=[Fdb(5, "02:00:00:00:00:03", destination="192.0.2.3")],
    )
    within = as_json("pod", "shop/web", "--snapshot", written(tmp_path / "b", small))

    def to_n3(view):
        return next(p for p in view["wire"]["way_out"]["peers"] if p["node"] == "n3")

    assert to_n3(without)["route"] == ""
    assert to_n3(within)["route"] == "10.244.7.0/24 via 10.244.7.0 dev cni0"
    assert to_n3(within)["gateway_mac"] == "02:00:00:00:00:03"
    assert to_n3(within)["tunnel_to"] == "192.0.2.3"


def test_names_that_are_not_there_are_a_sentence_with_near_ones(inspect, broken):
    status, out, err = inspect("pod", "shop/web-678979c555", "--snapshot", broken)
    bare = inspect("pod", "web-678979c555", "--snapshot", broken)

    assert (status, out) == (4, "")
    assert "Pod shop/web-678979c555 not found; did you mean shop/web-678979c555-" in err
    assert "did you mean shop/web-678979c555-" in bare[2]


def test_a_snapshot_and_a_cluster_together_are_refused(inspect, broken):
    status, _, err = inspect("pod", "a/b", "--snapshot", broken, "--context", "prod")

    assert status == 4
    assert "--snapshot needs no cluster" in err


def test_terminal_escapes_from_the_cluster_are_shown_as_text(inspect, tmp_path):
    small = SmallCluster()
    small.api["pods"][1]["spec"]["containers"][0]["image"] = "bad\x1b[2Jimage"

    _, out, _ = inspect("pod", "shop/web", "--snapshot", written(tmp_path / "seen", small))

    assert "\x1b" not in out
    assert r"bad\x1b[2Jimage" in out


def test_live_only_the_pods_node_is_visited(inspect, server, kubeconfig, monkeypatch):
    served = ServedCluster(server)
    served.serve(SmallCluster())
    server.lists["/api/v1/nodes"].append(
        {"metadata": {"name": "n3", "uid": "node-3"}, "spec": {}, "status": {}}
    )
    served.access_methods = {"n1", "n3"}
    monkeypatch.setattr("wirecheck.run.round.visit_all", served.visit_all)
    monkeypatch.setattr("wirecheck.run.access.container_access", served.container_access)

    status, out, _ = inspect("pod", "shop/web", "--kubeconfig", kubeconfig)

    assert status == 0
    assert served.visited == [["n1"]]
    assert "veth12@if2" in out
    assert "eth0@if12    10.244.0.3/24" in out


NO_FINDING = "No check of `wirecheck run` has a finding here."
LOST = [Try(2.5, error="timeout")] * 3


def without_dns(*changes: Change) -> SmallCluster:
    """The web pod gets no answer over UDP."""
    small = healthy()
    small.change_probes(WEB_NETNS, "udp", LOST)
    small.changes.extend(changes)
    return small


def test_what_only_some_rounds_have_is_shown_with_its_rounds(inspect, tmp_path):
    folder = written(tmp_path / "snapshot", without_dns(), without_dns(), healthy())

    _, out, _ = inspect("pod", "shop/web", "--snapshot", folder)

    assert "dns.pods_resolve_udp" in out
    assert "flaky: in rounds 1 and 2 of 3, from 2027-01-15T08:00:10Z" in " ".join(out.split())
    assert NO_FINDING not in out


def test_no_wrong_answer_is_drawn_above_a_sentence_that_nothing_was_found(inspect, tmp_path):
    moved = Change("Pod", "web", "shop", what="podIPs")
    folder = written(tmp_path / "snapshot", without_dns(moved), healthy())

    _, out, _ = inspect("pod", "shop/web", "--snapshot", folder)

    assert "timeout in 3 of 3 tries" in out
    assert NO_FINDING not in out
    assert "it was a change in flight" in " ".join(out.split())


def test_one_round_is_evaluated_like_the_run_of_it(inspect, tmp_path):
    folder = written(tmp_path / "snapshot", without_dns())

    _, out, _ = inspect("pod", "shop/web", "--snapshot", folder)

    assert [each for each in lines(out, "FAIL") if "dns.pods_resolve_udp" in each]
    assert NO_FINDING not in out
