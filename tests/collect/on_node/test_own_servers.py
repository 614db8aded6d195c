"""Queries to servers that only the node knows, and single queries spread over its pods."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.collect.on_node.conftest import DNS, QUESTION, FakeNode, plan
from tests.collect.on_node.test_further_queries import OWN_SERVERS, PRETEND
from wirecheck.collect.on_node import own_servers
from wirecheck.collect.on_node.visit_state import VisitState
from wirecheck.collect.plan.dns_questions import Ask, PodSamples
from wirecheck.snapshot.attempts import Probe

MakeNode = Callable[..., FakeNode]


def sent_for(purpose: str, probes: list[Probe]) -> set[tuple[int, str, str]]:
    return {(p.inode, p.server, p.transport) for p in probes if p.purpose == purpose}


def both(inode: int, server: str) -> set[tuple[int, str, str]]:
    return {(inode, server, transport) for transport in ("udp", "tcp")}


def hand_out(node: FakeNode, *servers: str) -> None:
    """A process that is called kubelet, with these servers on its command line."""
    node.run("python3", "-c", PRETEND, f"--cluster-dns={','.join(servers)}")


def test_what_the_kubelet_hands_out_is_queried(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    for address in ("169.254.10.10/32", "169.254.10.11/32"):
        node.run("ip", "address", "add", address, "dev", "cni0")
    hand_out(node, "169.254.10.11", "192.0.2.1", "198.51.100.9", DNS)

    probes = node.visit(plan(node=[], pods=[Ask(QUESTION.id, DNS, "udp")],
                             own_servers=OWN_SERVERS)).document.probes  # fmt: skip

    bound = both(node.host, "169.254.10.11") | both(node.host, "192.0.2.1")
    assert sent_for("local cache", probes) == bound
    from_the_node = {each for each in sent_for("own server", probes) if each[0] == node.host}
    assert from_the_node == both(node.host, "198.51.100.9")


def test_samples_are_spread_over_pods_and_replicas(fake_node: MakeNode) -> None:
    node = fake_node(web={}, shop={}, db={})
    asks = [Ask(QUESTION.id, each, "udp", purpose="pod sample") for each in (DNS, "192.0.2.1")]
    samples = PodSamples(asks, [*node.uids.values(), "gone"], 60)

    probes = node.visit(plan(node=[], pods=[], pod_samples=samples)).document.probes

    counted = Counter((each.inode, each.server) for each in probes)
    assert len(probes) == 60
    assert set(counted.values()) == {10}
    assert {inode for inode, _ in counted} == set(node.inodes.values())
    assert {len(each.tries) for each in probes} == {1}


def test_a_lost_sample_is_not_repeated(fake_node: MakeNode) -> None:
    node = fake_node(web={"drop": 3})
    ask = Ask(QUESTION.id, DNS, "udp", purpose="pod sample")

    probes = node.visit(
        plan(node=[], pods=[], pod_samples=PodSamples([ask], [*node.uids.values()], 20))
    ).document.probes

    assert sum(not each.tries[0].answer for each in probes) == 3


def visit_of(*files: str, kubelet: dict[str, Any] | None = None) -> VisitState:
    """A visit to pods with these files, in the netns 101, 102 …"""
    queries = [{"server": DNS, "query": "q", "transport": "udp"}]
    own = [{"server": "", "query": "q", "transport": "udp", "purpose": "own server"}]
    document: dict[str, Any] = {
        "kubelet": kubelet,
        "pods": [
            {"inode": inode, "resolv_conf": {"text": text}}
            for inode, text in enumerate(files, start=101)
        ],
    }
    dns: dict[str, Any] = {"pods": queries, "own_servers": own}
    # A real visit would start a watchdog that ends the process.
    namespaces = SimpleNamespace(descriptors=range(1000), host=1)
    return cast(
        "VisitState", SimpleNamespace(plan={"dns": dns}, document=document, namespaces=namespaces)
    )


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("search a.svc.b\nnameserver 127.0.0.1\n", "127.0.0.1"),
        ("search a.svc.b\nnameserver 169.254.20.10\nnameserver 10.1.1.1\n", "169.254.20.10"),
        ("search a.svc.b\nnameserver fd00:0::53\n", "fd00::53"),
        ("search a.b\nnameserver 10.1.1.1\n", ""),  # the node's, as with policy Default
        (f"nameserver {DNS}\n", ""),  # queried anyway
        ("search a.svc.b\nnameserver 8.8.8.8\n", ""),  # on the internet
        ("nameserver 9.9.9.9\n", "9.9.9.9"),  # handed out
        ("search a.svc.b\nnameserver 224.0.0.251\n", ""),
        ("search a.svc.b\nnameserver 0.0.0.0\n", ""),
        ("nameserver\n", ""),
        ("nameserver example.org\n", ""),
        ("", ""),
    ],
)
def test_which_server_of_a_pod_is_queried(text: str, server: str) -> None:
    visit = visit_of(text, kubelet={"flags": {"cluster-dns": "9.9.9.9"}})

    found = [(inode, query["server"]) for inode, query in own_servers.of_pods(visit, {1})]
    assert found == ([(101, server)] if server else [])


@pytest.mark.parametrize(
    "lines",
    [["clusterDNS:", "- 9.9.9.9", "clusterDomain: dead.beef"], ['clusterDNS: ["9.9.9.9"]']],
)
def test_the_lines_of_the_kubelets_file_are_read(lines: list[str]) -> None:
    visit = visit_of("nameserver 9.9.9.9\n", kubelet={"lines": lines})

    assert [query["server"] for _, query in own_servers.of_pods(visit, {1})] == ["9.9.9.9"]


def test_few_pods_are_queried_however_many_have_a_server_of_their_own() -> None:
    visit = visit_of(*["search a.svc.b\nnameserver 127.0.0.1\n"] * 200)

    assert len(list(own_servers.of_pods(visit, {1, 101}))) == own_servers.MOST_PODS


def test_a_node_with_files_of_pods(fake_node: MakeNode, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").write_text("search a.svc.b\nnameserver 192.0.2.1\n")
    node = fake_node(web={"root": str(tmp_path)}, shop={})

    probes = node.visit(plan(node=[], own_servers=OWN_SERVERS)).document.probes

    assert both(node.inodes["web"], "192.0.2.1") <= sent_for("own server", probes)
