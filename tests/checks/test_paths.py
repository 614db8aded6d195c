"""Connections that were made, and traces that say that their packets die."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from testbed.record import RECORDED
from tests.changed_recordings import Document
from tests.paths.conftest import Change, ChangedSnapshot, complete, on, with_rules
from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.model import made_connections
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.api_objects import Change as Changed
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.node_document import NodeDocument

LONG = 10_000.0
"""Seconds: nothing changed for that long."""
CHECK = "paths.match_connections"
CLOSED = on("wc-w2", with_rules("-A FORWARD -s 10.244.2.0/24 -d 10.244.1.0/24 -j DROP"))
"""For what pods of wc-w1 send, and the node through the tunnel."""


def listening(name: str, document: Document) -> None:
    """What the recording lacks, with the health check port of a Service and the kubelet's."""
    complete(name, document)
    own = document["namespaces"][0]
    own["listeners"] += [{"address": "0.0.0.0", "port": port} for port in (30093, 10250)]


class Rounds:
    """The recorded cluster in several rounds, each with its changes."""

    def __init__(self, *rounds: tuple[Change, ...], changed: tuple[Changed, ...] = ()) -> None:
        self._snapshot = Snapshot.open(RECORDED / "healthy")
        self._rounds = [ChangedSnapshot(self._snapshot, *changes) for changes in rounds]
        (first,) = self._snapshot.index.looks
        length = first.finished - first.started + 20.0
        looks = [
            replace(
                first,
                started=first.started + number * length,
                finished=first.finished + number * length,
                api_time=first.started + LONG + number * length,
                visits={name: replace(each, up=LONG) for name, each in first.visits.items()},
                changes=list(changed),
            )
            for number in range(len(rounds))
        ]
        self.index = replace(self._snapshot.index, looks=looks)

    def api(self, _: int) -> ApiObjects:
        found = self._snapshot.api(1)
        kinds = ("nodes", "pods", "services", "endpoint_slices")
        return replace(found, **{kind: [*map(_written, getattr(found, kind))] for kind in kinds})

    def document(self, node: str, number: int) -> NodeDocument:
        return self._rounds[number - 1].document(node, 1)


def _written(found: Any) -> Any:
    """The object as a recording of today has it: with the time at which its spec was written."""
    written = found.metadata.creation_timestamp
    return replace(found, metadata=replace(found.metadata, written=written))


def result(*rounds: tuple[Change, ...], changed: tuple[Changed, ...] = ()) -> ItemResult:
    chosen = [each for each in load() if each.id == CHECK]
    (item,) = Evaluation(Rounds(*rounds, changed=changed), chosen).node("wc-w1")  # type: ignore[arg-type]
    return item


def test_a_healthy_cluster_passes() -> None:
    item = result((listening,))

    assert (item.outcome, item.unjudged) == (Outcome.PASS, {})


def test_a_trace_that_ends_where_packets_passed_twice_is_an_error() -> None:
    item = result((listening, CLOSED), (listening, CLOSED))

    assert item.outcome is Outcome.ERROR
    assert len(item.findings) == 2
    finding = next(each for each in item.findings if "from ops/agent" in each.object.part)
    assert "to Pod " in finding.object.part
    assert finding.found.startswith("the trace ends in the node on wc-w2, forward: dropped")
    assert finding.found.endswith("-s 10.244.2.0/24 -d 10.244.1.0/24 -j DROP")
    assert "`wirecheck trace pod/" in finding.remedy
    assert finding.path is None


@pytest.mark.parametrize("rounds", [[(listening, CLOSED)], [(listening, CLOSED), (listening,)]])
def test_one_round_alone_is_inconclusive(rounds: list[tuple[Change, ...]]) -> None:
    item = result(*rounds)

    assert (item.outcome, item.findings) == (Outcome.PASS, [])
    assert item.unjudged == {f"a finding of {CHECK} that no second round confirms": 2}


def test_a_dns_query_that_was_answered_counts_as_well() -> None:
    rule = "-A FORWARD -p udp -m udp --dport 53 -j DROP"
    closed = tuple(on(name, with_rules(rule)) for name in ("wc-cp", "wc-w1", "wc-w2"))
    item = result((listening, *closed), (listening, *closed))

    assert item.outcome is Outcome.ERROR
    (finding,) = item.findings
    assert finding.object.part.endswith(" to DNS at 10.96.0.10 over UDP")
    assert finding.found.endswith(rule)
    assert "10.96.0.10 --port 53 --protocol udp" in finding.remedy


def test_what_changed_meanwhile_explains_it() -> None:
    pods = [each.metadata for each in Snapshot.open(RECORDED / "healthy").api().pods]
    changed = tuple(Changed("Pod", e.name, e.namespace, what="spec") for e in pods)
    item = result((listening, CLOSED), (listening, CLOSED), changed=changed)

    assert (item.outcome, item.findings) == (Outcome.PASS, [])
    assert sum(item.unjudged.values()) == 2


def test_backends_that_are_said_to_be_dead_contradict_nothing_if_others_are_not() -> None:
    """The connection to the Service may have gone to the other backend."""
    to_one = "-A FORWARD -d 10.244.0.0/24 -p tcp -m tcp --dport 53 -j DROP"
    item = result((listening, on("wc-cp", with_rules(to_one))))

    assert not [each for each in item.findings if "Service" in each.object.part]


def without(name: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        document["namespaces"][0].pop(name)

    return change


@pytest.mark.parametrize("name", ["programs", "listeners", "xfrm_policies"])
def test_old_recordings_are_not_compared(name: str) -> None:
    item = result((listening, on("wc-w1", without(name)), CLOSED))

    assert item.outcome is Outcome.SKIP
    assert "recorded before" in item.reason


def test_what_no_trace_decides_is_not_compared() -> None:
    strange = with_rules("-A OUTPUT -m strange -j DROP", "-A FORWARD -m strange -j DROP")
    item = result((listening, on("wc-w1", strange)))

    assert item.outcome is Outcome.SKIP
    assert "not known whether the packet matches" in item.reason


def test_a_large_cluster_has_its_connections_followed_on_some_nodes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(made_connections, "MOST_OF_RUN", 6)  # one of two nodes, of three
    names = ("wc-cp", "wc-w1", "wc-w2")
    chosen = [each for each in load() if each.id == CHECK]
    evaluation = Evaluation(Rounds((listening,)), chosen)  # type: ignore[arg-type]

    outcomes = [item.outcome for name in names for item in evaluation.node(name)]
    assert outcomes == [Outcome.PASS, Outcome.SKIP, Outcome.PASS]
