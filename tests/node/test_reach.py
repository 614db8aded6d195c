"""What one connection shows: what it had to achieve, how it failed, and what it proves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.helped_cluster import HELPER_NETNS, helped_cluster
from tests.checks.small_cluster import HOST, WEB, WEB_NETNS, SmallCluster, api_pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.node.reach import ENOUGH, NodeReach, Reached
from wirecheck.snapshot.attempts import Contact
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.netns import Address


def reached(**fields: Any) -> Reached:
    """A connection that was made at the first try, changed by the fields."""
    contact = Contact(
        **{
            "inode": HOST,
            "source": "",
            "purpose": "pod",
            "address": "10.244.1.9",
            "port": 80,
            "tries": 1,
            "made": 1,
            **fields,
        }
    )
    return Reached(Ref("Node", "n1"), contact, None, None, (), "")


LARGE = {"messages": 17, "sent": 69_000, "received": 1_500, "replies": 3, "error": "timeout"}


@pytest.mark.parametrize(
    ("fields", "expected", "problem"),
    [
        ({}, "a TCP connection", ""),
        (
            {"made": 0, "tries": 2, "error": "timeout"},
            "a TCP connection",
            "timeout in 2 of 2 tries",
        ),
        ({"times": 10, "tries": 10, "made": 10}, "10 of 10 TCP connections", ""),
        (
            {"times": 10, "tries": 10, "made": 9, "error": "timeout"},
            "10 of 10 TCP connections",
            "9 of 10, others: timeout",
        ),
        (
            {"times": 2, "tries": 2, "made": 1, "error": "refused"},
            "2 of 2 TCP connections",
            "1 of 2, others: refused",
        ),
        (LARGE, "17 answers to 17 messages of 4 KiB", ""),
        (
            {**LARGE, "made": 0},
            "17 answers to 17 messages of 4 KiB",
            "3 answers, 1,500 bytes received and 69,000 sent, then timeout",
        ),
    ],
)
def test_what_was_expected_and_what_failed(
    fields: dict[str, Any], expected: str, problem: str
) -> None:
    found = reached(**fields)

    assert (found.expected, found.problem) == (expected, problem)


def test_a_connection_that_was_not_tried_shows_nothing() -> None:
    with pytest.raises(FactMissingError, match=r"to 10\.244\.1\.9 port 80 was tried"):
        _ = reached(tries=0, made=0).problem


@pytest.mark.parametrize(("received", "is_small"), [(ENOUGH - 1, True), (ENOUGH, False)])
def test_small_answers_do_not_prove_the_way_back(received: int, is_small: bool) -> None:
    assert ENOUGH == 65_536
    assert reached(received=received).is_small is is_small


def test_a_refused_connection_is_no_lost_one() -> None:
    assert reached(error="refused").is_refused
    assert not reached(error="timeout").is_refused


def contact(address: str, purpose: str = "pod", source: str = "", **fields: Any) -> Contact:
    port = {"port": 8080, "tries": 1, "made": 1, **fields}
    return Contact(WEB_NETNS if source else HOST, source, purpose, address, **port)


def node_reach(small: SmallCluster) -> NodeReach:
    return small.node.reach


def named(address: str, small: SmallCluster | None = None, source: str = "", **fields: Any) -> str:
    return (
        node_reach(small or SmallCluster())
        .reached(contact(address, source=source, **fields))
        .ref.part
    )


def on(node: str, address: str, name: str = "there") -> dict[str, Any]:
    pod = api_pod(name, "shop", address)
    pod["spec"]["nodeName"] = node
    return pod


@pytest.mark.parametrize(
    ("address", "end"),
    [
        ("10.244.0.2", "Pod kube-system/dns (on the same node) 10.244.0.2:8080"),
        ("10.244.1.9", "Pod shop/there (n2) 10.244.1.9:8080"),
        ("10.96.0.1", "Service default/kubernetes 10.96.0.1:8080"),
        ("192.0.2.2", "Node n2 192.0.2.2:8080"),
        ("198.51.100.7", "address 198.51.100.7:8080"),
        ("fd00::7", "address [fd00::7]:8080"),
    ],
)
def test_the_target_is_named_by_what_has_its_address(address: str, end: str) -> None:
    small = SmallCluster()
    small.api["pods"].append(on("n2", "10.244.1.9"))

    assert named(address, small) == f"from the node to {end}"
    assert named(address, small, source=WEB) == f"from shop/web to {end}"


def slice_of_api_server(address: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "kubernetes",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
    }


def test_an_api_server_outside_of_the_cluster_is_named() -> None:
    small = SmallCluster()
    small.api["endpointSlices"].append(slice_of_api_server("198.51.100.7"))

    assert named("198.51.100.7", small) == "from the node to API server 198.51.100.7:8080"


def test_helper_pods_are_named_by_their_nodes() -> None:
    helped = helped_cluster()
    assert helped.document
    uid = next(e.uid for e in helped.document.pods or () if e.inode == HELPER_NETNS)

    assert named("10.244.1.77", helped) == "from the node to the helper pod on n2 by IPv4"
    assert named("10.244.0.77", helped, source=uid) == (
        "from the helper pod to the helper pod on the same node by IPv4"
    )


def test_the_objects_at_both_ends_are_concerned() -> None:
    found = node_reach(SmallCluster()).reached(contact("10.96.0.10", source=WEB))
    assert [str(each) for each in found.concerns] == ["Pod shop/web", "Pod kube-system/dns"]
    assert found.target is None

    found = node_reach(SmallCluster()).reached(contact("192.0.2.2"))
    assert [str(each) for each in found.concerns] == ["Node n2"]


@pytest.mark.parametrize(
    ("address", "pod", "answers_here"),
    [
        # An address that another node's pod, or another node, should have.
        ("10.244.1.9", {"node": "n2"}, True),
        ("192.0.2.2", None, True),
        ("10.244.0.2", None, False),
        ("192.0.2.1", None, False),
        ("198.51.100.7", None, False),
    ],
)
def test_a_node_that_has_the_targets_address_itself_answers(
    address: str, pod: dict[str, str] | None, answers_here: bool
) -> None:
    small = SmallCluster()
    if pod:
        small.api["pods"].append(on(pod["node"], address))
    assert not node_reach(small).reached(contact(address)).is_answered_here

    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(HOST, addresses=[*host.addresses, Address(2, address, 32)])
    assert node_reach(small).reached(contact(address)).is_answered_here is answers_here


def test_a_pod_on_the_host_network_has_the_address_of_its_node() -> None:
    small = SmallCluster()
    agent = on("n2", "192.0.2.1")
    agent["spec"]["hostNetwork"] = True
    small.api["pods"] = [*small.api["pods"][:2], agent]

    assert not node_reach(small).reached(contact("192.0.2.1")).is_answered_here


def test_without_connections_of_a_purpose_there_is_nothing_to_evaluate() -> None:
    small = SmallCluster()
    with pytest.raises(NotApplicable, match="nothing to connect from"):
        node_reach(small).of("node port")

    small.change_document(contacts=None)
    with pytest.raises(NotApplicable, match="no TCP connections were made"):
        node_reach(small).of("pod")


def test_connections_that_all_end_on_the_node_prove_nothing() -> None:
    small = SmallCluster()
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(HOST, addresses=[*host.addresses, Address(2, "192.0.2.2", 32)])

    with pytest.raises(NotApplicable, match="answers in its place"):
        node_reach(small).of("node")
    small.change_document(contacts=[contact("192.0.2.2", "node"), contact("192.0.2.3", "node")])
    assert len(node_reach(small).of("node")) == 2


LOST = {"made": 0, "tries": 2, "error": "timeout"}


def why_closed(*others: Contact, small: SmallCluster | None = None, **fields: Any) -> str:
    """Why the failed connection to the kubelet of n2 is inconclusive; empty if it counts."""
    cluster = small or SmallCluster()
    kubelet = contact("192.0.2.2", "node", port=10250, **{**LOST, **fields})
    cluster.change_document(contacts=[kubelet, *others])
    ((_, why),) = node_reach(cluster).to_nodes
    return why


def ready(small: SmallCluster, status: str) -> SmallCluster:
    small.api["nodes"][1]["status"]["conditions"] = [{"type": "Ready", "status": status}]
    return small


@pytest.mark.parametrize(
    ("others", "is_reached"),
    [
        ([contact("10.244.1.9")], True),
        ([contact("10.244.1.9", made=0, error="refused")], True),
        ([contact("10.244.1.9", **LOST)], False),
        ([contact("10.244.1.9", **LOST), contact("192.0.2.2")], True),
        # A pod of this node says nothing about the other one, and neither does a Service.
        ([contact("10.244.0.2")], False),
        ([contact("10.96.0.1")], False),
        ([contact("192.0.2.2", "node")], False),
        ([contact("10.244.1.9", tries=0)], False),
        # The API no longer has the pod that connected.
        ([contact("10.244.1.9", source="unknown")], False),
    ],
)
def test_a_node_that_other_connections_reach_may_close_the_kubelets_port(
    others: list[Contact], is_reached: bool
) -> None:
    kubelet = contact("192.0.2.2", "node", port=10250, **LOST)
    small = SmallCluster()
    small.change_document(contacts=[kubelet, *others])

    first, *_ = node_reach(small).to_nodes
    assert ("the node is reached" in first[1]) is is_reached


@pytest.mark.parametrize(("status", "is_reached"), [("True", True), ("False", False)])
def test_a_refusal_shows_that_a_ready_node_is_reached(status: str, is_reached: bool) -> None:
    found = why_closed(small=ready(SmallCluster(), status), error="refused")

    assert ("the node is reached" in found) is is_reached


@pytest.mark.parametrize(
    ("status", "visit", "tried", "is_unsure"),
    [
        ("True", VisitStatus.SEEN, False, True),
        ("False", VisitStatus.SEEN, False, False),
        ("True", VisitStatus.UNREACHABLE, False, False),
        ("True", None, False, False),
        ("True", VisitStatus.SEEN, True, False),
    ],
)
def test_a_visited_node_to_which_nothing_else_was_tried_is_inconclusive(
    status: str, visit: VisitStatus | None, tried: bool, is_unsure: bool
) -> None:
    small = ready(SmallCluster(), status)
    small.others = {"n2": VisitRecord(visit)} if visit else {}

    found = why_closed(*[contact("10.244.1.9", **LOST)] * tried, small=small)
    assert ("nothing else was tried" in found) is is_unsure


def test_a_connection_that_was_made_needs_no_excuse() -> None:
    assert why_closed(contact("10.244.1.9"), made=1, tries=1, error="") == ""


@pytest.mark.parametrize("sign", ["label", "address"])
def test_the_control_plane_needs_every_kubelets_port(sign: str) -> None:
    small = SmallCluster()
    if sign == "label":
        labels = {"node-role.kubernetes.io/control-plane": ""}
        small.api["nodes"][0]["metadata"]["labels"] = labels
    else:
        small.api["endpointSlices"].append(slice_of_api_server("192.0.2.1"))

    assert why_closed(contact("10.244.1.9"), small=small) == ""


def policy() -> dict[str, Any]:
    """A policy that restricts what the web pod sends."""
    return {
        "metadata": {"name": "deny", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]},
    }


@pytest.mark.parametrize(
    ("others", "is_tried"),
    [
        # A policy may block what the web pod sends, so only an answer counts.
        ([contact("10.244.1.9", source=WEB, **LOST)], False),
        ([contact("10.244.1.9", **LOST)], True),
        ([contact("10.244.1.9", source=WEB)], True),
    ],
)
def test_what_a_policy_may_block_is_not_tried(others: list[Contact], is_tried: bool) -> None:
    small = ready(SmallCluster(), "True")
    small.others = {"n2": VisitRecord(VisitStatus.SEEN)}
    small.api["networkPolicies"] = [policy()]

    assert ("nothing else was tried" not in why_closed(*others, small=small)) is is_tried


def test_an_answer_of_the_node_itself_is_none_of_the_other_node() -> None:
    small = SmallCluster()
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(HOST, addresses=[*host.addresses, Address(2, "10.244.1.9", 32)])
    small.api["pods"].append(on("n2", "10.244.1.9"))

    assert why_closed(contact("10.244.1.9"), small=small) == ""


@pytest.mark.parametrize("node", ["n0", "n2"])
def test_the_helper_pod_of_any_other_node_is_named_by_it(node: str) -> None:
    helped = helped_cluster()
    helped.api["pods"][-1]["spec"]["nodeName"] = node
    helped.api["nodes"][1]["metadata"]["name"] = node

    assert named("10.244.1.77", helped) == f"from the node to the helper pod on {node} by IPv4"
