"""The right verdicts of recorded clusters, and what their recordings get."""

from __future__ import annotations

from pathlib import Path

import msgspec

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
    unexplained: list[str] = []
    """Checks that fail for a reason that the recording does not show."""
    inconclusive: dict[str, list[str]] = {}
    """Every reason by check."""


def cases_of(folder: Path) -> dict[str, Case]:
    """Read the right verdicts of the recordings in a folder."""
    return msgspec.yaml.decode((folder / "expected.yaml").read_bytes(), type=dict[str, Case])


def items_of(folder: Path) -> list[ItemResult]:
    """Everything in a recording, without what its nodes share with others."""
    return [e for e in evaluate(Snapshot.open(folder), load()) if e.check != SHARED]


def problems_of(items: list[ItemResult]) -> list[ItemResult]:
    """What needs attention."""
    return [each for each in items if each.outcome in PROBLEMS]


def has_causes_and_symptoms(case: Case, items: list[ItemResult]) -> None:
    """Nothing but the causes fails, and what follows from them."""
    causes = {(each.check, each.node) for each in case.causes}
    following = {(check, node) for node, checks in case.symptoms.items() for check in checks}
    left_out = {*case.warned, *case.unexplained}
    others = [each for each in items if each.check not in left_out]
    assert {(each.check, each.node) for each in others} == causes | following
    assert {each.outcome for each in items if each.check in case.warned} <= {Outcome.WARN}
    assert {e.outcome for e in others if (e.check, e.node) in causes} <= {Outcome.FAIL}
    assert {key: symptoms(items).get(key) in causes for key in following} == dict.fromkeys(
        following, True
    )
    assert not causes & symptoms(items).keys()
    assert {each.check for each in items} >= left_out


def names_its_object(cause: Cause, items: list[ItemResult]) -> list[str]:
    """The finding names the object; returns the remedies."""
    item = next(each for each in items if (each.check, each.node) == (cause.check, cause.node))
    text = msgspec.json.encode(item).decode()
    assert [words for words in cause.findings if words not in text] == [], text
    return [each.remedy for each in item.findings]
