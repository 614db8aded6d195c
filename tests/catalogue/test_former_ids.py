"""Ids that checks had before are accepted everywhere, with a warning that names the current one."""

from __future__ import annotations

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from msgspec.structs import replace

# pytester forgets what is imported in its runs.
import wirecheck.cli.outputs
import wirecheck.pytest_plugin.session  # noqa: F401
from tests.served_cluster import Listener
from tests.snapshots import CHECKS, broken, healthy, written
from tests.verdicts import FOLDER, KEPT, read
from wirecheck.catalogue.former_ids import (
    FORMER_IDS,
    FormerIdWarning,
    current_id,
    former_id,
    matches,
)
from wirecheck.catalogue.registry import load
from wirecheck.cli import main as cli
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.evaluation.waivers import waiver_records
from wirecheck.inventory.file import read_inventory
from wirecheck.results import history, jsonl
from wirecheck.results.records import FURTHER, Results
from wirecheck.run.baseline import read_baseline
from wirecheck.run.merge_results import read_part
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.run.selection import named, selected
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import Waiver

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
FORMER, CURRENT = "pods.carry_their_addresses", "pods.ip_on_interface"
OLD_WAIVER = Waiver("pods.carry_*", "*", "a reason", "net team", "2027-12-31")


@pytest.fixture
def ill(tmp_path) -> Path:
    return written(tmp_path / "ill", broken())


@pytest.fixture
def results(ill, tmp_path) -> Results:
    return perform(Request(snapshot=ill, report_dir=tmp_path / "of-ill"), CHECKS, Listener())[0]


def as_it_was(results: Results, folder: Path) -> Path:
    """The file that a wirecheck from before the renaming would have written."""
    text = jsonl.render(results)
    for former, current in FORMER_IDS.items():
        text = re.sub(rf'"{re.escape(current)}(?=["/])', f'"{former}', text)
    assert FORMER in text
    assert CURRENT not in text
    folder.mkdir()
    file = folder / "results.jsonl"
    file.write_text(text)
    return file


class TestTheTable:
    def test_has_every_check_that_was_renamed(self):
        """The recorded verdicts name all the checks that there were before the renaming."""
        first = {str(verdict["check"]) for verdict in read(FOLDER / "healthy.jsonl.gz")}

        assert len(first) == 114
        assert FORMER_IDS.keys() == first - KEPT

    def test_leads_to_checks_of_today_and_to_each_once(self):
        assert set(FORMER_IDS.values()) | KEPT <= {check.id for check in load()}
        assert len(set(FORMER_IDS.values())) == len(FORMER_IDS)

    def test_keeps_every_check_in_its_group(self):
        for former, current in FORMER_IDS.items():
            assert former.partition(".")[0] == current.partition(".")[0]

    def test_never_gives_a_former_id_to_another_check(self):
        assert not FORMER_IDS.keys() & {check.id for check in load()}

    def test_translates_both_ways_and_leaves_other_ids_alone(self):
        assert (current_id(FORMER), former_id(CURRENT)) == (CURRENT, FORMER)
        assert current_id("mine.own") == former_id("mine.own") == "mine.own"
        assert matches(CURRENT, "pods.carry_*")
        assert matches(CURRENT, "pods.ip_*")
        assert not matches(CURRENT, "links.*")


