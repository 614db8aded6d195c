"""Whole runs on a live API: looking, looking again, being interrupted, and the replay after it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.collect.conftest import status
from tests.served_cluster import SEEN, Listener, ServedCluster, emptied, node
from tests.snapshots import CHECKS, broken, healthy
from wirecheck.catalogue.findings import Outcome
from wirecheck.inventory.file import InventoryError
from wirecheck.results.records import ItemResult, Results
from wirecheck.run import live, session
from wirecheck.run.reported_run import perform
from wirecheck.run.request import NothingToDoError, Request
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import VisitRecord, VisitStatus

NODES, PODS = "/api/v1/nodes", "/api/v1/pods"


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made; none of them lasts."""
    made: list[float] = []
    monkeypatch.setattr(live.time, "sleep", made.append)
    return made


@pytest.fixture
def served(server, monkeypatch, pauses):
    cluster = ServedCluster(server)
    cluster.serve(healthy())
    monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
    monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
    return cluster


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def run(kubeconfig, tmp_path, listener):
    def run(*, groups=CHECKS, inventory: str = "", **options) -> tuple[Results, Path]:
        if inventory:
            file = tmp_path / "inventory.yaml"
            file.write_text(inventory)
            options["inventory"] = file
        request = Request(kubeconfig=kubeconfig, report_dir=tmp_path / "reports", **options)
        return perform(request, groups, listener)

    return run


def replayed(folder: Path, tmp_path: Path, groups=CHECKS) -> Results:
    request = Request(snapshot=folder / "snapshot", report_dir=tmp_path / "replays")
    return perform(request, groups, Listener())[0]


def item(results: Results, check: str, node: str = "n1") -> ItemResult:
    (found,) = [each for each in results.items if (each.check, each.node) == (check, node)]
    return found


def seen(folder: Path) -> Snapshot:
    return Snapshot.open(folder / "snapshot")


def test_a_healthy_cluster_is_looked_at_once(run, served, listener, pauses):
    results, folder = run()

    assert (results.ended.status, results.ended.looks) == (0, 1)
    assert served.visited == [["n1"]]
    assert pauses == []
    assert listener.seen == ["n1 seen"]
    assert listener.said[0].startswith("Context test (Kubernetes v1.34.4): 1 node, 1 to be visited")
    assert sorted(path.name for path in folder.iterdir()) == [
        "junit.xml",
        "report.html",
        "results.jsonl",
        "snapshot",
    ]


def test_what_is_there_in_every_look_is_a_fail(run, served, pauses):
    served.looks = [broken()]

    results, folder = run()

    found = item(results, "pods.ip_on_interface")
    assert (found.outcome, found.findings[0].looks) == (Outcome.FAIL, 3)
    assert pauses == [10.0, 30.0]
    assert len(seen(folder).index.looks) == 3


def test_what_settles_is_none(run, served, pauses):
    served.looks = [broken(), healthy()]

    results, _ = run()

    assert (results.ended.status, results.ended.looks) == (0, 2)
    assert pauses == [10.0]


def test_only_the_nodes_concerned_are_looked_at_again(run, served):
    served.looks = [broken()]
    served.access_methods.add("n2")
    served.visits["n2"] = (SEEN, emptied(healthy().document))
    small = healthy()
    small.api["nodes"].append(node("n2"))
    served.serve(small)

    results, folder = run()

    assert served.visited == [["n1", "n2"], ["n1"], ["n1"]]
    assert [sorted(look.visits) for look in seen(folder).index.looks] == [
        ["n1", "n2"],
        ["n1"],
        ["n1"],
    ]
    assert item(results, "links.no_orphaned_veths", "n2").outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"rounds": 1}, []),
        ({"rounds": 2}, [10.0]),
        ({"rounds": 4}, [10.0, 30.0, 30.0]),
        ({"round_intervals": (1.0,)}, [1.0]),
        ({"round_intervals": ()}, []),
        (
            {"inventory": "nodes: [{name: n1, access: 'docker://'}]\nrounds: {intervals: [2]}"},
            [2.0],
        ),
    ],
)
def test_how_often_it_looks_can_be_chosen(run, served, pauses, options, expected):
    served.looks = [broken()]

    results, _ = run(**options)

    assert pauses == expected
    assert results.ended.looks == len(expected) + 1


