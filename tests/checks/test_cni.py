"""The checks of CNI, each on a cluster where one thing is broken."""

from copy import deepcopy

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import WEB_NETNS, SmallCluster
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.cni_files import CniConfiguration, CniReservation, CniRuntime, CniToken


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


@pytest.mark.parametrize(
    ("held", "level"), [(202, None), (203, Level.WARN), (240, Level.WARN), (241, Level.FAIL)]
)
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
        (59.9, "60 minutes", Level.WARN),
        (0.5, "0 minutes", Level.WARN),
        (-90, "expired 90 minutes ago", Level.FAIL),
    ],
)
def test_a_token_that_ends_is_found(small, left, found, level):
    expires = small.document.finished + 60 * left
    change_files(small, tokens=[CniToken("calico-kubeconfig", expires)])

    assert reported(small, "token_valid") == [("calico-kubeconfig", found, level)]


def test_a_token_for_another_hour_is_not_a_finding(small):
    change_files(small, tokens=[CniToken("calico-kubeconfig", small.document.finished + 3600)])

    assert reported(small, "token_valid") == []


def test_plugins_without_a_token_are_skipped(small):
    change_files(small, tokens=[])
    with pytest.raises(NotApplicable, match="no CNI plugin"):
        small.findings("cni.token_valid")


OLD = {"runtime": None, "data_folders": None}
"""Documents of older programs: the default folders only, and no paths of configurations."""
FLANNEL_CONFLIST = CniConfiguration("10-flannel.conflist", "cbr0", ["flannel", "portmap"])
MULTUS = CniConfiguration("00-multus.conf", "multus-cni-network", ["multus-shim"])


def warned(small: SmallCluster) -> list[str]:
    return [each.subject.part for each in small.findings("cni.single_config")]


@pytest.mark.parametrize(
    ("listed", "surplus"),
    [
        ([MULTUS, FLANNEL_CONFLIST], []),
        ([MULTUS, CniConfiguration("87-podman.conflist", "podman", ["bridge"])], []),
        (
            [
                MULTUS,
                FLANNEL_CONFLIST,
                CniConfiguration("87-podman.conflist", "podman", ["bridge"]),
            ],
            ["87-podman.conflist"],
        ),
        (
            [
                replace(MULTUS, calls="10-flannel.conflist"),
                CniConfiguration("05-other.conflist", "other", ["bridge"]),
                FLANNEL_CONFLIST,
            ],
            ["05-other.conflist"],
        ),
        ([replace(MULTUS, delegates=[replace(FLANNEL_CONFLIST, file="00-multus.conf")])], []),
        (
            [
                replace(MULTUS, delegates=[replace(FLANNEL_CONFLIST, file="00-multus.conf")]),
                FLANNEL_CONFLIST,
            ],
            [],
        ),
        ([FLANNEL_CONFLIST, CniConfiguration("99-loopback.conf", "", ["loopback"])], []),
        ([FLANNEL_CONFLIST, CniConfiguration("200-loopback.conflist", "lo", ["loopback"])], []),
        ([FLANNEL_CONFLIST, MULTUS], ["00-multus.conf"]),
    ],
)
def test_only_configurations_that_nothing_uses_are_surplus(small, listed, surplus):
    change_files(small, configurations=listed, binaries=["flannel", "multus-shim", "bridge"])

    assert warned(small) == surplus


def test_a_configuration_for_lo_alone_is_no_network(small):
    loopback = CniConfiguration("99-loopback.conf", "", ["loopback"])
    change_files(small, configurations=[loopback])
    assert reported(small, "single_config") == [
        ("/etc/cni/net.d", "99-loopback.conf only, which sets up lo", Level.FAIL)
    ]

    change_files(small, configurations=[replace(loopback, file="00-lo.conf"), FLANNEL_CONFLIST])
    assert reported(small, "single_config") == [
        ("00-lo.conf", "a configuration that sets up lo only", Level.FAIL)
    ]


@pytest.mark.parametrize(
    ("program", "place", "level"),
    [("containerd", 0, Level.FAIL), ("crio", 0, Level.WARN), ("containerd", 1, Level.WARN)],
)
def test_an_invalid_file_counts_where_the_runtime_reads_it(small, program, place, level):
    broken = CniConfiguration("05-broken.conflist", problem="ValueError: Expecting value")
    listed = [FLANNEL_CONFLIST]
    listed.insert(place, broken)
    runtime = replace(small.document.cni.runtime, program=program)
    change_files(small, configurations=listed, runtime=runtime)

    found = {part: at for part, _, at in reported(small, "single_config")}
    assert found["05-broken.conflist"] is level


def test_an_empty_default_folder_is_not_the_runtimes_if_pods_have_a_network(small):
    change_files(small, configurations=[], **OLD)
    with pytest.raises(NotApplicable, match="another directory"):
        small.findings("cni.single_config")

    small.api["nodes"][0]["status"]["conditions"] = [
        {
            "type": "Ready",
            "status": "False",
            "message": "NetworkReady=false reason:NetworkPluginNotReady message:cni plugin not "
            "initialized",
        }
    ]
    assert reported(small, "single_config") == [("/etc/cni/net.d", "none", Level.FAIL)]