class TestSelections:
    def test_a_former_id_selects_with_one_warning(self):
        with pytest.warns(FormerIdWarning) as told:
            checks = selected(load(), [FORMER])

        assert CURRENT in {check.id for check in checks}
        assert len(told) == 1
        assert f"{FORMER} is now {CURRENT}." in str(told[0].message)

    def test_a_glob_that_matches_many_former_ids_warns_once_and_counts(self):
        with pytest.warns(
            FormerIdWarning, match=r"is now dns\.nodes_resolve, and 2 more\."
        ) as told:
            checks = selected(load(), ["dns.answers_*"])

        assert len(told) == 1
        assert {check.id for check in checks} == {
            "dns.pods_resolve_udp",
            "dns.pods_resolve_tcp",
            "dns.nodes_resolve",
            "dns.parallel_a_aaaa",
            "dns.latency",
            "nodes.reachable",
        }

    @pytest.mark.parametrize("glob", ["dns", "dns.*", "pods.have_*", CURRENT, "nodes.ready"])
    def test_what_current_ids_match_gives_no_warning(self, glob):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert selected(load(), [glob])

    def test_explain_finds_a_former_id(self):
        with pytest.warns(FormerIdWarning, match=CURRENT):
            assert named(load(), FORMER).id == CURRENT

    def test_the_command_line_shows_the_warning_as_one_sentence(self, ill, tmp_path, capsys):
        words = ["run", "--snapshot", str(ill), "--report-dir", str(tmp_path), "-k", FORMER]
        with pytest.raises(SystemExit) as ended:
            cli.main(words)

        shown = [line for line in capsys.readouterr().err.splitlines() if "former" in line]
        sentence = f"`--check {FORMER}` names checks by former ids: {FORMER} is now {CURRENT}."
        assert shown == [f"Warning: {sentence}"]
        assert ended.value.code == 1


class TestUnderPytest:
    """`-k` selects by former names too."""

    @pytest.fixture
    def run(self, pytester, ill):
        def run(*words: str):
            options = ("-p", "no:hypothesispytest", "--snapshot", str(ill), "--collect-only", "-q")
            return pytester.runpytest_inprocess(*options, *words, str(ROOT / "checks/pods.py"))

        return run

    def test_by_a_former_name_with_one_warning(self, run):
        done = run("-k", "carry_their")

        assert [line for line in done.outlines if "::" in line] == [
            "checks/pods.py::ip_on_interface[n1]"
        ]
        sentence = f"`-k carry_their` names checks by former ids: {FORMER} is now {CURRENT}."
        assert done.stdout.str().count(sentence) == 1

    @pytest.mark.parametrize("word", ["ip_on_interface", "pods.ip_on_interface", "not ip_on"])
    def test_by_a_current_name_without_one(self, run, word):
        done = run("-k", word)

        assert any("::" in line for line in done.outlines)
        assert "former ids" not in done.stdout.str()


class TestWaivers:
    def test_of_an_inventory_cover_and_warn_when_it_is_read(self, tmp_path):
        file = tmp_path / "inventory.yaml"
        file.write_text(
            'nodes: [{name: "*", access: "local://"}]\n'
            f'waivers: [{{check: "{OLD_WAIVER.check}", where: "*", reason: a, owner: b, '
            "until: 2027-12-31}]\n"
        )
        with pytest.warns(FormerIdWarning, match=rf"the waiver of pods.carry_\* .*{CURRENT}"):
            inventory = read_inventory(file)
        assert inventory.waivers[0].check == OLD_WAIVER.check

    def test_of_a_snapshot_cover_and_warn_when_it_is_replayed(self, tmp_path):
        snapshot = written(tmp_path / "ill", broken(), waivers=[OLD_WAIVER])
        request = Request(snapshot=snapshot, report_dir=tmp_path / "reports")
        with pytest.warns(FormerIdWarning, match=CURRENT):
            results, _ = perform(request, CHECKS, Listener())

        (item,) = [each for each in results.items if each.check == CURRENT]
        assert item.outcome == "waived"
        (record,) = results.ended.waivers
        assert (record.state, record.findings) == ("used", 1)

    def test_are_asked_for_where_only_the_former_id_matches(self, ill):
        snapshot = Snapshot.open(ill)
        items = list(evaluate(snapshot, load()))
        index = replace(snapshot.index, waivers=[OLD_WAIVER])

        assert waiver_records(index, items)[0].state == "used"


