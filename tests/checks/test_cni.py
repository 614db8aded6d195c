"""The checks of CNI, each on a cluster where one thing is broken."""

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import WEB_NETNS, SmallCluster
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.cni_files import CniConfiguration, CniReservation, CniToken


def change_files(small: SmallCluster, **fields) -> None:
    small.change_document(cni=replace(small.document.cni, **fields))


def reported(small: SmallCluster, check: str) -> list[tuple[str, str, Level]]:
    return [(e.subject.part, e.found, e.level) for e in small.findings(f"cni.{check}")]


def test_a_node_without_the_agent_is_found(small):
    small.api["pods"][2]["spec"]["nodeName"] = "n2"
    assert reported(small, "agent_ready") == [("flannel", "none", Level.FAIL)]


def test_an_agent_that_is_not_ready_is_found(small):
    small.api["pods"][2]["status"]["conditions"] = []
    (finding,) = small.findings("cni.agent_ready")
    assert (finding.subject.name, finding.found) == ("flannel", "not Ready")


def test_an_agent_that_is_ready_or_terminating_is_not_a_finding(small):
    assert not small.findings("cni.agent_ready")

    agent = small.api["pods"][2]
    agent["status"]["conditions"] = []
    agent["metadata"]["deletionTimestamp"] = "2026-11-23T00:00:00Z"
    assert not small.findings("cni.agent_ready")


def test_plugins_that_no_daemonset_brings_are_skipped(small):
    del small.api["pods"][2]
    with pytest.raises(NotApplicable, match="no DaemonSet"):
        small.findings("cni.agent_ready")


def test_a_second_configuration_warns(small):
    first = small.document.cni.configurations
    change_files(small, configurations=[*first, CniConfiguration("87-podman.conflist", "podman")])

    assert reported(small, "single_config") == [
        ("87-podman.conflist", "a second configuration, of network podman", Level.WARN)
    ]


def test_a_configuration_that_is_not_understood_is_found(small):
    broken = CniConfiguration("10-flannel.conflist", problem="ValueError: Expecting value")
    change_files(small, configurations=[broken])
    assert reported(small, "single_config") == [
        ("10-flannel.conflist", "ValueError: Expecting value", Level.FAIL)
    ]


def test_no_configuration_at_all_is_found(small):
    change_files(small, configurations=[])
    assert reported(small, "single_config") == [("/etc/cni/net.d", "none", Level.FAIL)]


@pytest.mark.parametrize("plugin", ["portmap", "host-local"])
def test_a_missing_program_is_found(small, plugin):
    change_files(small, binaries=[e for e in small.document.cni.binaries if e != plugin])

    ((part, _, _),) = reported(small, "plugins_present")
    assert part == f"/opt/cni/bin/{plugin}"


def test_an_address_that_no_pod_has_warns(small):
    small.api["pods"].pop(1)
    small.change_netns(WEB_NETNS, addresses=[])

    assert reported(small, "no_leaked_addresses") == [
        ("cbr0 10.244.0.3", "none: the reservation is leaked", Level.WARN)
    ]


def test_an_address_that_was_just_taken_may_wait_for_its_pod(small):
    held = [*small.document.cni.reservations, CniReservation("cbr0", "10.244.0.9", 100.0)]
    change_files(small, reservations=held)
    assert not reported(small, "no_leaked_addresses")


@pytest.mark.parametrize(("held", "level"), [(200, None), (210, Level.WARN), (250, Level.FAIL)])
def test_a_range_that_runs_out_is_found(small, held, level):
    taken = [CniReservation("cbr0", f"10.244.0.{n}", 4000.0) for n in range(2, 2 + held)]
    change_files(small, reservations=taken)

    assert [each[2] for each in reported(small, "addresses_available")] == (
        [level] if level else []
    )


def test_folders_elsewhere_are_skipped(small):
    change_files(small, configurations=None)
    with pytest.raises(NotApplicable, match="another directory"):
        small.findings("cni.single_config")


def test_a_document_of_an_older_program_is_skipped_and_a_failure_is_not(small):
    small.change_document(cni=None)
    with pytest.raises(NotApplicable, match="older version"):
        small.findings("cni.plugins_present")

    small.change_document(problems=["CNI files: PermissionError: no."])
    with pytest.raises(FactMissingError, match="PermissionError"):
        small.findings("cni.plugins_present")


@pytest.mark.parametrize(
    ("left", "found", "level"),
    [
        (30, "30 minutes", Level.WARN),
        (-90, "expired 90 minutes ago", Level.FAIL),
    ],
)
def test_a_token_that_ends_is_found(small, left, found, level):
    expires = small.document.finished + 60 * left
    change_files(small, tokens=[CniToken("calico-kubeconfig", expires)])

    assert reported(small, "token_valid") == [("calico-kubeconfig", found, level)]


def test_plugins_without_a_token_are_skipped(small):
    change_files(small, tokens=[])
    with pytest.raises(NotApplicable, match="no CNI plugin"):
        small.findings("cni.token_valid")
