"""Nodes and pods of clusters with other networks are drawn as they are."""

import pytest

from tests.test_network_recordings import FOLDER
from wirecheck.inspect.drawing import CROSS

DETACHED = "vault-5dbd85c544-2n7cp"


def of(recording):
    return ["--snapshot", FOLDER / recording]


def test_a_node_shows_the_programs_of_its_devices(as_text):
    text = as_text("node", "td-w1", *of("cilium-program-detached"))

    lines = [" ".join(line.split()) for line in text.splitlines()]
    tunnel = next(at for at, line in enumerate(lines) if line.startswith("cilium_vxlan"))
    assert lines[tunnel].endswith("vxlan external port 8472")
    assert lines[tunnel + 1] == "attached tcx ingress: program cil_from_overla (id 2048)"
    assert "attached tcx ingress: program cil_from_contai, on 12 of 13 pod interfaces" in lines


@pytest.mark.parametrize(
    ("recording", "is_beside"), [("cilium-beside-kube-proxy", True), ("kind-healthy", False)]
)
def test_a_node_shows_what_forwards_for_pods(as_json, as_text, recording, is_beside):
    sentence = "Cilium forwards connections of pods to cluster IPs and external IPs"

    proxy = as_json("node", "td-w1", *of(recording))["proxy"]
    assert (proxy["mode"], proxy["pods"]) == ("iptables", sentence if is_beside else "")
    assert (sentence in as_text("node", "td-w1", *of(recording))) is is_beside


def test_a_pod_without_its_program_is_not_drawn_as_cut_off(as_json, as_text):
    pod = ("pod", "-n", "sealed", DETACHED, *of("cilium-program-detached"))

    ((check, step),) = [(e["check"], e["step"]) for e in as_json(*pod)["findings"]]
    assert (check, step) == ("links.attached", "programs")
    assert CROSS not in as_text(*pod)


def test_a_routed_pair_has_its_route_and_no_bridge(as_json):
    view = as_json("pod", "-n", "shop", "db-1", *of("kind-healthy"))

    side = view["wire"]["node_side"]
    assert (side["bridge"], side["problem"]) == (None, "")
    assert [each["text"] for each in side["routes"]] == ["10.244.2.13/32 dev veth491132cb"]
    assert view["wire"]["way_out"]["overlay"] is None
    assert {each["gateway"] for each in view["wire"]["way_out"]["peers"]} == {
        "172.29.0.10",
        "172.29.0.11",
    }


def test_a_service_shows_that_pods_meet_other_rules(as_json, as_text):
    service = ("service", "-n", "shop", "web", *of("cilium-beside-kube-proxy"))

    nodes = as_json(*service)["nodes"]
    assert {each["pods"] for each in nodes} == {
        "Cilium forwards connections of pods to cluster IPs and external IPs"
    }
    assert "As expected on 3 nodes, as far as kube-proxy forwards." in as_text(*service)
