"""services.* on nodes where Cilium forwards, with the eBPF maps of the same moment."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.changed_recordings import Document, found, items
from tests.test_network_recordings import FOLDER
from wirecheck.catalogue.findings import Outcome

OF_MAPS = (
    *("services.rules_reachable", "services.frontends_programmed", "services.no_stale_frontends"),
    *("services.refused_or_dropped", "services.backends_programmed", "services.no_stale_backends"),
    *("services.even_weights", "services.session_affinity", "services.source_ranges"),
)
OF_RULES = ("services.masquerade", "services.not_shadowed", "services.health_check_ports_open")
AGREE = "services.nodes_agree"
BESIDE = ("beside-kube-proxy", "beside-kube-proxy-entry-deleted")
MakeRecording = Callable[..., Path]


@pytest.mark.parametrize("recording", ["healthy", "dual-stack", "beside-kube-proxy"])
def test_healthy_nodes_pass_and_are_evaluated(with_maps: MakeRecording, recording: str) -> None:
    results = items(with_maps(recording), *OF_MAPS, AGREE)
    assert {each.outcome for each in results} == {Outcome.PASS}
    reasons = {why for each in results for why in each.unjudged}
    third_party = "unrecognised third-party rules that change no Service's path"
    assert reasons == ({third_party} if recording in BESIDE else set())


def test_what_maps_do_not_show_is_not_evaluated_by_them(with_maps: MakeRecording) -> None:
    results = items(with_maps("healthy"), *OF_RULES)
    assert {each.outcome for each in results} == {Outcome.SKIP}


def test_masquerading_beside_kube_proxy_is_inconclusive_for_pods(with_maps: MakeRecording) -> None:
    results = items(with_maps("beside-kube-proxy"), "services.masquerade")
    (reason,) = {why for each in results for why in each.unjudged}
    assert reason.endswith("do not show masquerading")


@pytest.mark.parametrize("recording", ["entry-deleted", "beside-kube-proxy-entry-deleted"])
def test_a_deleted_entry_fails_on_its_node_only(with_maps: MakeRecording, recording: str) -> None:
    results = items(with_maps(recording), *OF_MAPS)
    failed = {(each.check, each.node) for each in results if each.outcome is Outcome.FAIL}
    assert failed == {("services.frontends_programmed", "td-w1")}
    (finding,) = (f for each in results for f in each.findings)
    assert finding.object.name == "web"
    assert "10.96.107.131:80/tcp" in str(finding.object)
    assert "pods on this node" in finding.expected
    assert "delete pod cilium-" in finding.remedy
    where = "pod's device" if recording in BESIDE else "never on the wire"
    assert where in finding.evidence[-1]


def test_nodes_disagree_where_one_lacks_an_entry(with_maps: MakeRecording) -> None:
    (result,) = items(with_maps("entry-deleted"), AGREE)
    assert result.outcome is Outcome.WARN
    assert "td-w1: not handled" in result.findings[0].found


def test_a_stopped_agent_is_seen_by_its_stale_backends(with_maps: MakeRecording) -> None:
    results = items(with_maps("agent-stopped"), *OF_MAPS)
    failed = {(each.check, each.node) for each in results if each.outcome is Outcome.FAIL}
    assert failed == {
        ("services.no_stale_backends", "td-w1"),
        ("services.backends_programmed", "td-w1"),
    }


def test_an_empty_map_is_one_finding(with_maps: MakeRecording) -> None:
    def empty(name: str, document: Document) -> None:
        if name == "td-w1":
            for each in document["ebpf"]["maps"]:
                each.pop("entries", None)
                each.pop("count", None)

    results = items(with_maps("healthy", empty), *OF_MAPS)
    reachable = next(each for each in results if (each.check, each.node) == (OF_MAPS[0], "td-w1"))
    assert reachable.outcome is Outcome.FAIL
    assert "frontends of" in reachable.findings[0].expected
    assert "delete pod cilium-" in reachable.findings[0].remedy


def _without_maps(reason: str) -> Callable[[str, Document], None]:
    def change(_: str, document: Document) -> None:
        document["ebpf"] = {"byte_order": "little", "problem": reason}

    return change


@pytest.mark.parametrize("recording", ["healthy", "beside-kube-proxy"])
def test_maps_that_cannot_be_read_are_an_error_with_the_reason(
    with_maps: MakeRecording, recording: str
) -> None:
    folder = with_maps(recording, _without_maps("/sys/fs/bpf/tc/globals: No such file"))
    results = items(folder, *OF_MAPS)
    assert {each.outcome for each in results} == {Outcome.ERROR}
    assert all("No such file" in each.reason for each in results)


def test_a_stage_that_failed_is_an_error(with_maps: MakeRecording) -> None:
    def change(_: str, document: Document) -> None:
        del document["ebpf"]
        document["problems"] = ["eBPF maps: OSError: broken."]

    results = items(with_maps("healthy", change), "services.frontends_programmed")
    assert {each.outcome for each in results} == {Outcome.ERROR}
    assert all("OSError: broken" in each.reason for each in results)


def test_a_map_of_an_unknown_version_is_an_error_that_names_it(with_maps: MakeRecording) -> None:
    def change(_: str, document: Document) -> None:
        for each in document["ebpf"]["maps"]:
            if each["name"] == "cilium_lb4_services_v2":
                each["name"] = "cilium_lb4_services_v7"

    results = items(with_maps("healthy", change), "services.frontends_programmed")
    assert {each.outcome for each in results} == {Outcome.ERROR}
    words = ("cilium_lb4_services_v7", "keys of 12 bytes", "values of 12 bytes")
    assert all(word in each.reason for each in results for word in words)


def test_a_recording_without_maps_stays_as_it_was() -> None:
    results = items(FOLDER / "cilium-healthy", *OF_MAPS)
    assert {each.outcome for each in results} == {Outcome.SKIP}


def test_a_redirect_makes_one_frontend_inconclusive(with_maps: MakeRecording) -> None:
    """The flag of CiliumLocalRedirectPolicy, in the high byte of the entry of the cluster's DNS."""

    def change(_: str, document: Document) -> None:
        for each in document["ebpf"]["maps"]:
            if each["name"] == "cilium_lb4_services_v2":
                data = bytearray(base64.b64decode(each["entries"]))
                for at in range(0, len(data), 24):
                    is_dns = data[at : at + 4] == bytes([10, 96, 0, 10])
                    if is_dns and data[at + 4 : at + 8] == bytes([0, 53, 0, 0]):
                        data[at + 21] |= 1
                each["entries"] = base64.b64encode(bytes(data)).decode()

    folder = with_maps("healthy", change)
    assert found(folder, *OF_MAPS) == []
    (result, *_) = items(folder, "services.frontends_programmed")
    assert [why for why in result.unjudged if "CiliumLocalRedirectPolicy" in why]


def test_a_family_of_which_no_map_is_pinned_is_an_error(with_maps: MakeRecording) -> None:
    def change(_: str, document: Document) -> None:
        maps = document["ebpf"]["maps"]
        document["ebpf"]["maps"] = [each for each in maps if "_lb6_" not in each["name"]]

    results = items(with_maps("dual-stack", change), *OF_MAPS)
    assert {each.outcome for each in results} == {Outcome.ERROR}
    assert all("no eBPF map of IPv6 is pinned" in each.reason for each in results)
    assert found(with_maps("healthy", change), *OF_MAPS) == []
