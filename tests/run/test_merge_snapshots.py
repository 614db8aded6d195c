"""Runs over different nodes, judged as one: as a single run would have been."""

from __future__ import annotations

import shutil

import msgspec
import pytest

from tests.snapshots import broken, healthy, unreachable, written
from wirecheck.catalogue.registry import load
from wirecheck.cli import main as cli
from wirecheck.cli.demo import recorded
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.run.merge_snapshots import merge, opened
from wirecheck.run.request import RequestError
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import VisitRecord, VisitStatus

NO_WAY = VisitRecord(VisitStatus.NO_ACCESS, reason="It matches no entry of the inventory.")


def part_of(snapshot: Snapshot, folder, names: set[str], **index) -> Snapshot:
    """What a run would have seen that has a way into `names` alone."""
    known = msgspec.structs.replace(snapshot.index, looks=[], **index)
    writer = SnapshotWriter(folder, known)
    for look, record in enumerate(snapshot.index.looks, start=1):
        writer.write_api(look, snapshot.api(look))
        seen = {name: visit for name, visit in record.visits.items() if name in names}
        for name, visit in seen.items():
            if visit.status == "seen":
                document = msgspec.json.encode(snapshot.document(name, look))
                writer.write_document(look, name, document)
        others = {name: NO_WAY for name in record.visits if name not in names and look == 1}
        writer.finish_round(msgspec.structs.replace(record, visits={**seen, **others}))
    return Snapshot.open(folder)


@pytest.fixture
def parts(tmp_path) -> list[Snapshot]:
    """The recorded broken cluster, as two runs saw it."""
    whole = Snapshot.open(recorded("broken"))
    return [
        part_of(whole, tmp_path / "a", {"wc-w1"}, notes=["There was no way into 2 of 3 nodes: …"]),
        part_of(whole, tmp_path / "b", {"wc-cp", "wc-w2"}, notes=["No access to 1 of 3 nodes: …"]),
    ]


def items(snapshot: Snapshot):
    return list(evaluate(snapshot, load()))


def test_the_parts_together_give_what_a_single_run_gives(parts, tmp_path):
    whole = Snapshot.open(recorded("broken"))

    merged = merge(parts, tmp_path / "merged")

    assert items(merged) == items(whole)
    assert items(parts[0]) != items(whole)
    former = "There was no way"
    assert not [note for note in merged.index.notes if note.startswith((former, "No access"))]


def test_the_order_of_the_parts_is_no_matter(parts, tmp_path):
    assert items(merge(parts, tmp_path / "x")) == items(merge(parts[::-1], tmp_path / "y"))


def test_a_node_that_none_of_the_parts_saw_is_not_lost(parts, tmp_path):
    whole = Snapshot.open(recorded("broken"))
    less = part_of(whole, tmp_path / "c", {"wc-cp"})

    merged = merge([parts[0], less], tmp_path / "merged")

    visits = merged.index.looks[0].visits
    assert {name: visit.status for name, visit in visits.items()} == {
        "wc-cp": "seen",
        "wc-w1": "seen",
        "wc-w2": "no way",
    }


def test_a_visit_that_failed_counts_less_than_one_that_saw(tmp_path):
    failed = opened(written(tmp_path / "a", unreachable()))
    seen = opened(written(tmp_path / "b", healthy()))

    merged = merge([failed, seen], tmp_path / "merged")

    assert merged.node_names() == ["n1"]


def test_what_changed_between_the_parts_is_undecided(tmp_path):
    """The second part's API has another address for the pod than the first one's."""
    first = unreachable()
    later = broken()
    later.api["pods"][1]["metadata"]["resourceVersion"] = "2"
    later.api["pods"][1]["status"] |= {"podIP": "10.244.0.9", "podIPs": [{"ip": "10.244.0.9"}]}

    merged = merge(
        [opened(written(tmp_path / "a", first)), opened(written(tmp_path / "b", later))],
        tmp_path / "merged",
    )

    assert ("Pod", "shop", "web") in {
        (each.kind, each.namespace, each.name) for each in merged.index.looks[0].changes
    }
    about = ("pods.ip_on_interface", "n1")
    (item,) = (each for each in items(merged) if (each.check, each.node) == about)
    assert item.findings == []
    assert any("web" in each for each in item.undecided)


def test_two_parts_that_saw_one_node_are_refused(tmp_path):
    parts = [opened(written(tmp_path / name, healthy())) for name in "ab"]

    with pytest.raises(RequestError, match="visited node n1"):
        merge(parts, tmp_path / "merged")


def test_parts_of_different_clusters_are_refused(parts, tmp_path):
    other = opened(written(tmp_path / "other", healthy()))

    with pytest.raises(RequestError, match="are not of the same cluster"):
        merge([parts[0], other], tmp_path / "merged")


def test_parts_with_different_terms_are_refused(tmp_path):
    one = opened(written(tmp_path / "a", unreachable(), thresholds={"conntrack.use_warn": 50.0}))
    other = opened(written(tmp_path / "b", healthy(), thresholds={"conntrack.use_warn": 60.0}))

    with pytest.raises(RequestError, match="other thresholds or waivers"):
        merge([one, other], tmp_path / "merged")


def test_the_command_takes_folders_of_runs_and_of_snapshots(parts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    parts[0].path.rename(run / "snapshot")

    with pytest.raises(SystemExit) as left:
        cli.main(["merge", str(run), str(parts[1].path), "--into", "whole"])

    out = capsys.readouterr().out
    assert left.value.code == 1
    assert "Checked 3/3 nodes" in out
    assert (tmp_path / "whole" / "snapshot.json").is_file()
    assert "Merged from 2 snapshots" in out


def test_a_folder_without_a_snapshot_is_a_sentence(parts, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()

    with pytest.raises(SystemExit) as left:
        cli.main(["merge", str(parts[0].path), "empty"])

    assert left.value.code == 4
    assert "empty is not a snapshot" in capsys.readouterr().err


def run_of(part: Snapshot, folder) -> None:
    """A run's folder: a part's snapshot, which the run has judged."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with pytest.raises(SystemExit):
        cli.main(["run", "--snapshot", str(part.path), "--report-dir", str(folder)])
    (made,) = folder.iterdir()
    shutil.copytree(part.path, made / "snapshot")


def test_merge_waits_until_all_parts_are_there(parts, tmp_path, monkeypatch, capsys) -> None:
    shares = tmp_path / "shares"
    run_of(parts[0], shares / "0")
    waited = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            run_of(parts[1], shares / "1")

    monkeypatch.setattr("wirecheck.cli.merge.time.sleep", sleep)
    with pytest.raises(SystemExit):
        cli.main(["merge", str(shares), "--parts", "2", "--report-dir", str(tmp_path / "whole")])
    assert len(waited) == 3
    assert "Checked 3/3 nodes" in capsys.readouterr().out


def test_merge_says_how_many_parts_came(parts, tmp_path, capsys) -> None:
    run_of(parts[0], tmp_path / "shares" / "0")
    words = ["merge", str(tmp_path / "shares"), "--parts", "2", "--wait", "0s"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--report-dir", str(tmp_path / "whole")])
    assert ended.value.code == 4
    assert "there are 1 of 2 runs" in " ".join(capsys.readouterr().err.split())
