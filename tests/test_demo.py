"""The recorded clusters that come with the package."""

from __future__ import annotations

import pytest

from tests.snapshots import broken, healthy, written
from wirecheck import cli, demo
from wirecheck.report.jsonl import read_results


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Small clusters in the place of the recorded ones."""
    folder = tmp_path / "recorded"
    written(folder / "broken", broken())
    written(folder / "healthy", healthy())
    monkeypatch.setattr(demo, "FOLDER", folder)
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("named", "is_red"), [([], True), (["broken"], True), (["healthy"], False)]
)
def test_the_demo_always_ends_well_and_says_where_the_reports_are(tmp_path, capsys, named, is_red):
    with pytest.raises(SystemExit) as left:
        cli.main(["demo", *named])

    assert left.value.code == 0
    (folder,) = (tmp_path / "reports").iterdir()
    assert f"report: {folder.relative_to(tmp_path) / 'report.html'}" in capsys.readouterr().out
    failed = {
        item.check
        for item in read_results(folder / "results.jsonl").items
        if item.outcome == "fail"
    }
    assert ("pods.carry_their_addresses" in failed) == is_red


def test_an_installation_without_them_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "FOLDER", tmp_path)

    with pytest.raises(SystemExit) as left:
        cli.main(["demo"])

    assert left.value.code == 4
    assert "lacks the recorded cluster" in capsys.readouterr().err
