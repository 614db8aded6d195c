"""The referee of traces: the same seed gives the same world, and what counts as a disagreement."""

from __future__ import annotations

import pytest

from testbed.referee.dice import Dice
from testbed.trace_referee.changes import KINDS, change
from testbed.trace_referee.cli import Outcome


def test_the_same_seed_gives_the_same_changes() -> None:
    first, second = ([change(Dice(seed)) for seed in range(200)] for _ in range(2))

    assert first == second
    assert {kind for kind, _ in first} == set(KINDS)


@pytest.mark.parametrize(
    ("is_made", "result", "reason", "is_wrong"),
    [
        (True, "reaches", "", False),
        (False, "dies", "dropped by this rule", False),
        (True, "dies", "dropped by this rule", True),
        (False, "reaches", "", True),
        (True, "cannot be decided", "it is not known", False),
        (True, "dies", "the node has the address and takes the packet of pod world/b", False),
    ],
)
def test_disagreements(is_made: bool, result: str, reason: str, is_wrong: bool) -> None:
    assert Outcome("a", "10.244.0.3", 8080, is_made, result, reason).is_wrong is is_wrong
