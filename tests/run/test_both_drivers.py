"""`wirecheck run` and pytest do the same: each test here runs with both."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# pytester forgets what is imported in its runs.
import wirecheck.cli.outputs
import wirecheck.pytest_plugin.session  # noqa: F401
from tests.collect.conftest import status
from tests.served_cluster import SEEN, ServedCluster, emptied, node
from tests.snapshots import broken, healthy, unreachable, written
from wirecheck.cli import main as cli
from wirecheck.results.jsonl import read_results
from wirecheck.results.records import Results
from wirecheck.run import live, report_folder
from wirecheck.run.waiting import Waiting
from wirecheck.snapshot.index import Waiver

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
GROUPS = ("pods", "links", "nodes")


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    status: int
    text: str
    """Everything that it printed."""
    reports: Path

    @property
    def folders(self) -> list[Path]:
        return sorted(self.reports.glob("2*")) if self.reports.is_dir() else []

    @property
    def results(self) -> Results:
        return read_results(self.folders[-1] / "results.jsonl")


Run = Callable[..., Ended]


@pytest.fixture(params=["wirecheck", "pytest"])
def run(request, pytester, monkeypatch, capfd) -> Run:
    """Run the checks of three groups with one of the drivers, in an empty folder."""
    monkeypatch.setenv("COLUMNS", "250")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(pytester.path))
    reports = pytester.path / "reports"

    def by_command(*options: object) -> Ended:
        globs = [f"--check={group}" for group in GROUPS]
        with pytest.raises(SystemExit) as left:
            cli.main(["run", *map(str, options), *globs])
        return Ended(int(left.value.code or 0), "".join(capfd.readouterr()), reports)

    def by_pytest(*options: object) -> Ended:
        quiet = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider")
        groups = [ROOT / "checks" / group for group in GROUPS]
        files = [each if each.is_dir() else each.with_suffix(".py") for each in groups]
        done = pytester.runpytest_inprocess(*quiet, *map(str, options), *map(str, files))
        return Ended(int(done.ret), done.stdout.str() + done.stderr.str(), reports)

    return by_command if request.param == "wirecheck" else by_pytest


@pytest.fixture
def served(server, monkeypatch):
    """A live cluster whose pauses do not last."""
    cluster = ServedCluster(server)
    cluster.serve(healthy())
    monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
    monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
    monkeypatch.setattr(live.time, "sleep", lambda _: None)
    return cluster


@pytest.fixture
def cluster(served, kubeconfig) -> str:
    """The option that names the live cluster."""
    return f"--kubeconfig={kubeconfig}"


@pytest.fixture
def ill(tmp_path) -> Path:
    return written(tmp_path / "ill", broken())


@pytest.fixture
def well(tmp_path) -> Path:
    return written(tmp_path / "well", healthy())


def test_a_finding_counts_if_every_round_has_it(run: Run, served, cluster):
    served.looks = [broken()]

    ended = run(cluster)

    assert (ended.status, ended.results.ended.looks) == (1, 3)
    assert served.visited == [["n1"]] * 3
    assert "Possibly transient; checking 1 node again in 10 s." in ended.text


def test_a_finding_that_goes_away_does_not_count(run: Run, served, cluster):
    served.looks = [broken(), healthy()]

    ended = run(cluster, "--round-intervals=1")

    assert (ended.status, ended.results.ended.looks) == (0, 2)


def test_the_number_of_rounds_is_limited(run: Run, served, cluster):
    served.looks = [broken()]

    assert run(cluster, "--rounds=1").results.ended.looks == 1


@pytest.mark.parametrize("old", ["--looks=1", "--look-intervals=", "--share=1/1"])
def test_a_former_option_is_accepted_with_a_warning(run: Run, served, cluster, old):
    new = {"--looks": "--rounds", "--look-intervals": "--round-intervals", "--share": "--shard"}
    option = old.partition("=")[0]

    ended = run(cluster, old)

    assert ended.status == 0
    assert f"{option} is now {new[option]}." in ended.text


def test_a_shard_visits_its_own_nodes(run: Run, served, cluster):
    numbers = [run(cluster, f"--shard={number}/2").status for number in (1, 2)]

    assert served.visited in ([["n1"], []], [[], ["n1"]])
    assert 0 in numbers


def test_only_what_the_baseline_does_not_have_fails(run: Run, ill, well):
    new = run(f"--snapshot={ill}", f"--baseline={well}", "--report-dir=reports")
    known = run(f"--snapshot={ill}", f"--baseline={ill}", "--report-dir=reports")

    assert (new.status, known.status) == (1, 0)
    counted = [read_results(each / "results.jsonl").comparison for each in known.folders]
    assert [(each.new, each.known) for each in counted] == [(1, 0), (0, 1)]


def test_a_baseline_that_cannot_serve_is_refused_before_a_visit(
    run: Run, served, cluster, tmp_path
):
    blind = written(tmp_path / "blind", unreachable())

    ended = run(cluster, f"--baseline={blind}")

    assert (ended.status, ended.folders, served.visited) == (4, [], [])
    assert "cannot serve as a baseline" in ended.text


def test_a_doubtful_baseline_can_be_forced_and_is_named(run: Run, ill, tmp_path):
    blind = written(tmp_path / "blind", unreachable())

    ended = run(f"--snapshot={ill}", f"--baseline={blind}", "--force-baseline")

    assert ended.status == 1
    assert "Doubtful baseline:" in ended.text


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for the next round takes no time."""
    monkeypatch.setattr(Waiting, "pause", lambda _: None)


