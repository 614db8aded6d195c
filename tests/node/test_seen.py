"""What was seen of a node: facts, or the reason why they are missing."""

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import HOST, SmallCluster
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, SharedCauseError
from wirecheck.network.plugin import UNKNOWN
from wirecheck.node.seen import ABSENT, NodeSeen, signal_of
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.netns import Link
from wirecheck.snapshot.node_document import Command

WITHOUT_DOCUMENT = [each for each in VisitStatus if not each.reached]


@pytest.fixture
def seen() -> NodeSeen:
    return SmallCluster().node.seen


def changed(seen: NodeSeen, **fields: object) -> NodeSeen:
    document = replace(seen.facts, **fields)
    return NodeSeen(seen.cluster, seen.object, seen.visit, document)


@pytest.mark.parametrize("status", WITHOUT_DOCUMENT)
def test_without_a_document_the_reason_of_the_visit_is_raised(
    seen: NodeSeen, status: VisitStatus
) -> None:
    visit = VisitRecord(status, reason="no route to host")
    unseen = NodeSeen(seen.cluster, seen.object, visit, None)
    expected = NotApplicable if status.out_of_scope else FactMissingError

    with pytest.raises(expected, match="no route to host"):
        _ = unseen.facts
    with pytest.raises(expected):
        unseen.sysctl("net.ipv4.ip_forward")


def test_a_sysctl_is_read_by_its_name_with_dots(seen: NodeSeen) -> None:
    node = changed(seen, files={"/proc/sys/net/ipv4/ip_forward": "1\n"})

    assert node.sysctl("net.ipv4.ip_forward") == "1"
    assert node.number("net.ipv4.ip_forward") == 1
    assert node.sysctl("net.bridge.bridge-nf-call-iptables") == ABSENT


@pytest.mark.parametrize("text", ["", "-1", "lots"])
def test_a_sysctl_that_is_not_a_number_is_an_error(seen: NodeSeen, text: str) -> None:
    node = changed(seen, files={"/proc/sys/net/ipv4/ip_forward": text})

    with pytest.raises(FactMissingError, match="not a number"):
        node.number("net.ipv4.ip_forward")


def test_a_file_that_was_not_read_is_an_error_with_its_path(seen: NodeSeen) -> None:
    with pytest.raises(FactMissingError, match="/etc/nothing does not exist on n1"):
        seen.file("/etc/nothing")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (Command(["nft"], problem="not found"), "nft on n1: not found"),
        (Command(["nft"], status=1, stderr="denied"), "nft on n1: exit status 1: denied"),
        (Command(["nft"], problem="time limit", seconds=9.0), "it had run for 9 s"),
        (Command(["nft"], problem="time limit"), "it had not started"),
    ],
)
def test_a_command_that_failed_is_an_error_with_the_cause(
    seen: NodeSeen, command: Command, reason: str
) -> None:
    node = changed(seen, commands={"nft-tables": command})

    with pytest.raises(FactMissingError, match=reason):
        node.output_of("nft-tables")
    with pytest.raises(FactMissingError, match=reason):
        node.output_if_asked("nft-tables")


def test_a_command_without_a_reason_to_run_has_no_output(seen: NodeSeen) -> None:
    command = Command(["nft"], problem="not asked: kube-proxy is in iptables mode")

    assert changed(seen, commands={"nft-tables": command}).output_if_asked("nft-tables") == ""


