"""Which CNI configurations are in force, and what they need."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.node.cni_configuration import (
    in_force,
    is_loopback,
    is_meta,
    names_kubeconfig,
    programs_of,
    types_in_force,
)
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles


def conf(name: str, *plugins: str, **fields: Any) -> CniConfiguration:
    return CniConfiguration(name, plugins=list(plugins), **fields)


FLANNEL, CALICO = conf("20-flannel", "flannel", "portmap"), conf("10-calico", "calico")
MULTUS, LO = conf("00-multus", "multus"), conf("05-lo", "loopback")
DAMAGED = conf("07-damaged", problem="not JSON")
CALLING = conf("00-multus", "multus-shim", calls="20-flannel")
HOLDING = conf("00-own", "own", delegates=[FLANNEL])


@pytest.mark.parametrize(
    ("listed", "used"),
    [
        (None, []),
        ([], []),
        ([FLANNEL, CALICO], [FLANNEL]),
        ([MULTUS], [MULTUS]),
        ([MULTUS, FLANNEL, CALICO], [MULTUS, FLANNEL]),
        ([MULTUS, LO, DAMAGED, CALLING, CALICO], [MULTUS, CALICO]),
        ([CALLING, CALICO, FLANNEL], [CALLING, FLANNEL]),
        ([CALLING, CALICO], [CALLING, CALICO]),
        ([HOLDING, CALICO], [HOLDING, FLANNEL]),
    ],
)
def test_the_first_configuration_is_in_force_and_what_it_calls(
    listed: list[CniConfiguration] | None, used: list[CniConfiguration]
) -> None:
    assert in_force(CniFiles(listed)) == tuple(used)


def test_a_configuration_outside_of_the_folder_is_called_first() -> None:
    files = CniFiles([MULTUS, CALICO], delegated=[FLANNEL])

    assert in_force(files) == (MULTUS, FLANNEL)
    assert types_in_force(files) == ("multus", "flannel", "portmap")


def test_a_configuration_that_calls_others_is_recognised_by_its_plugin_or_by_them() -> None:
    assert is_meta(MULTUS)
    assert is_meta(HOLDING)
    assert not is_meta(FLANNEL)


def test_only_a_configuration_of_loopback_alone_sets_up_lo_alone() -> None:
    assert is_loopback(LO)
    assert not is_loopback(conf("x", "loopback", "bridge"))
    assert not is_loopback(DAMAGED)


@pytest.mark.parametrize(
    ("plugins", "ipam", "programs"),
    [
        (["bridge", "portmap"], ["host-local"], ("bridge", "portmap", "host-local")),
        (["flannel"], ["host-local"], ("flannel",)),
        (["azure-vnet", "bridge"], ["azure-cns"], ("azure-vnet", "bridge")),
        (["ptp", "ptp"], ["dhcp", "dhcp"], ("ptp", "dhcp")),
    ],
)
def test_each_program_is_needed_once(
    plugins: list[str], ipam: list[str], programs: tuple[str, ...]
) -> None:
    assert programs_of(conf("x", *plugins, ipam=ipam)) == programs


@pytest.mark.parametrize(
    ("path", "is_named", "expected"),
    [
        ("/etc/cni/net.d/calico-kubeconfig", True, True),
        ("calico-kubeconfig", True, True),
        ("/etc/cni/net.d/old-calico-kubeconfig", True, False),
        ("/etc/cni/net.d/other", True, False),
        ("/etc/cni/net.d/other", False, True),
    ],
)
def test_a_kubeconfig_is_used_if_it_is_named_or_has_the_plugins_name(
    path: str, is_named: bool, expected: bool
) -> None:
    used = conf("10-calico", "calico", kubeconfigs=[path])

    assert names_kubeconfig(used, "calico-kubeconfig", is_named) is expected


def test_without_paths_the_name_of_the_plugin_or_its_ipam_decides() -> None:
    used = conf("x", "", "ptp", ipam=["calico-ipam"])

    assert names_kubeconfig(used, "calico-ipam.kubeconfig", is_named=False)
    assert not names_kubeconfig(used, "multus.d/multus.kubeconfig", is_named=False)
