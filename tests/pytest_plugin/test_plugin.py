"""pytest itself: items, outcomes, exit status, and how it stays out of the way elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest

# pytester forgets what is imported in its runs.
import wirecheck.cli.outputs
import wirecheck.pytest_plugin.session  # noqa: F401
from tests.collect.conftest import status
from tests.served_cluster import Listener, ServedCluster
from tests.snapshots import broken, healthy, risky, unreachable, written
from wirecheck.results.jsonl import read_results
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import Waiver

pytest_plugins = ["pytester"]

QUICK = ("-p", "no:hypothesispytest")
"""Its plugin loads all of hypothesis at each run's end."""
ROOT = Path(__file__).parents[2]
PODS = "checks/pods.py"


@dataclass(frozen=True)
class Finished:
    """A pytest run that has ended."""

    status: int
    lines: list[str]
    """Of standard output."""
    text: str
    """Standard output and standard error."""

    @property
    def ids(self) -> list[str]:
        """What `--collect-only -q` listed."""
        return [line for line in self.lines if "::" in line]

    @property
    def last(self) -> list[str]:
        """wirecheck's own lines at the end, without pytest's last one."""
        start = max(n for n, line in enumerate(self.lines) if " wirecheck ===" in line)
        return self.lines[start + 1 : -1]


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in this process, in an empty folder."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("KUBECONFIG", raising=False)

    def run(*arguments: object) -> Finished:
        done = pytester.runpytest_inprocess(*QUICK, "-p", "no:cacheprovider", *map(str, arguments))
        text = done.stdout.str() + done.stderr.str()
        return Finished(int(done.ret), done.outlines, text)

    return run


@pytest.fixture
def run_apart(tmp_path):
    """Run pytest in a process of its own, with what is installed."""

    def run(*arguments: object, folder: Path = tmp_path, **environment: str) -> Finished:
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "KUBECONFIG"))}
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *QUICK, *map(str, arguments)],
            cwd=folder,
            env={**plain, "HOME": str(tmp_path), "COLUMNS": "200", **environment},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Finished(done.returncode, done.stdout.splitlines(), done.stdout + done.stderr)

    return run


def catalogue(*names: str) -> list[str]:
    """Each group's file, or its folder."""
    groups = [ROOT / "checks" / each for each in names or ("pods", "links", "nodes")]
    return [str(each if each.is_dir() else each.with_suffix(".py")) for each in groups]


@pytest.mark.parametrize(
    ("cluster", "files", "options", "status", "counted"),
    [
        (healthy, (), [], 0, "passed"),
        (broken, (), [], 1, "1 failed"),
        (broken, (), ["--fail-on=never"], 0, "1 failed"),
        (broken, ("nodes",), [], 0, "passed"),
        (unreachable, (), [], 2, "errors"),
        (risky, ("conntrack",), ["-k", "table_usage"], 0, "1 warned"),
        (risky, ("conntrack",), ["-k", "table_usage", "--fail-on=warn"], 1, "1 failed"),
        (broken, ("conntrack",), ["-k", "limit_as_configured"], 5, "1 skipped"),
        (broken, (), ["-k", "no_such_check"], 5, "deselected"),
    ],
)
def test_outcomes_and_the_exit_status(run, tmp_path, *, cluster, files, options, status, counted):
    snapshot = written(tmp_path / "seen", cluster())

    done = run(f"--snapshot={snapshot}", *options, *catalogue(*files))

    assert done.status == status, done.text
    assert counted in done.lines[-1]


def test_a_fail_is_told_without_a_traceback(run, tmp_path):
    done = run(f"--snapshot={written(tmp_path / 'seen', broken())}", *catalogue())

    assert "Pod shop/web (Pod/web): expected 10.244.0.3 on an interface; found nothing" in done.text
    assert "Next: Compare with the addresses on" in done.text
    snapshot = f"--snapshot {tmp_path / 'seen'}"
    assert f"Inspect: wirecheck inspect pod shop/web {snapshot}\n" in done.text
    assert "Traceback" not in done.text
    assert "plugin.py" not in done.text
    looked, verdict = done.last
    assert looked.startswith("Checked 1/1 node, ")
    assert verdict.endswith(" checks run: 1 check failed on 1 node, 1 root cause.")