class TestRequired:
    def test_a_value_is_returned_as_it_is(self, seen: NodeSeen) -> None:
        assert seen.required(0, Fact.TRAFFIC, "an older document") == 0

    def test_without_a_problem_it_is_not_applicable(self, seen: NodeSeen) -> None:
        with pytest.raises(NotApplicable, match="an older document"):
            seen.required(None, Fact.TRAFFIC, "an older document")

    def test_with_a_problem_it_is_an_error(self, seen: NodeSeen) -> None:
        (stage,) = Fact.TRAFFIC.measured.stages
        node = changed(seen, problems=[f"{stage}: permission denied."])

        with pytest.raises(FactMissingError, match=r"n1: .*permission denied"):
            node.required(None, Fact.TRAFFIC, "an older document")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (-11, "SIGSEGV ended it: it crashed"),
        (139, "SIGSEGV ended it: it crashed"),
        (-6, "SIGABRT ended it: it crashed"),
        (-9, "SIGKILL ended it: the kernel does so if memory runs out"),
        (137, "SIGKILL ended it"),
        (-15, "SIGTERM ended it"),
        (1, "exit status 1: no rights"),
        (255, "exit status 255: no rights"),
        (-200, "exit status -200: no rights"),
    ],
)
def test_a_tool_that_a_signal_ended_is_named_with_it(
    seen: NodeSeen, status: int, words: str
) -> None:
    died = changed(
        seen, commands={"nft-kube-proxy": Command(["nft", "-j"], status=status, stderr="no rights")}
    )

    with pytest.raises(FactMissingError, match=f"nft -j on n1: {words}"):
        died.output_of("nft-kube-proxy")


def two_families(small: SmallCluster) -> NodeSeen:
    small.api["pods"][1]["status"]["podIPs"].append({"ip": "fd00::3"})
    return small.node.seen


def test_the_sysctls_are_those_of_the_families_of_pods() -> None:
    assert SmallCluster().node.seen.forwarding_sysctls == ["net.ipv4.ip_forward"]

    seen = two_families(SmallCluster())
    assert seen.families_of_pods == {4, 6}
    assert seen.forwarding_sysctls == ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]
    assert seen.bridge_sysctls == [
        "net.bridge.bridge-nf-call-iptables",
        "net.bridge.bridge-nf-call-ip6tables",
    ]


def test_pods_on_the_host_network_have_the_families_of_the_node() -> None:
    small = SmallCluster()
    small.api["pods"][1]["spec"]["hostNetwork"] = True

    assert two_families(small).families_of_pods == {4}


@pytest.mark.parametrize(
    ("metadata", "taints", "is_removed"),
    [
        ({}, [], False),
        ({"deletionTimestamp": "2026-11-30T12:00:00Z"}, [], True),
        ({}, ["ToBeDeletedByClusterAutoscaler"], True),
        ({}, ["other", "karpenter.sh/disrupted"], True),
        ({}, ["node.kubernetes.io/not-ready"], False),
    ],
)
def test_a_node_that_is_deleted_or_about_to_be_is_being_removed(
    metadata: dict[str, str], taints: list[str], is_removed: bool
) -> None:
    small = SmallCluster()
    small.api["nodes"][0]["metadata"] |= metadata
    listed = [{"key": key, "effect": "NoSchedule"} for key in taints]
    small.api["nodes"][0]["spec"]["taints"] = listed

    assert small.node.seen.is_being_removed is is_removed


def plugin(small: SmallCluster) -> str:
    return small.node.seen.cni.name


def without_agent() -> SmallCluster:
    """A node whose API objects show no plugin's agent, as with k3s."""
    small = SmallCluster()
    del small.api["pods"][2]
    return small


def test_annotations_show_the_plugin_as_long_as_pods_have_addresses_of_the_ranges() -> None:
    small = without_agent()
    small.change_document(cni=None)
    assert plugin(small) == "flannel"

    for pod, last in zip(small.api["pods"], (2, 3), strict=True):
        pod["status"] |= {"podIP": f"10.9.0.{last}", "podIPs": [{"ip": f"10.9.0.{last}"}]}
    assert plugin(small) == UNKNOWN.name


def test_devices_show_the_plugin_where_nothing_else_does() -> None:
    small = without_agent()
    small.change_document(cni=None)
    for node in small.api["nodes"]:
        node["metadata"]["annotations"] = {}
    assert plugin(small) == UNKNOWN.name

    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, Link(31, "cilium_host")])
    assert plugin(small) == "Cilium"


SWITCH = Link(30, "ovs-system", kind="openvswitch")


def put_on_a_switch(small: SmallCluster) -> None:
    assert small.document
    small.change_netns(HOST, links=[*small.document.namespaces[0].links, SWITCH])
    for name in ("veth11", "veth12"):
        small.change_link(HOST, name, master=30)


