"""Two thresholds for one value, with the defaults and with other numbers."""

from dataclasses import dataclass, field

import pytest

from wirecheck.catalogue import Level, Limits, Threshold
from wirecheck.catalogue.registry import Exceeded, load

LIMITS = Limits(
    warn=Threshold("x.warn", 80, "%", "a reason"), fail=Threshold("x.fail", 95, "%", "a reason")
)


@dataclass(frozen=True)
class Subject:
    """A node with these numbers in its inventory."""

    numbers: dict[str, float] = field(default_factory=dict)

    def threshold(self, threshold: Threshold) -> float:
        """The number of the inventory, or the default."""
        return self.numbers.get(threshold.name, threshold.default)


@pytest.mark.parametrize(
    ("value", "exceeded"),
    [
        (80, None),
        (80.1, Exceeded(80, Level.WARN)),
        (95, Exceeded(80, Level.WARN)),
        (95.1, Exceeded(95, Level.FAIL)),
    ],
)
def test_a_value_may_be_equal_to_a_limit(value, exceeded):
    assert LIMITS.exceeded_by(value, Subject()) == exceeded


def test_the_inventory_can_change_both():
    subject = Subject({"x.warn": 10, "x.fail": 20})

    assert LIMITS.exceeded_by(15, subject) == Exceeded(10, Level.WARN)
    assert LIMITS.exceeded_by(25, subject) == Exceeded(20, Level.FAIL)


def test_nothing_fails_that_would_not_warn():
    """As with `warn: 100` to switch the check off."""
    assert LIMITS.exceeded_by(99, Subject({"x.warn": 100})) is None


def test_a_check_lists_both_of_its_thresholds():
    (check,) = [each for each in load() if each.id == "conntrack.table_usage"]

    assert [each.name for each in check.thresholds] == ["conntrack.use_warn", "conntrack.use_fail"]
