"""pods.device_programs: programs on pods' interfaces and on tunnel devices, and whose they are."""

import pytest

from tests.checks.small_cluster import HOST, WEB_NETNS, link
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.netns import DeviceProgram

CHECK = "pods.device_programs"
TUNNEL, WEB_DEVICE, ETH0 = 4, 12, 2


def attach(small, *programs, inode=HOST):
    small.change_netns(inode, programs=[DeviceProgram(*each) for each in programs])


def runs(small, daemonset):
    """The CNI plugin's agent, by its DaemonSet."""
    agent = next(pod for pod in small.api["pods"] if pod["metadata"]["name"] == "flannel")
    agent["metadata"]["ownerReferences"][0]["name"] = daemonset


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ((WEB_DEVICE, "tc ingress", "bpf", "tc_drop", 7, 0), "program tc_drop on veth12"),
        ((WEB_DEVICE, "tcx egress", "bpf", "shaper", 7, 0), "program shaper on veth12"),
        ((WEB_DEVICE, "tc egress", "u32", "drop", 0, 31), "u32 filter (drop) on veth12"),
        ((WEB_DEVICE, "qdisc", "netem", "", 0, 5), "netem queue on veth12"),
        ((WEB_DEVICE, "xdp", "bpf", "", 9, 0), "program without a name on veth12"),
    ],
    ids=lambda each: each[1] if isinstance(each, tuple) else "",
)
def test_what_nobody_expects_on_a_pods_device_is_found(small, program, found):
    attach(small, program)

    (finding,) = small.findings(CHECK)
    assert finding.level is Level.WARN
    assert finding.found.startswith(f"{found} (pod shop/web)")
    assert finding.expected == "only programs of flannel"
    assert not finding.inconclusive


def test_drops_are_named(small):
    attach(small, (WEB_DEVICE, "tc ingress", "bpf", "tc_drop", 7, 1234))

    (finding,) = small.findings(CHECK)
    assert finding.found.endswith("; filters dropped 1,234 packets there")
    assert finding.evidence == (
        "veth12 (pod shop/web): tc ingress: program tc_drop (id 7), 1,234 packets dropped",
    )


def test_a_program_in_the_pod_and_one_on_a_tunnel_are_found(small):
    attach(small, (ETH0, "tc egress", "bpf", "filter", 7), inode=WEB_NETNS)
    attach(small, (TUNNEL, "xdp", "bpf", "filter", 8))

    found = {str(each.subject): each.found for each in small.findings(CHECK)}
    assert found == {
        "Node n1 program filter (tc egress)": "program filter on eth0 of pod shop/web",
        "Node n1 program filter (xdp)": "program filter on flannel.1",
    }


def test_a_program_on_many_devices_is_one_finding(small):
    attach(
        small,
        (11, "tc ingress", "bpf", "tc_drop", 7),
        (WEB_DEVICE, "tc ingress", "bpf", "tc_drop", 7),
    )

    (finding,) = small.findings(CHECK)
    assert "veth11 (pod kube-system/dns), veth12 (pod shop/web)" in finding.found


def test_other_devices_of_the_node_are_not_evaluated(small):
    attach(small, (2, "xdp", "bpf", "lb", 7), (5, "tc ingress", "bpf", "lb", 8))

    assert not small.findings(CHECK)


@pytest.mark.parametrize(
    ("daemonset", "name"),
    [
        ("cilium", "cil_from_container"),
        ("cilium", "cil_from_contai"),
        ("cilium", "bpf_lxc.o:[from-container]"),
        ("anetd", "cil_to_container"),
        ("calico-node", "cali_tc_preamble"),
        ("aws-node", "handle_ingress"),
        ("kube-flannel-ds", "endpoint_ingress_filter"),
        ("kube-flannel-ds", "endpoint_ingres"),
    ],
)
def test_programs_of_the_plugin_and_of_observers_are_expected(small, daemonset, name):
    runs(small, daemonset)
    attach(small, (WEB_DEVICE, "tc ingress", "bpf", name, 7, 99))

    assert not small.findings(CHECK)


@pytest.mark.parametrize(
    ("daemonset", "name", "owner"),
    [
        ("kube-flannel-ds", "cil_from_container", "Cilium"),
        ("kube-flannel-ds", "cali_tc_preamble", "Calico"),
        ("calico-node", "handle_egress", "AWS VPC CNI"),
    ],
)
def test_what_another_plugin_left_behind_is_found(small, daemonset, name, owner):
    runs(small, daemonset)
    attach(small, (WEB_DEVICE, "tc ingress", "bpf", name, 7))

    (finding,) = small.findings(CHECK)
    assert f"as {owner} names its programs" in finding.found


def test_a_short_name_that_only_begins_alike_is_not_expected(small):
    runs(small, "cilium")
    attach(small, (WEB_DEVICE, "tc ingress", "bpf", "cil", 7))

    assert len(small.findings(CHECK)) == 1


def test_programs_of_an_unknown_plugin_are_inconclusive(small):
    runs(small, "something")
    small.change_document(cni=None)
    links = next(each.links for each in small.document.namespaces if each.inode == HOST)
    small.change_netns(HOST, links=[each for each in links if each.name != "flannel.1"])
    for node in small.api["nodes"]:
        node["metadata"]["annotations"] = {}
    attach(
        small,
        (WEB_DEVICE, "tc ingress", "bpf", "their_own", 7),
        (WEB_DEVICE, "qdisc", "netem", "", 0),
    )

    found = {each.key: bool(each.inconclusive) for each in small.findings(CHECK)}
    assert found == {"program their_own (tc ingress)": True, "netem queue (qdisc)": False}


def test_filters_that_pass_packets_to_a_virtual_machine_are_expected(small):
    small.change_netns(
        WEB_NETNS, links=[link(2, "eth0", peer_index=12, peer_nsid=0), link(3, "tap0_kata", "tun")]
    )
    attach(small, (ETH0, "tc ingress", "u32", "mirred"), inode=WEB_NETNS)

    assert not small.findings(CHECK)


def test_an_old_recording_is_not_evaluated(small):
    small.change_netns(HOST, programs=None)
    with pytest.raises(NotApplicable, match="not read"):
        small.findings(CHECK)

    small.change_document(problems=["Programs of interfaces: OSError: no."])
    with pytest.raises(FactMissingError, match="Programs of interfaces"):
        small.findings(CHECK)
