"""Each recording of a cluster with another network gets its right verdict, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.recorded_verdicts import (
    cases_of,
    has_causes_and_symptoms,
    items_of,
    names_its_object,
    problems_of,
)
from wirecheck.catalogue.findings import Outcome

FOLDER = Path(__file__).parent / "recorded" / "networks"
CASES = cases_of(FOLDER)


def test_every_recording_has_a_verdict():
    assert {each.name for each in FOLDER.iterdir() if each.is_dir()} == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_recording_gets_its_right_verdict(name):
    case = CASES[name]
    items = items_of(FOLDER / name)

    has_causes_and_symptoms(case, problems_of(items))
    for cause in case.causes:
        assert all(names_its_object(cause, items))
    inconclusive = {(each.check, why) for each in items for why in each.unjudged}
    assert inconclusive == {(check, why) for check, of in case.inconclusive.items() for why in of}
    assert all(each.reason for each in items if each.outcome is Outcome.SKIP)
