"""Chains find the steps for one packet, and know when two chains do the same."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.dataplane.rules.chains import Chain
from wirecheck.dataplane.rules.steps import (
    Jump,
    MarkTest,
    Packet,
    Return,
    SetMark,
    SourceTest,
    Step,
)

MARK = SetMark(clear=0, flip=0x4000)
GENERAL = [Step("first of all"), Step("last of all")]


def step(number: int, **changes: Any) -> Step:
    """The step for one Service."""
    found = {"host": f"10.96.0.{number}", "protocol": "tcp", "port": 80, **changes}
    return Step(f"for {number}", (Jump(f"SVC-{number}"),), **found)


SINGLE = [step(number) for number in range(9)]


@pytest.mark.parametrize(
    "condition",
    [
        {"never": True},
        {"protocol": "tcp"},
        {"host": "10.96.0.20"},
        {"port": 80},
        {"tests": (lambda packet: packet.is_local,)},
        {"sources": (SourceTest("network", "10.0.0.0/8", negated=False),)},
        {"marks": (MarkTest(1, 1, negated=False),)},
        {"probability": 0.5},
        {"recalls": ("web", 60)},
    ],
    ids=lambda condition: next(iter(condition)),
)
def test_a_mark_with_a_condition_is_not_all_that_a_chain_does(condition: dict[str, Any]):
    assert Chain("MARK", [Step("rule", (MARK,), **condition)]).only_mark is None


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [Step("rule")],
        [Step("rule", (Return(),))],
        [Step("rule", (MARK, Return()))],
        [Step("rule", (MARK,)), Step("rule", (Return(),))],
    ],
    ids=["nothing", "no action", "another action", "two actions", "two steps"],
)
def test_a_chain_that_does_more_than_mark(steps: list[Step]):
    assert Chain("MARK", steps).only_mark is None


def test_a_chain_that_only_marks():
    assert Chain("MARK", [Step("rule", (MARK,))]).only_mark == MARK


def test_the_order_of_steps_for_single_services_does_not_matter():
    chain = Chain("KUBE-SERVICES", [*SINGLE, *GENERAL])

    assert chain.is_alike([*SINGLE, *GENERAL])
    assert chain.is_alike([*reversed(SINGLE), *GENERAL])


@pytest.mark.parametrize(
    "steps",
    [
        [*SINGLE, *reversed(GENERAL)],
        [*SINGLE, GENERAL[0]],
        [*SINGLE[1:], step(0), *GENERAL],
        [*SINGLE[:-1], GENERAL[0], SINGLE[-1], GENERAL[1]],
    ],
    ids=["general ones swapped", "one fewer", "one replaced", "one behind a general one"],
)
def test_chains_that_differ(steps: list[Step]):
    assert not Chain("KUBE-SERVICES", [*SINGLE, *GENERAL]).is_alike(steps)


@pytest.mark.parametrize(
    "other", [step(0), step(0, port=0), step(0, protocol="")], ids=["same", "port", "protocol"]
)
def test_the_order_matters_where_a_packet_can_match_two_steps(other: Step):
    steps = [*SINGLE, other]

    assert not Chain("KUBE-SERVICES", steps).is_alike(steps)


@pytest.mark.parametrize("number", [1, 8, 9])
def test_a_packets_candidates_keep_their_order(number: int):
    steps = [GENERAL[0], *SINGLE[:number], GENERAL[1]]
    packet = Packet(4, "10.96.0.0", 0, "tcp", 80, is_local=False)

    found = [each for each in Chain("C", steps).candidates(packet) if each in (*GENERAL, SINGLE[0])]

    assert found == [GENERAL[0], SINGLE[0], GENERAL[1]]
