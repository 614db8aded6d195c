"""Each recording of a cluster with Calico gets its right verdict, and nothing else."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.calico import FOLDER, recording
from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.results.causes import PROBLEMS, symptoms
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.folder import Snapshot

SHARED = "nodes.kernel_log"
"""The nodes are containers of one machine, whose log others write as well."""


class Cause(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One item with a problem, and what its findings say."""

    check: str
    node: str
    findings: list[str]


class Case(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The right verdict of one recording."""

    about: str
    causes: list[Cause] = []
    symptoms: dict[str, list[str]] = {}
    warned: list[str] = []


CASES = msgspec.yaml.decode((FOLDER / "expected.yaml").read_bytes(), type=dict[str, Case])


def items_of(folder: Path) -> list[ItemResult]:
    """Everything that has a problem in a recording."""
    found = evaluate(Snapshot.open(folder), load())
    return [each for each in found if each.outcome in PROBLEMS and each.check != SHARED]


@pytest.mark.parametrize("name", CASES)
def test_the_recording_gets_its_right_verdict(name, tmp_path):
    case = CASES[name]
    items = items_of(recording(name, tmp_path))

    has_causes_and_symptoms(case, items)
    for cause in case.causes:
        names_its_object(cause, items)


def has_causes_and_symptoms(case: Case, items: list[ItemResult]) -> None:
    """Nothing but the causes fails, and what follows from them."""
    causes = {(each.check, each.node) for each in case.causes}
    following = {(check, node) for node, checks in case.symptoms.items() for check in checks}
    others = [each for each in items if each.check not in case.warned]
    assert {(each.check, each.node) for each in others} == causes | following
    assert {each.outcome for each in items if each.check in case.warned} <= {Outcome.WARN}
    assert {e.outcome for e in others if (e.check, e.node) in causes} <= {Outcome.FAIL}
    assert {key: symptoms(items).get(key) in causes for key in following} == dict.fromkeys(
        following, True
    )
    assert not causes & symptoms(items).keys()


def names_its_object(cause: Cause, items: list[ItemResult]) -> None:
    """The finding names the object, and the remedy the commands of Calico, not of a bridge."""
    item = next(each for each in items if (each.check, each.node) == (cause.check, cause.node))
    text = msgspec.json.encode(item).decode()
    assert [words for words in cause.findings if words not in text] == [], text
    remedies = [each.remedy for each in item.findings]
    assert all(remedies)
    assert not [each for each in remedies if "bridge" in each or "flannel" in each]
