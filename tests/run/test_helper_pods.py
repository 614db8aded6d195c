"""Whole runs with helper pods: asked for, shown in the snapshot, and gone whatever ends the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.checks.helped_cluster import LARGE
from tests.checks.small_cluster import HOST, WEB, WEB_NETNS, SmallCluster, pod_netns
from tests.collect.conftest import ApiServer
from tests.collect.pods.test_agent_pods import Namespace, waiting
from tests.run.test_session import long_ago
from tests.served_cluster import Listener, ServedCluster
from tests.snapshots import healthy, unreachable
from wirecheck.catalogue.findings import Outcome
from wirecheck.cli.main import main
from wirecheck.collect.plan.visit_plan import Plan
from wirecheck.inspect.snapshot_summary import summary
from wirecheck.inventory.file import InventoryError
from wirecheck.network.registry import PLUGIN_NAMES
from wirecheck.report.sentences import coverage_sentence
from wirecheck.results.jsonl import read_results
from wirecheck.results.records import Results
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request, RequestError
from wirecheck.run.shard import Shard
from wirecheck.snapshot.attempts import Contact
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.node_document import PodProcesses
from wirecheck.snapshot.redact import redact

SECONDS = 60.0
NAMESPACE = "wirecheck-helpers"
WITHIN = "reachability.large_payloads_within_node"
ACROSS = "reachability.large_payloads_between_nodes"
INVENTORY = "nodes: [{name: n1, access: 'docker://'}]\nhelper_pods: {image: w, start: 0.2}\n"


class Helpers(Namespace):
    """The namespace of helper pods, which the cluster's list of pods shows as well."""

    def __init__(self, server: ApiServer, small: SmallCluster) -> None:
        super().__init__(server, NAMESPACE)
        self.small = small

    def _answer(self, request: Any) -> Any:
        answer = super()._answer(request)
        own = [each for each in self.small.api["pods"] if each not in self.pods]
        self.server.lists["/api/v1/pods"] = [*own, *map(self._shown, self.pods)]
        return answer

    def _shown(self, pod: dict[str, Any]) -> dict[str, Any]:
        status = {
            "phase": "Running",
            "podIP": "10.244.0.77",
            "podIPs": [{"ip": "10.244.0.77"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        }
        uid = f"uid-{pod['spec']['nodeName']}"
        if pod["spec"]["nodeName"] in self.status:
            status = {"phase": "Pending"}
        return {**pod, "metadata": {**pod["metadata"], "uid": uid}, "status": status}


def helped() -> SmallCluster:
    """The small cluster, whose node sends to its own helper pod."""
    small = healthy()
    document = small.document
    assert document
    own = [
        Contact(HOST, "", "own helper", "10.244.0.77", 8053, **LARGE),
        Contact(WEB_NETNS, WEB, "own helper", "10.244.0.77", 8053, **LARGE),
    ]
    small.change_document(
        namespaces=[*document.namespaces, pod_netns(103, 3, "10.244.0.77", 13)],
        pods=[*document.pods, PodProcesses("uid-n1", 103)],
        contacts=[*(document.contacts or ()), *own],
    )
    return small


@pytest.fixture
def served(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> ServedCluster:
    cluster = ServedCluster(server, looks=[helped()])
    cluster.serve(cluster.looks[0])
    monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
    monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
    monkeypatch.setattr("wirecheck.run.live.time.sleep", lambda _: None)
    return cluster


@pytest.fixture
def namespace(server: ApiServer, served: ServedCluster) -> Helpers:
    return Helpers(server, served.looks[0])


@pytest.fixture
def listener() -> Listener:
    return Listener()


Run = Callable[..., tuple[Results, Path]]


@pytest.fixture
def run(kubeconfig: Path, tmp_path: Path, listener: Listener) -> Run:
    def run(*globs: str, inventory: str = INVENTORY, **options: Any) -> tuple[Results, Path]:
        file = tmp_path / "inventory.yaml"
        file.write_text(inventory)
        asked: dict[str, Any] = {"helper_pods": True, **options}
        request = Request(
            inventory=file, kubeconfig=kubeconfig, report_dir=tmp_path / "reports", **asked
        )
        return perform(request, globs or ("pods", ACROSS, WITHIN), listener)

    return run


def outcome(results: Results, check: str) -> Outcome:
    (found,) = [item.outcome for item in results.items if item.check == check]
    return found


@pytest.mark.usefixtures("served")
def test_they_are_made_used_kept_in_the_snapshot_and_removed(
    run: Run, namespace: Helpers, listener: Listener, tmp_path: Path
) -> None:
    results, folder = run()

    assert outcome(results, WITHIN) is Outcome.PASS
    assert outcome(results, ACROSS) is Outcome.SKIP  # there is one node
    assert results.ended.status == 0
    assert "Creating 1 helper pod, one per node" in listener.text
    assert namespace.pods == []
    snapshot = Snapshot.open(folder / "snapshot")
    assert snapshot.index.helper_pods
    assert snapshot.index.helper_pods.nodes == {"n1": ""}
    assert [each.metadata.uid for each in snapshot.api(1).pods][-1] == "uid-n1"

    replay = Request(snapshot=folder / "snapshot", report_dir=tmp_path / "replays")
    again = perform(replay, ("pods", ACROSS, WITHIN), Listener())[0]
    assert again.items == results.items
    assert again.ended.coverage == results.ended.coverage


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("globs", [(), (WITHIN,)])
def test_the_visit_is_asked_to_send_to_the_helper_pod(
    run: Run, served: ServedCluster, globs: tuple[str, ...]
) -> None:
    run(*globs)

    contacts = served.plans["n1"].contacts
    assert contacts
    asked = [each.address for each in contacts.contacts if each.purpose == "own helper"]
    assert asked == ["10.244.0.77"] * 2


@pytest.mark.usefixtures("served", "namespace")
def test_the_cluster_is_counted_without_them(run: Run) -> None:
    results, _ = run()

    assert results.ended.coverage.pods_known == 3
    sentence = coverage_sentence(results.ended.coverage)
    assert "3/3 pods" in sentence
    assert "large payloads between helper pods on 1/1 node (all pairs)" in sentence


@pytest.mark.usefixtures("served")
def test_what_did_not_start_is_an_error_and_a_note(run: Run, namespace: Helpers) -> None:
    namespace.status["n1"] = waiting("ErrImageNeverPull", "not present")

    results, _ = run()

    assert outcome(results, WITHIN) is outcome(results, ACROSS) is Outcome.ERROR
    assert results.ended.status == 2
    (note,) = [each for each in results.started.notes if "helper pod" in each]
    assert "ErrImageNeverPull" in note
    assert "n1" in note
    assert "on 0/1 node" in coverage_sentence(results.ended.coverage)
    assert namespace.pods == []


@pytest.mark.usefixtures("served")
def test_without_the_option_none_is_made_and_the_checks_say_so(
    run: Run, namespace: Helpers
) -> None:
    results, _ = run(helper_pods=False)

    assert outcome(results, WITHIN) is outcome(results, ACROSS) is Outcome.SKIP
    assert namespace.asked == []
    assert "helper" not in coverage_sentence(results.ended.coverage)


@pytest.mark.usefixtures("served")
def test_the_inventory_can_ask_for_them(run: Run, namespace: Helpers) -> None:
    always = INVENTORY.replace("start", "always: true, start")

    assert outcome(run(inventory=always, helper_pods=False)[0], WITHIN) is Outcome.PASS
    assert namespace.methods()[0] == "POST"
    namespace.asked.clear()
    # Not for checks that do not use them.
    run("pods", inventory=always, helper_pods=False)
    assert namespace.asked == []


@pytest.mark.usefixtures("served", "namespace")
@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"profile": "upgrade"}, RequestError, "--profile preprod"),
        ({"shard": Shard(1, 2)}, RequestError, "run with --shard cannot create"),
        (
            {"inventory": "nodes: [{name: n1, access: 'docker://'}]"},
            InventoryError,
            "`image` under `helper_pods:`",
        ),
    ],
)
def test_where_they_cannot_be_made_it_is_said_and_nothing_is_looked_at(
    run: Run,
    server: ApiServer,
    options: dict[str, Any],
    error: type[Exception],
    sentence: str,
) -> None:
    globs = ("pods",) if "profile" in options else ()
    with pytest.raises(error, match=sentence):
        run(*globs, **options)
    assert {each.method for each in server.requests} == {"GET"}


