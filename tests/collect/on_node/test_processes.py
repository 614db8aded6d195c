"""cgroup paths as kubelet, the runtimes and both drivers write them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from wirecheck.collect.on_node.processes import find_pods, mounted_namespaces, netns_of

UID = "0107dcf0-3f54-4b2a-99e8-32c41d75e368"
SLICE = UID.replace("-", "_")
STATIC = "4a9c533236cbb6412010878917384da8"
ID = "9" * 64

SAMPLES = {
    "containerd, systemd, v2": (
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE}.slice/"
        f"cri-containerd-{ID}.scope",
        [(UID, "containerd")],
    ),
    "containerd, systemd, v2, guaranteed": (
        f"0::/kubepods.slice/kubepods-pod{SLICE}.slice/cri-containerd-{ID}.scope",
        [(UID, "containerd")],
    ),
    "containerd, cgroupfs, v1": (
        f"11:pids:/kubepods/besteffort/pod{UID}/{ID}\n1:name=systemd:/kubepods/besteffort/pod{UID}/"
        f"{ID}\n0::/",
        [(UID, "")],
    ),
    "cgroupfs, guaranteed": (f"0::/kubepods/pod{UID}/{ID}", [(UID, "")]),
    "containerd, cgroupfs names below a systemd service": (
        f"0::/system.slice/containerd.service/kubepods-burstable-pod{SLICE}.slice:"
        f"cri-containerd:{ID}",
        [(UID, "containerd")],
    ),
    "CRI-O, systemd": (
        f"0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SLICE}.slice/"
        f"crio-{ID}.scope/container",
        [(UID, "crio")],
    ),
    "CRI-O's monitor in the pod's cgroup": (
        f"0::/kubepods.slice/kubepods-pod{SLICE}.slice/crio-conmon-{ID}.scope",
        [],
    ),
    "Docker, systemd": (
        f"5:cpu:/\n4:memory:/kubepods.slice/kubepods-burstable.slice/"
        f"kubepods-burstable-pod{SLICE}.slice/docker-{ID}.scope",
        [(UID, "docker")],
    ),
    "Docker, cgroupfs": (f"4:memory:/kubepods/burstable/pod{UID}/{ID}", [(UID, "")]),
    "kind: a prefix before kubepods": (
        f"0::/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
        f"kubelet-kubepods-besteffort-pod{SLICE}.slice/cri-containerd-{ID}.scope",
        [(UID, "containerd")],
    ),
    "kind, cgroupfs": (f"0::/kubelet/kubepods/burstable/pod{UID}/{ID}", [(UID, "")]),
    "a node that is a container, seen from outside": (
        f"0::/docker/{ID}/kubepods/burstable/pod{UID}/{ID}",
        [(UID, "")],
    ),
    "static pod": (
        f"0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/"
        f"cri-containerd-{ID}.scope",
        [(STATIC, "containerd")],
    ),
    "kubelet itself": ("0::/system.slice/kubelet.service", []),
    "a podman pod": (f"0::/machine.slice/libpod-{ID}.scope", []),
    "a directory of someone else": (f"0::/backup/pod{UID}/x", []),
    "no cgroup": ("", []),
}


@pytest.mark.parametrize(("cgroups", "pods"), SAMPLES.values(), ids=SAMPLES)
def test_finds_the_pod(cgroups: str, pods: list[tuple[str, str]]) -> None:
    assert find_pods(cgroups) == pods


def test_a_cluster_inside_a_pod_names_both() -> None:
    inner = "ffffffff-3f54-4b2a-99e8-32c41d75e368"
    path = f"0::/kubepods/burstable/pod{UID}/{ID}/kubepods/besteffort/pod{inner}/{ID}"

    assert [uid for uid, _ in find_pods(path)] == [UID, inner]


def test_a_process_that_entered_the_nodes_netns_does_not_decide() -> None:
    assert netns_of({1: [10, 11], 2: [12]}, host=1) == 2
    assert netns_of({1: [10]}, host=1) == 1


def test_the_netns_of_the_process_that_started_first_is_the_pods() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as later:
        assert netns_of({7: [later.pid], 8: [os.getpid()]}, host=1) == 8
        later.kill()


def test_finds_mounted_namespaces(tmp_path: Path) -> None:
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(
        "22 1 254:1 / / rw - ext4 /dev/vda rw\n"
        "700 22 0:4 net:[4026532539] /run/netns/cni-532ee587 rw shared:1 - nsfs nsfs rw\n"
        "701 22 0:4 net:[4026532539] /var/run/netns/cni-532ee587 rw - nsfs nsfs rw\n"
        "702 22 0:4 mnt:[4026532540] /run/snapd/ns/x.mnt rw - nsfs nsfs rw\n"
        "703 22 0:4 net:[4026532541] /run/with\\040space rw - nsfs nsfs rw\n"
    )

    assert mounted_namespaces(str(mountinfo)) == {
        4026532539: "/run/netns/cni-532ee587",
        4026532541: "/run/with space",
    }
