"""The CNI plugins of one node: what its files mean where the runtime's folders are unknown."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.findings import Level, NotApplicable
from wirecheck.node.cni import Cni, MissingProgram
from wirecheck.snapshot.cni_files import CniConfiguration, CniRuntime, CniToken

FLANNEL = CniConfiguration("10-flannel.conflist", "cbr0", ["flannel", "portmap"])
BRIDGE = CniConfiguration("20-bridge.conflist", "podman", ["bridge"])
LO = CniConfiguration("00-lo.conf", "lo", ["loopback"])
MULTUS = CniConfiguration("00-multus.conf", "multus", ["multus"])
DAMAGED = CniConfiguration("15-damaged.conf", problem="not JSON")
CRIO = CniRuntime("crio", "/etc/cni/net.d", ["/opt/cni/bin", "/usr/libexec/cni"])


def cni(small: SmallCluster, **fields: Any) -> Cni:
    assert small.document
    assert small.document.cni
    small.change_document(cni=replace(small.document.cni, **fields))
    return small.node.cni


def problems(found: Cni) -> list[tuple[str, Level, str]]:
    return [(each.part, each.level, each.key) for each in found.configuration_problems]


@pytest.mark.parametrize(
    ("folders", "text"),
    [
        (("/a",), ""),
        (("/a", "/b"), ", and none in /b"),
        (("/a", "/b", "/c"), ", and none in /b or /c"),
    ],
)
def test_the_other_folders_of_a_missing_program_are_named(
    folders: tuple[str, ...], text: str
) -> None:
    assert MissingProgram("10-a.conflist", "bridge", folders).elsewhere == text


@pytest.mark.parametrize(
    ("runtime", "folder"),
    [
        (None, "/etc/cni/net.d"),
        (CniRuntime("crio", "/var/cni", ["/opt/cni/bin"]), "/var/cni"),
        (CniRuntime("crio", "/var/cni", ["/opt/cni/bin"], "not TOML"), "/etc/cni/net.d"),
    ],
)
def test_the_folder_is_the_runtimes_if_its_configuration_was_read(
    small: SmallCluster, runtime: CniRuntime | None, folder: str
) -> None:
    found = cni(small, runtime=runtime, configurations=None)

    assert found.folder == folder
    with pytest.raises(NotApplicable, match=f"{folder} does not exist"):
        _ = found.configurations


@pytest.mark.parametrize(
    ("listed", "program", "found"),
    [
        ([FLANNEL], "containerd", []),
        ([LO, FLANNEL], "containerd", [(LO.file, Level.FAIL, "")]),
        ([FLANNEL, LO], "containerd", []),
        ([LO], "containerd", [("/etc/cni/net.d", Level.FAIL, "")]),
        ([DAMAGED, FLANNEL], "containerd", [(DAMAGED.file, Level.FAIL, ""),
                                            (FLANNEL.file, Level.WARN, "second")]),
        ([DAMAGED, FLANNEL], "crio", [(DAMAGED.file, Level.WARN, ""),
                                      (FLANNEL.file, Level.WARN, "second")]),
        ([DAMAGED], "crio", [(DAMAGED.file, Level.FAIL, "")]),
        ([FLANNEL, DAMAGED], "containerd", [(DAMAGED.file, Level.WARN, "")]),
        ([FLANNEL, DAMAGED, BRIDGE], "containerd", [(DAMAGED.file, Level.WARN, ""),
                                                    (BRIDGE.file, Level.WARN, "second")]),
        ([MULTUS, FLANNEL], "containerd", []),
        ([MULTUS, FLANNEL, BRIDGE], "containerd", [(BRIDGE.file, Level.WARN, "second")]),
        ([MULTUS, FLANNEL, replace(BRIDGE, network="cbr0")], "containerd", []),
        ([FLANNEL, replace(BRIDGE, network="cbr0")], "containerd",
         [(BRIDGE.file, Level.WARN, "second")]),
    ],
)  # fmt: skip
def test_configurations_that_the_runtime_does_not_use_are_problems(
    small: SmallCluster,
    listed: list[CniConfiguration],
    program: str,
    found: list[tuple[str, Level, str]],
) -> None:
    runtime = replace(CRIO, program=program)

    assert problems(cni(small, configurations=listed, runtime=runtime)) == found


UNKNOWN = {"runtime": None, "data_folders": None}


@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize(
    ("listed", "binaries", "match"),
    [
        ([FLANNEL, BRIDGE], ["bridge"], "the programs of 10-flannel.conflist are not in"),
        ([FLANNEL, BRIDGE], None, "the programs of 10-flannel.conflist are not in"),
        ([FLANNEL, BRIDGE], ["portmap"], ""),
        ([BRIDGE, FLANNEL], ["bridge"], ""),
    ],
)
def test_a_surplus_configuration_is_no_problem_in_a_folder_that_is_not_the_runtimes(
    small: SmallCluster,
    listed: list[CniConfiguration],
    binaries: list[str] | None,
    match: str,
    is_known: bool,
) -> None:
    fields: dict[str, Any] = {"runtime": CRIO} if is_known else UNKNOWN
    found = cni(small, configurations=listed, binaries=binaries, **fields)

    if match and not is_known:
        with pytest.raises(NotApplicable, match=match):
            problems(found)
    else:
        assert len(problems(found)) == 1


@pytest.mark.parametrize(
    ("agent", "listed", "is_known", "is_other"),
    [
        ("ovnkube-node", [BRIDGE, FLANNEL], False, True),
        ("ovnkube-node", [BRIDGE, FLANNEL], True, False),
        ("ovnkube-node", [BRIDGE], False, False),
        ("ovnkube-node", [FLANNEL, BRIDGE], False, False),
        ("kube-flannel-ds", [BRIDGE, FLANNEL], False, False),
    ],
)
def test_a_bridge_contradicts_a_plugin_that_has_none(
    small: SmallCluster,
    agent: str,
    listed: list[CniConfiguration],
    is_known: bool,
    is_other: bool,
) -> None:
    small.api["pods"][2]["metadata"]["ownerReferences"][0]["name"] = agent
    fields: dict[str, Any] = {"runtime": CRIO} if is_known else UNKNOWN
    found = cni(small, configurations=listed, binaries=["bridge", "flannel"], **fields)

    if is_other:
        with pytest.raises(NotApplicable, match="is not a configuration of OVN-Kubernetes"):
            problems(found)
    else:
        assert len(problems(found)) == len(listed) - 1


def missing(found: Cni) -> list[str]:
    return [each.plugin for each in found.missing_programs]


@pytest.mark.parametrize(
    ("binaries", "version", "is_certain"),
    [
        (["flannel", "loopback"], "containerd://1.7", True),
        (["flannel"], "containerd://1.7", False),
        (["loopback", "bridge"], "containerd://1.7", False),
        (["flannel", "loopback"], "cri-o://1.30", False),
    ],
)
def test_a_program_is_missing_where_others_show_that_the_folder_is_the_runtimes(
    small: SmallCluster, binaries: list[str], version: str, is_certain: bool
) -> None:
    small.api["nodes"][0]["status"]["nodeInfo"]["containerRuntimeVersion"] = version
    found = cni(small, configurations=[FLANNEL], binaries=binaries, **UNKNOWN)

    if is_certain:
        assert missing(found) == ["portmap"]
    else:
        with pytest.raises(NotApplicable, match="another plugin directory"):
            missing(found)


def test_each_missing_program_is_found_once_with_the_first_configuration(
    small: SmallCluster,
) -> None:
    calling = replace(MULTUS, plugins=["multus", "portmap"])
    found = cni(small, configurations=[calling, FLANNEL], binaries=["multus"], runtime=CRIO)
    every = list(found.missing_programs)

    assert [(each.configuration, each.plugin) for each in every] == [
        (MULTUS.file, "portmap"),
        (FLANNEL.file, "flannel"),
    ]
    assert every[0].folders == tuple(CRIO.plugin_folders)


def test_without_a_folder_or_a_configuration_no_program_is_missing(small: SmallCluster) -> None:
    assert missing(cni(small, configurations=[], binaries=[])) == []
    with pytest.raises(NotApplicable, match="/opt/cni/bin does not exist"):
        missing(cni(small, configurations=[FLANNEL], binaries=None, runtime=None))


def test_only_tokens_that_a_configuration_in_force_names_count(small: SmallCluster) -> None:
    assert small.document
    end = small.document.finished
    used = replace(FLANNEL, kubeconfigs=["/etc/cni/net.d/own.kubeconfig"])
    tokens = [CniToken("old.kubeconfig", end), CniToken("own.kubeconfig", end + 90)]
    found = cni(small, configurations=[used], tokens=tokens)

    assert [(each.file, each.minutes_left) for each in found.tokens] == [("own.kubeconfig", 1.5)]
    with pytest.raises(NotApplicable, match=r"does not name old\.kubeconfig"):
        _ = cni(small, tokens=tokens[:1]).tokens
    with pytest.raises(NotApplicable, match="no CNI plugin has a kubeconfig"):
        _ = cni(small, tokens=None).tokens


def test_a_node_without_reservations_does_not_use_host_local(small: SmallCluster) -> None:
    with pytest.raises(NotApplicable, match="host-local does not assign addresses"):
        _ = cni(small, reservations=None).reservations


@pytest.mark.parametrize(
    ("status", "has_pods", "is_unknown"),
    [("True", True, True), ("True", False, False), ("False", True, False)],
)
def test_an_empty_default_folder_counts_where_the_node_has_no_network(
    small: SmallCluster, status: str, has_pods: bool, is_unknown: bool
) -> None:
    message = "NetworkReady=false reason:NetworkPluginNotReady message:cni not initialized"
    ready = {"type": "Ready", "status": status, "message": "" if status == "True" else message}
    small.api["nodes"][0]["status"]["conditions"] = [ready]
    if not has_pods:
        small.api["pods"] = small.api["pods"][2:]
    found = cni(small, configurations=[], **UNKNOWN)

    if is_unknown:
        with pytest.raises(NotApplicable, match="another directory"):
            problems(found)
    else:
        assert len(problems(found)) == 1
