"""What real kube-proxies made of random Services: recorded runs, judged anew.

`make referee` plays fresh ones. Those of two halves, `objects` and `dumps`, are of a time before
it; the others are what the node program saw, some of them shrunk to one Service.
"""

import gzip
import json
from pathlib import Path

import pytest

from testbed.referee import record
from tests.dataplane.referee.judged import judged

FOLDER = Path(__file__).parents[2] / "recorded" / "random-services"
SIGHTS = sorted((FOLDER / "sights").glob("*.json.gz"))


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json.gz")), ids=lambda path: path.name)
def test_a_recorded_run_has_no_difference(path: Path) -> None:
    run = json.loads(gzip.decompress(path.read_bytes()))
    found = judged(run["objects"], run["config"], run["version"], run["dumps"])
    assert found.compared > 150
    assert not found.items


@pytest.mark.parametrize("path", SIGHTS, ids=lambda path: path.name)
def test_a_recorded_sight_has_no_disagreement(path: Path) -> None:
    sight = record.read(path)
    assert sight.compared > 2
    assert not sight.disagreements


@pytest.mark.parametrize("path", SIGHTS, ids=lambda path: path.name)
def test_a_recorded_sight_can_disagree(path: Path) -> None:
    """With one endpoint less in the API the node has one too many."""
    sight = record.read(path)
    slices = [each for each in sight.api.endpoint_slices if each.metadata.name != "sentinel-4"]
    poorer = record.without_slices(sight, slices)
    assert any("sentinel" in each for each in poorer.disagreements)
