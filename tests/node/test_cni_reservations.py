"""Addresses that host-local reserves: which are in use, leaked, and left."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.cni_reservations import Reservations
from wirecheck.snapshot.cni_files import CniConfiguration, CniReservation

DEFAULT, ELSEWHERE = "/var/lib/cni/networks", "/run/cni-ipam-state"
OLD = 4000.0


def held(
    network: str, *addresses: str, age: float = OLD, folder: str = DEFAULT
) -> list[CniReservation]:
    return [CniReservation(network, each, age, folder) for each in addresses]


def conf(network: str = "cbr0", *folders: str, problem: str = "") -> CniConfiguration:
    return CniConfiguration(
        "10-a.conflist", network, ["bridge"], ["host-local"],
        data_folders=list(folders), problem=problem,
    )  # fmt: skip


def reservations(
    small: SmallCluster,
    *every: CniReservation,
    in_force: CniConfiguration | None = None,
    data_folders: list[str] | None = None,
) -> Reservations:
    assert small.document
    assert small.document.cni
    used = [conf() if in_force is None else in_force]
    files = replace(
        small.document.cni,
        configurations=used,
        reservations=list(every),
        data_folders=data_folders,
    )
    small.change_document(cni=files)
    return small.node.cni.reservations


def in_use(found: Reservations) -> list[str]:
    return [each.address for each in found.in_use]


def test_a_network_with_an_address_of_a_pod_is_in_use(small: SmallCluster) -> None:
    found = reservations(
        small, *held("cbr0", "10.244.0.3", "10.244.0.9"), *held("old", "10.244.0.77")
    )

    assert in_use(found) == ["10.244.0.3", "10.244.0.9"]


@pytest.mark.parametrize(
    ("configuration", "folder", "is_in_use"),
    [
        (conf(), DEFAULT, True),
        (conf(""), DEFAULT, True),
        (conf("other"), DEFAULT, False),
        (conf("cbr0"), ELSEWHERE, False),
        (conf("cbr0", ELSEWHERE), ELSEWHERE, True),
        (conf("cbr0", ELSEWHERE), DEFAULT, False),
        (conf("other", ELSEWHERE), ELSEWHERE, False),
        (conf("other", problem="not JSON"), ELSEWHERE, True),
    ],
)
def test_a_network_is_in_use_if_the_configuration_in_force_names_it(
    small: SmallCluster, configuration: CniConfiguration, folder: str, is_in_use: bool
) -> None:
    every = held("cbr0", "10.244.0.99", folder=folder)
    found = reservations(small, *every, in_force=configuration, data_folders=[folder])

    if is_in_use:
        assert in_use(found) == ["10.244.0.99"]
    else:
        with pytest.raises(NotApplicable, match="keeps no addresses of the node's pods"):
            in_use(found)


def test_without_reservations_nothing_is_in_use(small: SmallCluster) -> None:
    assert in_use(reservations(small)) == []


def test_in_old_documents_only_addresses_of_pods_show_it(small: SmallCluster) -> None:
    found = reservations(small, *held("cbr0", "10.244.0.99"))

    with pytest.raises(NotApplicable):
        in_use(found)


@pytest.mark.parametrize(
    ("where", "age", "is_leaked"),
    [
        ("10.244.0.9", 301.0, True),
        ("10.244.0.9", 300.0, False),
        ("10.244.0.3", OLD, False),
        ("fd00__9", OLD, True),
        ("fd00__3", OLD, False),
    ],
)
def test_an_old_reservation_that_no_pod_has_is_leaked(
    small: SmallCluster, where: str, age: float, is_leaked: bool
) -> None:
    small.api["pods"][1]["status"]["podIPs"].append({"ip": "fd00::3"})
    every = [*held("cbr0", "10.244.0.2"), *held("cbr0", where, age=age)]
    found = list(reservations(small, *every).leaked)

    assert [each.file for each in found] == ([where] if is_leaked else [])


def test_a_range_has_three_addresses_that_no_pod_gets(small: SmallCluster) -> None:
    every = [*held("cbr0", "10.244.0.2", "10.244.0.3", "10.244.9.9"), *held("x", "10.244.0.3")]
    ((range_, reserved, usable),) = reservations(small, *every).pools

    assert (str(range_), reserved, usable) == ("10.244.0.0/24", 2, 253)
