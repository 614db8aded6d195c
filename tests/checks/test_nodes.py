"""The checks of nodes, each on a cluster where one thing is broken."""

from copy import deepcopy

import pytest
from msgspec.structs import replace

from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import KernelLine


def test_a_failed_visit_is_an_error_with_its_reason(small):
    small.visit, small.document = (
        VisitRecord(VisitStatus.TIME_LIMIT, reason="n1 said nothing for 60 s."),
        None,
    )

    (finding,) = small.findings("nodes.reachable")
    assert (finding.level, finding.found) == (Level.ERROR, "n1 said nothing for 60 s.")
    with pytest.raises(FactMissingError, match="said nothing"):
        small.findings("nodes.ip_forward")


def test_a_node_that_went_meanwhile_is_skipped(small):
    small.visit, small.document = VisitRecord(VisitStatus.GONE, reason="n1 was deleted."), None

    for check in ("nodes.reachable", "nodes.ip_forward"):
        with pytest.raises(NotApplicable, match="deleted"):
            small.findings(check)


def test_a_node_without_access_is_an_error_once_and_skipped_elsewhere(small):
    small.visit, small.document = (
        VisitRecord(VisitStatus.NO_ACCESS, reason="No entry matches n1."),
        None,
    )

    (finding,) = small.findings("nodes.reachable")
    assert finding.level is Level.ERROR
    with pytest.raises(NotApplicable, match="No entry"):
        small.findings("nodes.ip_forward")


def test_a_node_that_is_not_ready_is_found(small):
    condition = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    small.api["nodes"][0]["status"]["conditions"] = [condition]

    (finding,) = small.findings("nodes.ready")
    assert "NodeStatusUnknown" in finding.found


def test_a_node_on_its_way_out_need_not_be_ready(small):
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    small.api["nodes"][0]["spec"]["taints"] = [taint]

    with pytest.raises(NotApplicable, match="removed"):
        small.findings("nodes.ready")


@pytest.mark.parametrize("value", ["0", None], ids=["off", "absent"])
@pytest.mark.parametrize(
    ("check", "path"),
    [
        ("nodes.ip_forward", "/proc/sys/net/ipv4/ip_forward"),
        ("nodes.bridge_nf_call", "/proc/sys/net/bridge/bridge-nf-call-iptables"),
    ],
)
def test_a_switched_off_sysctl_is_found(small, check, path, value):
    small.change_file(path, value)

    (finding,) = small.findings(check)
    assert finding.found == (value or "absent")


def test_the_second_family_has_its_own_sysctl(small):
    small.api["pods"][1]["status"]["podIPs"].append({"ip": "fd00::3"})

    (finding,) = small.findings("nodes.ip_forward")
    assert finding.subject.part == "net.ipv6.conf.all.forwarding"


def test_a_node_without_pods_on_a_bridge_needs_no_bridge_filter(small):
    small.api["pods"] = []

    with pytest.raises(NotApplicable, match="bridge"):
        small.findings("nodes.bridge_nf_call")


def test_what_the_visit_could_not_read_is_an_error(small):
    small.change_document(problems=["/proc/sys/net/ipv4/ip_forward: Permission denied."])

    (finding,) = small.findings("nodes.reachable")
    assert (finding.level, finding.found) == (Level.ERROR, small.document.problems[0])


@pytest.mark.parametrize("range_", ["10.244.0.0/24", "10.244.0.128/25", "10.244.0.0/16"])
def test_ranges_that_overlap_are_found(small, range_):
    small.api["nodes"][1]["spec"] = {"podCIDR": range_, "podCIDRs": [range_]}

    (finding,) = small.findings("nodes.disjoint_pod_cidrs")
    assert {finding.subject.name, finding.concerns[0].name} == {"n1", "n2"}


def test_ranges_inside_a_wider_one_are_all_found(small):
    third = small.api["nodes"][1] | {"metadata": {"name": "n3"}}
    small.api["nodes"].append(third | {"spec": {"podCIDR": "10.244.1.0/24"}})
    small.api["nodes"][0]["spec"] = {"podCIDRs": ["10.244.0.0/16"]}

    findings = small.findings("nodes.disjoint_pod_cidrs")
    assert {each.subject.name for each in findings} == {"n2", "n3"}


def test_ranges_of_both_families_do_not_meet(small):
    for node, number in zip(small.api["nodes"], (1, 2), strict=True):
        node["spec"]["podCIDRs"].append(f"fd00:{number}::/64")
    assert not small.findings("nodes.disjoint_pod_cidrs")


