"""`--node` and `--namespace`: what is visited and evaluated, and what the verdict then says."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import msgspec
import pytest

from tests.checks.small_cluster import WEB_NETNS, SmallCluster
from tests.served_cluster import SEEN, Listener, ServedCluster, emptied, node
from tests.snapshots import broken, healthy, written
from wirecheck.catalogue.findings import Finding, Ref
from wirecheck.cli import main as cli
from wirecheck.cli.demo import recorded
from wirecheck.evaluation.selection import EVERYTHING, Selected, Selection
from wirecheck.model.cluster import Cluster
from wirecheck.pytest_plugin.options import OPTIONS
from wirecheck.results.jsonl import read_results
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request, RequestError
from wirecheck.snapshot.folder import Snapshot


@pytest.fixture
def run(bare_home, call):
    """Run `wirecheck run …` in an empty folder."""
    return partial(call, "run")


def performed(tmp_path: Path, snapshot: Path, *groups: str, **selection):
    request = Request(snapshot=snapshot, report_dir=tmp_path / "reports", **selection)
    return perform(request, groups, Listener())[0]


class TestNodes:
    def test_only_matching_nodes_have_items(self, tmp_path):
        results = performed(tmp_path, recorded("broken"), "pods", nodes=("wc-w*",))

        assert {each.node for each in results.items} == {"", "wc-w1", "wc-w2"}
        assert results.started.selected_nodes == ["wc-w*"]
        coverage = results.ended.coverage
        assert (coverage.nodes_seen, coverage.nodes_known) == (2, 3)

    def test_findings_about_pods_of_other_nodes_do_not_count(self, tmp_path):
        whole = performed(tmp_path, recorded("broken"), "links", "pods", "endpoints")
        some = performed(
            tmp_path, recorded("broken"), "links", "pods", "endpoints", nodes=("wc-cp",)
        )

        failing = {(e.check, e.node) for e in whole.items if e.outcome == "fail" and e.node}
        assert {node for _, node in failing} - {"wc-cp"}
        assert {each.node for each in some.items} == {"", "wc-cp"}

    def test_the_verdict_is_about_the_selection(self, run):
        status, out, _ = run("--snapshot", recorded("healthy"), "--node", "wc-w1")

        assert status == 0
        assert out.splitlines()[-1].startswith("1 of 3 nodes (wc-w1): ")
        assert "ealthy" not in out.splitlines()[-1]
        assert "Checked 1/3 node" in out

    def test_no_node_is_not_a_success(self, run):
        status, _, err = run("--snapshot", recorded("healthy"), "--node", "wc-w3")

        assert status == 4
        assert "No node matches `wc-w3`; did you mean `wc-w2` or `wc-w1`" in err


class TestNamespaces:
    def test_findings_elsewhere_do_not_count(self, tmp_path):
        snapshot = written(tmp_path / "seen", broken())
        (space,) = {
            finding.object.namespace
            for item in performed(tmp_path, snapshot, "pods").items
            for finding in item.findings
        }

        inside = performed(tmp_path, snapshot, "pods", namespaces=(space,))
        outside = performed(tmp_path, snapshot, "pods", namespaces=("kube-*",))

        assert (inside.ended.status, outside.ended.status) == (1, 0)
        assert inside.ended.verdict.startswith(f"Namespace {space}, ")
        assert outside.ended.verdict.startswith("Namespace kube-*, ")
        assert any("1 finding" in note for note in outside.started.notes)

    def test_findings_about_nodes_count(self, tmp_path):
        small = healthy()
        small.change_file("/proc/sys/net/ipv4/ip_forward", "0")
        snapshot = written(tmp_path / "seen", small)

        results = performed(tmp_path, snapshot, "nodes", namespaces=("kube-system",))

        assert {e.check for e in results.items if e.outcome == "fail"} == {"nodes.ip_forward"}

    def test_coverage_counts_the_namespace(self, tmp_path):
        results = performed(tmp_path, recorded("healthy"), "pods", namespaces=("shop", "ops"))

        coverage = results.ended.coverage
        pods = [p for p in Snapshot.open(recorded("healthy")).api().pods if p.spec.node_name]
        running = [pod for pod in pods if pod.status.phase == "Running"]
        inside = [pod for pod in running if pod.metadata.namespace in ("shop", "ops")]
        assert (coverage.nodes_seen, coverage.pods_known) == (3, len(inside))
        assert len(inside) < len(running)
        assert results.started.selected_namespaces == ["shop", "ops"]

    def test_an_unknown_one_is_refused(self, run):
        status, _, err = run("--snapshot", recorded("healthy"), "-n", "shpo")

        assert status == 4
        assert "No pod or Service is in a namespace `shpo`; did you mean `shop`" in err


class TestFindings:
    """Which findings count, one by one."""

    @pytest.fixture
    def cluster(self) -> Cluster:
        snapshot = Snapshot.open(recorded("healthy"))
        return Cluster(snapshot.api(), snapshot.index, snapshot.index.looks[0])

    @pytest.mark.parametrize(
        ("subject", "concerns", "counts"),
        [
            (("Pod", "a", "shop"), (), True),
            (("Pod", "a", "ops"), (), False),
            (("Service", "a", "ops"), (("Node", "wc-w1", ""),), False),
            (("Pod", "a", "ops"), (("Pod", "b", "shop"),), True),
            (("Namespace", "ops", ""), (), False),
            (("Namespace", "shop", ""), (), True),
            (("Node", "wc-w1", ""), (), True),
            (("link", "veth1", ""), (), True),
        ],
    )
    def test_by_namespace(self, cluster, subject, concerns, counts):
        selected = Selected(Selection(namespaces=("sh*",)), cluster)
        finding = Finding(
            Ref(*subject), expected="a", found="b", concerns=[Ref(*each) for each in concerns]
        )

        assert selected.has(finding, of_cluster=True) is counts
        assert selected.has(finding, of_cluster=False) is counts

    def test_by_node(self, cluster):
        selected = Selected(Selection(nodes=("wc-w1",)), cluster)
        here = next(pod for pod in cluster.pods if pod.node_name == "wc-w1").ref
        there = next(pod for pod in cluster.pods if pod.node_name == "wc-w2").ref

        def counts(subject: Ref, *concerns: Ref, of_cluster: bool = True) -> bool:
            finding = Finding(subject, expected="a", found="b", concerns=concerns)
            return selected.has(finding, of_cluster=of_cluster)

        assert [counts(here), counts(there), counts(there, here)] == [True, False, True]
        assert [counts(Ref("Node", name)) for name in ("wc-w1", "wc-w2")] == [True, False]
        assert counts(Ref("Service", "web", "shop"))
        assert counts(Ref("Pod", "deleted", "shop"))
        # What a selected node has not reached is a finding about that node.
        assert counts(Ref("Node", "wc-w2"), of_cluster=False)

    def test_without_a_selection_everything_counts(self, cluster):
        selected = Selected(EVERYTHING, cluster)

        assert selected.has(Finding(Ref("Pod", "a", "b"), expected="", found=""), of_cluster=True)


class TestLive:
    @pytest.fixture
    def served(self, server, monkeypatch):
        cluster = ServedCluster(server)
        small = SmallCluster()
        small.api["nodes"] = [small.api["nodes"][0], node("n2")]
        cluster.serve(small)
        cluster.access_methods = {"n1", "n2"}
        cluster.visits = {"n2": (SEEN, emptied(healthy().document))}
        monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
        monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
        return cluster

    def test_only_the_selected_node_is_visited(self, run, served, kubeconfig, tmp_path):
        words = ("--kubeconfig", kubeconfig, "-k", "pods", "--rounds", "1")
        _, out, err = run(*words, "--node", "n1")

        assert served.visited == [["n1"]]
        assert "2 nodes, 1 to be visited" in err or "1 node, 1 to be visited" in err
        (folder,) = (tmp_path / "reports").glob("[!.]*/")
        seen = Snapshot.open(folder / "snapshot").index.looks[0].visits
        assert seen["n2"].reason == "n2 is not selected by --node."
        assert not (tmp_path / "reports/history.jsonl").exists()
        results = read_results(folder / "results.jsonl")
        assert {item.node for item in results.items} == {"", "n1"}
        assert out.splitlines()[-1].startswith("1 of 2 nodes (n1), ")


class TestComparisons:
    def test_a_baseline_counts_as_far_as_the_selection(self, tmp_path):
        snapshot = written(tmp_path / "seen", broken())
        well = written(tmp_path / "well", healthy())

        def compared(**selection):
            request = Request(
                snapshot=well, report_dir=tmp_path / "r", baseline=snapshot, **selection
            )
            return perform(request, ("pods",), Listener())[0].comparison

        assert len(compared().fixed) == 1
        assert compared(namespaces=("kube-system",)).fixed == []
        assert compared(namespaces=("kube-system",)).unseen == []

    def test_a_baseline_of_a_part_is_doubtful(self, tmp_path):
        well = written(tmp_path / "well", healthy())
        request = Request(snapshot=well, report_dir=tmp_path / "r", nodes=("n1",))
        _, part = perform(request, ("pods",), Listener())

        whole = Request(snapshot=well, report_dir=tmp_path / "r", baseline=part)
        with pytest.raises(RequestError, match="checked only node n1"):
            perform(whole, ("pods",), Listener())

    def test_a_history_is_of_whole_clusters(self, run, tmp_path):
        well = written(tmp_path / "well", healthy())

        status, _, err = run("--snapshot", well, "--node", "n1", "--history", "h.jsonl")

        assert status == 4
        assert "--history compares whole clusters" in err

    def test_parts_of_a_selection_are_not_merged(self, tmp_path):
        well = written(tmp_path / "well", healthy())
        request = Request(snapshot=well, report_dir=tmp_path / "r", nodes=("n1",))
        _, part = perform(request, ("pods",), Listener())
        lone = tmp_path / "results.jsonl"
        lone.write_bytes((part / "results.jsonl").read_bytes())

        with pytest.raises(SystemExit) as left:
            cli.main(["merge", str(lone), "--report-dir", str(tmp_path / "m")])

        assert left.value.code == 4


def test_pytest_has_the_long_forms():
    assert OPTIONS["node"]["action"] == OPTIONS["namespace"]["action"] == "append"


def test_the_file_says_what_was_selected(tmp_path):
    results = performed(tmp_path, written(tmp_path / "s", healthy()), "pods", nodes=("n*",))

    first = json.loads(msgspec.json.encode(results.started))
    assert first["selected_nodes"] == ["n*"]
    assert "selected_namespaces" not in first
    assert WEB_NETNS