# A new pod makes agents of the network repair the node.


def without_address() -> SmallCluster:
    """The web pod has lost its address."""
    small = helped()
    small.change_netns(WEB_NETNS, addresses=[])
    return small


@pytest.mark.usefixtures("namespace")
def test_the_nodes_are_read_before_and_nothing_is_sent(run: Run, served: ServedCluster) -> None:
    plans: list[Plan] = []
    served.after_plan = plans.append
    results, folder = run()

    before, first = plans
    assert before.contacts is None
    assert not any((before.dns.pods, before.dns.node, before.dns.pairs, before.dns.own_servers))
    assert before.dns.pod_samples is None
    assert before.dns.addresses == first.dns.addresses
    assert first.dns.pods
    assert first.contacts
    snapshot = Snapshot.open(folder / "snapshot")
    assert snapshot.numbers == [0, 1]
    assert "uid-n1" not in [each.metadata.uid for each in snapshot.api(0).pods]
    assert results.ended.looks == 1


@pytest.mark.usefixtures("namespace")
def test_what_they_repaired_fails_as_without_them(
    run: Run, served: ServedCluster, tmp_path: Path
) -> None:
    served.serve(long_ago(healthy()))
    served.looks = [long_ago(without_address()), helped()]

    results, folder = run()

    assert results.ended.status == 1
    (item,) = [each for each in results.items if each.check == "pods.ip_on_interface"]
    (found,) = item.findings
    assert (item.outcome, item.node) == (Outcome.FAIL, "n1")
    assert found.found.endswith("before helper pods were created, and no longer afterwards")
    assert found.proven
    assert "--helper-pods" in found.evidence[-1]

    replay = Request(snapshot=folder / "snapshot", report_dir=tmp_path / "replays")
    assert perform(replay, ("pods", ACROSS, WITHIN), Listener())[0].items == results.items
    redacted = tmp_path / "redacted"
    redact(Snapshot.open(folder / "snapshot"), redacted, PLUGIN_NAMES)
    replay = Request(snapshot=redacted, report_dir=tmp_path / "redacted-replays")
    again = perform(replay, ("pods", ACROSS, WITHIN), Listener())[0]
    assert [each.outcome for each in again.items] == [each.outcome for each in results.items]
    (line,) = [each for each in summary(Snapshot.open(redacted)) if each.startswith("round 0")]
    assert line.endswith("before helper pods were created")