def test_the_api_is_read_anew_in_each_look(run, served, pauses, monkeypatch):
    """The pod that had lost its address is deleted between the looks."""
    served.looks = [broken()]
    small = healthy()
    del small.api["pods"][1]
    monkeypatch.setattr(live.time, "sleep", lambda _: served.serve(small))

    results, folder = run()

    assert (results.ended.status, results.ended.looks) == (0, 2)
    assert [len(seen(folder).api(look).pods) for look in (1, 2)] == [3, 2]


def test_a_node_that_is_deleted_between_the_looks_is_not_red(run, served, monkeypatch):
    small = healthy()
    small.api["nodes"].append(node("n2", ready="False"))
    served.access_methods.add("n2")
    served.visits["n2"] = (SEEN, emptied(healthy().document))
    served.serve(small)
    monkeypatch.setattr(live.time, "sleep", lambda _: served.serve(healthy()))

    results, folder = run()

    assert seen(folder).index.looks[1].visits["n2"].status == "gone"
    assert item(results, "nodes.ready", "n2").outcome is Outcome.PASS
    assert results.ended.status == 0


def test_the_replay_gives_the_same_items(run, served, tmp_path):
    served.looks = [broken()]
    live_results, folder = run()

    again = replayed(folder, tmp_path)

    assert again.items == live_results.items
    assert again.started.time == live_results.started.time
    assert again.ended.coverage == live_results.ended.coverage
    assert (again.ended.status, again.ended.verdict) == (
        live_results.ended.status,
        live_results.ended.verdict,
    )


def test_an_unreachable_node_is_an_error(run, served):
    served.visits["n2"] = (
        VisitRecord(VisitStatus.UNREACHABLE, reason="n2 refuses the connection."),
        None,
    )
    served.access_methods.add("n2")
    small = healthy()
    small.api["nodes"].append(node("n2"))
    served.serve(small)

    results, _ = run()

    assert results.ended.status == 2
    assert item(results, "nodes.reachable", "n2").outcome is Outcome.ERROR
    assert results.ended.coverage.unreachable == ["n2"]


def test_an_unreachable_node_that_is_not_ready_is_left_out(run, served):
    served.visits["n2"] = (VisitRecord(VisitStatus.TIME_LIMIT, reason="n2 did not answer."), None)
    served.access_methods.add("n2")
    small = healthy()
    small.api["nodes"].append(node("n2", ready="Unknown"))
    served.serve(small)

    results, folder = run()

    visit = seen(folder).index.looks[0].visits["n2"]
    assert visit.status == "gone"
    assert "not Ready (reason KubeletNotReady" in visit.reason
    assert item(results, "nodes.reachable", "n2").outcome is Outcome.SKIP
    assert item(results, "nodes.ready", "n2").outcome is Outcome.FAIL


def test_a_node_without_a_way_in_is_judged_by_the_api_and_said(run, served, listener):
    served.access_methods = set()

    results, folder = run()

    assert served.visited[0] == []
    assert seen(folder).index.looks[0].visits["n1"].status == "no way"
    assert results.ended.status == 2
    assert item(results, "pods.ip_in_node_range").outcome is Outcome.PASS
    assert 'name: "n1"\n    access: ssh://root@{address}' in listener.text
    assert results.started.notes == [
        "No access to 1 of 1 node: only what the API shows of them was evaluated."
    ]


def test_one_way_that_cannot_be_used_is_its_nodes_error_and_all_else_is_kept(run, served, listener):
    small = healthy()
    small.api["nodes"].append(node("n2"))
    small.api["nodes"][1]["status"]["addresses"][0]["address"] = "-oProxyCommand=id"
    served.serve(small)
    served.access_methods.add("n2")

    results, folder = run(inventory="nodes: [{name: n2, access: 'ssh://'}]")

    # Nor is another way taken instead: n2 is a container here as well.
    assert served.visited[0] == ["n1"]
    assert item(results, "pods.ip_on_interface", "n1").outcome is Outcome.PASS
    visit = seen(folder).index.looks[0].visits["n2"]
    assert visit.status == "no way"
    assert "correct the entry `n2` of the inventory" in visit.reason
    reachable = item(results, "nodes.reachable", "n2")
    assert (reachable.outcome, results.ended.status) == (Outcome.ERROR, 2)
    assert "-oProxyCommand=id" in reachable.findings[0].found
    assert "1 node cannot be reached as configured" in listener.text
    assert "ssh://root@{address}" not in listener.text