class TestResultsFromBefore:
    def test_are_read_with_current_ids_and_one_warning(self, results, tmp_path):
        file = as_it_was(results, tmp_path / "old")
        with pytest.warns(FormerIdWarning) as told:
            assert jsonl.read_results(file) == results
        assert len(told) == 1
        assert str(file) in str(told[0].message)

    def test_with_a_comparison_too(self, ill, tmp_path):
        well = written(tmp_path / "well", healthy())
        request = Request(snapshot=well, report_dir=tmp_path / "compared", baseline=ill)
        results, _ = perform(request, CHECKS, Listener())
        assert results.comparison is not None
        assert results.comparison.fixed[0].check == CURRENT

        with pytest.warns(FormerIdWarning):
            assert jsonl.read_results(as_it_was(results, tmp_path / "old")) == results

    def test_are_a_baseline(self, results, ill, tmp_path):
        file = as_it_was(results, tmp_path / "old")
        request = Request(snapshot=ill, report_dir=tmp_path / "now", baseline=file)
        with pytest.warns(FormerIdWarning):
            now, _ = perform(request, CHECKS, Listener())

        assert now.ended.status == 0
        assert now.comparison is not None
        assert (now.comparison.new, now.comparison.known) == (0, 1)

    def test_are_a_baseline_for_findings_that_are_only_counted(self, ill, tmp_path, monkeypatch):
        monkeypatch.setattr("wirecheck.evaluation.items.MOST_FINDINGS", 0)
        request = Request(snapshot=ill, report_dir=tmp_path / "first")
        first, _ = perform(request, CHECKS, Listener())
        assert any(FURTHER in each.key for item in first.items for each in item.findings)

        file = as_it_was(first, tmp_path / "old")
        request = Request(snapshot=ill, report_dir=tmp_path / "now", baseline=file)
        with pytest.warns(FormerIdWarning):
            now, _ = perform(request, CHECKS, Listener())
        assert now.comparison is not None
        assert (now.comparison.new, now.comparison.known) == (0, 1)

    def test_are_merged(self, results, tmp_path):
        file = as_it_was(results, tmp_path / "old")
        with pytest.warns(FormerIdWarning):
            assert read_part(file).results == results

    def test_are_compared_by_diff(self, results, tmp_path, capsys):
        file = as_it_was(results, tmp_path / "old")
        jsonl.write(results, tmp_path / "results.jsonl")
        with pytest.raises(SystemExit) as ended:
            cli.main(["diff", str(file), str(tmp_path / "results.jsonl")])

        shown = capsys.readouterr()
        assert "0 new, 1 still there, 0 fixed" in shown.out
        assert "Warning: " in shown.err
        assert ended.value.code == 0

    def test_a_file_with_current_ids_gives_no_warning(self, results, tmp_path):
        file = tmp_path / "results.jsonl"
        jsonl.write(results, file)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert read_baseline(file).results == results


class TestHistory:
    entry = history.HistoryEntry(
        "2026-11-01T00:00:00Z", "c", 1, "One fails.", checks={FORMER: "fail", "nodes.ready": "pass"}
    )

    @pytest.fixture
    def file(self, tmp_path) -> Path:
        history.append(tmp_path / "history.jsonl", self.entry)
        return tmp_path / "history.jsonl"

    def test_is_read_with_current_ids(self, file):
        with pytest.warns(FormerIdWarning, match=CURRENT):
            (entry,) = history.read(file, "c", 9)
        assert entry.checks == {CURRENT: "fail", "nodes.ready": "pass"}

    def test_trend_shows_them_in_one_row(self, file):
        history.append(file, replace(self.entry, checks={CURRENT: "fail"}))
        program = "from wirecheck.cli.main import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", program, "trend", str(file)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert re.search(rf"^{re.escape(CURRENT)} +✕✕", done.stdout, re.MULTILINE)
        assert FORMER not in done.stdout
        assert done.stderr.count("Warning: ") == 1

    def test_a_digest_from_before_is_still_the_same(self, results):
        """Nobody is notified only because checks were renamed."""
        (key,) = {finding.key for item in results.items for finding in item.findings}
        former = key.replace(CURRENT, FORMER)
        assert former != key
        assert history.entry_of(results, Path()).failing == history._digest([former])
