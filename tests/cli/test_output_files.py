"""`-o FORMAT=FILE` and the other files that commands write, as a user names them."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.needs import need
from tests.snapshots import broken, healthy, written
from wirecheck.cli import main as cli
from wirecheck.cli.demo import recorded


@pytest.fixture
def run(bare_home, call):
    """Run the command line in an empty folder."""
    return call


@pytest.fixture
def replay(tmp_path):
    """A short run over a small snapshot."""
    return ("run", "--snapshot", written(tmp_path / "seen", broken()), "-k", "pods")


def test_a_device_gets_the_report_and_stays(run, replay, tmp_path):
    need("root")
    os.mknod(tmp_path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    (tmp_path / "link").symlink_to("null")

    status, _, err = run(*replay, "-o", "junit=null", "-o", "markdown=link")

    assert (status, "not written" in err) == (1, False)
    assert stat.S_ISCHR((tmp_path / "null").stat().st_mode)
    assert (tmp_path / "link").is_symlink()


def test_a_fifo_gets_the_report(run, replay, tmp_path):
    os.mkfifo(tmp_path / "fifo")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "fifo").read_text()))
    reader.start()

    status, *_ = run(*replay, "-o", "junit=fifo")
    reader.join(10)

    assert status == 1
    assert read[0].startswith("<?xml")
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        (["junit=folder"], "The junit report cannot be written to folder: Is a directory"),
        (["junit=new/"], "The junit report cannot be written to new/: Is a directory"),
        (["html=no/such/x"], "folder no/such does not exist"),
        (["markdown=loop"], "Too many levels of symbolic links"),
        (["prometheus=file/x"], "Not a directory"),
        (["nagios=folder"], "The nagios report cannot be written to folder"),
        (["sonobuoy=file"], "The sonobuoy report cannot be written to file"),
        (["junit=a", "html=./a"], "The junit and the html report would be written to the same"),
        (["junit=a", "junit=a"], "would be written to the same file"),
        (["junit=linked", "html=file"], "would be written to the same file"),
        (["jsonl=/dev/fd/987"], "this descriptor is not open"),
        (["junit="], "names no place"),
    ],
)
def test_what_cannot_be_written_is_usage(run, replay, tmp_path, places, sentence):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("old")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "linked").symlink_to("file")
    before = sorted(each.name for each in tmp_path.iterdir())

    status, _, err = run(*replay, *(word for place in places for word in ("-o", place)))

    assert status == 4
    assert sentence in err
    assert sorted(each.name for each in tmp_path.iterdir()) == before
    assert (tmp_path / "file").read_text() == "old"


def test_several_may_share_a_stream(replay, tmp_path, monkeypatch, capfd):
    """Only regular files would replace each other."""
    monkeypatch.chdir(tmp_path)
    words = [*map(str, replay), "-o", "nagios=/dev/stderr", "-o", "markdown=/dev/stderr"]

    with pytest.raises(SystemExit) as left:
        cli.main(words)

    assert left.value.code == 1
    said = capfd.readouterr().err
    assert "WIRECHECK CRITICAL" in said
    assert "# " in said


def test_what_else_is_written_is_refused_in_time(run, replay, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "broken").symlink_to("nowhere")
    for words in (
        (*replay, "--report-dir", "file/reports"),
        (*replay, "--report-dir", "broken"),
        (*replay, "--history", "missing/history.jsonl"),
        ("snapshot", "redact", recorded("healthy"), "out", "--dictionary", "missing/names"),
        ("snapshot", "redact", recorded("healthy"), "file"),
        ("snapshot", "record", "file"),
        ("snapshot", "record", "seen"),
        ("merge", tmp_path / "seen", "--into", "file"),
        ("merge", tmp_path / "seen", "--into", "seen"),
    ):
        status, _, err = run(*words)
        assert (status, "Traceback" in err) == (4, False), words
    assert not (tmp_path / "out").exists()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["broken", "file", "seen"]


def test_the_dictionary_may_be_a_link_or_a_stream(run, tmp_path):
    (tmp_path / "kept").symlink_to("names.json")

    run("snapshot", "redact", recorded("healthy"), "out", "--dictionary", "kept")
    run("snapshot", "redact", recorded("healthy"), "again", "--dictionary", "/dev/stderr")

    assert (tmp_path / "kept").is_symlink()
    assert stat.S_IMODE((tmp_path / "names.json").stat().st_mode) == 0o600


def test_a_shell_names_streams(tmp_path):
    """Redirection, `>(command)` and a pipe, in a process of its own."""
    if not shutil.which("bash"):
        pytest.skip("no bash")
    snapshot = written(tmp_path / "seen", healthy())
    script = f"""
{sys.executable} -m wirecheck run --snapshot {snapshot} -k pods -q \\
  -o jsonl=/dev/stdout -o junit=/dev/fd/3 -o html=>(cat > substituted) > out 3>> third