@pytest.mark.usefixtures("without_pauses")
def test_it_waits_until_the_cluster_is_healthy(run: Run, served, cluster):
    served.looks = [broken(), healthy()]

    ended = run(cluster, "--wait=10m", "--rounds=1")

    assert (ended.status, served.visited) == (0, [["n1"], ["n1"]])
    (healed,) = ended.results.ended.wait.healed
    assert (healed.check, healed.node) == ("pods.ip_on_interface", "n1")
    assert "1 item failing after" in ended.text
    assert "pods.ip_on_interface on n1 was healthy after" in ended.text


def test_a_node_that_is_added_while_waiting_counts(run: Run, served, cluster, monkeypatch):
    """pytest has chosen its items by then."""
    served.looks = [broken(), healthy()]
    larger = healthy()
    larger.api["nodes"].append(node("n2", ready="False"))
    served.access_methods.add("n2")
    served.visits["n2"] = (SEEN, emptied(healthy().document))

    def pause(_: float) -> None:
        served.serve(larger)
        monkeypatch.setattr(Waiting, "left", 0.0)

    monkeypatch.setattr(Waiting, "pause", lambda _, seconds=0.0: pause(seconds))

    ended = run(cluster, "--wait=10m", "--rounds=1")

    assert ended.status == 1
    failed = {(each.check, each.node) for each in ended.results.items if each.outcome == "fail"}
    assert failed == {("nodes.ready", "n2")}
    assert "nodes.ready" in ended.text


def test_a_node_that_is_deleted_while_waiting_is_left_out(run: Run, served, cluster, monkeypatch):
    larger = healthy()
    larger.api["nodes"].append(node("n2", ready="False"))
    served.serve(larger)
    served.access_methods.add("n2")
    served.visits["n2"] = (SEEN, emptied(healthy().document))
    monkeypatch.setattr(Waiting, "pause", lambda _: served.serve(healthy()))

    ended = run(cluster, "--wait=10m", "--rounds=1")

    assert ended.status == 0
    assert ended.results.ended.coverage.nodes_known == 1


@pytest.mark.usefixtures("without_pauses")
def test_an_api_that_is_away_for_a_while_is_waited_for(run: Run, served, cluster):
    served.server.script("/api/v1/nodes", *[status(404, "NotFound")] * 2)

    assert run(cluster, "--wait=10m").status == 0


def test_old_reports_are_removed(run: Run, served, cluster):
    for _ in range(3):
        ended = run(cluster, "--keep=2")

    assert len(ended.folders) == 2


