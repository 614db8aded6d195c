"""Lost queries of pods: simulated networks with a known loss, and what does not count as loss."""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import KUBERNETES, WEB_NETNS, SmallCluster, answer
from wirecheck.catalogue.findings import Finding, Level
from wirecheck.node.pod_loss import at_most, least_lost
from wirecheck.snapshot.api_objects import Change
from wirecheck.snapshot.attempts import Probe, Try

REPLICA = "10.244.0.2"
ANSWERED = [Try(0.01, answer=answer(KUBERNETES, "10.96.0.1"))]
LOST = [Try(2.5, error="timeout")]
SEED = 15


def ask_from_pods(small: SmallCluster, tries: list[list[Try]], **fields: Any) -> None:
    """Replace the single queries that the web pod sent to the replica."""
    assert small.document
    others = [each for each in small.document.probes if each.purpose != "pod sample"]
    one = Probe(WEB_NETNS, "kubernetes", REPLICA, 53, "udp", [], "pod sample")
    small.change_document(probes=[*others, *(replace(one, tries=each, **fields) for each in tries)])


def lose(small: SmallCluster, lost: int, sent: int = 100, **fields: Any) -> list[Finding]:
    ask_from_pods(small, [LOST] * lost + [ANSWERED] * (sent - lost), **fields)
    return small.findings("dns.no_packet_loss")


@pytest.mark.parametrize(
    ("lost", "sent", "is_found"),
    [
        (2, 100, False),
        (3, 100, True),
        (1, 64, False),
        (2, 64, True),
        (1, 5, False),
        (2, 5, True),
        (1, 1, False),
    ],
)
def test_so_many_lost_queries_are_no_chance(
    small: SmallCluster, lost: int, sent: int, is_found: bool
) -> None:
    findings = lose(small, lost, sent)

    assert [each.level for each in findings] == [Level.FAIL] * is_found
    for each in findings:
        assert each.subject.part == "DNS over UDP from pods"
        assert f"{lost} of {sent} queries from 1 pod lost" in each.found
        assert "shop/web" in each.found


def test_how_much_may_be_lost_comes_from_the_inventory(small: SmallCluster) -> None:
    small.thresholds["dns.lost_fail"] = 25

    assert [each.level for each in lose(small, 10)] == [Level.WARN]
    assert [each.level for each in lose(small, 20)] == [Level.FAIL]


def test_a_pod_without_any_answer_is_found_by_another_check(small: SmallCluster) -> None:
    assert not lose(small, 100)


def test_an_unknown_server_or_pod_does_not_count(small: SmallCluster) -> None:
    assert not lose(small, 10, server="10.244.0.99")
    assert not lose(small, 10, inode=4711)


def test_a_pod_behind_a_policy_or_a_mesh_does_not_count(small: SmallCluster) -> None:
    small.change_netns(WEB_NETNS, redirect="-A PREROUTING -j REDIRECT\n")
    assert not lose(small, 10)

    small.change_netns(WEB_NETNS, redirect="")
    assert lose(small, 10)
    small.api["networkPolicies"] = [
        {
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]},
        }
    ]
    assert not lose(small, 10)


@pytest.mark.parametrize(("name", "namespace"), [("web", "shop"), ("dns", "kube-system")])
def test_a_pod_or_replica_that_changed_meanwhile_does_not_count(
    small: SmallCluster, name: str, namespace: str
) -> None:
    small.changes = [Change("Pod", name, namespace, what="deleted")]

    assert not lose(small, 10)


def test_queries_that_were_never_sent_do_not_count(small: SmallCluster) -> None:
    ask_from_pods(small, [[]] * 90 + [LOST] + [ANSWERED] * 9)

    assert not small.findings("dns.no_packet_loss")


def test_the_nodes_own_loss_is_a_finding_of_its_own(small: SmallCluster) -> None:
    small.change_purpose("sample", *LOST * 8)
    parts = [each.subject.part for each in lose(small, 10)]

    assert parts == ["DNS over UDP", "DNS over UDP from pods"]


@pytest.mark.parametrize("sent", [100, 64])
def test_the_limits_keep_what_they_promise(sent: int) -> None:
    least = least_lost(sent)

    found, false_alarm = (1 - at_most(least - 1, sent, share) for share in (0.1, 0.001))
    assert found > 0.99
    assert false_alarm < 0.002
    assert least_lost(sent) == {100: 3, 64: 2}[sent]


def simulated(small: SmallCluster, chance: random.Random, loss: float, sent: int) -> bool:
    """Whether one round in a network with this loss gives a finding."""
    return bool(lose(small, sum(chance.random() < loss for _ in range(sent)), sent))


@pytest.mark.parametrize(
    ("loss", "sent", "rounds", "least", "most"),
    [
        (0.1, 100, 3, 98, 100),  # Of 100 runs of three rounds that all have to agree.
        (0.1, 64, 1, 97, 100),
        (0.001, 100, 1, 0, 1),  # Without a second round that would have to agree.
        (0.001, 64, 1, 0, 1),
        (0.0, 100, 1, 0, 0),
    ],
)
def test_a_hundred_runs_in_a_simulated_network(  # noqa: PLR0917 - one row per network
    small: SmallCluster, loss: float, sent: int, rounds: int, least: int, most: int
) -> None:
    chance = random.Random(SEED)
    runs = [all(simulated(small, chance, loss, sent) for _ in range(rounds)) for _ in range(100)]

    assert least <= sum(runs) <= most


@pytest.mark.parametrize("sent", [100, 64])
@pytest.mark.slow
def test_twenty_thousand_rounds_come_close_to_the_computed_probability(sent: int) -> None:
    chance = random.Random(SEED)
    least = least_lost(sent)

    for loss, error in ((0.1, 0.004), (0.001, 0.002), (0.03, 0.02)):
        reached = sum(
            sum(chance.random() < loss for _ in range(sent)) >= least for _ in range(20_000)
        )
        assert reached / 20_000 == pytest.approx(1 - at_most(least - 1, sent, loss), abs=error)