@pytest.mark.usefixtures("namespace")
def test_what_nothing_proves_to_be_old_is_flaky(run: Run, served: ServedCluster) -> None:
    served.looks = [without_address(), helped()]

    results, _ = run()

    assert outcome(results, "pods.ip_on_interface") is Outcome.FLAKY
    assert (results.ended.status, results.ended.looks) == (0, 1)
    assert results.ended.verdict.startswith("Flaky")


@pytest.mark.usefixtures("namespace")
def test_what_is_still_there_is_found_once(run: Run, served: ServedCluster) -> None:
    served.looks = [without_address()]

    (item,) = [each for each in run()[0].items if each.check == "pods.ip_on_interface"]

    assert len(item.findings) == 1
    assert "before" not in item.findings[0].found


@pytest.mark.usefixtures("served", "namespace")
def test_without_helper_pods_the_nodes_are_read_once(run: Run) -> None:
    _, folder = run(helper_pods=False)

    assert Snapshot.open(folder / "snapshot").numbers == [1]


@pytest.mark.usefixtures("namespace")
def test_a_node_that_only_answers_afterwards_is_a_note(run: Run, served: ServedCluster) -> None:
    away = helped()
    away.visit, away.document = unreachable().visit, None
    served.looks = [away, helped()]

    results, _ = run()

    (note,) = [each for each in results.started.notes if "before helper pods" in each]
    assert note.startswith("n1 could not be read")
    assert results.ended.status == 0


@pytest.mark.usefixtures("served")
def test_an_error_in_the_middle_leaves_none(
    run: Run, served: ServedCluster, namespace: Helpers
) -> None:
    def fail(_: str) -> None:
        if len(served.visited) == 2:
            assert len(namespace.pods) == 1
            raise RuntimeError("broken")

    served.before_visit = fail
    with pytest.raises(RuntimeError):
        run()
    assert namespace.pods == []


