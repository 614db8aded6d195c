"""The policy referee: random clusters, and what is found where an oracle answers differently.

The oracle of these tests evaluates each connection on its own, by the words of the API.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Sequence
from typing import Any

from testbed.policy_referee.comparing import (
    Question,
    disagreements,
    questions_of,
    shrunk,
)
from testbed.policy_referee.oracles import document
from testbed.policy_referee.random_clusters import OUTSIDE, RandomCluster, random_cluster


def plain(cluster: RandomCluster, questions: Sequence[Question]) -> list[bool]:
    """Whether each connection is allowed, without classes of pods and without sets of ports."""
    return [
        _passes(cluster, each, "Egress", each.source, each.target)
        and _passes(cluster, each, "Ingress", each.target, each.source)
        for each in questions
    ]


def _passes(
    cluster: RandomCluster, question: Question, direction: str, subject: int, other: int
) -> bool:
    if subject >= len(cluster.pods):
        return True
    meta = cluster.pods[subject]["metadata"]
    isolating = [
        each
        for each in cluster.policies
        if each["metadata"]["namespace"] == meta["namespace"]
        and direction in each["spec"]["policyTypes"]
        and _selected(each["spec"]["podSelector"], meta["labels"])
    ]
    field, peers = ("ingress", "from") if direction == "Ingress" else ("egress", "to")
    return not isolating or any(
        (not rule.get(peers) or any(_is_peer(cluster, p, policy, other) for p in rule[peers]))
        and (not rule.get("ports") or any(_has(cluster, p, question) for p in rule["ports"]))
        for policy in isolating
        for rule in policy["spec"].get(field, [])
    )


def _is_peer(cluster: RandomCluster, peer: Any, policy: Any, other: int) -> bool:
    is_pod = other < len(cluster.pods)
    if block := peer.get("ipBlock"):
        pod_ip = cluster.pods[other]["status"]["podIP"] if is_pod else ""
        where = ipaddress.ip_address(pod_ip or OUTSIDE[other - len(cluster.pods)])
        return where in ipaddress.ip_network(block["cidr"]) and not any(
            where in ipaddress.ip_network(each) for each in block.get("except", [])
        )
    if not is_pod:
        return False
    meta = cluster.pods[other]["metadata"]
    if "namespaceSelector" in peer:
        labels = next(
            each["metadata"]["labels"]
            for each in cluster.namespaces
            if each["metadata"]["name"] == meta["namespace"]
        )
        in_namespace = _selected(peer["namespaceSelector"], labels)
    else:
        in_namespace = meta["namespace"] == policy["metadata"]["namespace"]
    return in_namespace and _selected(peer.get("podSelector", {}), meta["labels"])


def _selected(selector: Any, labels: dict[str, str]) -> bool:
    tests = {
        "In": lambda e: labels.get(e["key"]) in e["values"],
        "NotIn": lambda e: labels.get(e["key"]) not in e["values"],
        "Exists": lambda e: e["key"] in labels,
        "DoesNotExist": lambda e: e["key"] not in labels,
    }
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        tests[each["operator"]](each) for each in selector.get("matchExpressions", [])
    )


def _has(cluster: RandomCluster, port: Any, question: Question) -> bool:
    if port.get("protocol", "TCP") != question.protocol:
        return False
    wanted = port.get("port")
    if isinstance(wanted, str):
        target = cluster.pods[question.target : question.target + 1]
        return any(
            (e["name"], e["protocol"], e["containerPort"])
            == (wanted, question.protocol, question.port)
            for pod in target
            for e in pod["spec"]["containers"][0]["ports"]
        )
    return wanted is None or wanted <= question.port <= port.get("endPort", wanted)


def test_the_plain_oracle_agrees_on_random_clusters():
    tally: Counter[str] = Counter()

    for seed in range(30):
        assert list(disagreements(random_cluster(seed), plain, tally)) == [], seed

    assert min(tally["allowed"], tally["denied"]) > 1000
    assert tally["inconclusive"] > 100
    assert tally["inconclusive, allowed by the oracle"] > 0


def test_a_seed_gives_one_cluster_and_another_seed_another():
    assert random_cluster(5) == random_cluster(5)
    assert random_cluster(5) != random_cluster(6)


def test_a_disagreement_is_found_and_made_small():
    def lenient(cluster: RandomCluster, questions: Sequence[Question]) -> list[bool]:
        """An oracle that does not know egress policies."""
        policies = tuple(e for e in cluster.policies if "Egress" not in e["spec"]["policyTypes"])
        return plain(
            RandomCluster(cluster.seed, cluster.namespaces, cluster.pods, policies), questions
        )

    found = next(
        each for seed in range(40) for each in disagreements(random_cluster(seed), lenient)
    )
    small = shrunk(found, lenient)

    assert small.expected == "denied"
    assert len(small.cluster.policies) == 1
    assert "Egress" in small.cluster.policies[0]["spec"]["policyTypes"]


def test_clusters_for_the_analyzer_have_nothing_that_it_reads_differently():
    clusters = [random_cluster(seed, oracle="analyzer") for seed in range(40)]
    rules = [
        rule
        for cluster in clusters
        for policy in cluster.policies
        for field in ("ingress", "egress")
        for rule in policy["spec"].get(field, [])
    ]
    ports = [port.get("port", 0) for rule in rules for port in rule.get("ports", [])]
    operators = {
        expression["operator"]
        for rule in rules
        for peer in (*rule.get("from", []), *rule.get("to", []))
        for expression in peer.get("podSelector", {}).get("matchExpressions", [])
    }

    assert ports
    assert all(isinstance(each, int) for each in ports)
    assert operators == {"In", "NotIn"}


def test_a_worker_gets_the_objects_and_the_questions():
    cluster = random_cluster(1)
    questions = questions_of(cluster)

    sent = document(cluster, questions[:1])

    assert sent["questions"] == [{"source": 0, "target": 1, "protocol": "TCP", "port": 80}]
    assert sent["policies"] == cluster.policies
    assert len(questions) > 100
