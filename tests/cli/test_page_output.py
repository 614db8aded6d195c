"""`-o html` of commands that compare runs or show several."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.report.test_page_layout import history as runs
from tests.snapshots import broken, healthy, written
from wirecheck.results import history


@pytest.fixture
def lines(tmp_path) -> Path:
    file = tmp_path / "history.jsonl"
    for each in runs():
        history.append(file, each)
    return file


def test_a_trend_is_a_page(call, lines):
    status, out, _ = call("trend", lines, "-o", "html")

    assert status == 0
    assert out.startswith("<!DOCTYPE html>")
    assert out.count("<polyline") >= 4


@pytest.mark.parametrize("format_name", ["html", "json"])
def test_a_trend_goes_to_a_file(call, lines, tmp_path, format_name):
    file = tmp_path / "trend.out"
    status, out, _ = call("trend", lines, "-o", f"{format_name}={file}")

    assert (status, out) == (0, "")
    assert "30 checks failed on 12 nodes" in file.read_text()


def test_a_diff_is_a_page_and_keeps_its_exit_status(call, tmp_path):
    well, ill = written(tmp_path / "well", healthy()), written(tmp_path / "ill", broken())

    text_status, _, _ = call("diff", well, ill)
    status, out, _ = call("diff", well, ill, "-o", "html")

    assert status == text_status == 1
    assert out.startswith("<!DOCTYPE html>")
    assert "pods.ip_on_interface" in out
    assert "<h2>New <small>" in out


def test_a_diff_of_equal_runs_says_so(call, tmp_path):
    well = written(tmp_path / "well", healthy())
    text_status, _, _ = call("diff", well, well)
    status, out, _ = call("diff", well, well, "-o", "html")

    assert status == text_status
    assert re.search(r"Findings: 0 new, \d+ still there, 0 fixed", out)
    assert "<h2>New" not in out


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("pdf", "unknown format 'pdf': choose text, json, html."),
        ("html=", "html= names no file; write html=FILE, or html alone."),
        ("text=x", "text goes to standard output only; write html=FILE or json=FILE."),
        ("html=missing/page.html", "missing/page.html cannot be written"),
        ("html=.", "cannot be written"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is_read(
    call, tmp_path, monkeypatch, word, said
):
    monkeypatch.chdir(tmp_path)
    for words in (("trend", "no-history.jsonl"), ("diff", "no-run", "no-run")):
        status, out, err = call(*words, "-o", word)

        assert (status, out) == (4, "")
        assert said in err


def test_a_device_is_written_and_stays(call, lines):
    device = Path("/dev/null")
    before = device.stat().st_rdev
    status, _, _ = call("trend", lines, "-o", "html=/dev/null")

    assert status == 0
    assert device.stat().st_rdev == before