@pytest.mark.parametrize(
    ("path", "shared"),
    [
        (("status", "nodeInfo", "machineID"), "machine-id machine-n1"),
        (("status", "addresses"), "address 192.0.2.1"),
        (("metadata", "annotations"), "VXLAN MAC 0a:00:00:00:00:01"),
    ],
)
def test_what_two_nodes_share_is_found(small, path, shared):
    *parents, last = path
    one, two = small.api["nodes"]
    for each in parents:
        one, two = one[each], two[each]
    two[last] = one[last]

    findings = small.findings("nodes.unique_identity")
    assert f"{shared} on this node only" in [each.expected for each in findings]
    assert {each.found for each in findings} == {"also on n2"}


def _with_one_mac(small):
    one, two = small.api["nodes"]
    two["metadata"]["annotations"] = dict(one["metadata"]["annotations"])


@pytest.mark.parametrize("daemonset", ["cilium", "calico-node", "kube-ovn-cni", "weave-net"])
def test_annotations_that_outlast_flannel_are_no_identity(small, daemonset):
    _with_one_mac(small)
    for each in small.api["pods"]:
        for owner in each["metadata"].get("ownerReferences", ()):
            owner["name"] = daemonset

    assert not small.findings("nodes.unique_identity")


def test_annotations_of_flannel_count_beside_calico_and_without_a_daemon_set(small):
    _with_one_mac(small)
    agent = next(each for each in small.api["pods"] if each["metadata"].get("ownerReferences"))
    calico = deepcopy(agent)
    calico["metadata"]["ownerReferences"][0]["name"] = "calico-node"
    small.api["pods"].append(calico)
    assert small.findings("nodes.unique_identity")

    # k3s runs flannel in its own process.
    small.api["pods"] = [each for each in small.api["pods"] if each not in (agent, calico)]
    assert small.findings("nodes.unique_identity")


@pytest.mark.parametrize(
    ("shift", "text", "level"),
    [
        (5, None, None),
        (5.5, "at least 5.5 s ahead", Level.WARN),
        (10, "at least 10.0 s ahead", Level.WARN),
        (-10, "at least 10.0 s behind", Level.WARN),
        (60, "at least 60.0 s ahead", Level.WARN),
        (60.5, "at least 60.5 s ahead", Level.FAIL),
    ],
)
def test_a_clock_that_is_off_is_found(small, shift, text, level):
    document = small.document
    small.change_document(started=document.started + shift, finished=document.finished + shift)

    findings = small.findings("nodes.clock_skew")
    assert [(e.found, e.level) for e in findings] == ([(text, level)] if text else [])


@pytest.mark.parametrize(
    ("entries", "level"), [(819, None), (820, Level.WARN), (972, Level.WARN), (973, Level.FAIL)]
)
def test_a_neighbour_table_that_fills_up_is_found(small, entries, level):
    text = f"entries  allocs\n{entries:08x}  00000020"
    small.change_file("/proc/net/stat/arp_cache", text)

    findings = small.findings("nodes.neighbour_table")
    assert [each.level for each in findings] == ([level] if level else [])


def test_a_node_that_is_a_container_does_not_see_the_limit(small):
    small.change_file("/proc/sys/net/ipv4/neigh/default/gc_thresh3", None)
    with pytest.raises(NotApplicable, match="does not show the limits"):
        small.findings("nodes.neighbour_table")


def test_trouble_in_the_kernel_log_warns_for_a_day(small):
    def line(time, pattern="neighbour table overflow"):
        return KernelLine(time, pattern, "neighbour: arp_cache: neighbor table overflow!")

    finished = small.document.finished
    small.change_document(kernel_log=[line(finished - 3600), line(finished - 60)])
    (finding,) = small.findings("nodes.kernel_log")
    assert (finding.level, "2 times" in finding.found) == (Level.WARN, True)

    small.change_document(kernel_log=[line(finished - 86_400)])
    assert len(small.findings("nodes.kernel_log")) == 1

    old = [line(finished - 86_430), line(finished, "syn flood")]
    small.change_document(kernel_log=[*old, line(finished, "conntrack table full")])
    assert not small.findings("nodes.kernel_log")