def test_a_line_goes_to_the_history(run: Run, well, tmp_path):
    file = tmp_path / "history.jsonl"

    run(f"--snapshot={well}", f"--history={file}", "--report-dir=reports")

    assert len(file.read_text().splitlines()) == 1


def test_further_reports_are_written(run: Run, ill, tmp_path):
    run(f"--snapshot={ill}", f"--output=jsonl={tmp_path / 'more.jsonl'}")

    assert read_results(tmp_path / "more.jsonl").ended.status == 1


def test_if_the_folder_cannot_be_written_further_reports_are(
    run: Run, served, cluster, tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report_folder, "write_whole", full)

    ended = run(cluster, f"--output=jsonl={tmp_path / 'more.jsonl'}")

    assert ended.status == 4
    assert "No space left on device" in ended.text
    assert "Traceback" not in ended.text
    assert read_results(tmp_path / "more.jsonl").ended.verdict in ended.text


def test_sonobuoy_learns_of_a_run_without_results(run: Run, tmp_path):
    ended = run("--kubeconfig=nowhere", f"--output=sonobuoy={tmp_path / 'out'}")

    assert ended.status == 4
    assert "There is no kubeconfig at nowhere" in ended.text
    assert (tmp_path / "out" / "done").exists()


def test_what_the_inventory_overrides_is_shown(run: Run, tmp_path):
    waiver = Waiver("pods.*", "n1", "known", "ops", "2030-01-01")
    snapshot = written(tmp_path / "seen", broken(), waivers=[waiver])
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("nodes: [{name: '*', access: 'ssh://{address}'}]\n")

    waived = run(f"--snapshot={snapshot}")
    overridden = run(f"--snapshot={snapshot}", f"--inventory={inventory}")

    assert (waived.status, overridden.status) == (0, 1)
    assert "The inventory overrides waiver of pods.* at n1: absent" in overridden.text


@pytest.mark.parametrize(
    "option", ["--context=c", "--rounds=2", "--wait=10m", "--shard=1/2", "--helper-pods"]
)
def test_an_option_about_a_live_cluster_is_refused_with_a_snapshot(run: Run, well, option):
    ended = run(f"--snapshot={well}", option)

    assert (ended.status, ended.folders) == (4, [])
    assert f"{option.partition('=')[0]} needs a live cluster" in ended.text


def test_a_threshold_that_no_check_has_is_refused_before_the_api_is_read(
    run: Run, served, cluster, server, tmp_path
):
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text("nodes: [{name: n1, access: 'docker://'}]\nthresholds: {a.b: 1}\n")

    ended = run(cluster, f"--inventory={inventory}")

    assert ended.status == 4
    assert "no check has a threshold `a.b`" in ended.text
    assert server.paths() == []


def test_ctrl_c_while_visiting_reports_what_was_seen(run: Run, served, cluster):
    def interrupt(_):
        raise KeyboardInterrupt

    served.before_visit = interrupt

    ended = run(cluster)

    assert ended.status == 2
    assert ended.results.ended.interrupted
    assert "Interrupted: evaluating the data collected so far." in ended.text


def test_a_remedy_can_be_pasted(run: Run, served, kubeconfig):
    """Its kubectl must not reach the shell's default cluster."""
    served.looks = [broken()]

    ended = run(f"--kubeconfig={kubeconfig}", "--rounds=1")

    commands = re.findall(r"`(kubectl[^`]*)`", ended.text)
    assert commands
    assert all(each.split()[1:3] == ["--kubeconfig", str(kubeconfig)] for each in commands)


def test_a_selected_node_is_named(run: Run, pytester):
    snapshot = written(pytester.path / "seen", healthy())

    ended = run(f"--snapshot={snapshot}", "--node=n*", "--report-dir=reports")

    assert ended.status == 0
    assert ended.results.started.selected_nodes == ["n*"]
    assert ended.results.ended.verdict.startswith("1 of 1 node (n1), ")
    assert ended.results.ended.verdict in ended.text
    refused = run(f"--snapshot={snapshot}", "--namespace=nowhere")
    assert refused.status == 4
    assert "No pod or Service is in a namespace `nowhere`" in refused.text