def test_a_warning_is_shown_and_counted_apart(run, tmp_path):
    snapshot = written(tmp_path / "seen", risky())

    done = run(f"--snapshot={snapshot}", "-k", "table_usage", *catalogue("conntrack"))

    assert done.last[0].startswith("WARN conntrack.table_usage[n1] - ")
    assert re.fullmatch(r"1 of \d+ checks run: 1 check warned on 1 node\.", done.last[-1])


@pytest.mark.parametrize(("fail_on", "status"), [("fail", 0), ("flaky", 1), ("warn", 1)])
def test_what_only_some_rounds_have_is_flaky(run, tmp_path, fail_on, status):
    folder = written(tmp_path / "snapshot", broken(), broken(), healthy())
    (check,) = catalogue("pods")

    done = run(check, "--snapshot", folder, "-k", "ip_on_interface", f"--fail-on={fail_on}")

    assert done.status == status
    assert ("1 flaky" in done.text) is (status == 0)
    assert done.last[0].startswith("FLAKY pods.ip_on_interface[n1] - Pod shop/web (Pod/web): ")
    assert "(flaky: in rounds 1 and 2 of 3, from " in done.last[0]
    assert done.last[-1].startswith("Flaky: 1 check failed in some rounds only, on 1 node (1 of ")


def test_one_round_of_a_snapshot_can_be_evaluated_alone(run, tmp_path):
    folder = written(tmp_path / "snapshot", broken(), healthy())
    (check,) = catalogue("pods")

    done = run(check, "--snapshot", folder, "-k", "ip_on_interface", "--rounds=1")

    assert done.status == 1
    assert "1 failed" in done.text


def test_a_waived_fail_is_xfailed_with_its_reason(run, tmp_path):
    waiver = Waiver("pods.*", "n1", "known", "ops", "2030-01-01")
    snapshot = written(tmp_path / "seen", broken(), waivers=[waiver])

    done = run(f"--snapshot={snapshot}", "-rx", *catalogue())

    assert done.status == 0
    assert "1 xfailed" in done.lines[-1]
    assert re.search(r"XFAIL .*ip_on_interface\[n1\] - waived: Pod shop/web", done.text)


def test_a_skip_names_the_check_and_the_reason(run, tmp_path):
    snapshot = written(tmp_path / "seen", healthy())

    done = run(f"--snapshot={snapshot}", "-rs", "-k", "limit", *catalogue("conntrack"))

    assert re.search(r"SKIPPED \[1\] .*conntrack\.py:\d+: \S+", done.text)


def test_an_unreachable_node_is_told_once(run, tmp_path):
    done = run(f"--snapshot={written(tmp_path / 'seen', unreachable())}", *catalogue())

    assert done.text.count("found n1 refuses the connection.") >= 1
    assert "n1 was not visited, see nodes.reachable[n1]." in done.text
    assert "failed" not in done.lines[-1]


def test_items_come_node_after_node_and_then_the_clusters(run, tmp_path):
    small = healthy()
    for name in ("n3", "n2"):
        node = {**small.api["nodes"][0], "metadata": {"name": name, "uid": name}}
        small.api["nodes"].append(node)
    snapshot = written(tmp_path / "seen", small)

    done = run(f"--snapshot={snapshot}", "--collect-only", "-q", *catalogue())

    nodes = [found[1] if (found := re.search(r"\[(.*)\]$", line)) else "" for line in done.ids]
    assert list(dict.fromkeys(nodes)) == ["n1", "n2", "n3", ""]
    assert nodes == sorted(nodes, key=lambda name: (not name, name))