def test_two_examples_in_the_default_folder_are_not_in_force_without_their_programs(small):
    examples = [
        CniConfiguration("100-crio-bridge.conflist", "crio", ["bridge"], ["host-local"]),
        CniConfiguration("87-podman.conflist", "podman", ["bridge"], ["host-local"]),
    ]
    change_files(small, configurations=examples, binaries=None, **OLD)

    with pytest.raises(NotApplicable, match="other directories"):
        small.findings("cni.single_config")


def test_programs_are_looked_for_in_every_folder_of_the_runtime(small):
    runtime = CniRuntime("crio", "/etc/cni/net.d", ["/opt/cni/bin", "/usr/libexec/cni"])
    change_files(small, binaries=["bridge", "host-local"], runtime=runtime)

    (finding,) = small.findings("cni.plugins_present")
    assert finding.subject.part == "/opt/cni/bin/portmap"
    assert finding.found == "no executable file, and none in /usr/libexec/cni"


@pytest.mark.parametrize("present", [["bridge"], ["bridge", "host-local"], ["istio-cni"], []])
def test_programs_may_be_in_a_folder_that_was_not_read(small, present):
    change_files(small, binaries=present, **OLD)

    with pytest.raises(NotApplicable, match="another plugin directory"):
        small.findings("cni.plugins_present")


def test_a_program_is_missing_where_the_runtimes_own_ones_are(small):
    change_files(small, binaries=["bridge", "host-local", "loopback"], **OLD)
    assert len(small.findings("cni.plugins_present")) == 1

    # CRI-O searches several folders, and the recording has one of them.
    small.api["nodes"][0]["status"]["nodeInfo"]["containerRuntimeVersion"] = "cri-o://1.29.1"
    with pytest.raises(NotApplicable, match="another plugin directory"):
        small.findings("cni.plugins_present")


@pytest.mark.parametrize(
    ("plugins", "ipam", "missing"),
    [
        (["azure-vnet", "portmap"], ["azure-cns"], []),
        (["azure-vnet", "portmap"], ["azure-vnet-ipam"], []),
        (["antrea", "portmap"], ["host-local"], []),
        (["cilium-cni"], ["azure-cns"], []),
        (["macvlan"], ["whereabouts"], ["whereabouts"]),
        (["calico", "portmap"], ["calico-ipam"], ["calico-ipam"]),
    ],
)
def test_not_every_type_of_ipam_is_a_program(small, plugins, ipam, missing):
    configuration = CniConfiguration("10.conflist", "k8s", plugins, ipam)
    change_files(small, configurations=[configuration], binaries=[*plugins, "loopback"])

    found = [part.rpartition("/")[2] for part, _, _ in reported(small, "plugins_present")]
    assert found == missing


def test_the_programs_of_a_delegate_outside_of_the_folder_count(small):
    multus = replace(MULTUS, calls="10-ovn.conf")
    ovn = CniConfiguration("10-ovn.conf", "ovn", ["ovn-k8s-cni-overlay"])
    change_files(small, configurations=[multus], delegated=[ovn], binaries=["multus-shim"])

    ((part, _, _),) = reported(small, "plugins_present")
    assert part == "/opt/cni/bin/ovn-k8s-cni-overlay"


@pytest.mark.parametrize(
    ("configuration", "file", "is_used"),
    [
        (CniConfiguration("10.conflist", "k", ["calico"]), "calico-kubeconfig", True),
        (FLANNEL_CONFLIST, "calico-kubeconfig", False),
        (CniConfiguration("1.conf", "m", ["multus"]), "multus.d/multus.kubeconfig", True),
        (
            CniConfiguration("1.conf", "m", ["macvlan"], ["whereabouts"]),
            "whereabouts.d/whereabouts.kubeconfig",
            True,
        ),
    ],
)
def test_a_token_of_a_plugin_that_is_not_in_force_is_left_alone(
    small, configuration, file, is_used
):
    tokens = [CniToken(file, small.document.finished - 60)]
    change_files(small, configurations=[configuration], tokens=tokens, **OLD)

    if is_used:
        assert len(small.findings("cni.token_valid")) == 1
    else:
        with pytest.raises(NotApplicable, match="does not name calico-kubeconfig"):
            small.findings("cni.token_valid")


def test_a_kubeconfig_counts_if_the_configuration_names_it(small):
    configuration = replace(FLANNEL_CONFLIST, kubeconfigs=["/etc/cni/net.d/x/wc-kubeconfig"])
    ended = small.document.finished - 60
    tokens = [CniToken("x/wc-kubeconfig", ended), CniToken("flannel-kubeconfig", ended)]
    change_files(small, configurations=[configuration], tokens=tokens)

    assert [each[0] for each in reported(small, "token_valid")] == ["x/wc-kubeconfig"]


KIND = CniConfiguration(
    "10-kindnet.conflist", "kindnet", ["ptp"], ["host-local"], data_folders=["/run/cni-ipam-state"]
)


