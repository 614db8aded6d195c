"""The recorded clusters that come with the package."""

from __future__ import annotations

import pytest

from tests.served_cluster import Listener
from tests.snapshots import broken, healthy, written
from wirecheck.cli import demo
from wirecheck.cli import main as cli
from wirecheck.results.jsonl import read_results
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request


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
    assert f"Report: {folder.relative_to(tmp_path) / 'report.html'}" in capsys.readouterr().out
    failed = {
        item.check
        for item in read_results(folder / "results.jsonl").items
        if item.outcome == "fail"
    }
    assert ("pods.ip_on_interface" in failed) == is_red


@pytest.mark.parametrize("name", sorted(each.name for each in demo.FOLDER.glob("*")))
def test_what_ships_is_what_its_name_says(tmp_path, name):
    request = Request(snapshot=demo.recorded(name), report_dir=tmp_path)

    results, _ = perform(request, (), Listener())

    red = {str(item.outcome) for item in results.items} & {"fail", "error"}
    assert bool(red) == (name != "healthy"), results.ended.verdict
    assert results.ended.coverage.nodes_seen >= 3


def test_an_installation_without_them_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(demo, "FOLDER", tmp_path)

    with pytest.raises(SystemExit) as left:
        cli.main(["demo"])

    assert left.value.code == 4
    assert "is missing from this installation" in capsys.readouterr().err
