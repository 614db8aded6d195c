"""The checks of nodes, each on a cluster where one thing is broken."""

import pytest

from wirecheck.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.index import VisitRecord


def test_a_failed_visit_is_an_error_with_its_reason(small):
    small.visit, small.document = (
        VisitRecord("time limit", reason="n1 said nothing for 60 s."),
        None,
    )

    (finding,) = small.findings("nodes.reachable")
    assert (finding.level, finding.found) == (Level.ERROR, "n1 said nothing for 60 s.")
    with pytest.raises(FactMissingError, match="said nothing"):
        small.findings("nodes.forward_packets")


def test_a_node_that_went_meanwhile_is_skipped(small):
    small.visit, small.document = VisitRecord("gone", reason="n1 was deleted."), None

    for check in ("nodes.reachable", "nodes.forward_packets"):
        with pytest.raises(NotApplicable, match="deleted"):
            small.findings(check)


def test_a_node_without_a_way_in_is_an_error_once_and_skipped_elsewhere(small):
    small.visit, small.document = VisitRecord("no way", reason="No entry matches n1."), None

    (finding,) = small.findings("nodes.reachable")
    assert finding.level is Level.ERROR
    with pytest.raises(NotApplicable, match="No entry"):
        small.findings("nodes.forward_packets")


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
        ("nodes.forward_packets", "/proc/sys/net/ipv4/ip_forward"),
        ("nodes.filter_bridged_packets", "/proc/sys/net/bridge/bridge-nf-call-iptables"),
    ],
)
def test_a_switched_off_sysctl_is_found(small, check, path, value):
    small.change_file(path, value)

    (finding,) = small.findings(check)
    assert finding.found == (value or "absent")


def test_the_second_family_has_its_own_sysctl(small):
    small.api["pods"][1]["status"]["podIPs"].append({"ip": "fd00::3"})

    (finding,) = small.findings("nodes.forward_packets")
    assert finding.subject.part == "net.ipv6.conf.all.forwarding"


def test_a_node_without_pods_on_a_bridge_needs_no_bridge_filter(small):
    small.api["pods"] = []

    with pytest.raises(NotApplicable, match="bridge"):
        small.findings("nodes.filter_bridged_packets")


def test_what_the_visit_could_not_read_is_an_error(small):
    small.change_document(problems=["/proc/sys/net/ipv4/ip_forward: Permission denied."])

    (finding,) = small.findings("nodes.reachable")
    assert (finding.level, finding.found) == (Level.ERROR, small.document.problems[0])
