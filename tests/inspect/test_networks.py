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


BY_SOCKET = (
    "pods on this node and the node itself: the backend is chosen when the client connects (socket "
    "load balancing), so the Service's address is never on the wire"
)
AT_DEVICE = "pods on this node: the backend is chosen by the program on the pod's device"


def test_a_service_shows_the_entries_and_where_they_decide(with_maps, as_json, as_text):
    folder = with_maps("entry-deleted")
    service = ("service", "-n", "shop", "web", "--snapshot", folder)

    nodes = {each["node"]: each for each in as_json(*service)["nodes"]}
    assert {each["mode"] for each in nodes.values()} == {"eBPF"}
    assert all(each["decided"].startswith(f"{BY_SOCKET}; clients out") for each in nodes.values())
    broken, whole = (nodes[name]["frontends"][0] for name in ("td-w1", "td-w2"))
    assert [each["kind"] for each in broken["differences"]] == ["frontend missing"]
    assert (whole["differences"], broken["rules"]) == ([], [])
    assert whole["rules"][0] == "cilium_lb4_services: 10.96.107.131:80/tcp, 4 backends"
    assert BY_SOCKET in as_text(*service)
    assert "slot 3: backend" in as_text(*service, "--node", "td-w2")


def test_a_service_beside_kube_proxy_shows_rules_and_maps(with_maps, as_json, as_text):
    folder = with_maps("beside-kube-proxy-entry-deleted")
    service = ("service", "-n", "shop", "web", "--snapshot", folder)

    nodes = {each["node"]: each for each in as_json(*service)["nodes"]}
    for each in nodes.values():
        assert (each["mode"], each["pods"]) == ("iptables, eBPF for pods", "")
        assert each["decided"] == AT_DEVICE
        by_rules, by_maps = each["frontends"]
        clients = [name for handling in by_rules["expected"] for name in handling["clients"]]
        assert "pods on this node" not in clients
        assert [h["clients"] for h in by_maps["expected"]] == [["pods on this node"]]
        assert bool(by_maps["differences"]) is (each["node"] == "td-w1")
    assert "not known" not in as_text(*service)


def test_a_service_is_not_known_without_readable_maps(with_maps, as_json):
    def change(name, document):
        if name == "td-w1":
            document["ebpf"] = {"byte_order": "little", "problem": "Permission denied"}

    folder = with_maps("healthy", change)
    nodes = as_json("service", "-n", "shop", "web", "--snapshot", folder)["nodes"]
    (unknown,) = (each for each in nodes if each["unknown"])
    assert (unknown["node"], unknown["frontends"]) == ("td-w1", [])
    assert "Permission denied" in unknown["unknown"]


def test_a_node_shows_its_fullest_maps(with_maps, as_json, as_text):
    node = ("node", "td-w1", "--snapshot", with_maps("healthy"))

    view = as_json(*node)["ebpf"]
    assert view["unknown"] == ""
    first = view["maps"][0]
    assert (first["name"], first["entries"], first["limit"]) == (
        "cilium_lb4_services_v2",
        196,
        65536,
    )
    text = as_text(*node)
    assert "cilium_lb4_services_v2  196 entries of 65,536 (0.3 %)" in text
    assert "1 entry of 512" in text
    assert BY_SOCKET in text
    assert as_json("node", "td-w1", *of("cilium-healthy"))["ebpf"] is None


def test_a_pod_shows_its_entries_and_findings(with_maps, as_json, as_text):
    pod = ("pod", "-n", "shop", "db-1", "--snapshot")
    view = as_json(*pod, with_maps("healthy"))
    assert view["ebpf"]["entries"] == [
        "cilium_ipcache: 10.244.1.27, identity 57426",
        "cilium_lxc: 10.244.1.27, endpoint 1481 at lxc4624becaabe0, identity 57426",
        "cilium_policy_v3_01481: egress to any identity, any protocol and port: allow",
        "cilium_policy_v3_01481: ingress from identity 1, any protocol and port: allow",
        "cilium_policy_v3_01481: ingress from identity 17193, TCP 5432: allow",
    ]

    def empty(name, document):
        for each in document["ebpf"]["maps"]:
            if each["name"] == "cilium_lxc" and name == "td-w1":
                each.update(entries="", count=0)

    folder = with_maps("dual-stack", empty)
    pod = ("pod", "-n", "shop", "db-1", "--snapshot", folder)
    findings = as_json(*pod)["findings"]
    assert {(e["check"], e["step"]) for e in findings} >= {("ebpf.pod_endpoints", "maps")}
    assert "cilium_lxc: fd00:244:0:1::8683, no entry" in as_text(*pod)


def test_a_setting_moves_pods_from_sockets_to_devices(with_maps, as_json):
    def hosts_only(objects):
        for each in objects["configMaps"]:
            if "kube-proxy-replacement" in each["data"]:
                each["data"]["bpf-lb-sock-hostns-only"] = "true"

    folder = with_maps("healthy", api=hosts_only)
    view = as_json("pod", "-n", "shop", "db-1", "--snapshot", folder)
    assert view["ebpf"]["decided"] == AT_DEVICE
