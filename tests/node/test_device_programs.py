"""Programs on interfaces: their names, and who may attach them."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, WEB_NETNS, SmallCluster, link
from wirecheck.node.device_programs import UnexpectedProgram, described, name_of, programs_on
from wirecheck.snapshot.netns import DeviceProgram

WEB_DEVICE, ETH0 = 12, 2


@pytest.mark.parametrize(
    ("program", "name", "text"),
    [
        (DeviceProgram(1, "xdp", "bpf", "lb", 7), "program lb", "xdp: program lb (id 7)"),
        (DeviceProgram(1, "xdp", "bpf"), "program without a name", "xdp: program without a name"),
        (
            DeviceProgram(1, "tc ingress", "u32", "drop", 0, 1234),
            "u32 filter (drop)",
            "tc ingress: u32 filter (drop), 1,234 packets dropped",
        ),
        (DeviceProgram(1, "tc ingress", "flower"), "flower filter", "tc ingress: flower filter"),
        (DeviceProgram(1, "qdisc", "netem", "x"), "netem queue", "qdisc: netem queue"),
    ],
)
def test_a_program_is_described_by_its_kind(program: DeviceProgram, name: str, text: str) -> None:
    assert name_of(program) == name
    assert described(program) == text


def attach(small: SmallCluster, *programs: DeviceProgram, inode: int = HOST) -> None:
    small.change_netns(inode, programs=list(programs))


def unexpected(small: SmallCluster) -> list[UnexpectedProgram]:
    return list(small.node.device_programs.unexpected)


def test_programs_of_one_interface_are_those_with_its_index(small: SmallCluster) -> None:
    own = DeviceProgram(ETH0, "xdp", "bpf", "lb")
    attach(small, DeviceProgram(1, "xdp", "bpf", "lo"), own, inode=WEB_NETNS)
    veth = next(each for each in small.node.namespaces.veths if each.pod.name == "web")

    assert programs_on(veth.netns, veth.inner) == [own]


def test_a_program_is_found_once_with_all_its_interfaces_and_drops(small: SmallCluster) -> None:
    attach(
        small,
        DeviceProgram(11, "tc ingress", "bpf", "tc_drop", 7, 1),
        DeviceProgram(WEB_DEVICE, "tc ingress", "bpf", "tc_drop", 7, 2),
        DeviceProgram(WEB_DEVICE, "tc egress", "bpf", "tc_drop", 7),
    )
    both, egress = unexpected(small)

    assert both.device == egress.device.replace("12", "11") == "veth11"
    assert both.found == (
        "program tc_drop on veth11 (pod kube-system/dns), veth12 (pod shop/web)"
        "; filters dropped 3 packets there"
    )
    assert len(both.evidence) == 2
    assert egress.found == "program tc_drop on veth12 (pod shop/web)"


def test_a_program_within_a_pod_is_on_no_device_of_the_node(small: SmallCluster) -> None:
    attach(small, DeviceProgram(ETH0, "xdp", "bpf", "lb"), inode=WEB_NETNS)

    (found,) = unexpected(small)
    assert (found.device, found.found) == ("", "program lb on eth0 of pod shop/web")


@pytest.mark.parametrize(
    ("kind", "program", "is_expected"),
    [
        ("tun", DeviceProgram(ETH0, "tc ingress", "u32", "mirred"), True),
        ("macvtap", DeviceProgram(ETH0, "tc ingress", "flower"), True),
        ("tun", DeviceProgram(ETH0, "qdisc", "netem"), False),
        ("tun", DeviceProgram(ETH0, "xdp", "bpf", "lb"), False),
        ("veth", DeviceProgram(ETH0, "tc ingress", "u32", "mirred"), False),
    ],
)
def test_filters_are_expected_in_pods_with_a_virtual_machine_alone(
    small: SmallCluster, kind: str, program: DeviceProgram, is_expected: bool
) -> None:
    inner = link(ETH0, "eth0", peer_index=WEB_DEVICE, peer_nsid=0)
    small.change_netns(WEB_NETNS, links=[inner, link(3, "tap0", kind)])
    attach(small, program, inode=WEB_NETNS)

    assert bool(unexpected(small)) is not is_expected


@pytest.mark.parametrize(
    ("name", "is_expected"),
    [
        ("tc_ingress_flow_parse", True),
        ("tc_ingress_flow", True),
        ("tc_ingress_flo", False),
        ("tc_ingress_flow_", False),
        ("tcx_ingress_any", True),
        ("xtcx_ingress_", False),
        ("", False),
    ],
)
def test_a_name_is_recognised_as_far_as_the_kernel_keeps_it(
    small: SmallCluster, name: str, is_expected: bool
) -> None:
    attach(small, DeviceProgram(WEB_DEVICE, "tc ingress", "bpf", name))

    assert bool(unexpected(small)) is not is_expected