def test_the_inventorys_way_in_comes_before_the_container(run, served, monkeypatch):
    methods = []
    visit_all = served.visit_all
    monkeypatch.setattr(
        "wirecheck.run.round.visit_all",
        lambda given, *rest: methods.append(given["n1"].uri) or visit_all(given, *rest),
    )

    run(inventory="nodes: [{name: 'n*', access: 'ssh://ops@{address}'}]")

    assert methods == ["ssh://ops@192.0.2.1"]


def test_what_the_verdict_depends_on_is_in_the_snapshot(run, served):
    _, folder = run(
        inventory="nodes: [{name: n1, access: 'docker://'}]\n"
        "thresholds: {conntrack.use_warn: 50}\n"
        "waivers: [{check: 'pods.*', where: n1, reason: r, owner: o, until: 2030-01-01}]\n"
    )

    index = seen(folder).index
    assert index.thresholds["conntrack.use_warn"] == 50
    assert index.thresholds["conntrack.use_fail"] == 90
    assert [waiver.check for waiver in index.waivers] == ["pods.*"]
    assert (index.cluster.context, index.cluster.uid) == ("test", "u-1")
    assert index.queries


def test_nothing_that_opens_the_cluster_is_kept(run, served, kubeconfig, tmp_path):
    _, folder = run()

    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert b"a-token-that-nobody-may-see" not in kept
    assert str(kubeconfig).encode() not in kept


def test_a_threshold_that_no_check_has_is_refused(run, served):
    with pytest.raises(InventoryError, match=r"did you mean `conntrack\.use_warn`"):
        run(
            inventory="nodes: [{name: n1, access: 'docker://'}]\n"
            "thresholds: {conntrack.use_wran: 1}"
        )


def test_a_cluster_without_nodes_is_nothing_to_do(run, served, tmp_path):
    small = healthy()
    small.api["nodes"] = []
    served.serve(small)

    with pytest.raises(NothingToDoError, match="context test has no nodes"):
        run()
    assert not (tmp_path / "reports").exists()


def test_what_could_not_be_read_of_the_api_is_noted(run, served, server):
    path = "/apis/networking.k8s.io/v1/networkpolicies"
    server.script(path, *[lambda _: status(403, "not for you")] * 4)

    results, _ = run()

    assert any("networkpolicies" in note for note in results.started.notes)


def test_an_api_that_fails_in_the_second_look_ends_the_looking(run, served, server, monkeypatch):
    served.looks = [broken()]
    refuse = [lambda _: status(403, "not any more")] * 4
    monkeypatch.setattr(live.time, "sleep", lambda _: server.script(NODES, *refuse))

    results, folder = run()

    assert (results.ended.status, results.ended.looks) == (1, 1)
    assert any(note.startswith("No further round was taken:") for note in results.started.notes)
    assert json.loads((folder / "snapshot" / "snapshot.json").read_text())["notes"]


