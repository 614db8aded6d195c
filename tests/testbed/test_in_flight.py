"""Random changes: a seed draws the same ones again, and each can be undone."""

import random

import pytest

from testbed.faults.matrix import Row, times
from testbed.faults.rest import age_of_youngest
from testbed.in_flight import changes, policies
from testbed.in_flight.__main__ import EARLIEST, LATEST, MOST_AT_ONCE, plan
from wirecheck.policy.manifest import policies_in
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.pod import ContainerState, ContainerStatus, PodObject, PodStatus


def drawn(seed: int, number: int = 200) -> list[list[tuple[float, str]]]:
    dice = random.Random(seed)
    plans = []
    while number > 0:
        planned = plan(dice, number)
        number -= len(planned)
        plans.append([(when, each.name) for when, each in planned])
    return plans


def test_a_seed_draws_the_same_changes_again():
    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_exactly_as_many_as_asked_for_are_made_around_the_first_round():
    plans = drawn(7)

    assert sum(map(len, plans)) == 200
    assert all(1 <= len(each) <= MOST_AT_ONCE for each in plans)
    assert all(EARLIEST <= when <= LATEST for each in plans for when, _ in each)


def test_every_kind_of_change_comes():
    names = " ".join(name for each in drawn(7) for _, name in each)

    for kind in (
        "pod of shop/web deleted",
        "edited",
        "scaled",
        "labelled",
        "kube-proxy",
        "CoreDNS",
        "NetworkPolicy shop/in-flight-one written",
        "NetworkPolicy shop/in-flight-two deleted",
        "in-flight-side=a",
    ):
        assert kind in names
    assert "restarted" in names


def test_a_node_restarts_alone():
    restarts = [each for each in drawn(7, 400) if any(n.startswith("node ") for _, n in each)]

    assert restarts
    assert all(len(each) == 1 for each in restarts)


def test_undoing_takes_back_every_edit_and_label(monkeypatch):
    said = []
    monkeypatch.setattr(changes, "kubectl", lambda *words, **_: said.append(" ".join(words)))
    monkeypatch.setattr(policies, "kubectl", lambda *words, **_: said.append(" ".join(words)))
    monkeypatch.setattr(changes, "wait_until_at_rest", lambda: said.append("at rest"))

    changes.undo()

    for name in changes.SERVICES:
        (patch,) = [each for each in said if f"service {name} " in each]
        for edit in changes.EDITS:
            assert all(f'"{key}": ' in patch for key in edit)
    assert any("in-flight-" in each for each in said)
    assert f"-n shop delete networkpolicy -l {policies.MARK} --ignore-not-found" in said
    assert f"-n shop label pods --all {policies.LABEL}-" in said
    assert said[-1] == "at rest"


def test_policies_are_valid_and_leave_dns_allowed():
    drawn = [policies.drawn_policy(random.Random(seed)) for seed in range(60)]

    assert [policies.drawn_policy(random.Random(seed)) for seed in range(60)] == drawn
    for each in drawn:
        (policy,) = policies_in([each]).policies
        assert policy.metadata.name in policies.NAMES
        for rules in policy.spec.egress or ():
            assert rules.ports
        if "Egress" in policy.spec.policy_types:
            assert {port.port for port in policy.spec.egress[0].ports} == {53}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([], "no run reached a verdict"),
        ([7.0], "median 7.0, 90th percentile 7.0, longest 7.0, of 1 fault"),
        (
            [float(each) for each in range(1, 101)],
            "median 50.0, 90th percentile 90.0, longest 100.0, of 100 faults",
        ),
        ([0.0, 3.0, 9.0], "median 3.0, 90th percentile 9.0, longest 9.0, of 2 faults"),
    ],
)
def test_the_matrix_ends_with_the_seconds_to_the_verdicts(seconds, said):
    rows = [Row("f", "g", "s", frozenset(), frozenset(), frozenset(), each) for each in seconds]

    assert times(rows).endswith(said)


def test_the_youngest_object_decides_whether_the_cluster_is_at_rest():
    running = ContainerState(running={"startedAt": "2026-11-30T12:00:30Z"})
    pod = PodObject(
        Metadata("web", creation_timestamp="2026-11-30T11:00:00Z"),
        status=PodStatus(container_statuses=[ContainerStatus("c", state=running)]),
    )

    assert age_of_youngest(ApiObjects(pods=[pod]), now=1796040090.0) == 60.0
