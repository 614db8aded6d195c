"""Packets that arrive, over one node and over two, and their answers."""

from __future__ import annotations

import pytest

from tests.paths.conftest import FAR_GATEWAY, GATEWAY, NEAR_GATEWAY, WEB, complete, recorded
from wirecheck.network.plugins.calico import PLUGIN


@pytest.mark.parametrize("to", [FAR_GATEWAY, NEAR_GATEWAY])
def test_a_pod_reaches_a_pod(traced, to: str) -> None:
    view = traced(WEB, to, complete)

    assert (view.result, view.reason, len(view.paths)) == ("reaches", "", 1)
    assert view.paths[0].back is not None


def test_the_way_between_nodes_goes_through_the_tunnel(traced) -> None:
    (path,) = traced(WEB, FAR_GATEWAY, complete).paths

    stages = [(each.node, each.netns, each.stage) for each in path.there.hops]
    assert ("wc-w2", "the node", "FDB of flannel.1") in stages
    assert ("wc-w2", "the node", "wire") in stages
    assert ("wc-w1", "the node", "tunnel") in stages
    assert stages[-1] == ("wc-w1", FAR_GATEWAY.replace("/", " ", 1), "socket")
    lines = [line for each in path.there.hops for line in each.lines]
    assert "10.244.1.0/24 via 10.244.1.0 dev flannel.1" in lines
    assert "3a:87:61:d8:5f:4f dst 172.31.250.11" in lines


def test_a_service_forks_by_backend_with_its_share(traced) -> None:
    view = traced(WEB, GATEWAY, complete)

    assert view.result == "reaches"
    assert [path.share for path in view.paths] == [0.5, 0.5]
    arrived = {path.there.arrives_as for path in view.paths}
    assert arrived == {"tcp 10.244.2.8 > 10.244.1.9:8080", "tcp 10.244.2.8 > 10.244.2.12:8080"}
    assert {path.back.arrives_as for path in view.paths if path.back} == {
        "tcp 10.96.120.245:80 > 10.244.2.8"
    }


def test_a_node_reaches_a_service_from_its_own_address(traced) -> None:
    view = traced("node/wc-w2", GATEWAY, complete)

    assert view.result == "reaches"
    sources = {path.there.arrives_as.split()[1] for path in view.paths}
    assert sources == {"10.244.2.0", "10.244.2.1"}


def test_a_node_port_is_masqueraded_on_its_way_to_another_node(traced) -> None:
    view = traced("node/wc-w1", "node/wc-w2:30080", complete)

    assert view.result == "reaches"
    assert {path.back.arrives_as for path in view.paths if path.back} == {
        "tcp 172.31.250.12:30080 > 172.31.250.11"
    }


def test_dns_is_reached_over_udp(traced) -> None:
    view = traced(WEB, "service/kube-system/kube-dns", complete)

    assert (view.protocol, view.port, view.result) == ("udp", 53, "reaches")


def test_one_way_asks_for_no_answer(traced) -> None:
    (path,) = traced(WEB, FAR_GATEWAY, complete, one_way=True).paths

    assert (path.result, path.back) == ("reaches", None)


def test_what_leaves_the_cluster_is_not_seen_any_more(traced) -> None:
    view = traced(WEB, "203.0.113.9:443", complete)

    assert view.result == "cannot be decided"
    assert view.reason == (
        "it leaves the node by eth0 to 172.31.250.1 as tcp 172.31.250.12 > 203.0.113.9:443; "
        "what is beyond is not seen"
    )


def test_what_an_older_program_did_not_read_leaves_an_arrival_open(traced) -> None:
    view = traced(WEB, FAR_GATEWAY)

    assert view.result == "cannot be decided"
    assert view.paths[0].there.result == "reaches"
    assert any("isolated" in each or "IPsec" in each for each in view.paths[0].unread)


def test_a_policy_leaves_an_arrival_open(traced) -> None:
    view = traced("pod/sealed/vault-5dbd85c544-65p2z", FAR_GATEWAY, complete)

    assert view.result == "cannot be decided"
    assert view.reason.startswith("NetworkPolicy sealed/no-egress selects pod sealed/vault")


def test_a_policy_that_rules_enforce_leaves_nothing_open(traced, monkeypatch) -> None:
    """The plugin enforces policies by rules, and the packet has met them."""
    monkeypatch.setitem(vars(recorded("healthy").cluster), "cni_agents", (PLUGIN,))
    view = traced("pod/sealed/vault-5dbd85c544-65p2z", FAR_GATEWAY, complete)

    assert view.result == "reaches"


@pytest.mark.parametrize(
    "name",
    [
        "gateway.shop.svc",
        "gateway.shop.svc.cluster.local",
        "Gateway.Shop.svc.",
        "gateway.shop.svc:80",
    ],
)
def test_a_dns_name_of_a_service(traced, name: str) -> None:
    view = traced(WEB, name, complete)

    assert (view.result, view.address, view.port) == ("reaches", "10.96.120.245", 80)


def test_a_client_outside_reaches_a_node_port(traced) -> None:
    view = traced("outside", "node/wc-w2:30080", complete)

    assert (view.result, view.sender) == ("reaches", "outside of the cluster")
    backs = {path.back.arrives_as for path in view.paths if path.back}
    assert backs == {"tcp 172.31.250.12:30080 > 192.0.2.1"}


def test_nobody_outside_reaches_a_closed_port(traced) -> None:
    view = traced("outside", "node/wc-w2:81", complete)

    assert (view.result, view.paths[0].decisive.stage) == ("dies", "socket")


@pytest.mark.parametrize("address", ["10.244.1.2", "fd00:244:0:1::2"])
def test_each_family_has_a_tunnel_of_its_own(traced, address: str) -> None:
    """flannel's two devices have one VNI and one port, each on the socket of its family."""
    view = traced(
        "node/wc-w1", address, complete, of="dual-stack", port="53", protocol="udp", one_way=True
    )

    (path,) = view.paths
    assert path.there.result == "reaches"
    stages = [each.text for each in path.there.hops if each.stage == "tunnel"]
    assert stages == [f"unwrapped by {'flannel-v6.1' if ':' in address else 'flannel.1'}"]