def test_what_was_seen_outlives_an_error_of_wirechecks_own(run, served, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr("wirecheck.run.session.results_of", fail)

    with pytest.raises(ZeroDivisionError) as failed:
        run()

    (left,) = (tmp_path / "reports").iterdir()
    assert failed.value.__notes__ == [f"The snapshot up to then is in {left}."]
    assert Snapshot.open(left / "snapshot").index.looks


class TestInterrupted:
    @pytest.fixture
    def two_nodes(self, served):
        served.access_methods.add("n2")
        served.visits["n2"] = (SEEN, emptied(healthy().document))
        small = healthy()
        small.api["nodes"].append(node("n2"))
        served.serve(small)
        return served

    def test_while_visiting_what_was_seen_is_judged(self, run, two_nodes, tmp_path, listener):
        def interrupt(name):
            if name == "n2":
                raise KeyboardInterrupt

        two_nodes.before_visit = interrupt

        results, folder = run()

        assert "Interrupted: evaluating the data collected so far." in listener.said
        assert results.ended.interrupted
        assert results.ended.status == 2
        assert item(results, "pods.ip_on_interface", "n1").outcome is Outcome.PASS
        lost = item(results, "nodes.reachable", "n2")
        assert lost.outcome is Outcome.ERROR
        assert "interrupted before this node was visited" in lost.findings[0].found
        assert replayed(folder, tmp_path).items == results.items

    def test_while_visiting_it_does_not_look_again(self, run, two_nodes, pauses):
        def interrupt(name):
            if name == "n2":
                raise KeyboardInterrupt

        two_nodes.looks = [broken()]
        two_nodes.before_visit = interrupt

        results, _ = run()

        assert (results.ended.looks, pauses) == (1, [])
        assert results.ended.status == 1

    def test_between_the_looks_the_first_one_counts(self, run, two_nodes, monkeypatch):
        def interrupt(_):
            raise KeyboardInterrupt

        two_nodes.looks = [broken()]
        monkeypatch.setattr(live.time, "sleep", interrupt)

        results, _ = run()

        assert (results.ended.interrupted, results.ended.looks) == (True, 1)
        assert results.ended.status == 1

    @pytest.mark.usefixtures("two_nodes")
    def test_while_judging_the_items_so_far_are_reported(self, run, monkeypatch):
        def interrupt(self, name):
            if name == "n2":
                raise KeyboardInterrupt
            return evaluate_node(self, name)

        evaluate_node = session.Evaluation.node
        monkeypatch.setattr(session.Evaluation, "node", interrupt)

        results, folder = run()

        assert results.ended.interrupted
        assert {each.node for each in results.items} == {"n1"}
        assert results.ended.status == 2
        assert (folder / "report.html").exists()

    @pytest.mark.usefixtures("two_nodes")
    def test_before_anything_was_seen_nothing_is_left(self, run, tmp_path, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr("wirecheck.run.round.LiveRounds.first", interrupt)

        with pytest.raises(KeyboardInterrupt):
            run()
        assert list((tmp_path / "reports").iterdir()) == []


def long_ago(small, up: float = 3600.0):
    """The cluster with objects that have not changed for years, on a node that started long ago."""
    for kind in ("nodes", "pods", "services", "endpointSlices"):
        for each in small.api[kind]:
            each["metadata"]["managedFields"] = [{"manager": "m", "time": "2020-01-01T00:00:00Z"}]
            each["metadata"]["creationTimestamp"] = "2020-01-01T00:00:00Z"
    small.visit = VisitRecord(VisitStatus.SEEN, up=up)
    return small


def test_what_the_snapshot_proves_to_be_old_needs_no_further_round(
    run, served, pauses, listener, tmp_path
):
    served.serve(long_ago(healthy()))
    served.looks = [long_ago(broken())]

    results, folder = run()

    found = item(results, "pods.ip_on_interface")
    assert (found.outcome, found.findings[0].proven) == (Outcome.FAIL, True)
    assert (results.ended.status, results.ended.looks, pauses) == (1, 1, [])
    assert not any("reliminary" in each for each in listener.said)
    again = item(replayed(folder, tmp_path), "pods.ip_on_interface")
    assert again == found


def test_the_next_round_comes_as_soon_as_it_can_prove_something(run, served, pauses):
    """The node has been up for 115 of 120 seconds: ten seconds would be too long a pause."""
    served.serve(long_ago(healthy()))
    served.looks = [long_ago(broken(), up=115.0), long_ago(broken())]

    results, _ = run()

    assert (results.ended.status, results.ended.looks, pauses) == (1, 2, [6.0])


def test_the_first_findings_are_shown_before_the_pause(run, served, listener):
    served.looks = [broken()]

    run()

    shown = listener.said.index("Preliminary, after round 1: 1 check failing.")
    assert listener.said[shown + 1].startswith(
        "  FAIL pods.ip_on_interface on n1 (preliminary): Pod shop/web: expected 10.244.0.3"
    )
    assert listener.said[shown + 2] == "Possibly transient; checking 1 node again in 10 s."


def test_a_finding_that_does_not_last_is_reported_as_flaky(run, served, tmp_path):
    served.looks = [broken(), broken(), healthy()]

    results, folder = run()

    assert results.ended.status == 0
    assert results.ended.verdict.startswith("Flaky: 1 check failed in some rounds only, on 1 node")
    assert item(results, "pods.ip_on_interface").findings[0].flaky.rounds == [1, 2]
    assert replayed(folder, tmp_path).ended.verdict == results.ended.verdict


def test_a_replay_can_evaluate_the_first_round_alone(run, served, tmp_path):
    served.looks = [broken(), healthy()]
    _, folder = run()

    request = Request(snapshot=folder / "snapshot", report_dir=tmp_path / "one", rounds=1)
    results, _ = perform(request, CHECKS, Listener())

    assert (results.ended.status, results.ended.looks) == (1, 1)
    assert item(results, "pods.ip_on_interface").outcome is Outcome.FAIL
