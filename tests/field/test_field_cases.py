"""Every cluster from the field gets its right verdict."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.folder import Snapshot

FOLDER = Path(__file__).parent
CASES = sorted(file.parent.name for file in FOLDER.glob("*/case.yaml"))
QUIET = {Outcome.PASS, Outcome.SKIP}


class Expected(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The outcome of one check, and what its findings or its reason must mention."""

    outcome: str
    findings: list[str] = []


class Case(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A cluster from the field and its right verdict."""

    about: str
    source: str
    checks: list[str]
    nodes: list[str] = []
    """The nodes that it decides about; empty for all."""
    expected: dict[str, Expected] = {}
    passed: list[str] = []
    not_applicable: list[str] = []
    inconclusive: dict[str, str] = {}
    never_suggest: list[str] = []

    def concerns(self, check: str) -> bool:
        """Whether the case decides anything about the check."""
        return check in self.checks or check.partition(".")[0] in self.checks


def case_of(name: str) -> Case:
    """Read one case."""
    return msgspec.yaml.decode((FOLDER / name / "case.yaml").read_bytes(), type=Case)


def items_of(name: str, case: Case) -> list[ItemResult]:
    """Evaluate the case's checks on its snapshot, on the nodes that it has documents of."""
    chosen = [check for check in load() if case.concerns(check.id)]
    snapshot = Snapshot.open(FOLDER / name)
    items = [item for item in evaluate(snapshot, chosen) if not item.folded]
    return [item for item in items if item.node in ("", *case.nodes) or not case.nodes]


def text_of(item: ItemResult) -> str:
    """Everything that a report shows of the item's findings and reasons."""
    return msgspec.json.encode(item).decode()


@pytest.mark.parametrize("name", CASES)
def test_the_case_gets_its_right_verdict(name):
    case = case_of(name)
    items = items_of(name, case)
    by_check: dict[str, list[ItemResult]] = {}
    for item in items:
        by_check.setdefault(item.check, []).append(item)

    for check, expected in case.expected.items():
        found = [each for each in by_check[check] if str(each.outcome) == expected.outcome]
        assert found, f"{check}: {[(str(i.outcome), text_of(i)) for i in by_check[check]]}"
        text = " ".join(map(text_of, found))
        assert [words for words in expected.findings if words not in text] == [], text
    for check in case.passed:
        assert Outcome.PASS in {each.outcome for each in by_check[check]}, by_check[check]
    for check in case.not_applicable:
        assert {each.outcome for each in by_check[check]} == {Outcome.SKIP}, by_check[check]
        assert all(each.reason for each in by_check[check])
    for check, reason in case.inconclusive.items():
        assert reason in " ".join(cause for each in by_check[check] for cause in each.unjudged)
    others = [each for each in items if each.check not in case.expected]
    assert {each.check: text_of(each) for each in others if each.outcome not in QUIET} == {}
    suggested = [text for text in case.never_suggest for each in items if text in text_of(each)]
    assert suggested == []


@pytest.mark.parametrize("name", CASES)
def test_the_case_decides_something(name):
    case = case_of(name)
    outcomes = {each.outcome for each in items_of(name, case)}

    assert case.about
    assert case.source
    assert outcomes - {Outcome.SKIP}
