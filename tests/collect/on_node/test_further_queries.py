"""Queries of which each counts, pairs on one socket, a cache of the node's own, the kubelet."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import dns.message
import dns.rdatatype
import pytest

from tests.collect.on_node.conftest import DNS, QUESTION, FakeNode, plan
from wirecheck.collect.plan.dns_questions import TRANSPORTS, Ask, Question
from wirecheck.collect.plan.visit_plan import Plan
from wirecheck.snapshot.node_settings import Kubelet

MakeNode = Callable[..., FakeNode]
SECOND = Question(QUESTION.name, "AAAA")
OWN_SERVERS = [Ask(QUESTION.id, "", each, purpose="own server") for each in TRANSPORTS]
PAIR = Ask(QUESTION.id, DNS, "udp", purpose="pair", second=SECOND.id)


def pairs(node: FakeNode) -> Plan:
    """Every pod asks for both families at once, and nothing else is asked."""
    return plan(
        queries={each.id: each.wire for each in (QUESTION, SECOND)},
        pods=[],
        node=[],
        pairs=[PAIR],
        pair_sources=list(node.uids.values()),
    )


def kind(encoded: str) -> str:
    message = dns.message.from_wire(base64.b64decode(encoded))
    return dns.rdatatype.to_text(message.question[0].rdtype)


def test_both_queries_of_a_pair_are_answered(fake_node: MakeNode) -> None:
    node = fake_node(web={})

    (probe,) = node.visit(pairs(node)).document.probes

    (attempt,) = probe.tries
    assert (probe.inode, probe.second) == (node.inodes["web"], SECOND.id)
    assert (kind(attempt.answer), kind(attempt.second)) == ("A", "AAAA")


def test_half_a_pair_is_no_answer(fake_node: MakeNode) -> None:
    node = fake_node(web={"no_aaaa": True})

    (probe,) = node.visit(pairs(node)).document.probes

    assert [each.error for each in probe.tries] == ["timeout after 1 of 2 answers"] * 3
    assert not any(each.answer for each in probe.tries)


def test_each_single_query_counts(fake_node: MakeNode) -> None:
    sample = Ask(QUESTION.id, DNS, "udp", purpose="sample", times=5)

    seen = fake_node(web={"drop": 2}).visit(plan(pods=[sample], node=[sample]))

    counted = dict.fromkeys((seen.node.host, seen.node.inodes["web"]), 0)
    for probe in seen.document.probes:
        assert (probe.purpose, len(probe.tries)) == ("sample", 1)
        counted[probe.inode] += bool(probe.tries[0].answer)
    assert counted == {seen.node.host: 5, seen.node.inodes["web"]: 3}


def test_a_cache_of_the_node_is_asked_at_its_own_address(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    node.run("ip", "link", "add", "nodelocaldns", "type", "bridge")
    node.run("ip", "address", "add", "169.254.20.10/32", "dev", "nodelocaldns")

    probes = node.visit(plan(node=[], own_servers=OWN_SERVERS)).document.probes

    cache = [each for each in probes if each.purpose == "local cache"]
    assert [(each.server, each.transport) for each in cache] == [
        ("169.254.20.10", "udp"),
        ("169.254.20.10", "tcp"),
    ]
    assert {each.inode for each in cache} == {node.host}
    assert {each.tries[0].error for each in cache} == {"refused"}


def test_the_address_of_the_dns_service_is_not_queried_as_the_caches_own(
    fake_node: MakeNode,
) -> None:
    """NodeLocal DNSCache also binds that address, which is queried anyway."""
    node = fake_node(web={})
    node.run("ip", "link", "add", "nodelocaldns", "type", "bridge")
    node.run("ip", "link", "add", "other", "type", "bridge")
    for address, device in (
        (DNS, "nodelocaldns"),
        ("169.254.20.10", "nodelocaldns"),
        ("169.254.20.11", "other"),
    ):
        node.run("ip", "address", "add", f"{address}/32", "dev", device)

    probes = node.visit(plan(node=[], own_servers=OWN_SERVERS)).document.probes

    assert {each.server for each in probes if each.purpose == "local cache"} == {"169.254.20.10"}


PRETEND = """
import os, sys, time
if os.fork():
    sys.exit()
for descriptor in (0, 1, 2):
    os.close(descriptor)
with open("/proc/self/comm", "w") as file:
    file.write("kubelet")
time.sleep(100)
"""
YAML = """authentication:
  x509: secret
clusterDNS:
- 10.96.0.10
- fd00::a
clusterDomain: cluster.local
staticPodPath: /etc
"""
LINES = ["clusterDNS:", "- 10.96.0.10", "- fd00::a", "clusterDomain: cluster.local"]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (YAML, LINES),
        (
            json.dumps({"clusterDNS": ["10.96.0.10"], "authentication": "secret"}),
            ['clusterDNS: ["10.96.0.10"]'],
        ),
    ],
)
def test_of_the_kubelet_only_what_it_says_of_dns_is_read(
    fake_node: MakeNode, tmp_path: Path, text: str, lines: list[str]
) -> None:
    node = fake_node(web={})
    file = tmp_path / "config.yaml"
    file.write_text(text)
    options = [f"--config={file}", "--cluster-domain", "a.b", "--token=secret"]
    node.run("python3", "-c", PRETEND, *options)

    found = node.visit(plan()).document.kubelet

    assert found == Kubelet({"config": str(file), "cluster-domain": "a.b"}, lines)


DEFAULTS = "clusterDomain: a.b\nclusterDNS: [10.96.0.10]\nstaticPodPath: /etc\n"


def test_the_settings_of_k3s_are_in_its_folder(fake_node: MakeNode, tmp_path: Path) -> None:
    node = fake_node(web={})
    (tmp_path / "00-k3s-defaults.conf").write_text(DEFAULTS)
    folder = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"
    node.run("sh", "-c", f"mount -t tmpfs none /var/lib && mkdir -p {folder}")
    node.run("sh", "-c", f"cp {tmp_path}/*.conf {folder}")
    node.run("python3", "-c", PRETEND.replace("kubelet", "k3s-server"))

    found = node.visit(plan()).document.kubelet

    assert found == Kubelet(
        {"config-dir": folder}, ["clusterDomain: a.b", "clusterDNS: [10.96.0.10]"], merged=True
    )


def test_without_a_kubelet_nothing_is_said_of_it(fake_node: MakeNode) -> None:
    assert fake_node(web={}).visit(plan()).document.kubelet is None