def test_clean_removes_what_a_killed_run_left(
    server: ApiServer, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agents = Namespace(server)
    helpers = Namespace(server, NAMESPACE)
    for each, name in ((agents, "wirecheck-agent-x"), (helpers, "wirecheck-helper-x")):
        each.pods.append({"metadata": {"name": name}, "spec": {"nodeName": "a"}})

    with pytest.raises(SystemExit) as ended:
        main(["clean", f"--kubeconfig={kubeconfig}"])

    assert ended.value.code == 0
    assert agents.pods == helpers.pods == []
    assert capsys.readouterr().out == "removed wirecheck-agent-x\nremoved wirecheck-helper-x\n"


# Interrupts, in a process of their own.

HANGING_SSH = """#!/bin/sh
[ -e "$REACHED-before" ] || { touch "$REACHED-before"; exit 1; }
touch "$REACHED"
exec sleep 1000
"""
"""Answers nothing at once before the helper pods are made, and then hangs."""


@pytest.fixture
def interrupted(
    server: ApiServer, kubeconfig: Path, tmp_path: Path
) -> Iterator[Callable[[str, signal.Signals], tuple[Path, str]]]:
    """Run until the stage, send the signal, and give the reports' folder and what was said."""
    started: list[subprocess.Popen[str]] = []
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(HANGING_SSH)
    ssh.chmod(0o755)
    reached = tmp_path / "reached"
    inventory = tmp_path / "inventory.yaml"
    inventory.write_text(
        "nodes: [{name: n1, access: 'ssh://root@{address}'}]\nhelper_pods: {image: w}\n"
    )
    cluster = ServedCluster(server, looks=[helped()])
    cluster.serve(cluster.looks[0])
    namespace = Helpers(server, cluster.looks[0])
    server.lists["/api/v1/namespaces/wirecheck/pods"] = []  # no agents

    def interrupt(stage: str, number: signal.Signals) -> tuple[Path, str]:
        if stage == "starting":
            namespace.status["n1"] = waiting("ContainerCreating")
        options = (f"--inventory={inventory}", f"--kubeconfig={kubeconfig}", "--report-dir=reports")
        process = subprocess.Popen(
            [sys.executable, "-m", "wirecheck", "run", "--helper-pods", *options],
            cwd=tmp_path,
            env={
                **os.environ,
                "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
                "HOME": str(tmp_path),
                "REACHED": str(reached),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        end = time.monotonic() + SECONDS
        while not (reached.exists() if stage == "visits" else len(namespace.methods()) > 2):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "it did not come to pass"
            time.sleep(0.05)
        assert len(namespace.pods) == 1
        process.send_signal(number)
        _, err = process.communicate(timeout=SECONDS)
        assert process.returncode == (2 if number != signal.SIGKILL else -number), err
        assert "Traceback" not in err
        assert bool(namespace.pods) is (number == signal.SIGKILL)
        return tmp_path / "reports", err

    yield interrupt
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_they_start_leaves_none(
    interrupted: Any, number: signal.Signals
) -> None:
    reports, err = interrupted("starting", number)

    assert "Interrupted before anything could be reported." in err
    assert list(reports.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_during_the_visits_leaves_none(
    interrupted: Any, number: signal.Signals
) -> None:
    reports, _ = interrupted("visits", number)

    (folder,) = (each for each in reports.iterdir() if each.is_dir())
    assert read_results(folder / "results.jsonl").ended.interrupted


def test_what_a_killed_run_leaves_is_cleaned(
    interrupted: Any, kubeconfig: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted("visits", signal.SIGKILL)

    with pytest.raises(SystemExit):
        main(["clean", f"--kubeconfig={kubeconfig}"])

    assert "removed wirecheck-helper-" in capsys.readouterr().out


def test_the_program_can_be_read_in_the_pod(run: Run, served: Any, namespace: Helpers) -> None:
    """What a pod runs is in its manifest, for whoever looks at it."""
    seen: list[str] = []
    served.before_visit = lambda _: seen.append(json.dumps(namespace.pods))

    run()

    assert seen[0] == "[]"
    assert "echoes what it receives" in seen[1]
