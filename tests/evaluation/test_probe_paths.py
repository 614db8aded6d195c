"""A failed probe is traced: its finding says where the packets die, or between which devices."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from testbed.record import RECORDED
from tests.changed_recordings import Document
from tests.paths.conftest import (
    Change,
    ChangedSnapshot,
    complete,
    on,
    with_rules,
)
from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation import probe_paths
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.results.causes import symptoms
from wirecheck.results.records import FindingRecord, ItemResult, Object, TracedPath
from wirecheck.snapshot.folder import Snapshot

PODS, UDP, REPLICAS = "reachability.pod_to_pod", "dns.pods_resolve_udp", "dns.replicas_answer"
FROM_W1 = "-A FORWARD -s 10.244.2.0/24 -d 10.244.1.0/24 -j DROP"


def results(*changes: Change, checks: Iterable[str] = (PODS,), node: str = "wc-w1"):
    snapshot = ChangedSnapshot(Snapshot.open(RECORDED / "healthy"), complete, *changes)
    chosen = [each for each in load() if each.id in checks]
    evaluation = Evaluation(snapshot, chosen)
    return {item.check: item for item in evaluation.node(node)}


def lost(prefix: str, error: str = "timeout") -> Change:
    """The connections and queries of wc-w1 to addresses with a prefix get no response."""

    def change(document: Document) -> None:
        for each in document["contacts"]:
            if each["address"].startswith(prefix):
                each.update(made=0, tries=4, error=error)
        for each in document["probes"]:
            if each["server"].startswith(prefix):
                each["tries"] = [{"seconds": 3.0, "error": error}]

    return on("wc-w1", change)


def failing(item: ItemResult) -> list[FindingRecord]:
    assert item.outcome is Outcome.FAIL, (item.outcome, item.reason, item.unjudged)
    return item.findings


def test_the_finding_says_where_the_packets_die() -> None:
    item = results(lost("10.244.1."), on("wc-w2", with_rules(FROM_W1)))[PODS]

    (finding,) = failing(item)
    path = finding.path
    assert path is not None
    assert (path.result, path.node, path.netns, path.stage) == (
        "dies",
        "wc-w2",
        "the node",
        "forward",
    )
    assert path.lines[-1].endswith(FROM_W1)
    assert finding.found.startswith("timeout in 4 of 4 tries; the packet dies on wc-w2, forward: ")
    assert finding.found.endswith(FROM_W1)
    assert finding.remedy.startswith(
        "Start where the packet dies on wc-w2, forward: `wirecheck trace"
    )
    assert finding.evidence[-1].startswith("`wirecheck trace pod/")


def test_the_evidence_has_every_further_line() -> None:
    answer = "-A FORWARD -s 10.244.1.0/24 -d 10.244.2.0/24 -j DROP"
    changes = on("wc-w2", with_rules(FROM_W1)), on("wc-w1", with_rules(answer))
    (finding,) = failing(results(lost("10.244.1."), *changes)[PODS])

    assert finding.path is not None
    assert finding.path.further == [f"wc-w1, forward: filter: {answer}"]
    assert "Behind it the packet would die on wc-w1, forward: filter: " in finding.evidence[0]


def test_what_arrives_by_all_that_was_read_is_lost_between_two_devices() -> None:
    (finding,) = failing(results(lost("10.244.1."))[PODS])

    assert finding.path is not None
    assert finding.path.result == "reaches"
    assert "it is lost between eth0 of wc-w1 and eth0 of wc-w2" in finding.found
    assert "tcpdump -ni eth0" in finding.path.advice
    assert "ethtool -k flannel.1" in finding.path.advice


def test_a_path_that_cannot_be_decided_changes_nothing_but_the_evidence() -> None:
    strange = "-A FORWARD -d 10.244.1.0/24 -m strange --with it -j DROP"
    (finding,) = failing(results(lost("10.244.1."), on("wc-w2", with_rules(strange)))[PODS])

    assert finding.found == "timeout in 4 of 4 tries"
    assert finding.path is not None
    assert finding.path.lines == [strange]
    assert "cannot be decided on wc-w2, forward" in finding.evidence[0]


def test_a_packet_that_leaves_the_cluster_by_mistake() -> None:
    def forget(document: Document) -> None:
        own = document["namespaces"][0]
        own["routes"] = [e for e in own["routes"] if e["destination"] != "10.244.1.0/24"]

    (finding,) = failing(results(lost("10.244.1."), on("wc-w1", forget))[PODS])

    assert finding.path is not None
    assert finding.path.result == "cannot be decided"
    assert "; no node's route leads to 10.244.1.3: it leaves the node by eth0" in finding.found


def test_refused_connections_are_not_lost_on_the_way() -> None:
    finding = failing(results(lost("10.96.0.1", "refused"), checks=["reachability.api_server"])[
        "reachability.api_server"])[0]  # fmt: skip

    assert finding.path is not None
    assert "no rule refuses it" in finding.path.why


def test_findings_of_several_checks_with_one_line_have_one_cause() -> None:
    rule = "-A INPUT -s 172.31.250.11/32 -p udp -m udp --dport 8472 -j DROP"
    found = results(lost("10.244.0."), on("wc-cp", with_rules(rule)), checks=[PODS, REPLICAS])

    assert {item.outcome for item in found.values()} == {Outcome.FAIL}
    assert list(symptoms(found.values()).values()) in ([(PODS, "wc-w1")], [(REPLICAS, "wc-w1")])


def test_two_lines_are_two_causes() -> None:
    path = TracedPath("dies", node="w1", netns="the node", stage="forward", lines=["one"])
    first, other = (
        ItemResult(check, Outcome.FAIL, "w1", findings=[_found(check, path, line)])
        for check, line in ((PODS, "one"), ("nodes.ready", "two"))
    )

    assert not symptoms([first, other])
    assert symptoms([first, _with(other, path)]) == {("nodes.ready", "w1"): (PODS, "w1")}


def _found(check: str, path: TracedPath, line: str) -> FindingRecord:
    about = Object("Node", "w1")
    return FindingRecord(about, Level.FAIL, "a", "b", check, path=replace(path, lines=[line]))


def _with(item: ItemResult, path: TracedPath) -> ItemResult:
    return replace(item, findings=[replace(item.findings[0], path=path)])


def test_a_run_traces_a_bounded_number_of_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_paths, "MOST_OF_NODE", 2)
    findings = failing(results(lost("10.96.0.10"), checks=[UDP])[UDP])

    assert len(findings) > 2
    assert sum(each.path is not None for each in findings) == 2


def test_a_path_that_cannot_be_followed_costs_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise KeyError("odd")

    monkeypatch.setattr(probe_paths, "paths", fails)
    (finding,) = failing(results(lost("10.244.1."))[PODS])

    assert finding.found == "timeout in 4 of 4 tries"
    assert "please report it" in finding.evidence[0]