NOT_INITIALISED = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (NOT_INITIALISED, NOT_INITIALISED.partition("not ready: ")[2]),
        (
            f"[{NOT_INITIALISED}, CSINode is not yet initialized]",
            NOT_INITIALISED.partition("not ready: ")[2],
        ),
    ],
)
def test_a_runtime_without_a_network_is_reported_in_its_words(small, message, text):
    condition = {"type": "Ready", "status": "False", "reason": "KubeletNotReady"}
    small.api["nodes"][0]["status"]["conditions"] = [{**condition, "message": message}]

    (finding,) = small.findings("nodes.network_ready")
    assert (finding.subject.part, finding.found) == ("Ready", text)


def test_a_network_that_a_component_calls_unavailable_is_found(small):
    condition = {"type": "NetworkUnavailable", "status": "True", "reason": "NoRouteCreated"}
    small.api["nodes"][0]["status"]["conditions"].append(condition)

    (finding,) = small.findings("nodes.network_ready")
    assert finding.subject.part == "NetworkUnavailable"
    assert "NoRouteCreated" in finding.found


@pytest.mark.parametrize(
    "condition",
    [
        {"type": "NetworkUnavailable", "status": "False", "reason": "FlannelIsUp"},
        {"type": "Ready", "status": "False", "message": "container runtime is down, t0k3n"},
    ],
)
def test_other_conditions_say_nothing_of_the_network(small, condition):
    small.api["nodes"][0]["status"]["conditions"].append(condition)

    assert small.findings("nodes.network_ready") == []
    assert "t0k3n" not in repr(small.cluster.api)


def give_uuids(small, *uuids):
    first = small.api["nodes"][0]
    small.api["nodes"] = [
        {
            **first,
            "metadata": {"name": f"n{number}"},
            "status": {
                "nodeInfo": {"machineID": f"{number:032x}", "systemUUID": uuid},
                "addresses": [],
            },
        }
        for number, uuid in enumerate(uuids, start=1)
    ]


CLONE = "4C4C4544-0051-3610-8052-B4C04F564E31"


@pytest.mark.parametrize(
    ("uuids", "shared"),
    [
        ((CLONE, CLONE.lower(), "8868975153834e27932e05320ebbbd6b"), 1),
        ((CLONE, CLONE, CLONE), 0),
        (("00000000-0000-0000-0000-000000000000",) * 2 + (CLONE,), 0),
        (("03000200-0400-0500-0006-000700080009",) * 2 + (CLONE,), 0),
        (("", "", CLONE), 0),
    ],
    ids=["clones", "one for all", "zeros", "example", "none"],
)
def test_a_system_uuid_that_some_nodes_share_is_a_warning(small, uuids, shared):
    give_uuids(small, *uuids)

    findings = small.findings("nodes.unique_identity")
    assert [each.level for each in findings] == [Level.WARN] * shared
    assert all(each.found == "also on n2" for each in findings)


CRASH = "NETDEV WATCHDOG[4242]: segfault at 0 ip 0000 sp 0000 error 4 in app[400000+1000]"


@pytest.mark.parametrize(
    "text",
    [
        CRASH,
        "process 'NETDEV WATCHDOG' launched '/bin/sh' with NULL argv: empty string added",
        "Memory cgroup out of memory: Killed process 9 (NETDEV WATCHDOG) total-vm:1kB",
    ],
)
def test_the_name_of_a_process_is_no_message_of_the_kernel(small, text):
    finished = small.document.finished
    lines = [KernelLine(finished - 60, "netdev watchdog", text)]
    small.change_document(kernel_log=lines)
    assert not small.findings("nodes.kernel_log")

    genuine = "NETDEV WATCHDOG: eth0 (vmxnet3): transmit queue 1 timed out"
    small.change_document(
        kernel_log=[KernelLine(finished - 30, "netdev watchdog", genuine), *lines]
    )
    (finding,) = small.findings("nodes.kernel_log")
    assert "1 times" in finding.found


@pytest.mark.parametrize("check", ["nodes.kernel_log", "conntrack.no_table_full_logged"])
@pytest.mark.parametrize(
    ("begins", "uptime", "is_complete"),
    [(600, 90_000, False), (600, 620, True), (100_000, 200_000, True), (None, 90_000, True)],
    ids=["overwritten", "just booted", "long enough", "older program"],
)
def test_a_log_that_begins_late_is_inconclusive(small, check, begins, uptime, is_complete):
    small.change_document(
        finished=1_000_000.0,
        host=replace(small.document.host, uptime=float(uptime)),
        kernel_log_from=None if begins is None else 1_000_000.0 - begins,
    )
    reasons = [each.inconclusive for each in small.findings(check)]

    late = "messages before 1970-01-12 13:36 UTC, where the kernel's ring buffer begins"
    assert reasons == ([] if is_complete else [late])
