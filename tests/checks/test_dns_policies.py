"""Which NetworkPolicies excuse a query without an answer: only those that may have stopped it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.small_cluster import KUBERNETES, WEB_NETNS, SmallCluster, answer
from tests.snapshots import written
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.evaluation.verdict import exit_status, only_inconclusive, verdict
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.folder import Snapshot

LOST = [Try(2.0, error="timeout")] * 3
RESOLVE = "dns.pods_resolve_udp"
TO_DNS = {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}


def spaces(key: str, value: str) -> dict[str, Any]:
    return {"namespaceSelector": {"matchLabels": {key: value}}}


def block(cidr: str, *excluded: str) -> dict[str, Any]:
    return {"ipBlock": {"cidr": cidr, "except": list(excluded)}}


IN_SYSTEM = spaces("kubernetes.io/metadata.name", "kube-system")
BOTH = [{"port": 53, "protocol": each} for each in ("UDP", "TCP")]


def policy(name: str = "some", **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], **spec},
    }


def restricted(small: SmallCluster, *egress: Any, rules_read: bool = True) -> list[str]:
    """Why the lost queries of a pod with such a policy are inconclusive; "" if they are not."""
    small.api["networkPolicies"] = [policy(egress=list(egress))]
    small.api["policyRulesRead"] = rules_read
    small.change_probes(WEB_NETNS, "udp", LOST)
    return [each.inconclusive for each in small.findings(RESOLVE)]


ALLOWING: dict[str, Any] = {
    "everything": {},
    "every port to everything": {"to": [], "ports": []},
    "DNS to everything": {"ports": BOTH},
    "UDP": {"ports": [{"protocol": "UDP"}]},
    "a range of ports": {"ports": [{"protocol": "UDP", "port": 1, "endPort": 65535}]},
    "all pods of all namespaces": {"to": [{"namespaceSelector": {}}]},
    "the namespace of DNS": {"to": [IN_SYSTEM], "ports": BOTH},
    "the pods of DNS": {"to": [{**IN_SYSTEM, **TO_DNS}], "ports": BOTH},
    "these pods anywhere": {"to": [{"namespaceSelector": {}, **TO_DNS}]},
    "all addresses": {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]},
    "addresses of pods": {"to": [block("10.244.0.0/16", "10.244.9.0/24")]},
    "one peer of several": {"to": [{"podSelector": {}}, IN_SYSTEM]},
}  # fmt: skip
BLOCKING: dict[str, Any] = {
    "TCP only": {"ports": [{"port": 53, "protocol": "TCP"}]},
    "TCP by default": {"ports": [{"port": 53}]},
    "another port": {"ports": [{"port": 5353, "protocol": "UDP"}]},
    "a port of another name": {"ports": [{"port": "http", "protocol": "UDP"}]},
    "pods of the own namespace": {"to": [{"podSelector": {}}]},
    "another namespace": {"to": [spaces("kubernetes.io/metadata.name", "x")]},
    "a namespace by a label that is not known": {"to": [spaces("team", "a")]},
    "other pods": {"to": [{**IN_SYSTEM, "podSelector": {"matchLabels": {"app": "x"}}}]},
    "other addresses": {"to": [{"ipBlock": {"cidr": "192.0.2.0/24"}}]},
    "the Service's address": {"to": [{"ipBlock": {"cidr": "10.96.0.10/32"}}]},
    "all but some addresses": {"to": [block("0.0.0.0/0", "10.244.0.0/16")]},
    "an odd range": {"to": [{"ipBlock": {"cidr": "everything"}}]},
    "an odd exception": {"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["some"]}}]},
}  # fmt: skip


@pytest.mark.parametrize("rule", ALLOWING)
def test_a_policy_that_allows_dns_excuses_nothing(small: SmallCluster, rule: str) -> None:
    assert restricted(small, {"to": [{"podSelector": {}}]}, ALLOWING[rule]) == [""]


@pytest.mark.parametrize("rule", BLOCKING)
def test_a_policy_that_may_block_dns_excuses_it(small: SmallCluster, rule: str) -> None:
    assert restricted(small, BLOCKING[rule]) == ["NetworkPolicy shop/some"]


def test_rules_that_were_not_read_excuse_as_before(small: SmallCluster) -> None:
    assert restricted(small, {}, rules_read=False) == ["NetworkPolicy shop/some"]


def test_what_one_policy_allows_is_allowed(small: SmallCluster) -> None:
    restricted(small)
    small.api["networkPolicies"].append(policy("dns", egress=[{"ports": BOTH}]))

    (finding,) = small.findings(RESOLVE)
    assert finding.inconclusive == ""


def test_a_block_of_addresses_does_not_apply_to_pods_with_cilium(small: SmallCluster) -> None:
    small.api["policyKinds"] = {"CiliumNetworkPolicy": "read"}
    assert restricted(small, ALLOWING["all addresses"]) == ["NetworkPolicy shop/some"]


def test_selectors_do_not_apply_to_replicas_on_the_host_network(small: SmallCluster) -> None:
    small.api["pods"][0]["spec"]["hostNetwork"] = True
    assert restricted(small, ALLOWING["the pods of DNS"]) == ["NetworkPolicy shop/some"]


def test_a_policy_makes_up_no_answer(small: SmallCluster) -> None:
    restricted(small)
    small.change_probes(WEB_NETNS, "udp", [Try(0.01, answer=answer(KUBERNETES, "192.0.2.66"))])
    (finding,) = small.findings(RESOLVE)
    assert finding.inconclusive == ""

    small.change_probes(WEB_NETNS, "udp", [Try(0.01, answer=answer(KUBERNETES, rcode=5))])
    (finding,) = small.findings(RESOLVE)
    assert finding.inconclusive == "NetworkPolicy shop/some"


def test_a_policy_damages_no_answer(small: SmallCluster) -> None:
    restricted(small)
    small.change_probes(WEB_NETNS, "udp", [Try(0.01, answer="AAAA")])

    (finding,) = small.findings(RESOLVE)
    assert finding.inconclusive == ""


def test_a_dead_dns_is_never_healthy(small: SmallCluster, tmp_path) -> None:
    """Every pod is behind a policy, so that no pod could be evaluated."""
    small.api["networkPolicies"] = [policy(), policy()]
    small.api["networkPolicies"][1]["metadata"]["namespace"] = "kube-system"
    for inode in {each.inode for each in small.document.probes} - {1}:
        for transport in ("udp", "tcp"):
            small.change_probes(inode, transport, LOST)
    snapshot = Snapshot.open(written(tmp_path / "seen", small))

    checks = [each for each in load() if each.id.startswith("dns.pods_resolve")]
    items = list(evaluate(snapshot, checks, ["n1"]))

    assert only_inconclusive(items) == ["dns.pods_resolve_tcp", "dns.pods_resolve_udp"]
    assert exit_status(items) == 2
    assert verdict(items).startswith("2 checks could decide nothing (dns.pods_resolve_tcp, ")


def test_one_pod_that_resolves_is_enough(small: SmallCluster, tmp_path) -> None:
    restricted(small)
    snapshot = Snapshot.open(written(tmp_path / "seen", small))
    checks = [each for each in load() if each.id == RESOLVE]
    items = list(evaluate(snapshot, checks, ["n1"]))

    (item,) = items
    assert (item.unjudged, item.conclusive) == ({"NetworkPolicy shop/some": 1}, 1)
    assert exit_status(items) == 0
    assert verdict(items) == "Healthy."