def test_pytest_and_wirecheck_run_give_the_same_items(run, tmp_path, pytester):
    snapshot = written(tmp_path / "seen", broken())

    run(f"--snapshot={snapshot}", "--report-dir=reports", *catalogue("dns", "links", "pods"))
    (folder,) = (pytester.path / "reports").iterdir()
    by_pytest = read_results(folder / "results.jsonl")
    request = Request(snapshot=snapshot, report_dir=tmp_path / "others")
    by_itself, _ = perform(request, ["dns", "links", "pods"], Listener())

    kept = [item for item in by_itself.items if item.check != "nodes.reachable"]
    assert sorted(by_pytest.items, key=by_place) == sorted(kept, key=by_place)
    assert by_pytest.ended.verdict == by_itself.ended.verdict
    assert by_pytest.ended.coverage == by_itself.ended.coverage


def by_place(item):
    return (not item.node, item.node, item.check)


def test_a_replay_leaves_reports_only_where_it_is_told_to(run, tmp_path, pytester):
    snapshot = written(tmp_path / "seen", healthy())

    run(f"--snapshot={snapshot}", *catalogue())

    assert list(pytester.path.iterdir()) == []


def test_junit_has_every_item_and_pytest_html_the_same_page(run, tmp_path, pytester):
    snapshot = written(tmp_path / "seen", broken())

    run(f"--snapshot={snapshot}", "--junitxml=j.xml", "--html=h.html", *catalogue())

    cases = list(ET.parse(pytester.path / "j.xml").iter("testcase"))
    failed = [case for case in cases if case.find("failure") is not None]
    assert [(case.get("classname"), case.get("name")) for case in failed] == [
        ("checks.pods", "ip_on_interface[n1]")
    ]
    assert "Pod shop/web" in failed[0].find("failure").get("message", "")
    page = (pytester.path / "h.html").read_text()
    assert "Every pod&#39;s network namespace has each address" in page or (
        "Every pod's network namespace has each address" in page
    )


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["--snapshot=nowhere"], 4, "nowhere is not a snapshot"),
        (["--inventory=nowhere.yaml"], 4, "nowhere.yaml"),
        (["--kubeconfig=nowhere"], 4, "There is no kubeconfig at nowhere"),
        ([], 4, "There is no kubeconfig at"),
        (["--fail-on=error"], 4, "--fail-on"),
        (["--rounds=0"], 4, "'0' is not a whole number above zero"),
        (["--dns-rate=-1"], 4, "'-1' is not a number above zero"),
        (["--round-intervals=soon"], 4, "'soon' is not a list of seconds"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, *, arguments, status, sentence):
    done = run(*arguments, *catalogue())

    assert done.status == status
    assert sentence in done.text
    assert "Traceback" not in done.text


def test_listing_checks_needs_no_cluster(run):
    done = run("--collect-only", "-q", *catalogue())

    assert done.status == 0
    assert "checks/pods.py::have_ip[NODE]" in done.lines
    assert "checks/pods.py::unique_ips" in done.lines