def test_pods_on_a_switch_show_that_another_plugins_devices_are_left() -> None:
    small = without_agent()
    small.change_document(cni=None)
    put_on_a_switch(small)

    assert plugin(small) == UNKNOWN.name
    assert small.node.seen.bypasses_routing


def test_an_agent_or_a_configuration_decides_whatever_pods_are_on() -> None:
    with_agent = SmallCluster()
    with_agent.change_document(cni=None)
    put_on_a_switch(with_agent)
    assert plugin(with_agent) == "flannel"

    configured = without_agent()
    configuration = CniConfiguration("10-flannel.conflist", "cbr0", ["flannel"], [])
    configured.change_document(cni=CniFiles([configuration], ["flannel"]))
    put_on_a_switch(configured)
    assert plugin(configured) == "flannel"


def test_of_a_node_that_was_not_visited_or_read_the_api_decides() -> None:
    small = SmallCluster()
    small.change_netns(HOST, error="not permitted")
    assert plugin(small) == "flannel"
    small.document = None
    assert plugin(small) == "flannel"
    assert not small.node.seen.bypasses_routing
    del small.api["pods"][2]
    assert small.node.seen.cni is small.cluster.cni


def test_addresses_of_pods_come_from_the_nodes_ranges() -> None:
    small = SmallCluster()
    assert small.node.seen.assigns_from_pod_cidrs

    small.api["nodes"][0]["spec"] = {}
    assert not small.node.seen.assigns_from_pod_cidrs


@pytest.mark.parametrize(
    ("command", "was_run"),
    [
        (Command(["nft"], status=0), True),
        (Command(["nft"], status=1), True),
        (Command(["nft"], problem="missing"), False),
        (None, False),
    ],
)
def test_a_command_was_run_if_it_ended(
    seen: NodeSeen, command: Command | None, was_run: bool
) -> None:
    node = changed(seen, commands={"nft-tables": command} if command else {})

    assert node.was_run("nft-tables") is was_run


def test_a_command_that_is_not_in_the_document_was_not_run(seen: NodeSeen) -> None:
    for read in (changed(seen, commands={}).output_of, changed(seen, commands={}).output_if_asked):
        with pytest.raises(FactMissingError, match="nft-tables was not run on n1"):
            read("nft-tables")


def test_a_missing_tool_is_a_shared_cause(seen: NodeSeen) -> None:
    node = changed(seen, commands={"nft-kube-proxy": Command(["nft"], problem="missing")})

    with pytest.raises(SharedCauseError, match="n1 has no nft"):
        node.output_if_asked("nft-kube-proxy")


@pytest.mark.parametrize(
    ("name", "fact", "empty"),
    [
        ("files", Fact.SYSCTLS, {}),
        ("probes", Fact.DNS, []),
        ("http", Fact.KUBE_PROXY, {}),
        ("pod_processes", Fact.PROCESSES, []),
        ("kernel_log", Fact.KERNEL_LOG, []),
    ],
)
def test_what_a_stage_left_out_is_empty_unless_it_failed(
    seen: NodeSeen, name: str, fact: Fact, empty: object
) -> None:
    field = "pods" if name == "pod_processes" else name
    stage = fact.measured.stages[-1]

    assert getattr(changed(seen, **{field: None}), name) == empty
    failed = changed(seen, **{field: None}, problems=[f"{stage}: OSError."])
    with pytest.raises(FactMissingError, match=f"n1: {stage}: OSError"):
        getattr(failed, name)


def test_the_reason_of_a_failed_command_is_cut(seen: NodeSeen) -> None:
    command = Command(["nft"], status=1, stderr=f" {'x' * 300} ")

    with pytest.raises(FactMissingError) as caught:
        changed(seen, commands={"nft-tables": command}).output_of("nft-tables")
    assert str(caught.value) == f"nft on n1: exit status 1: {'x' * 200}."


@pytest.mark.parametrize(
    ("status", "name"),
    [(0, ""), (128, ""), (129, "SIGHUP"), (-1, "SIGHUP"), (127, ""), (-9, "SIGKILL"), (400, "")],
)
def test_the_signal_of_an_exit_status(status: int, name: str) -> None:
    assert signal_of(status) == name
