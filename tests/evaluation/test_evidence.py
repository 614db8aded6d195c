"""Which findings count in the first round, which wait for another, and which are in flight."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from types import SimpleNamespace

import pytest
from msgspec import convert
from msgspec.structs import replace

from tests.checks.small_cluster import DNS_NETNS, QUERIES, WEB_NETNS, SmallCluster, answer
from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.catalogue.settling import FOLLOWED, LATER, OLD, QUIET, SOON, UP
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.evaluation.evidence import ProxyAge, proxy_age
from wirecheck.evaluation.unsettled import concerned
from wirecheck.node.kube_proxy import KubeProxy
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.api_objects import ApiObjects, Change
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import HttpAnswer

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC).timestamp()


def rfc3339(time: float) -> str:
    return datetime.fromtimestamp(time, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Seen:
    """One round: a cluster, when it was seen, and how long ago its objects and nodes changed."""

    small: SmallCluster
    at: float = 0.0
    """Seconds after the first round."""
    ages: dict[str, float] = field(default_factory=dict)
    """Of objects by name; those that are not named have not changed for an hour."""
    up: float = 3600.0
    skew: float = 0.0
    """By which the clock of the machine that runs wirecheck is ahead of the API server's."""
    shows_writes: bool = True
    """Whether the objects show when they were written: those of older recordings do not."""


def evaluated(check: str, *rounds: Seen) -> tuple[ItemResult, Evaluation]:
    @dataclass
    class Snapshot:
        index: SnapshotIndex

        def api(self, number: int = 1) -> ApiObjects:
            seen = rounds[number - 1]
            objects = {**seen.small.api}
            objects["nodes"] = [e for e in objects["nodes"] if e["metadata"]["name"] != "n2"]
            for kind, some in objects.items():
                if isinstance(some, list) and kind != "cluster_roles":
                    objects[kind] = [dated(each, seen) for each in some]
            return convert(objects, ApiObjects)

        def document(self, _node: str, number: int = 1):
            return rounds[number - 1].small.document

    looks = [
        RoundRecord(
            NOW + seen.at + seen.skew,
            NOW + seen.at + seen.skew + 2,
            visits={"n1": replace(seen.small.visit, up=seen.up)},
            changes=seen.small.changes,
            api_time=NOW + seen.at if seen.shows_writes else 0.0,
        )
        for seen in rounds
    ]
    (chosen,) = [each for each in load() if each.id == check]
    queries = QUERIES | rounds[0].small.queries
    index = SnapshotIndex(1, "0", NOW, looks=looks, queries=queries)
    evaluation = Evaluation(Snapshot(index), [chosen])
    (result,) = evaluation.node("n1") if chosen.scope == "node" else evaluation.cluster()
    return result, evaluation


def dated(each: dict, seen: Seen) -> dict:
    metadata = each["metadata"]
    changed = rfc3339(NOW + seen.at - seen.ages.get(metadata["name"], 3600.0))
    times = {"creationTimestamp": changed}
    if seen.shows_writes:
        times |= {"written": changed}
    return {**each, "metadata": {**metadata, **times}}


def without_address() -> SmallCluster:
    """The web pod has lost its address."""
    small = SmallCluster()
    small.change_netns(WEB_NETNS, addresses=[])
    return small


ADDRESS = "pods.ip_on_interface"


def is_open(result: ItemResult) -> bool:
    return bool(concerned([result], load()))


def test_what_is_wrong_with_old_objects_counts_in_the_first_round():
    result, _ = evaluated(ADDRESS, Seen(without_address()))

    assert (result.outcome, result.findings[0].proven) == (Outcome.FAIL, True)
    assert not is_open(result)


@pytest.mark.parametrize("changed", ["web", "n1", "flannel"])
def test_what_changed_a_moment_ago_waits_for_another_round(changed):
    """The pod itself, its node, and the agent that sets its network up."""
    result, evaluation = evaluated(ADDRESS, Seen(without_address(), ages={changed: OLD - 15}))

    assert not result.findings[0].proven
    assert is_open(result)
    assert evaluation.waits["n1"] == 15


def set_of(small: SmallCluster, pod: str, **status: object) -> SmallCluster:
    for each in small.api["pods"]:
        if each["metadata"]["name"] == pod:
            each["status"] |= status
    return small


