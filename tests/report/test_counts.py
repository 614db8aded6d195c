"""The same run has the same numbers in every format, and root causes come first in all of them."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from functools import cache
from xml.etree import ElementTree

import pytest
import yaml
from msgspec.structs import replace
from rich.console import Console

from tests.report import sample
from tests.verdicts import CLUSTERS
from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.cli import main as cli
from wirecheck.evaluation.build import Evaluated, results_of
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.evaluation.verdict import verdict
from wirecheck.report import github, html, junit, markdown, message, nagios, sonobuoy, terminal
from wirecheck.results import jsonl
from wirecheck.results.causes import symptoms
from wirecheck.results.ordering import by_check, causes_of
from wirecheck.results.records import ItemResult, Results
from wirecheck.results.tally import Tally, root_causes, tally, tally_of
from wirecheck.run.selection import in_profile
from wirecheck.snapshot.folder import Snapshot

FAULTY = ("broken", "older-broken")
"""The recorded clusters in which something fails."""


@cache
def evaluated(name: str) -> Results:
    """The results of a recorded cluster."""
    snapshot = Snapshot.open(CLUSTERS[name])
    checks = in_profile(load(), None)
    evaluation = Evaluation(snapshot, checks)
    items = [item for node in evaluation.node_names for item in evaluation.node(node)]
    items += evaluation.cluster()
    measured = evaluation.measured
    return results_of(
        Evaluated(name, snapshot, evaluation.first_round, checks, items, measured), 1.0, "fail"
    )


def with_verdict(results: Results) -> Results:
    """The results with the verdict that their items have."""
    return replace(results, ended=replace(results.ended, verdict=verdict(results.items)))


RUNS: dict[str, Callable[[], Results]] = {
    **{name: (lambda name=name: evaluated(name)) for name in (*FAULTY, "older-dual-stack")},
    "by hand": sample.broken,
    "nothing": sample.nothing,
    "large": lambda: with_verdict(sample.large(50, 30, 100)),
}


@pytest.fixture(scope="module", params=RUNS)
def results(request) -> Results:
    return RUNS[request.param]()


def screen(results: Results) -> str:
    file = io.StringIO()
    terminal.show(results, Console(file=file, width=200))
    return file.getvalue()


def in_words(text: str) -> tuple[int, int, int, int]:
    """The numbers of a verdict: failed, on so many nodes, root causes, not completed."""
    failed = re.search(r"(\d+) checks? failed(?: on (\d+) nodes?)?, (\d+) root causes?", text)
    errors = re.search(r"(\d+) checks? could not be completed", text)
    numbers = [int(each or 0) for each in failed.groups()] if failed else [0, 0, 0]
    return (*numbers, int(errors[1]) if errors else 0)


def in_junit(results: Results) -> tuple[int, int, int, int]:
    root = ElementTree.fromstring(junit.render(results))
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    marks = [
        next(iter(case)).tag
        for case in root.iter("testcase")
        if case.get("classname") != "wirecheck.run" and len(case)
    ]
    return (
        marks.count("failure"),
        int(properties["wirecheck.nodes_failed"]),
        int(properties["wirecheck.root_causes"]),
        marks.count("error"),
    )


def in_nagios(results: Results) -> tuple[int, int, int, int]:
    found = dict(re.findall(r"(\w+)=(\d+);", nagios.render(results).partition(" | ")[2]))
    return tuple(int(found[name]) for name in ("fail", "nodes_failed", "root_causes", "error"))


def in_sonobuoy(results: Results) -> tuple[int, int, int, int]:
    details = yaml.safe_load(sonobuoy.render(results))["details"]
    checks = details["checks"]
    ends = details["nodes-failed"], details["root-causes"]
    return (checks.get("fail", 0), *ends, checks.get("error", 0))


WORDED: dict[str, Callable[[Results], str]] = {
    "screen": screen,
    "page": lambda results: html.render(results).partition('class="headline">')[2],
    "markdown": markdown.render,
    "message": message.render,
    "nagios": nagios.render,
    "junit": junit.render,
    "sonobuoy": sonobuoy.render,
    "jsonl": jsonl.render,
}
NUMBERED = {"junit": in_junit, "nagios": in_nagios, "sonobuoy": in_sonobuoy}


def numbers(counted: Tally) -> tuple[int, int, int, int]:
    return (
        counted.number(Outcome.FAIL),
        counted.nodes.get(Outcome.FAIL, 0),
        counted.root_causes,
        counted.number(Outcome.ERROR),
    )


@pytest.mark.parametrize("form", WORDED)
def test_the_verdict_has_the_numbers_of_the_tally(results, form):
    text = " ".join(WORDED[form](results).split())
    assert in_words(text) == numbers(tally_of(results))


@pytest.mark.parametrize("form", NUMBERED)
def test_the_fields_have_the_numbers_of_the_tally(results, form):
    assert NUMBERED[form](results) == numbers(tally_of(results))


def test_the_screen_has_a_block_for_each_root_cause(results):
    lines = screen(results).splitlines()
    shown = sum(line.startswith("FAIL ") for line in lines)
    assert shown == min(tally_of(results).root_causes, terminal.MOST_CHECKS)


def test_numbers_of_passed_checks_are_the_same(results):
    passed = tally_of(results).phrase(Outcome.PASS)
    if tally_of(results).number(Outcome.PASS):
        assert passed in screen(results)
    assert f"{passed}." in markdown.render(results)
    root = ElementTree.fromstring(junit.render(results))
    assert len(root.findall(".//testcase[@classname!='wirecheck.run']")) == tally_of(results).ran


@pytest.mark.parametrize("name", FAULTY)
def test_recorded_clusters_have_failures_and_fewer_causes(name):
    counted = tally_of(evaluated(name))
    assert counted.number(Outcome.FAIL) >= counted.root_causes > 0
    assert counted.ran == len(in_profile(load(), None))


def shown_in(form: str, results: Results) -> list[str]:
    """The ids of the failed checks in the order in which a format names them."""
    failed = [c.record.id for c in by_check(results) if c.outcome is Outcome.FAIL]
    match form:
        case "junit":
            root = ElementTree.fromstring(junit.render(results))
            found = [
                f"{case.get('classname')}.{case.get('name')}".removeprefix("wirecheck.")
                for case in root.iter("testcase")
                if case.find("failure") is not None
            ]
        case "markdown":
            found = re.findall(r"(?m)^### (\S+)$", markdown.render(results))
        case "github":
            found = re.findall(r"title=wirecheck ([\w.]+)", "\n".join(github.error_lines(results)))
        case "message" | "nagios":
            text = (message if form == "message" else nagios).render(results)
            found = re.search(r"Failing: ([\w., ]+?)(?: and |\. |\n|$)", text)[1].split(", ")
        case "sonobuoy":
            tree = yaml.safe_load(sonobuoy.render(results))
            found = [check["name"] for group in tree["items"] for check in group["items"]]
        case "screen":
            found = re.findall(r"(?m)^FAIL ([\w.]+)", screen(results))
        case "page":
            text = html.render(results)
            found = re.findall(r'id="(?:check-)?([a-z_]+\.[a-z_]+)"', text)
    return [check for check in dict.fromkeys(found) if check in failed]


@pytest.mark.parametrize("form", ["junit", "markdown", "github", "message", "nagios", "screen"])
def test_root_causes_come_first(form):
    results = evaluated("broken")
    causes = symptoms(results.items)
    following = {c.record.id for c in by_check(results) if causes_of(c, causes)}

    found = shown_in(form, results)

    assert found[0] not in following
    assert [check in following for check in found] == sorted(check in following for check in found)
    if form in ("junit", "markdown"):
        assert following & set(found), "the recorded cluster has symptoms"


def test_sonobuoys_groups_begin_with_their_root_causes():
    results = evaluated("broken")
    own = root_causes(results.items)

    tree = yaml.safe_load(sonobuoy.render(results))

    for group in tree["items"]:
        failed = [c["name"] in own for c in group["items"] if c["status"] == "failed"]
        assert failed == sorted(failed, reverse=True)
    assert tree["items"][0]["items"][0]["name"] in own


def test_a_symptom_names_its_cause_where_it_is_shown():
    results = evaluated("broken")
    (pairs,) = [
        [(c.record.id, causes_of(c, symptoms(results.items))[0])]
        for c in by_check(results)
        if c.record.id == "dns.pods_resolve_udp"
    ]
    sentence = f"Likely follows from {pairs[0][1]}."

    assert sentence in junit.render(results)
    assert sentence in markdown.render(results)
    assert sentence in "\n".join(github.error_lines(results))


def test_inspect_counts_as_the_run_does(capsys):
    """The node with all its findings: what the run counts for this node."""
    results = evaluated("broken")
    for node in ("wc-w1", "wc-w2"):
        items = [item for item in results.items if item.node == node]
        counted = tally(items)
        with pytest.raises(SystemExit):
            cli.main(["inspect", "node", node, "--snapshot", str(CLUSTERS["broken"])])
        text = capsys.readouterr().out
        assert in_words(" ".join(text.split()))[0] == counted.number(Outcome.FAIL)
        heads = re.findall(r"(?m)^FAIL +([\w.]+)", text)
        following = re.findall(r"(?m)^FAIL +([\w.]+).*\n  follows from", text)
        assert [head in following for head in heads] == sorted(h in following for h in heads)


def test_inspect_as_json_names_what_a_finding_follows_from(capsys):
    with pytest.raises(SystemExit):
        cli.main(["inspect", "node", "wc-w1", "--snapshot", str(CLUSTERS["broken"]), "-o", "json"])
    findings = json.loads(capsys.readouterr().out)["findings"]
    follows = {each["check"]: each["follows_from"] for each in findings}
    assert follows["dns.pods_resolve_udp"] in follows
    assert any(not cause for cause in follows.values())


def test_diff_shows_root_causes_first_and_both_verdicts(capsys):
    with pytest.raises(SystemExit):
        cli.main(["diff", str(CLUSTERS["healthy"]), str(CLUSTERS["broken"])])
    text = capsys.readouterr().out
    new = [line for line in text.splitlines() if line.startswith("  fail ")]
    following = ["(likely follows from " in line for line in new]
    assert any(following)
    assert following == sorted(following)
    assert evaluated("broken").ended.verdict in text
    assert "Healthy" in text


class TestCounting:
    def failed(self, check: str, *nodes: str) -> list[ItemResult]:
        return [ItemResult(check, Outcome.FAIL, node) for node in nodes]

    def test_a_check_counts_once_by_its_worst_outcome(self):
        items = [
            ItemResult("a.b", Outcome.FAIL, "n1"),
            ItemResult("a.b", Outcome.ERROR, "n2"),
            ItemResult("a.b", Outcome.WARN, "n3"),
            ItemResult("a.c", Outcome.PASS, "n1"),
            ItemResult("a.c", Outcome.SKIP, "n2"),
        ]
        counted = tally(items)
        assert counted.outcomes == {"a.b": Outcome.FAIL, "a.c": Outcome.PASS}
        assert counted.phrase(Outcome.FAIL) == "1 check failed on 1 node, 1 root cause"

    def test_a_symptom_is_no_root_cause(self):
        items = self.failed("links.up", "n1") + self.failed("nodes.ready", "n1")
        items += self.failed("nodes.network_ready", "n1")
        assert root_causes(items) == ["links.up", "nodes.network_ready"]

    def test_a_failure_elsewhere_is_a_root_cause_of_its_own(self):
        items = self.failed("nodes.ready", "n1", "n2") + self.failed("nodes.network_ready", "n1")
        assert set(root_causes(items)) == {"nodes.ready", "nodes.network_ready"}

    def test_nodes_that_may_be_missing_do_not_count(self):
        items = [
            ItemResult("nodes.reachable", Outcome.PASS, "n1"),
            ItemResult("nodes.reachable", Outcome.ERROR, "n2"),
            ItemResult("a.b", Outcome.ERROR, "n2", folded=True),
            ItemResult("a.b", Outcome.PASS, "n1"),
        ]
        assert tally(items, ["n2"]).outcomes == {
            "nodes.reachable": Outcome.PASS,
            "a.b": Outcome.PASS,
        }
        assert tally(items).number(Outcome.ERROR) == 1

    def test_what_nobody_selected_counts_if_it_found_something(self):
        well = [ItemResult("nodes.reachable", Outcome.PASS, "n1")]
        ill = [ItemResult("nodes.reachable", Outcome.ERROR, "n1")]
        assert tally(well, (), ["nodes.reachable"]).ran == 0
        assert tally(ill, (), ["nodes.reachable"]).ran == 1

    def test_no_failure_explains_itself_in_a_circle(self):
        """Otherwise a run could have failures without a root cause."""
        ids = [check.id for check in load()]
        for outcome in (Outcome.FAIL, Outcome.WARN):
            items = [ItemResult(check, outcome, "n1", reason="the same") for check in ids]
            found = symptoms(items)
            assert all(cause not in found for cause in found.values())
