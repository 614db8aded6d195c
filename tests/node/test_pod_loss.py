"""Lost queries of pods: which count, how many a sound network explains, and what is reported."""

from __future__ import annotations

import pytest
from msgspec import convert

from wirecheck.api_index.pod import Pod
from wirecheck.node.pod_loss import PodLoss, PodQuery, at_most, least_lost, pod_loss
from wirecheck.snapshot.objects.pod import PodObject


def pod(name: str) -> Pod:
    return Pod(convert({"metadata": {"name": name, "namespace": "shop", "uid": name}}, PodObject))


A, B, C, DNS, DNS2 = map(pod, ("a", "b", "c", "dns", "dns2"))


def queries(of: Pod, to: Pod, lost: int, sent: int) -> list[PodQuery]:
    return [PodQuery(of, to, is_lost=number < lost) for number in range(sent)]


def test_without_queries_there_is_no_loss() -> None:
    assert pod_loss([]) is None
    assert pod_loss(queries(A, DNS, 5, 5)) is None


def test_pods_and_replicas_without_any_answer_do_not_count() -> None:
    some = [*queries(A, DNS, 1, 10), *queries(A, DNS2, 4, 4), *queries(B, DNS, 4, 4)]

    found = pod_loss(some)

    assert found
    assert (found.lost, found.sent) == (1, 10)
    assert pod_loss([*some, *queries(B, DNS2, 0, 1)]) == PodLoss([*some, *queries(B, DNS2, 0, 1)])


@pytest.mark.parametrize(
    ("sent", "least"), [(1, 2), (20, 2), (64, 2), (65, 2), (66, 3), (100, 3), (400, 4)]
)
def test_so_many_lost_queries_are_no_chance(sent: int, least: int) -> None:
    assert least_lost(sent) == least
    assert not PodLoss(queries(A, DNS, least - 1, sent)).is_found
    assert PodLoss(queries(A, DNS, least, max(sent, least))).is_found


@pytest.mark.parametrize(
    ("lost", "sent", "share", "probability"),
    [(0, 1, 0.25, 0.75), (1, 1, 0.25, 1.0), (0, 2, 0.5, 0.25), (1, 2, 0.5, 0.75), (9, 2, 0.5, 1.0)],
)
def test_the_probability_is_that_of_a_binomial(
    lost: int, sent: int, share: float, probability: float
) -> None:
    assert at_most(lost, sent, share) == pytest.approx(probability)


@pytest.mark.parametrize(
    ("lost", "percent", "reaches"),
    [
        (3, 10, False),
        (4, 10, True),
        (10, 10, True),
        (99, 100, False),
        (100, 100, True),
        (100, 250, True),
    ],
)
def test_a_loss_may_be_behind_fewer_lost_queries(lost: int, percent: float, reaches: bool) -> None:
    assert PodLoss(queries(A, DNS, lost, 100)).reaches(percent) is reaches


def test_the_replicas_that_left_out_an_answer_are_named_once() -> None:
    some = [*queries(A, DNS2, 2, 4), *queries(B, DNS2, 1, 4), *queries(A, DNS, 0, 4)]

    assert PodLoss(some).replicas == [DNS2]


@pytest.mark.parametrize(
    ("lost", "text"),
    [
        ({"a": 2}, "2 of 30 queries from 3 pods lost (7 %): 2 from shop/a"),
        (
            {"a": 1, "b": 3},
            "4 of 30 queries from 3 pods lost (13 %): 3 from shop/b, the others from 1 pod",
        ),
        (
            {"a": 2, "b": 2, "c": 2},
            "6 of 30 queries from 3 pods lost (20 %): 2 from shop/a, the others from 2 pods",
        ),
    ],
)
def test_the_pod_that_lost_most_is_named(lost: dict[str, int], text: str) -> None:
    some = [each for of in (C, B, A) for each in queries(of, DNS, lost.get(of.name, 0), 10)]

    assert str(PodLoss(some)) == text