def test_reservations_are_those_of_the_folder_that_the_configuration_names(small):
    held = [
        CniReservation("kindnet", f"10.244.0.{n}", 4000.0, "/run/cni-ipam-state") for n in (2, 9)
    ]
    stale = [CniReservation("cbr0", f"10.244.0.{n}", 9000.0) for n in range(20, 250)]
    change_files(small, configurations=[KIND], reservations=[*stale, *held])

    (finding,) = small.findings("cni.no_leaked_addresses")
    assert finding.subject.part == "kindnet 10.244.0.9"
    assert dict(finding.names)["folder"] == "/run/cni-ipam-state"
    assert not small.findings("cni.addresses_available")


def test_a_folder_without_any_address_of_the_nodes_pods_is_not_host_locals(small):
    stale = [CniReservation("cbr0", f"10.244.0.{n}", 9000.0) for n in range(20, 250)]
    change_files(small, reservations=stale, **OLD)

    for check in ("cni.no_leaked_addresses", "cni.addresses_available"):
        with pytest.raises(NotApplicable, match="keeps no addresses of the node's pods"):
            small.findings(check)


def test_a_second_network_that_pods_use_may_leak_addresses_too(small):
    more = [CniReservation("storage", f"10.244.0.{n}", 9000.0) for n in (3, 77)]
    held = [*small.document.cni.reservations, *more]
    change_files(small, reservations=held)

    assert [part for part, _, _ in reported(small, "no_leaked_addresses")] == [
        "storage 10.244.0.77"
    ]


def test_an_agent_beside_the_plugins_own_is_evaluated_too(small):
    policies = deepcopy(small.api["pods"][2])
    policies["metadata"] |= {"name": "calico-node-1", "uid": "calico-node-1"}
    policies["metadata"]["ownerReferences"][0]["name"] = "calico-node"
    small.api["pods"][2]["metadata"]["ownerReferences"][0]["name"] = "aws-node"
    small.api["pods"].append(policies)
    change_files(small, configurations=[CniConfiguration("10-aws.conflist", "aws", ["aws-cni"])])
    assert not small.findings("cni.agent_ready")

    policies["status"]["conditions"] = []
    assert [each.subject.name for each in small.findings("cni.agent_ready")] == ["calico-node-1"]


def test_an_example_that_the_pods_do_not_follow_is_not_in_force(small):
    owner = {"kind": "DaemonSet", "name": "ovnkube-node", "controller": True}
    small.api["pods"][2]["metadata"]["ownerReferences"] = [owner]
    examples = [
        CniConfiguration("100-crio-bridge.conflist", "crio", ["bridge"], ["host-local"]),
        CniConfiguration("87-podman.conflist", "podman", ["bridge"], ["host-local"]),
    ]
    change_files(small, configurations=examples, **OLD)

    with pytest.raises(NotApplicable, match="not a configuration of OVN-Kubernetes"):
        small.findings("cni.single_config")


LEFT = CniConfiguration("05-cilium.conflist", "cilium", ["cilium-cni"])
EXAMPLE = CniConfiguration(
    "10-containerd-net.conflist", "containerd-net", ["bridge"], ["host-local"]
)
WRAPPER = CniConfiguration("00-wrapper.conf", "wrapped", ["wrapper"])


def remedies(small, *configurations):
    """What is found, and the advice for it, where flannel's agent runs."""
    change_files(small, configurations=[*configurations, FLANNEL_CONFLIST])
    return [
        (each.subject.part, each.level, each.remedy) for each in small.findings("cni.single_config")
    ]


@pytest.mark.parametrize("first", [LEFT, EXAMPLE], ids=["removed plugin", "example"])
def test_a_file_left_before_the_configuration_of_the_running_plugin_fails(small, first):
    (found,) = remedies(small, first)

    assert found == (first.file, Level.FAIL, "")
    (finding,) = small.findings("cni.single_config")
    assert finding.expected == "10-flannel.conflist first: the agent of flannel runs in the cluster"
    assert dict(finding.names)["file"] == first.file


def test_the_configuration_of_the_running_plugin_is_never_to_be_moved(small):
    ((part, level, remedy),) = remedies(small, WRAPPER)

    assert (part, level) == ("10-flannel.conflist", Level.WARN)
    assert "mv " not in remedy
    assert "Move only files of other plugins" in remedy


@pytest.mark.parametrize("agent", ["kube-router", "canal"])
def test_what_agents_without_a_type_of_their_own_write_is_not_known(small, agent):
    small.api["pods"].append(
        {
            **small.api["pods"][2],
            "metadata": {
                **small.api["pods"][2]["metadata"],
                "name": agent,
                "uid": agent,
                "ownerReferences": [{"kind": "DaemonSet", "name": agent, "controller": True}],
            },
        }
    )
    ((_, level, _),) = remedies(small, EXAMPLE)

    assert level is Level.WARN


def test_multus_may_come_first(small):
    assert remedies(small, MULTUS) == []


def test_chained_plugins_are_those_of_the_agent(small):
    chained = CniConfiguration("05-chained.conflist", "chained", ["flannel", "cilium-cni"])
    ((part, level, _),) = remedies(small, chained)

    assert (part, level) == ("10-flannel.conflist", Level.WARN)