def condition(kind: str, seconds: float, status: str = "True") -> dict[str, str]:
    return {"type": kind, "status": status, "lastTransitionTime": rfc3339(NOW - seconds)}


def test_a_pod_that_is_no_longer_ready_was_set_up_long_ago():
    """Without its address, the pod's readiness probe fails: that is no change in flight."""
    small = set_of(without_address(), "web", conditions=[condition("Ready", 5.0, "False")])
    small.changes.append(Change("Pod", "web", "shop", what="ready"))

    result, _ = evaluated(ADDRESS, Seen(small))

    assert (result.outcome, result.findings[0].proven) == (Outcome.FAIL, True)


@pytest.mark.parametrize(
    "status",
    [
        {"conditions": [condition("PodReadyToStartContainers", 5.0)]},
        {"startTime": rfc3339(NOW - 5)},
        {
            "containerStatuses": [
                {"name": "c", "state": {"running": {"startedAt": rfc3339(NOW - 5)}}}
            ]
        },
        {
            "containerStatuses": [
                {"name": "c", "lastState": {"terminated": {"finishedAt": rfc3339(NOW - 5)}}}
            ]
        },
    ],
    ids=["a new sandbox", "a new pod", "a restarted container", "a container that ended"],
)
def test_a_pod_that_just_started_waits(status):
    result, _ = evaluated(ADDRESS, Seen(set_of(without_address(), "web", **status)))

    assert is_open(result)


def test_a_node_that_flips_to_not_ready_is_not_one_that_restarts():
    small = without_address()
    small.api["nodes"][0]["status"]["conditions"] = [condition("Ready", 5.0, "False")]

    result, _ = evaluated(ADDRESS, Seen(small))

    assert not is_open(result)


def test_for_checks_of_readiness_it_counts():
    """The agent has not been ready for five seconds only."""
    small = set_of(SmallCluster(), "flannel", conditions=[condition("Ready", 5.0, "False")])

    result, evaluation = evaluated("cni.agent_ready", Seen(small))

    assert is_open(result)
    assert evaluation.waits["n1"] == OLD - 5


@pytest.mark.parametrize(("age", "left"), [(FOLLOWED - 5, 5.0), (FOLLOWED, 0.0)])
def test_what_the_api_alone_shows_waits_for_controllers_only(age, left):
    """Nothing has to reach a node: a pod runs, and its status has no address."""
    small = set_of(SmallCluster(), "web", podIP="", podIPs=[])

    result, evaluation = evaluated("pods.have_ip", Seen(small, ages={"web": age}))

    assert (result.outcome, is_open(result)) == (Outcome.FAIL, left > 0)
    assert evaluation.waits["n1"] == left


def test_a_field_that_cannot_be_read_counts_at_once():
    """It is compared with nothing that could still follow."""
    small = SmallCluster()
    small.api["services"][0]["spec"]["externalIPs"] = ["010.99.0.8"]
    name = small.api["services"][0]["metadata"]["name"]

    result, _ = evaluated("objects.readable_fields", Seen(small, ages={name: 1.0}))

    assert (result.outcome, is_open(result)) == (Outcome.WARN, False)


def with_wrong_pointer() -> SmallCluster:
    """A DNS replica gives its own Service another name."""
    small = SmallCluster()
    question = "10.0.96.10.in-addr.arpa PTR"
    small.queries |= {"pointer": question}
    wrong = answer(question, "other.default.svc.cluster.local.")
    small.ask("", "pointer", Try(0.01, answer=wrong))
    return small


@pytest.mark.parametrize("changed", ["kube-dns", "kube-dns-1"])
def test_a_replica_may_answer_with_what_a_service_had_a_ttl_ago(changed):
    """Its records and its cache have a TTL of 30 s, so two wrong answers prove nothing yet."""
    rounds = [
        Seen(with_wrong_pointer(), at=at, ages={changed: 5.0 + at}) for at in (0.0, SOON + 2.0)
    ]
    old = [Seen(with_wrong_pointer(), at=each.at) for each in rounds]

    young, _ = evaluated("dns.records_correct", *rounds)
    one, _ = evaluated("dns.records_correct", rounds[0], Seen(SmallCluster(), at=7))
    lasting, _ = evaluated("dns.records_correct", *old)

    assert is_open(young)
    assert (one.outcome, one.findings) == (Outcome.PASS, [])
    assert lasting.findings[0].proven


