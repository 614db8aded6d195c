"""The command line: what it prints, where it leaves the reports, and its exit status."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from msgspec.structs import replace

from testbed.record import RECORDED
from tests.collect.conftest import status
from tests.served_cluster import ServedCluster
from tests.snapshots import CHECKS, broken, healthy, risky, unreachable, written
from wirecheck import __version__
from wirecheck.catalogue.registry import load
from wirecheck.cli import outputs as cli_outputs
from wirecheck.results.jsonl import read_results
from wirecheck.run.selection import in_profile
from wirecheck.snapshot.index import VisitRecord, VisitStatus, Waiver

FAILED = "1 check failed on 1 node, 1 root cause."
WARNED = "1 check warned on 1 node."


@pytest.fixture
def run(bare_home, call):
    """Run the command line in an empty folder."""
    return call


def only(*groups: str) -> list[str]:
    return [word for group in groups or CHECKS for word in ("-k", group)]


def reports(folder: Path) -> Path:
    (found,) = (folder / "reports").iterdir()
    return found


@pytest.mark.parametrize(
    ("cluster", "options", "status", "verdict"),
    [
        (healthy, only("pods.have_netns"), 0, "passed."),
        (broken, only(), 1, FAILED),
        (broken, [*only(), "--fail-on", "never"], 0, FAILED),
        (broken, only("pods.have_netns"), 0, "passed."),
        (risky, only("conntrack.table_usage"), 0, WARNED),
        (risky, ["--fail-on=warn", "-kconntrack.table_usage"], 1, WARNED),
    ],
)
def test_the_status_and_the_last_line_tell_how_it_is(
    run, tmp_path, *, cluster, options, status, verdict
):
    snapshot = written(tmp_path / "seen", cluster())

    code, out, _ = run("run", "--snapshot", snapshot, *options)

    number, words = re.fullmatch(r"(\d+) of (\d+ checks run: .*)", out.splitlines()[-1]).groups()
    assert (code, words) == (status, f"{len(in_profile(load(), None))} checks run: {verdict}")
    assert int(number) == (1 if len(options) == 2 else 37)


def test_selected_checks_are_not_the_cluster(run, tmp_path):
    """Whether the prerequisite passes, or is what could not be done."""
    well, away = (
        written(tmp_path / name, cluster())
        for name, cluster in (("well", healthy), ("away", unreachable))
    )

    verdicts = [
        run("run", "--snapshot", snapshot, "-k", glob)[1].splitlines()[-1]
        for snapshot, glob in (
            (well, "pods.have_netns"),
            (well, "nodes.reachable"),
            (well, "pods.have_*"),
            (well, "kube_proxy.no_leftover_mode"),
            (away, "pods.have_netns"),
        )
    ]

    of = f"of {len(in_profile(load(), None))} checks run:"
    assert verdicts == [
        f"1 {of} passed.",
        f"1 {of} passed.",
        f"2 {of} passed.",
        f"1 {of} 1 check could not be completed on 1 node.",
        f"2 {of} 2 checks could not be completed on 1 node.",
    ]


def test_a_profile_is_a_selection(run, tmp_path):
    snapshot = written(tmp_path / "seen", healthy())

    _, out, _ = run("run", "--snapshot", snapshot, "--profile", "pre-upgrade")

    assert re.match(rf"\d+ of {len(in_profile(load(), None))} checks run: ", out.splitlines()[-1])


def test_a_node_that_was_not_looked_at_is_not_healthy(run, tmp_path):
    snapshot = written(tmp_path / "seen", unreachable())

    code, out, _ = run("run", "--snapshot", snapshot, *only())

    assert code == 2
    assert "n1 refuses the connection." in out
    assert "Checked 0/1 node, 0/" in out


def test_reachability_is_judged_whatever_was_chosen(run, tmp_path):
    snapshot = written(tmp_path / "seen", unreachable())

    run("run", "--snapshot", snapshot, "-k", "links")

    checks = {item.check for item in read_results(reports(tmp_path) / "results.jsonl").items}
    assert "nodes.reachable" in checks
    assert {check.partition(".")[0] for check in checks} == {"links", "nodes"}


def test_every_report_is_there_and_says_the_same(run, tmp_path):
    snapshot = written(tmp_path / "seen", broken())

    run("run", "--snapshot", snapshot, *only())

    folder = reports(tmp_path)
    assert sorted(file.name for file in folder.iterdir()) == [
        "junit.xml",
        "report.html",
        "results.jsonl",
    ]
    results = read_results(folder / "results.jsonl")
    assert results.ended.status == 1
    assert results.ended.counts["fail"] == 1
    assert results.started.source == str(snapshot)
    assert results.started.time == "2027-01-15T08:00:00Z"
    failed = {
        f"{case.get('classname')} {case.get('name')}"
        for case in ET.parse(folder / "junit.xml").iter("testcase")
        if case.find("failure") is not None
    }
    assert any("ip_on_interface" in case for case in failed)
    assert "10.244.0.3" in (folder / "report.html").read_text()


def test_two_runs_within_a_second_leave_two_folders(run, tmp_path):
    snapshot = written(tmp_path / "seen", healthy())

    for _ in range(3):
        run("run", "--snapshot", snapshot, *only("nodes"))

    names = {folder.name for folder in (tmp_path / "reports").iterdir()}
    assert len(names) == 3
    assert not [name for name in names if name.startswith(".")]


def test_an_inventory_overrides_a_snapshot_and_that_is_shown(run, tmp_path):
    waiver = Waiver("pods.*", "n1", "known", "ops", "2030-01-01")
    snapshot = written(
        tmp_path / "seen", broken(), waivers=[waiver], thresholds={"conntrack.use_warn": 75.0}
    )
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(
        "nodes: [{name: '*', access: 'ssh://{address}'}]\nthresholds: {conntrack.use_warn: 50}\n"
    )

    waived, *_ = run("run", "--snapshot", snapshot, *only())
    code, out, err = run("run", "--snapshot", snapshot, "--inventory", inventory, *only())

    assert (waived, code) == (0, 1)
    assert "conntrack.use_warn: 50, was 75" in err
    assert "waiver of pods.* at n1" in out


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        (["run"], 4, "There is no kubeconfig at"),
        (["run", "--kubeconfig", "nowhere"], 4, "There is no kubeconfig at nowhere"),
        (["run", "--inventory", "nowhere.yaml"], 4, "nowhere.yaml"),
        (["run", "--inventory", "empty.yaml"], 4, "`nodes`"),
        (["run", "--snapshot", "nowhere"], 4, "nowhere is not a snapshot"),
        (["run", "--snapshot", "."], 4, "it has no snapshot.json"),
        (["run", "--unknown"], 4, "No such option '--unknown'"),
        (["run", "-k", "lniks.*"], 4, "No check matches `lniks.*`; did you mean"),
        (["run", "--round-intervals", "soon"], 4, "'soon' is not a list of seconds"),
        (["run", "--round-intervals", "-1"], 4, "between 0 and 3600"),
        (["run", "--dns-rate", "0"], 4, "--dns-rate"),
        (["run", "--fail-on", "error"], 4, "--fail-on"),
        (["run", "--snapshot", ".", "--context", "c"], 4, "--context needs a live cluster"),
        (["explain", "pods.unique_ip"], 4, "did you mean `pods.unique_ips`"),
        (["snapshot", "show", "nowhere"], 4, "nowhere is not a snapshot"),
        (["unknown"], 4, "No such command 'unknown'"),
        (["demo", "unknown"], 4, "unknown"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run, tmp_path, arguments, status, sentence):
    (tmp_path / "empty.yaml").write_text("nodes: []\n")

    code, out, err = run(*arguments)

    assert (code, out) == (status, "")
    assert sentence in err
    assert "Traceback" not in err
    assert not (tmp_path / "reports").exists()


def test_a_cut_off_snapshot_is_a_sentence(run, tmp_path):
    snapshot = written(tmp_path / "seen", healthy())
    file = snapshot / "look-1" / "api.json.gz"
    file.write_bytes(file.read_bytes()[:-40])

    code, _, err = run("run", "--snapshot", snapshot)

    assert code == 2
    assert "is truncated; copy the snapshot again" in err


def test_a_damaged_document_is_an_error_of_that_node_alone(run, tmp_path):
    snapshot = written(tmp_path / "seen", healthy())
    (snapshot / "look-1" / "nodes" / "n1.json.gz").write_bytes(b"garbage")

    code, out, _ = run("run", "--snapshot", snapshot, *only())

    assert code == 2
    assert "damaged or not gzip data" in out


def test_a_cluster_without_nodes_is_nothing_to_do(run, tmp_path):
    empty = healthy()
    empty.api["nodes"] = []
    snapshot = written(tmp_path / "seen", empty)

    code, _, err = run("run", "--snapshot", snapshot)

    assert code == 5
    assert "has no nodes" in err


def test_reports_that_cannot_be_written_are_a_sentence(run, tmp_path):
    snapshot = written(tmp_path / "seen", healthy())
    (tmp_path / "taken").write_text("a file")

    code, _, err = run("run", "--snapshot", snapshot, "--report-dir", tmp_path / "taken")

    assert code == 4
    assert "name another folder with --report-dir" in err


def test_an_error_of_its_own_keeps_the_traceback_away_from_the_user(run, tmp_path, monkeypatch):
    def fail(*_):
        raise KeyError("a secret of the code")

    monkeypatch.setattr(cli_outputs, "run_all", fail)

    code, _, err = run("run", "--snapshot", "anything")

    assert code == 3
    assert "Traceback" not in err
    saved = Path(err.rpartition(" in ")[2].strip().rstrip("."))
    assert "a secret of the code" in saved.read_text()
    saved.unlink()


class TestDoctor:
    @pytest.fixture
    def served(self, server, monkeypatch):
        cluster = ServedCluster(server)
        cluster.serve(healthy())
        monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
        monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
        return cluster

    def test_a_cluster_that_can_be_looked_at(self, run, served, kubeconfig):
        code, out, _ = run("doctor", "--kubeconfig", kubeconfig)

        # The small cluster does not have all that the whole catalogue looks at.
        assert code == (2 if "  error " in out else 0)
        lines = dict(line.split(maxsplit=1) for line in out.splitlines() if line[0] != " ")
        assert lines["context"] == "test, Kubernetes v1.34.4"
        assert lines["rights"].startswith("list nodes, pods, services, endpointslices")
        assert "1 node by docker" in out
        assert lines["visits"].startswith("1 of 1 node visited, the slowest was n1")
        assert "items can be evaluated" in lines["checks"]
        assert "with findings at most 3 rounds" in lines["duration"]
        assert served.visited == [["n1"]]

    def test_a_node_that_is_not_reached(self, run, served, kubeconfig):
        down = VisitRecord(VisitStatus.UNREACHABLE, via="docker://n1", reason="n1 is down.")
        served.visit = lambda _: (down, None)

        code, out, _ = run("doctor", "--kubeconfig", kubeconfig)

        assert code == 2
        assert "not reached      n1 is down.\n" in out
        assert "by hand        docker exec n1 python3 --version\n" in out

    def test_a_script_reads_the_same(self, run, served, kubeconfig):
        down = VisitRecord(VisitStatus.UNREACHABLE, via="docker://n1", reason="n1 is down.")
        served.visit = lambda _: (down, None)

        code, out, _ = run("doctor", "--kubeconfig", kubeconfig, "-o", "json")

        told = json.loads(out)
        by_topic = {each["topic"]: each for each in told["remarks"]}
        assert code == told["status"] == 2
        assert by_topic["not reached"]["text"] == "n1 is down."
        assert by_topic["by hand"]["under"] == "not reached"

    def test_a_tool_that_a_node_lacks(self, run, served, kubeconfig):
        small = healthy()
        name, command = next(iter(small.document.commands.items()))
        missing = replace(command, status=None, output="", problem="missing")
        small.document = replace(
            small.document, commands={**small.document.commands, name: missing}
        )
        served.looks = [small]

        code, out, _ = run("doctor", "--kubeconfig", kubeconfig)

        assert code == 2
        assert f"missing tool     {command.argv[0]} on n1\n" in out
        assert "  error " in out

    def test_all_rules_that_are_missing_are_told_at_once(self, run, served, server, kubeconfig):
        for path in ("/api/v1/pods", "/api/v1/services"):
            server.script(path, *[lambda _: status(403, "not for you")] * 4)

        code, out, _ = run("doctor", "--kubeconfig", kubeconfig)

        assert code == 2
        for plural in ("pods", "services"):
            assert f'{{apiGroups: [""], resources: ["{plural}"], verbs: ["list", "watch"]' in out
        assert served.visited == []

    def test_a_node_without_a_way_in(self, run, served, kubeconfig):
        served.access_methods = set()

        code, out, _ = run("doctor", "--kubeconfig", kubeconfig)

        assert code == 2
        assert 'name: "n1"' in out

    def test_a_way_that_cannot_be_used(self, run, served, kubeconfig, tmp_path):
        inventory = tmp_path / "inventory.yaml"
        inventory.write_text("nodes: [{name: n1, access: 'ssh://-oProxyCommand=id'}]")

        code, out, _ = run("doctor", "--kubeconfig", kubeconfig, "--inventory", inventory)

        assert code == 2
        assert served.visited == [[]]
        assert "correct the entry `n1`" in out
        assert 'name: "n1"' not in out

    @pytest.mark.usefixtures("served")
    def test_what_may_not_be_read(self, run, server, kubeconfig):
        path = "/apis/networking.k8s.io/v1/networkpolicies"
        server.script(path, *[lambda _: status(403, "not for you")] * 4)

        code, out, _ = run("doctor", "--kubeconfig", kubeconfig)

        assert code == 2
        assert "networkpolicies" in out


def test_the_checks_are_listed(run):
    _, text, _ = run("list")
    _, raw, _ = run("list", "-o", "json")

    entries = {entry["id"]: entry for entry in json.loads(raw)}
    assert all(identity in text for identity in entries)
    assert entries["pods.unique_ips"]["scope"] == "cluster"
    assert entries["pods.unique_ips"]["settles"] is True
    assert entries["conntrack.table_usage"]["thresholds"][0]["name"] == "conntrack.use_warn"


def test_a_check_is_explained(run):
    code, out, _ = run("explain", "conntrack.table_usage")

    assert code == 0
    assert "Why it matters:\n  " in out
    assert "What to do:\n  " in out
    assert "conntrack.use_warn: 75 %: " in out


def test_a_profile_is_listed_with_what_its_checks_cost_and_run(run):
    _, out, _ = run("list", "--profile", "reboot", "--long")

    assert "pods.ip_on_interface" in out
    assert "endpoints.match_pods" not in out
    assert "    profiles: upgrade, reboot, node-added, cron, preprod" in out


def test_a_profile_alone_is_judged(run):
    _, everything, _ = run("list")
    _, some, _ = run("list", "--profile", "node-added")
    assert len(some.splitlines()) < len(everything.splitlines())

    code, out, _ = run("run", "--snapshot", RECORDED / "broken", "--profile", "node-added")
    assert code == 1
    assert "pods.ip_on_interface" in out
    assert "services.nodes_agree" in out


def test_every_command_that_may_run_on_a_node_is_printed(run):
    _, out, _ = run("node-commands")
    assert "bpf(2), which opens their pins read-only" in out

    assert "iptables-nft-save\n" in out
    assert "conntrack -L" in out


def test_a_snapshot_is_summed_up(run, tmp_path):
    _, out, _ = run("snapshot", "show", written(tmp_path / "seen", broken(), unreachable()))

    assert "cluster     small, Kubernetes v1.34.4" in out
    assert "round 2" in out
    assert "n1: unreachable: n1 refuses the connection." in out


def test_it_is_a_program_of_its_own(tmp_path):
    """Not in this process: the entry point, the version, completion and a closed pipe."""
    said = subprocess.run(
        [sys.executable, "-m", "wirecheck", "--version"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert __version__ in said.stdout

    completed = subprocess.run(
        [sys.executable, "-m", "wirecheck"],
        capture_output=True,
        text=True,
        timeout=60,
        env={
            **os.environ,
            "_WIRECHECK_COMPLETE": "bash_complete",
            "COMP_WORDS": "wirecheck exp",
            "COMP_CWORD": "1",
        },
        check=False,
    )
    assert "explain" in completed.stdout