class TestLive:
    @pytest.fixture
    def served(self, server, monkeypatch):
        cluster = ServedCluster(server)
        cluster.serve(healthy())
        monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
        monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
        monkeypatch.setattr("wirecheck.run.live.time.sleep", lambda _: None)
        return cluster

    def test_it_looks_once_the_items_are_chosen(self, run, served, kubeconfig, pytester):
        served.looks = [broken()]

        done = run(f"--kubeconfig={kubeconfig}", "--rounds=2", *catalogue())

        assert done.status == 1, done.text
        assert served.visited == [["n1"], ["n1"]]
        starts = ("Context test", "Possibly transient")
        said = [line for line in done.lines if line.startswith(starts)]
        assert len(said) == 2
        (folder,) = (pytester.path / "reports").glob("20*")
        assert f"reports: reports/{folder.name}" in done.last
        assert len(Snapshot.open(folder / "snapshot").index.looks) == 2

    def test_only_the_checks_chosen_make_it_look_again(self, run, served, kubeconfig):
        served.looks = [broken()]

        done = run(f"--kubeconfig={kubeconfig}", *catalogue("nodes"))

        assert done.status == 0
        assert served.visited == [["n1"]]

    def test_listing_items_reads_the_nodes_and_visits_none(self, run, served, kubeconfig, server):
        done = run(f"--kubeconfig={kubeconfig}", "--collect-only", "-q", *catalogue())

        assert "checks/pods.py::have_ip[n1]" in done.lines
        assert served.visited == []
        assert set(server.paths()) == {"/version", "/api/v1/nodes"}

    def test_a_node_without_a_way_in_is_told(self, run, served, kubeconfig):
        served.access_methods = set()

        done = run(f"--kubeconfig={kubeconfig}", *catalogue())

        assert done.status == 2
        assert "access: ssh://root@{address}" in done.text
        assert any(line.startswith("Note: No access to 1 of 1 node") for line in done.last)

    @pytest.mark.usefixtures("served")
    def test_an_api_that_refuses_is_one_sentence(self, run, kubeconfig, server):
        server.script("/api/v1/nodes", *[lambda _: status(403, "not for you")] * 4)

        done = run(f"--kubeconfig={kubeconfig}", *catalogue())

        assert done.status == 2
        assert "not for you" in done.text or "403" in done.text
        assert "Traceback" not in done.text


class TestElsewhere:
    """In an environment where wirecheck happens to be installed."""

    def test_other_projects_do_not_notice_it(self, run_apart, tmp_path):
        (tmp_path / "test_own.py").write_text(
            "import sys\n"
            "import pytest\n"
            "@pytest.fixture\n"
            "def node(): return 7\n"
            "@pytest.fixture\n"
            "def cluster(): return 8\n"
            "def test_own(node, cluster):\n"
            "    assert (node, cluster) == (7, 8)\n"
            "    assert 'wirecheck.pytest_plugin.session' not in sys.modules\n"
            "    assert 'kubernetes' not in sys.modules\n"
        )

        done = run_apart()

        assert done.status == 0, done.text
        assert " wirecheck ===" not in done.text

    def test_options_of_a_conftest_keep_their_names(self, run_apart, tmp_path):
        (tmp_path / "conftest.py").write_text(
            "def pytest_addoption(parser):\n"
            "    parser.addoption('--inventory')\n"
            "    parser.addoption('--snapshot', action='store_true')\n"
        )
        (tmp_path / "test_own.py").write_text("def test_own(): pass\n")

        done = run_apart()
        options = run_apart("--help")

        assert done.status == 0, done.text
        assert "--wirecheck-snapshot" in options.text
        assert "--kubeconfig" in options.text

    def test_workers_of_xdist_are_refused(self, run_apart, tmp_path):
        done = run_apart("--numprocesses=2", f"--snapshot={written(tmp_path / 'seen', healthy())}")

        assert done.status == 4
        assert "leave out -n" in done.text

    def test_tests_beside_checks_count(self, run_apart, tmp_path):
        (tmp_path / "test_own.py").write_text("def test_own(): assert False\n")
        snapshot = written(tmp_path / "seen", healthy())

        done = run_apart(f"--snapshot={snapshot}", "test_own.py", *catalogue())

        assert done.status == 1

    def test_a_check_of_ones_own_is_judged_too(self, run_apart, tmp_path):
        (tmp_path / "test_mine.py").write_text(
            "from wirecheck.catalogue import Finding, check\n"
            "@check(remedy='Rename it.')\n"
            "def is_named_well(node):\n"
            "    '''Nodes are not named n1.\n\n    It reads badly in every report there is.'''\n"
            "    yield Finding(node, expected='another name', found=node.name)\n"
        )

        done = run_apart(f"--snapshot={written(tmp_path / 'seen', healthy())}", "test_mine.py")

        assert done.status == 1
        assert "test_mine.py::is_named_well[n1]" in done.text
        assert "Next: Rename it." in done.text

    def test_it_is_registered_once(self, run_apart, tmp_path):
        snapshot = written(tmp_path / "seen", healthy())

        for named in ("wirecheck.pytest_plugin.plugin", "no:unknown"):
            done = run_apart("-p", named, f"--snapshot={snapshot}", *catalogue())
            assert done.status == 0, done.text
            assert len([line for line in done.lines if "wirecheck ===" in line]) == 1

    def test_a_snapshot_does_not_configure_pytest(self, run_apart, tmp_path):
        snapshot = written(tmp_path / "seen", healthy())
        (snapshot / "pytest.ini").write_text("[pytest]\n")
        (snapshot / "conftest.py").write_text("raise SystemExit('executed')\n")

        spaced = run_apart("--snapshot", snapshot)
        joined = run_apart(f"--snapshot={snapshot}", *catalogue())

        assert spaced.status == 4
        assert "does not belong in a snapshot" in spaced.text
        assert "executed" not in spaced.text
        assert joined.status == 0


