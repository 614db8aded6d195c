"""A command that took long on a node is told: what it printed was old by then."""

from __future__ import annotations

import json

import msgspec
import pytest

from wirecheck.cli import main as cli
from wirecheck.cli.demo import recorded
from wirecheck.evaluation.slow_commands import slow_commands
from wirecheck.results.jsonl import read_results
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import SnapshotIndex

SAID = (
    "iptables-nft-save took 24 s on wc-w2, and long on 1 other node: changes during that time may "
    "be missing in the results."
)


@pytest.fixture
def slow(tmp_path) -> Snapshot:
    """The recorded healthy cluster, two nodes of which were slow."""
    plain = Snapshot.open(recorded("healthy"))
    writer = SnapshotWriter(tmp_path / "slow", msgspec.structs.replace(plain.index, looks=[]))
    look = plain.index.looks[0]
    visits = dict(look.visits)
    for name, seconds in (("wc-w1", 11.0), ("wc-w2", 23.8)):
        took = {"iptables-nft-save": seconds}
        visits[name] = msgspec.structs.replace(visits[name], slow=took)
    writer.write_api(1, plain.api())
    for name in plain.node_names():
        writer.write_document(1, name, msgspec.json.encode(plain.document(name)))
    writer.finish_round(msgspec.structs.replace(look, visits=visits))
    return Snapshot.open(tmp_path / "slow")


def test_the_slowest_node_is_named(slow):
    assert list(slow_commands(slow.index)) == [SAID]


def test_of_one_node_no_other_is_told(slow):
    look = slow.index.looks[0]
    visits = {"wc-w2": look.visits["wc-w2"]}
    looks = [msgspec.structs.replace(look, visits=visits)]

    (said,) = slow_commands(msgspec.structs.replace(slow.index, looks=looks))

    assert said.startswith("iptables-nft-save took 24 s on wc-w2: changes during")


def test_where_all_were_quick_nothing_is_told():
    assert list(slow_commands(Snapshot.open(recorded("healthy")).index)) == []
    assert list(slow_commands(SnapshotIndex(1, "0", 1.0))) == []


def test_the_snapshot_and_the_results_tell_it(slow, tmp_path, capsys):
    for arguments in (
        ["snapshot", "show", str(slow.path)],
        ["run", "--snapshot", str(slow.path), "--report-dir", str(tmp_path / "reports")],
    ):
        with pytest.raises(SystemExit):
            cli.main(arguments)

    assert SAID in capsys.readouterr().out
    (file,) = (tmp_path / "reports").glob("*/results.jsonl")
    assert SAID in read_results(file).started.notes
    assert json.loads((slow.path / "snapshot.json").read_text())["looks"][0]["visits"]["wc-w2"][
        "slow"
    ] == {"iptables-nft-save": 23.8}
