"""Pods whose network the node cannot see, and a node on which no pod can be found."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import FILTER, HOST, WEB, WEB_NETNS, SmallCluster, link
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.evaluation.verdict import coverage
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.netns import Link, Neighbour

MACHINE = "pods with a virtual machine in their netns, which has the pod's address"
LAUNCHER = "pods of virtual machines, which have the pod's address inside the machine"
UDP = "dns.pods_resolve_udp"


def web(small: SmallCluster) -> dict[str, Any]:
    pod: dict[str, Any] = small.api["pods"][1]
    return pod


def reasons(small: SmallCluster, check: str) -> list[str]:
    return [each.inconclusive for each in small.findings(check)]


def lose_everything(small: SmallCluster, error: str = "timed out") -> None:
    for transport in ("udp", "tcp"):
        small.change_probes(WEB_NETNS, transport, [Try(2.0, error=error)] * 3)
    document = small.document
    assert document
    small.change_document(
        contacts=[
            replace(each, made=0, error="timed out") if each.inode == WEB_NETNS else each
            for each in document.contacts or []
        ]
    )


@pytest.mark.parametrize(
    "change",
    [
        {"labels": {"kubevirt.io": "virt-launcher"}},
        {"ownerReferences": [{"kind": "VirtualMachineInstance", "name": "vm", "controller": True}]},
    ],
)
def test_a_launcher_of_a_virtual_machine_is_inconclusive(
    small: SmallCluster, change: dict[str, Any]
) -> None:
    lose_everything(small)
    assert reasons(small, UDP) == [""]

    web(small)["metadata"].update(change)
    small.change_netns(WEB_NETNS, addresses=[], routes=[])

    assert reasons(small, UDP) == reasons(small, "pods.have_netns") == [LAUNCHER]
    assert reasons(small, "reachability.api_server") == [LAUNCHER]
    for check in ("pods.ip_on_interface", "routes.pod_default_route", "links.attached"):
        assert small.findings(check) == []


@pytest.mark.parametrize(
    "more",
    [
        [link(3, "k6t-eth0", "bridge")],
        [link(3, "tap0_kata", "tun")],
        [link(3, "macvtap0", "macvtap")],
        [link(3, "br0", "bridge"), link(4, "tap0", "tun", master=3)],
    ],
    ids=["kubevirt", "kata", "macvtap", "virtlet"],
)
def test_what_is_in_the_netns_shows_a_virtual_machine(
    small: SmallCluster, more: list[Link]
) -> None:
    lose_everything(small)
    eth0 = link(2, "eth0", peer_index=12, peer_nsid=0, master=3)
    small.change_netns(WEB_NETNS, links=[eth0, *more])

    assert reasons(small, "pods.have_netns") == reasons(small, UDP) == [MACHINE]
    assert small.findings("pods.ip_on_interface") == []


@pytest.mark.parametrize(
    "more",
    [
        [link(3, "tun0", "tun")],
        [link(3, "tailscale0", "tun")],
        [link(3, "docker0", "bridge"), link(4, "veth1", master=3)],
        [link(3, "br-inner", "bridge"), link(4, "tap0", "tun", master=3)],
    ],
    ids=["openvpn", "tailscale", "docker in docker", "a machine of its own network"],
)
def test_other_devices_in_a_pod_are_no_excuse(small: SmallCluster, more: list[Link]) -> None:
    small.change_netns(
        WEB_NETNS, links=[link(2, "eth0", peer_index=12, peer_nsid=0), *more], addresses=[]
    )

    assert reasons(small, "pods.ip_on_interface") == [""]


@pytest.mark.parametrize(
    ("name", "handler", "is_hidden"),
    [
        ("secure", "kata-qemu", True),
        ("gvisor", "runsc", True),
        ("fast", "firecracker", True),
        ("kata-mshv-vm-isolation", "", True),
        ("isolated", "urunc", True),
        ("kata", "runc", False),
        ("nvidia", "nvidia", False),
        ("wasm", "spin", False),
        ("crun", "", False),
    ],
)
def test_the_handler_of_a_runtime_class_decides(
    small: SmallCluster, name: str, handler: str, is_hidden: bool
) -> None:
    web(small)["spec"]["runtimeClassName"] = name
    if handler:
        small.api["runtimeClasses"] = [{"metadata": {"name": name}, "handler": handler}]

    found = reasons(small, "pods.have_netns")

    assert [name in each for each in found] == ([True] if is_hidden else [])


def test_a_pod_on_the_host_network_has_the_nodes_netns(small: SmallCluster) -> None:
    """Its processes, such as containers within it, may have created others."""
    web(small)["spec"]["hostNetwork"] = True
    node = small.node
    (pod,) = [each for each in node.pods if each.name == "web"]

    assert node.namespaces.netns_of(pod) is None
    assert pod not in [each for each, _ in node.pods_with_netns]
    assert small.findings("pods.ip_on_interface") == []


PODS = "None of the 3 running pods of n1 can be mapped to its processes"


@pytest.mark.parametrize(
    "check", ["pods.have_netns", "pods.ip_on_interface", "links.up", UDP, "dns.resolv_conf"]
)
def test_where_no_pod_can_be_mapped_one_sentence_says_so(small: SmallCluster, check: str) -> None:
    small.change_document(pods=[])

    with pytest.raises(FactMissingError, match=PODS):
        small.findings(check)


def test_pods_that_were_not_looked_for_are_another_matter(small: SmallCluster) -> None:
    small.change_document(pods=[], problems=["Pods: the time limit ended first."])

    with pytest.raises(FactMissingError, match="time limit ended first"):
        small.findings("pods.have_netns")


def test_a_single_pod_without_processes_is_still_found(small: SmallCluster) -> None:
    document = small.document
    assert document
    small.change_document(pods=[each for each in document.pods if each.uid != WEB])

    (finding,) = small.findings("pods.have_netns")
    assert finding.found == "no process on n1 belongs to it"


def test_coverage_does_not_count_pods_that_could_not_be_found(small: SmallCluster) -> None:
    cluster = small.cluster
    seen = coverage(cluster, cluster.index, [])
    blind = coverage(cluster, cluster.index, [], {"n1"})

    assert (seen.pods_seen, blind.pods_seen) == (3, 0)
    assert blind.pods_known == 3


def cilium(small: SmallCluster) -> None:
    owner = {"kind": "DaemonSet", "name": "cilium", "controller": True}
    small.api["pods"][2]["metadata"]["ownerReferences"] = [owner]


UNREAD = "policies of Cilium's own kinds, which were not read"


def lose_dns(small: SmallCluster, error: str = "timeout") -> None:
    for transport in ("udp", "tcp"):
        small.change_probes(WEB_NETNS, transport, [Try(2.0, error=error)] * 3)


def test_a_recording_without_ciliums_policies_cannot_tell_why_dns_is_lost(
    small: SmallCluster,
) -> None:
    lose_dns(small)
    assert reasons(small, UDP) == [""]

    cilium(small)
    assert reasons(small, UDP) == [UNREAD]


def test_a_policy_does_not_explain_a_refusal(small: SmallCluster) -> None:
    cilium(small)
    lose_dns(small, "refused")

    assert reasons(small, UDP) == [""]


def test_a_policy_explains_the_loss_of_everything_only_if_the_pod_is_attached(
    small: SmallCluster,
) -> None:
    small.api["pods"][2]["metadata"]["ownerReferences"] = [
        {"kind": "DaemonSet", "name": "calico-node", "controller": True}
    ]
    lose_everything(small)
    why = UNREAD.replace("Cilium", "Calico")
    assert reasons(small, UDP) == [why]

    # The gateway of the pod does not answer.
    neighbour = Neighbour(2, "10.244.0.1", "", "INCOMPLETE")
    small.change_netns(WEB_NETNS, neighbours=[neighbour])
    assert reasons(small, UDP) == [""]
    small.change_netns(WEB_NETNS, neighbours=[])

    # Only the other pod's device is in the plugin's chains.
    chain = "-A cali-from-wl-dispatch -i veth11 -g cali-fw-veth11\nCOMMIT"
    small.change_output("iptables-nft-save", FILTER.replace("COMMIT", chain))
    assert reasons(small, UDP) == [""]
    both = f"-A cali-from-wl-dispatch -i veth12 -g cali-fw-veth12\n{chain}"
    small.change_output("iptables-nft-save", FILTER.replace("COMMIT", both))
    assert reasons(small, UDP) == [why]

    # The node's end is on no bridge any more.
    small.change_link(HOST, "veth12", master=None)
    assert reasons(small, UDP) == [""]


def test_without_connections_the_pods_attachment_decides(small: SmallCluster) -> None:
    cilium(small)
    lose_dns(small)
    small.change_document(contacts=[])
    assert reasons(small, UDP) == [UNREAD]

    small.change_probes(HOST, "udp", [Try(2.0, error="timeout")], "10.96.0.10")
    small.change_probes(HOST, "tcp", [Try(2.0, error="timeout")], "10.96.0.10")
    assert reasons(small, UDP) == [""]


def test_policies_that_were_looked_for_are_no_excuse(small: SmallCluster) -> None:
    cilium(small)
    lose_dns(small)
    small.api["policyKinds"] = {"any": "absent", "CiliumNetworkPolicy": "read"}

    assert reasons(small, UDP) == [""]


@pytest.mark.parametrize("check", [UDP, "reachability.api_server"])
def test_policies_that_could_not_be_read_may_block_every_pod(
    small: SmallCluster, check: str
) -> None:
    lose_everything(small)
    small.api["policyKinds"] = {"CiliumNetworkPolicy": "unreadable"}

    assert reasons(small, check) == ["policies that could not be read (CiliumNetworkPolicy)"]


def test_a_policy_of_another_kind_is_named(small: SmallCluster) -> None:
    lose_everything(small)
    selector = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web"]}]}
    policy = {
        "metadata": {"name": "fqdn-only"},
        "kind": "CiliumClusterwideNetworkPolicy",
        "choices": [{"pods": selector}],
        "directions": ["Egress"],
    }
    small.api["otherPolicies"] = [policy]
    assert reasons(small, UDP) == ["CiliumClusterwideNetworkPolicy fqdn-only"]

    policy["directions"] = ["Ingress"]
    assert reasons(small, UDP) == [""]