class TestNodeIds:
    @pytest.fixture
    def installed(self, tmp_path) -> Path:
        """The files as the wheel lays them out."""
        site = tmp_path / "site"
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "wirecheck", site / "wirecheck", ignore=ignored)
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())
        wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
        for source, target in wheel["force-include"].items():
            shutil.copytree(ROOT / source, site / target, ignore=ignored, dirs_exist_ok=True)
        return site

    @pytest.mark.slow
    def test_are_the_same_wherever_it_is_installed(self, run_apart, tmp_path, installed):
        snapshot = written(tmp_path / "seen", healthy())
        listing = ["--collect-only", "-q", f"--snapshot={snapshot}"]
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        from_wheel = {"folder": elsewhere, "PYTHONPATH": str(installed)}

        checkout = run_apart(*listing, folder=ROOT).ids

        assert len(checkout) > 20
        assert all(line.startswith("checks/") for line in checkout)
        assert run_apart(*listing, folder=elsewhere).ids == checkout
        assert run_apart(*listing, **from_wheel).ids == checkout
        assert run_apart(*listing, "--pyargs", "wirecheck.checks", **from_wheel).ids == checkout
        assert run_apart(*listing, "--import-mode=prepend", **from_wheel).ids == checkout

    def test_the_inventory_may_lie_anywhere(self, run_apart, tmp_path):
        """pytest takes the word after an option that it does not know yet for a test file."""
        snapshot = written(tmp_path / "seen", broken())

        done = run_apart("--snapshot", snapshot, "-p", "cacheprovider", folder=ROOT)

        assert "FAILED checks/pods.py::ip_on_interface[n1]" in done.text
        assert not (snapshot / ".pytest_cache").exists()


def test_further_reports_are_written(run, tmp_path):
    snapshot = written(tmp_path / "seen", broken())

    files = [f"--output={name}={name}.out" for name in ("markdown", "prometheus", "nagios")]
    ended = run(f"--snapshot={snapshot}", *files, "-k", "carry")

    assert ended.status == 1
    assert "ip_on_interface" in Path("markdown.out").read_text()
    assert "wirecheck_run_status" in Path("prometheus.out").read_text()
    assert Path("nagios.out").read_text().startswith("WIRECHECK CRITICAL")


def test_standard_output_stays_pytests_own(run, tmp_path):
    ended = run(f"--snapshot={written(tmp_path / 'seen', broken())}", "--output=nagios")

    assert ended.status == 4
    assert "name a file: nagios=FILE" in ended.text


@pytest.mark.parametrize(
    ("words", "followed"),
    [
        ([], False),
        (["-m", "preprod"], True),
        (["-m", "upgrade"], False),
        (["-k", "pods_to_pods or ip_on_interface"], True),
        (["checks/paths.py"], True),
    ],
)
def test_paths_of_all_pods_are_followed_on_request(run_apart, tmp_path, words, followed):
    snapshot = written(tmp_path / "seen", healthy())

    listed = run_apart("--collect-only", "-q", f"--snapshot={snapshot}", *words, folder=ROOT).ids

    assert listed
    assert any("pods_to_pods" in each for each in listed) == followed
