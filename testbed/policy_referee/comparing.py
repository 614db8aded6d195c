"""Asks wirecheck and an oracle the same questions about a random cluster."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import msgspec

from testbed.policy_referee.random_clusters import NUMBERS, OUTSIDE, PROTOCOLS, RandomCluster
from wirecheck.addresses import address
from wirecheck.api_index.pod import Pod
from wirecheck.collect.api.policies import OF_ADMINS, RawPolicy, projected_policy
from wirecheck.policy.expected import ExpectedPolicies
from wirecheck.policy.peers import Outside, Peer
from wirecheck.policy.reach import Decision
from wirecheck.snapshot.api_objects import ApiObjects

PORTS = (*NUMBERS, 82, 480)


@dataclass(frozen=True, slots=True)
class Question:
    """A connection: the numbers of a source and a target, and a port.

    Numbers count the pods, then the addresses of no pod.
    """

    source: int
    target: int
    protocol: str
    port: int


Answers = Sequence[bool]
Oracle = Callable[[RandomCluster, Sequence[Question]], Answers]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A question that the oracle answers differently."""

    cluster: RandomCluster
    question: Question
    expected: str
    oracle: bool


def questions_of(cluster: RandomCluster) -> list[Question]:
    """Each pair of pods, and each pod with addresses outside, at every port."""
    count = len(cluster.pods)
    ends = range(count + len(OUTSIDE))
    return [
        Question(source, target, protocol, port)
        for source, target in product(ends, ends)
        if source != target and min(source, target) < count
        for protocol, port in product(PROTOCOLS, PORTS)
    ]


def decisions(cluster: RandomCluster, questions: Sequence[Question]) -> list[Decision]:
    """What wirecheck expects."""
    objects = {"pods": cluster.pods, "networkPolicies": cluster.policies}
    api = msgspec.convert(
        {**objects, "policyRulesRead": True, "policyKinds": {"any": "absent"}}, ApiObjects
    )
    others = [
        projected_policy(msgspec.convert(each, RawPolicy), OF_ADMINS, each["kind"])
        for each in cluster.admin
    ]
    api = msgspec.structs.replace(api, other_policies=others)
    namespaces = {e["metadata"]["name"]: e["metadata"]["labels"] for e in cluster.namespaces}
    expected = ExpectedPolicies.of(api, namespaces)
    vocabulary = expected.vocabulary
    peers: list[Peer] = [vocabulary.class_of(Pod(each)) for each in api.pods]
    peers += [Outside(vocabulary.block_map.covering([address(each)])) for each in OUTSIDE]
    reaches = {
        ends: expected.reach(peers[ends[0]], peers[ends[1]])
        for ends in dict.fromkeys((q.source, q.target) for q in questions)
    }
    return [reaches[q.source, q.target].answer(q.protocol, q.port).decision for q in questions]


def disagreements(
    cluster: RandomCluster, oracle: Oracle, tally: Counter[str] | None = None
) -> Iterator[Disagreement]:
    """The questions that the oracle answers differently. What is inconclusive does not count."""
    questions = questions_of(cluster)
    answered = zip(
        questions, decisions(cluster, questions), oracle(cluster, questions), strict=True
    )
    for question, decision, allowed in answered:
        if tally is not None:
            tally[decision] += 1
            undefined = decision is Decision.INCONCLUSIVE
            tally["inconclusive, allowed by the oracle"] += undefined and allowed
        if decision is not Decision.INCONCLUSIVE and (decision is Decision.ALLOWED) != allowed:
            yield Disagreement(cluster, question, str(decision), allowed)


def shrunk(found: Disagreement, oracle: Oracle) -> Disagreement:
    """The same disagreement with as few policies, rules and peers as possible."""
    for smaller in _smaller(found.cluster):
        again = next(disagreements(smaller, oracle), None)
        if again is not None:
            return shrunk(again, oracle)
    return found


def _smaller(cluster: RandomCluster) -> Iterator[RandomCluster]:
    """The cluster without one policy, rule, peer or port."""
    for number, policy in enumerate(cluster.admin):
        around = cluster.admin[:number], cluster.admin[number + 1 :]
        yield replace(cluster, admin=(*around[0], *around[1]))
        for spec in _without_one(policy["spec"]):
            yield replace(cluster, admin=(*around[0], {**policy, "spec": spec}, *around[1]))
    for number, policy in enumerate(cluster.policies):
        others = cluster.policies[:number], cluster.policies[number + 1 :]
        yield replace(cluster, policies=(*others[0], *others[1]))
        for spec in _without_one(policy["spec"]):
            changed: dict[str, Any] = {**policy, "spec": spec}
            yield replace(cluster, policies=(*others[0], changed, *others[1]))


def _without_one(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for direction in ("ingress", "egress"):
        rules = spec.get(direction, [])
        for number, rule in enumerate(rules):
            before, after = rules[:number], rules[number + 1 :]
            yield {**spec, direction: [*before, *after]}
            for field in ("from", "to", "ports"):
                entries = rule.get(field, [])
                for position in range(len(entries) if len(entries) > 1 else 0):
                    fewer = [*entries[:position], *entries[position + 1 :]]
                    yield {**spec, direction: [*before, {**rule, field: fewer}, *after]}
