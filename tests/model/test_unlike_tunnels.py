"""VXLAN devices that differ from those of other nodes."""

from pathlib import Path

import pytest

from tests.changed_recordings import Document, changed, found, items
from wirecheck.catalogue.findings import Outcome, Ref
from wirecheck.model.unlike_tunnels import unlike_tunnels

RECORDED = Path(__file__).parent.parent / "recorded"
RECORDINGS = {
    "vxlan.calico": RECORDED / "calico" / "healthy-iptables",
    "flannel.1": RECORDED / "networks" / "kube-router-healthy",
    "cilium_vxlan": RECORDED / "networks" / "cilium-healthy",
}
CHECK = "overlay.tunnels_alike"


def nodes(*tunnels: str) -> dict[Ref, dict[str, str]]:
    return {Ref("Node", f"n{n}"): {"flannel.1": each} for n, each in enumerate(tunnels)}


@pytest.mark.parametrize("field", ["vxlan_id", "vxlan_port"])
@pytest.mark.parametrize("device", RECORDINGS)
def test_a_node_with_another_vni_or_port_is_found(device, field, tmp_path):
    recording = RECORDINGS[device]
    number = len(list((recording / "look-1" / "nodes").iterdir()))

    def change(node: str, document: Document) -> None:
        [link] = [e for e in document["namespaces"][0]["links"] if e["name"] == device]
        if node.endswith("w1"):
            link[field] = (link.get(field) or 0) + 7

    reported = found(changed(recording, tmp_path, change), CHECK)

    having = {what.split()[1] for _, what, _ in reported}
    # Of two nodes nobody knows which one is right.
    assert len(having) == (1 if number > 2 else 2)
    assert any("w1" in each for each in having)
    assert all(device in what and "VNI" in said for _, what, said in reported)


@pytest.mark.parametrize("device", RECORDINGS)
def test_equal_devices_pass(device):
    assert [each.outcome for each in items(RECORDINGS[device], CHECK)] == [Outcome.PASS]


def test_networks_without_vxlan_are_not_evaluated():
    [item] = items(RECORDED / "networks" / "kind-healthy", CHECK)

    assert item.outcome is Outcome.SKIP


@pytest.mark.parametrize(
    ("tunnels", "reported"),
    [
        ("aaa", []),
        ("aab", [("n2", "b", "a, as on n0, n1")]),
        ("ab", [("n0", "a", "b, as on n1"), ("n1", "b", "a, as on n0")]),
        ("aabbc", [
            ("n0", "a", "b, as on n2, n3"), ("n1", "a", "b, as on n2, n3"),
            ("n2", "b", "a, as on n0, n1"), ("n3", "b", "a, as on n0, n1"),
            ("n4", "c", "a, as on n0, n1"),
        ]),
    ],
)  # fmt: skip
def test_the_majority_is_right(tunnels, reported):
    assert [(e.ref.name, e.found, e.others) for e in unlike_tunnels(nodes(*tunnels))] == reported
