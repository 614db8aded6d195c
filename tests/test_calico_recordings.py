"""Each recording of a cluster with Calico gets its right verdict, and nothing else."""

from __future__ import annotations

import pytest

from tests.calico import FOLDER, recording
from tests.recorded_verdicts import (
    cases_of,
    has_causes_and_symptoms,
    items_of,
    names_its_object,
    problems_of,
)

CASES = cases_of(FOLDER)


@pytest.mark.parametrize("name", CASES)
def test_the_recording_gets_its_right_verdict(name, tmp_path):
    case = CASES[name]
    items = problems_of(items_of(recording(name, tmp_path)))

    has_causes_and_symptoms(case, items)
    for cause in case.causes:
        remedies = names_its_object(cause, items)
        assert all(remedies)
        # The commands are those of Calico, not of a bridge.
        assert not [each for each in remedies if "bridge" in each or "flannel" in each]
