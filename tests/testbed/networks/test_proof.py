"""The proof of a network: which faults it has, and its row in the documentation."""

from pathlib import Path

import pytest

from testbed.faults.fault import load_faults
from testbed.file_layout import FILE_LAYOUTS, K3S, KUBEADM
from testbed.networks import page, proof
from testbed.networks.__main__ import shapes
from testbed.networks.page import Proven
from testbed.networks.pod_network import DEFAULT, names, network_named
from testbed.networks.proof import faults_of

FAULTS = load_faults()


@pytest.mark.parametrize("name", names())
def test_every_network_has_faults(name: str):
    assert faults_of(network_named(name), FAULTS)


def test_of_the_default_network_one_fault_of_each_group_is_injected():
    chosen = faults_of(network_named(DEFAULT), FAULTS)

    assert all(fault.smoke for fault in chosen)


def test_faults_name_networks_that_exist():
    assert {name for fault in FAULTS for name in fault.networks} <= set(names())


def test_the_faults_of_other_networks_do_not_happen_on_the_default_one():
    others = {fault.name for fault in FAULTS if DEFAULT not in fault.networks}

    assert "static-route-to-a-node-missing" in others
    assert not others & {fault.name for fault in faults_of(network_named(DEFAULT), FAULTS)}


@pytest.mark.parametrize("name", ["kind", "kube-router", "cilium", "cilium-kube-proxy"])
def test_a_network_that_differs_in_more_than_settings_has_ten_faults(name: str):
    assert len(faults_of(network_named(name), FAULTS)) >= 10


def test_faults_with_k3s_name_none_of_the_files_and_pods_that_it_has_not():
    """Neither kubelet nor kube-proxy has a pod or a file of kubeadm's there."""
    for fault in FAULTS:
        steps = str([fault.target, *fault.inject, *fault.remove])
        elsewhere = ("app=kube-proxy", "daemonset/kube-proxy", " /etc/cni/", "/opt/cni/", " /usr/")
        if K3S.name in fault.layouts:
            assert not [each for each in elsewhere if each in steps], fault.name


def test_faults_name_layouts_that_exist():
    assert {name for fault in FAULTS for name in fault.layouts} <= {f.name for f in FILE_LAYOUTS}


def test_all_networks_are_proven_and_that_of_k3s_with_its_files():
    assert shapes((), KUBEADM) == [*((name, KUBEADM) for name in names()), ("kube-router", K3S)]
    assert shapes(("kind",), KUBEADM) == [("kind", KUBEADM)]
    assert [name for name, _ in shapes((), K3S)] == ["flannel", "flannel-host-gw", "kube-router"]


@pytest.fixture
def documented(tmp_path: Path) -> Path:
    file = tmp_path / "networks.md"
    file.write_text("before\n<!-- networks -->\n<!-- end of networks -->\nafter\n")
    return file


def rows(documented: Path) -> list[str]:
    return [line for line in documented.read_text().splitlines() if line.startswith("| ")][1:]


def test_a_row_has_what_was_measured(documented: Path):
    proven = Proven(network_named("kube-router"), dual_stack=False)
    proven.build_seconds, proven.start_seconds, proven.memory = 390.0, 61.4, "700 MiB, 400 MiB"
    proven.faults = "3 passed, 0 failed"
    page.into_page(documented, proven, "2026-11-30")

    (row,) = rows(documented)
    assert row.startswith("| kube-router | flannel 0.28.10 ")
    assert row.endswith(
        "| 6.5 | 61 | 700 MiB, 400 MiB | 3 passed, 0 failed | healthy in every profile "
        "| 2026-11-30 |"
    )


def test_a_network_that_was_not_healthy_is_not_called_so(documented: Path):
    proven = Proven(network_named("kind"), dual_stack=False, wrong=["a", "b"])
    page.into_page(documented, proven, "2026-11-30")

    (row,) = rows(documented)
    assert "**2 wrong**" in row
    assert "healthy" not in row


def test_other_rows_stay_and_both_shapes_of_a_network_have_their_own(documented: Path):
    for name, dual_stack in (("kind", False), ("flannel", False), ("kind", True)):
        page.into_page(documented, Proven(network_named(name), dual_stack), "2026-11-29")
    page.into_page(documented, Proven(network_named("kind"), dual_stack=False), "2026-11-30")

    assert [(row.split(" | ")[0], row.split(" | ")[-1]) for row in rows(documented)] == [
        ("| flannel", "2026-11-29 |"),
        ("| kind", "2026-11-30 |"),
        ("| kind, dual stack", "2026-11-29 |"),
    ]
    page.into_page(documented, Proven(network_named("kind"), False, files=K3S), "2026-11-30")
    assert rows(documented)[-1].startswith("| kind, k3s | ")
    assert documented.read_text().startswith("before\n")
    assert documented.read_text().endswith("after\n")


def test_memory_is_a_number_and_a_unit(monkeypatch: pytest.MonkeyPatch):
    shown = "wc-cp 1.06GiB / 23GiB\nwc-w1 674.3MiB / 23GiB\nwc-dns 9kB / 23GiB\n"
    monkeypatch.setattr(proof, "run", lambda _: shown)

    assert proof._memory() == "1.06 GiB, 674.3 MiB, unknown"
