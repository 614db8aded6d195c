"""Devices that do not forward, on nodes of recorded clusters."""

import json
from pathlib import Path

import pytest

from tests.calico import with_tunnels
from tests.changed_recordings import Document, changed, found, items
from wirecheck.catalogue.findings import Outcome

RECORDED = Path(__file__).parent.parent / "recorded"
CALICO = RECORDED / "calico" / "healthy-iptables"
KIND = RECORDED / "networks" / "kind-healthy"
FLANNEL = RECORDED / "networks" / "kube-router-healthy"
CHECK = "nodes.ip_forward"


def routed(document: Document) -> str:
    """The device of the first pod with a pair that no bridge has."""
    links = document["namespaces"][0]["links"]
    pairs = (e for e in links if e.get("kind") == "veth" and not e.get("master"))
    return next(str(e["name"]) for e in pairs if e["name"] not in ("eth0", "cilium_host"))


def switched_off(recording: Path, copy: Path, device: str, *, everywhere: bool = False) -> Path:
    def change(node: str, document: Document) -> None:
        if node.endswith("w1"):
            name = routed(document) if device == "of a pod" else device
            files = document["files"]
            assert files[f"/proc/sys/net/ipv4/conf/{name}/forwarding"] == "1"
            files[f"/proc/sys/net/ipv4/conf/{name}/forwarding"] = "0"
            if everywhere:
                files["/proc/sys/net/ipv4/ip_forward"] = "0"

    return changed(recording, copy, change)


@pytest.mark.parametrize(
    ("recording", "device"),
    [
        (CALICO, "eth0"),
        (CALICO, "of a pod"),
        (KIND, "of a pod"),
        (FLANNEL, "cni0"),
        (FLANNEL, "eth0"),
    ],
    ids=lambda each: each.name if isinstance(each, Path) else each,
)
def test_a_device_at_which_packets_of_pods_arrive_has_to_forward(recording, device, tmp_path):
    folder = switched_off(recording, tmp_path, device)

    [(node, what, value)] = found(folder, CHECK)
    assert node.endswith("w1")
    assert "net/ipv4/conf/" in what
    assert device in what or device == "of a pod"
    assert value == "0"
    remedies = [f.remedy for item in items(folder, CHECK) for f in item.findings]
    assert "sysctl -w net/ipv4/conf/" in json.dumps(remedies)


@pytest.mark.parametrize(
    ("recording", "device"), [(CALICO, "vxlan.calico"), (FLANNEL, "flannel.1")]
)
def test_a_tunnel_has_to_forward(recording, device, tmp_path):
    folder = switched_off(recording, tmp_path, device)
    if recording == CALICO:
        with_tunnels(folder)

    assert [what.split()[-1] for _, what, _ in found(folder, CHECK)] == [
        f"net/ipv4/conf/{device}/forwarding"
    ]


@pytest.mark.parametrize("device", ["lo", "default"])
def test_other_devices_do_not_count(device, tmp_path):
    assert found(switched_off(FLANNEL, tmp_path, device), CHECK) == []


def test_a_bridge_port_does_not_count(tmp_path):
    def change(_: str, document: Document) -> None:
        for link in document["namespaces"][0]["links"]:
            if link.get("master"):
                document["files"][f"/proc/sys/net/ipv4/conf/{link['name']}/forwarding"] = "0"

    assert found(changed(FLANNEL, tmp_path, change), CHECK) == []


def test_a_node_that_forwards_nothing_is_reported_once(tmp_path):
    [(_, what, _)] = found(switched_off(FLANNEL, tmp_path, "cni0", everywhere=True), CHECK)

    assert what.endswith("net.ipv4.ip_forward")


def test_cilium_takes_packets_from_the_device(tmp_path):
    def change(_: str, document: Document) -> None:
        for name in document["files"]:
            if name.endswith("/forwarding") and "/lxc" in name:
                document["files"][name] = "0"

    folder = changed(RECORDED / "networks" / "cilium-healthy", tmp_path, change)

    assert {each.outcome for each in items(folder, CHECK)} == {Outcome.PASS}
