"""`wirecheck snapshot redact` and `record`, as a user meets them."""

from __future__ import annotations

import json
import stat
from functools import partial

import pytest

from tests.checks.small_cluster import SmallCluster
from tests.served_cluster import ServedCluster
from tests.snapshots import broken, written
from wirecheck.cli.demo import recorded
from wirecheck.run import live
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import Command


@pytest.fixture
def snapshot(bare_home, call):
    """Run `wirecheck snapshot …` in an empty folder."""
    return partial(call, "snapshot")


class TestRedact:
    def test_it_says_what_it_did(self, snapshot, tmp_path):
        status, out, _ = snapshot("redact", recorded("healthy"), "out")

        assert status == 0
        assert out.startswith("out: 3 nodes, ")
        assert len(Snapshot.open(tmp_path / "out").node_names()) == 3

    def test_the_dictionary_is_for_its_owner_alone(self, snapshot, tmp_path):
        snapshot("redact", recorded("healthy"), "out", "--dictionary", "names.json")

        file = tmp_path / "names.json"
        replaced = json.loads(file.read_text())
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert set(replaced) == {"nodes", "names", "addresses"}
        assert replaced["nodes"]["wc-w1"] in Snapshot.open(tmp_path / "out").node_names()

    def test_the_dictionary_is_not_sent_along(self, snapshot, tmp_path):
        status, _, err = snapshot(
            "redact", recorded("healthy"), "out", "--dictionary", "out/names.json"
        )

        assert status == 4
        assert "would be sent along" in err
        assert not (tmp_path / "out").exists()

    def test_a_folder_with_something_in_it_is_left_alone(self, snapshot, tmp_path):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "kept").write_text("")

        status, _, err = snapshot("redact", recorded("healthy"), "out")

        assert status == 4
        assert "is not empty" in err

    def test_what_cannot_be_mapped_is_a_sentence(self, snapshot, tmp_path):
        small = broken()
        rule = "-A INPUT -m iprange --src-range 10.0.0.5-10.0.0.9 -j DROP"
        small.change_document(commands={"iptables-save": Command(["x"], status=0, output=rule)})

        status, _, err = snapshot("redact", written(tmp_path / "seen", small), "out")

        assert status == 4
        assert "The range 10.0.0.5-10.0.0.9 cannot be redacted" in err
        assert "Traceback" not in err


class TestRecord:
    @pytest.fixture
    def served(self, server, monkeypatch):
        cluster = ServedCluster(server)
        cluster.serve(SmallCluster())
        cluster.access_methods = {each["metadata"]["name"] for each in SmallCluster().api["nodes"]}
        seen = VisitRecord(VisitStatus.UNREACHABLE, reason="n2 does not answer.")
        cluster.visits = {"n2": (seen, None)}
        monkeypatch.setattr("wirecheck.run.round.visit_all", cluster.visit_all)
        monkeypatch.setattr("wirecheck.run.access.container_access", cluster.container_access)
        monkeypatch.setattr(live.time, "sleep", lambda _: None)
        return cluster

    def test_it_looks_and_does_not_judge(self, snapshot, served, kubeconfig, tmp_path, monkeypatch):
        monkeypatch.setattr("wirecheck.run.session.Evaluation", None)

        status, out, err = snapshot("record", "out", "--kubeconfig", kubeconfig)

        taken = Snapshot.open(tmp_path / "out")
        assert taken.node_names() == ["n1"]
        assert len(taken.index.looks) == 1
        assert "Evaluate it with `wirecheck run --snapshot out`." in out
        assert status == (0 if served.access_methods == {"n1"} else 2)
        assert "Traceback" not in err

    def test_it_looks_as_often_as_it_is_asked_to(self, snapshot, served, kubeconfig, tmp_path):
        snapshot("record", "out", "--rounds", "3", "--kubeconfig", kubeconfig)

        taken = Snapshot.open(tmp_path / "out")
        assert [sorted(each.visits) for each in taken.index.looks] == [
            sorted(served.access_methods)
        ] * 3

    @pytest.mark.usefixtures("served")
    def test_a_snapshot_that_is_there_is_not_written_over(self, snapshot, kubeconfig, tmp_path):
        written(tmp_path / "out", broken())

        status, _, err = snapshot("record", "out", "--kubeconfig", kubeconfig)

        assert status == 4
        assert "contains a snapshot already" in err