def test_a_node_that_just_started_waits():
    result, evaluation = evaluated(ADDRESS, Seen(without_address(), up=UP - 20))

    assert is_open(result)
    assert evaluation.waits["n1"] == 20


@pytest.mark.parametrize("unknown", [{"up": 0.0}, {"shows_writes": False}])
def test_without_the_facts_further_rounds_decide_as_in_older_recordings(unknown):
    result, evaluation = evaluated(ADDRESS, Seen(without_address(), **unknown))

    assert is_open(result)
    assert evaluation.waits["n1"] == inf


def test_ages_are_those_of_the_api_servers_clock():
    """This machine's clock is ten minutes ahead, which makes no object older."""
    result, _ = evaluated(ADDRESS, Seen(without_address(), ages={"web": 5.0}, skew=600.0))

    assert is_open(result)


def test_what_was_proven_counts_even_if_a_later_round_does_not_have_it():
    result, _ = evaluated(ADDRESS, Seen(without_address()), Seen(SmallCluster(), at=12))

    assert (result.outcome, result.findings[0].flaky) == (Outcome.FAIL, None)


def test_a_change_in_flight_that_is_over_in_the_next_round_is_not_flaky():
    young = Seen(without_address(), ages={"web": 3.0})

    result, _ = evaluated(ADDRESS, young, Seen(SmallCluster(), at=12, ages={"web": 15.0}))

    assert (result.outcome, result.findings) == (Outcome.PASS, [])


def test_a_change_in_flight_that_lasts_for_two_rounds_is_flaky():
    rounds = [
        Seen(without_address(), ages={"web": 3.0}),
        Seen(without_address(), at=12, ages={"web": 15.0}),
        Seen(SmallCluster(), at=24, ages={"web": 27.0}),
    ]

    result, _ = evaluated(ADDRESS, *rounds)

    assert result.outcome is Outcome.FLAKY
    assert str(result.findings[0].flaky).startswith("in rounds 1 and 2 of 3, from 2026-11-30T12:0")


def test_what_only_a_later_round_shows_does_not_vanish():
    result, _ = evaluated(
        ADDRESS, Seen(SmallCluster(), up=0.0), Seen(without_address(), at=12, up=0)
    )
    proven, _ = evaluated(ADDRESS, Seen(SmallCluster()), Seen(without_address(), at=12))

    assert (result.outcome, result.findings[0].flaky.rounds) == (Outcome.FLAKY, [2])
    assert is_open(result)
    assert proven.outcome is Outcome.FAIL


def test_a_deleted_node_leaves_nothing_flaky():
    gone = SmallCluster(
        visit=VisitRecord(VisitStatus.GONE, reason="n1 was deleted."), document=None
    )

    result, _ = evaluated(ADDRESS, Seen(without_address(), up=0.0), Seen(gone, at=12))

    assert (result.outcome, result.findings) == (Outcome.PASS, [])


def test_what_lasts_while_a_node_starts_is_no_failure_yet():
    """Today's findings of a node that started a minute ago are for the next run to confirm."""
    rounds = [Seen(without_address(), at=at, up=20.0 + at) for at in (0.0, 12.0, 45.0)]

    result, _ = evaluated(ADDRESS, *rounds)
    alone, _ = evaluated(ADDRESS, rounds[0])

    assert result.outcome is Outcome.ERROR
    assert result.findings[0].found.endswith(
        "in each of 3 rounds, while node n1 had started 65 s before"
    )
    assert alone.outcome is Outcome.FAIL


def test_new_findings_beside_old_ones_need_no_further_round():
    """With one of two DNS replicas unreachable, other pods fail in every round."""
    other = SmallCluster()
    other.change_netns(DNS_NETNS, addresses=[])
    rounds = Seen(without_address(), up=0.0), Seen(other, at=12, up=0.0)

    result, _ = evaluated(ADDRESS, *rounds)

    assert [each.flaky.rounds for each in result.findings] == [[1], [2]]
    assert not is_open(result)