"""
    subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    deadline = time.monotonic() + 20
    while not (page := (tmp_path / "substituted").read_text()).rstrip().endswith("</html>"):
        assert time.monotonic() < deadline, page[-100:]

    lines = (tmp_path / "out").read_text().splitlines()
    assert (lines[0][:9], lines[-1][:3]) == ('{"type":"', "10 "), lines[-1]
    assert (tmp_path / "third").read_text().startswith("<?xml")


class TestMerge:
    def test_a_folder_without_runs(self, run, tmp_path):
        (tmp_path / "parts/one").mkdir(parents=True)
        (tmp_path / "parts/two").mkdir()
        (tmp_path / "parts/file").write_text("")

        status, out, err = run("merge", "parts")

        assert (status, out) == (4, "")
        assert err.startswith("No run found in parts. Name folders of runs")
        assert err.count("\n") == 1

    def test_of_several_folders_all_are_named(self, run, tmp_path):
        for name in ("a/x", "b/y"):
            (tmp_path / name).mkdir(parents=True)

        assert "No run found in a, b." in run("merge", "a", "b")[2]

    @pytest.mark.parametrize("name", ["missing", "file", "empty"])
    def test_what_is_no_run_at_all(self, run, tmp_path, name):
        (tmp_path / "file").write_text("not results")
        (tmp_path / "empty").mkdir()

        status, _, err = run("merge", name)

        assert (status, "Traceback" in err) == (4, False)


class TestStatuses:
    """Wrong names are usage, whatever command they are given to."""

    @pytest.mark.parametrize(
        "words",
        [
            ("run", "--kubeconfig", "nowhere"),
            ("run", "--kubeconfig", "config", "--context", "other"),
            ("run", "--kubeconfig", "garbage"),
            ("run", "--snapshot", "nowhere"),
            ("run", "--snapshot", "x" * 300),
            ("run", "--snapshot", "seen", "--baseline", "nowhere"),
            ("run", "--snapshot", "seen", "--baseline", "x" * 300),
            ("run", "--snapshot", "seen", f"--report-dir={'x' * 300}"),
            ("run", "--inventory", "x" * 300),
            ("run", "--kubeconfig", "x" * 300),
            ("diff", "seen", "x" * 300),
            ("merge", "x" * 300),
            ("trend", "x" * 300),
            ("init", "x" * 300, "--kubeconfig", "nowhere"),
            ("snapshot", "redact", "seen", "x" * 300),
            ("doctor", "--kubeconfig", "config", "--context", "other"),
            ("clean", "--kubeconfig", "nowhere"),
            ("init", "new.yaml", "--kubeconfig", "nowhere"),
            ("inspect", "node", "n1", "--snapshot", "nowhere"),
            ("inspect", "node", "n1", "--kubeconfig", "config", "--context", "other"),
            ("snapshot", "show", "garbage"),
            ("snapshot", "record", "new", "--kubeconfig", "nowhere"),
            ("snapshot", "redact", "nowhere", "new"),
            ("diff", "nowhere", "seen"),
            ("merge", "nowhere"),
            ("list", "no-such-check"),
            ("explain", "no-such-check"),
        ],
        ids=" ".join,
    )
    def test_wrong_names(self, run, tmp_path, words):
        written(tmp_path / "seen", healthy())
        (tmp_path / "garbage").write_text("{garbage")
        (tmp_path / "config").write_text("contexts: [{name: prod, context: {cluster: c}}]")

        status, out, err = run(*words)

        assert (status, out) == (4, "")
        assert "Traceback" not in err
        assert err.strip()

    def test_a_context_that_does_not_exist_is_not_waited_for(self, run, tmp_path):
        (tmp_path / "config").write_text("contexts: [{name: prod, context: {cluster: c}}]")

        status, _, err = run("run", "--kubeconfig", "config", "--context", "other", "--wait", "10m")

        assert status == 4
        assert "Trying again" not in err

    def test_a_bug_without_a_place_for_its_traceback_is_still_a_bug(self, run, monkeypatch):
        def fail(*_, **__):
            raise KeyError("odd")

        monkeypatch.setattr("wirecheck.cli.outputs.run_all", fail)
        monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")

        status, _, err = run("run", "--snapshot", recorded("healthy"))

        assert status == 3
        assert "KeyError: 'odd'" in err
        assert "the traceback above" in err


class TestVerbosity:
    def test_quiet_leaves_the_verdict(self, run, replay):
        status, out, err = run(*replay, "-q")

        assert (status, err) == (1, "")
        assert out.count("\n") == 1
        assert "1 check failed" in out

    def test_quiet_still_warns(self, run, replay, monkeypatch):
        monkeypatch.setattr(
            "wirecheck.run.reported_run.refuse_unwritable_places", lambda *_, **__: 0
        )

        _, _, err = run(*replay, "-q", "-o", "junit=no/such/x")

        assert "The junit report was not written" in err

    def test_both_at_once_are_refused(self, run, replay):
        assert run(*replay, "-q", "-v")[0] == 4

    def test_demo_and_merge_are_quiet_too(self, run, tmp_path):
        assert run("demo", "healthy", "-q")[1] == "Healthy, 1 check warned.\n"
        snapshot = written(tmp_path / "seen", healthy())
        assert run("merge", snapshot, "-q", "-k", "pods")[1].count("\n") == 1


class TestList:
    def test_it_fits_eighty_columns(self, run, monkeypatch):
        monkeypatch.delenv("COLUMNS", raising=False)
        for words in ((), ("--long",), ("--profile", "cron")):
            lines = run("list", *words)[1].splitlines()
            assert max(map(len, lines)) <= 80

    def test_it_is_as_wide_as_the_terminal(self, run, monkeypatch):
        numbers = []
        for columns in ("40", "80", "200"):
            monkeypatch.setenv("COLUMNS", columns)
            lines = run("list")[1].splitlines()
            numbers.append(len(lines))
            assert max(map(len, lines)) <= max(int(columns), 45)
        assert numbers[0] > numbers[1] > numbers[2]

    @pytest.mark.parametrize(
        ("words", "shown", "hidden"),
        [
            (["dns"], "dns.latency", "links.up"),
            (["services.no_*"], "services.no_stale_backends", "services.masquerade"),
            (["MTU"], "links.equal_mtu", "dns.latency"),
            (["overlay.fits_the_wire"], "overlay.mtu", "links.up"),
            (["links.up", "dns.latency"], "dns.latency", "links.equal_mtu"),
        ],
    )
    def test_words_groups_and_globs(self, run, words, shown, hidden):
        ids = [line.split()[0] for line in run("list", *words)[1].splitlines() if line[0] != " "]

        assert shown in ids
        assert hidden not in ids

    def test_json_and_profiles_are_narrowed_alike(self, run):
        status, out, _ = run("list", "mtu", "--profile", "pre-upgrade")
        assert status == 4
        assert out == ""
        assert '"links.equal_mtu"' in run("list", "mtu", "-o", "json")[1]