def without_netns() -> SmallCluster:
    small = SmallCluster()
    small.change_document(pods=[e for e in small.document.pods if e.inode != WEB_NETNS])
    return small


def test_processes_have_to_be_missing_twice():
    first = Seen(without_netns())
    one, evaluation = evaluated("pods.have_netns", first)
    soon, _ = evaluated("pods.have_netns", first, Seen(without_netns(), at=SOON - 1))
    two, _ = evaluated("pods.have_netns", first, Seen(without_netns(), at=SOON))

    assert is_open(one)
    assert evaluation.waits["n1"] == SOON - 2
    assert is_open(soon)
    assert (two.outcome, two.findings[0].proven) == (Outcome.FAIL, True)


def test_an_agent_that_restarts_between_the_rounds_proves_nothing():
    restarted = Seen(without_netns(), at=2 + LATER, ages={"flannel": 4.0})

    assert is_open(evaluated("pods.have_netns", Seen(without_netns()), restarted)[0])


def test_an_object_that_changed_during_the_round_is_not_old():
    moving = without_address()
    moving.changes.append(Change("Node", "n1", what="addresses"))

    assert is_open(evaluated(ADDRESS, Seen(moving))[0])


@pytest.mark.parametrize(
    ("proxy", "has_objects", "left"),
    [
        (ProxyAge(since_queued=1.0, waiting=None), True, 0.0),
        (ProxyAge(since_queued=1.0, waiting=None), False, QUIET - 1),
        (ProxyAge(since_queued=QUIET, waiting=None), False, 0.0),
        (ProxyAge(since_queued=500.0, waiting=None), False, 0.0),
        (ProxyAge(since_queued=1.0, waiting=1.0), True, SOON),
        (ProxyAge(since_queued=1.0, waiting=0.0), True, SOON),
        (ProxyAge(since_queued=500.0, waiting=OLD - 1), False, SOON),
        (ProxyAge(since_queued=500.0, waiting=OLD), True, 0.0),
    ],
    ids=[
        "synchronised",
        "a change, and no object",
        "quiet",
        "quiet for long",
        "a change waits",
        "it just came",
        "it waits for long",
        "it is stuck",
    ],
)
def test_rules_are_old_if_kube_proxy_has_applied_all_changes(proxy, has_objects, left):
    assert proxy.age(has_objects=has_objects).left == left
    assert proxy.age(has_objects=has_objects).is_changing == bool(left)


def metrics(*syncs: tuple[float, float]) -> str:
    """The times of kube-proxy's last change and last sync, one pair for each family."""
    stamp = 'kubeproxy_sync_proxy_rules_last_{}timestamp_seconds{{ip_family="{}"}} {}\n'
    return "".join(
        stamp.format(kind, family, time)
        for family, (queued, done) in zip(("IPv4", "IPv6"), syncs, strict=False)
        for kind, time in (("queued_", queued), ("", done))
    )


@pytest.mark.parametrize(
    ("syncs", "expected"),
    [
        ([(90.0, 95.0)], ProxyAge(since_queued=10.0, waiting=None)),
        ([(90.0, 80.0)], ProxyAge(since_queued=10.0, waiting=10.0)),
        # By the clock of kube-proxy's metrics, the change came at the time of the visit.
        ([(100.0, 80.0)], ProxyAge(since_queued=0.0, waiting=0.0)),
        ([(70.0, 60.0), (90.0, 95.0)], ProxyAge(since_queued=10.0, waiting=30.0)),
        ([(90.0, 80.0), (70.0, 60.0)], ProxyAge(since_queued=10.0, waiting=30.0)),
        # Before its first sync nothing shows the age of its rules.
        ([(90.0, 95.0), (90.0, 0.0)], None),
        ([], None),
    ],
)
def test_the_age_of_the_rules_is_that_of_the_family_that_waits_longest(syncs, expected):
    http = {"metrics": HttpAnswer(status=200, body=metrics(*syncs))}
    proxy = KubeProxy("n1", http, "", (), "", "", seen_at=100.0)

    assert proxy_age(SimpleNamespace(proxy=proxy)) == expected
