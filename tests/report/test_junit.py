import re
from dataclasses import dataclass
from functools import cache
from xml.etree import ElementTree

import pytest
from msgspec.structs import replace

from tests.report import sample
from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.report import junit
from wirecheck.results.records import ItemResult
from wirecheck.results.tally import tally_of

RUNS = sample.Runs(
    {
        "broken": sample.broken,
        "healthy": sample.healthy,
        "nothing": sample.nothing,
        "empty": sample.empty,
        "large": sample.large,
        "many findings": lambda: sample.large(200, 40, 100_000, 20),
        "all red": lambda: sample.large(1000, 50, 50_000, 1),
    }
)

LARGE = {"large", "many findings", "all red"}
EVERY_RUN = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in RUNS]


@cache
def text_of(name: str) -> str:
    """The report of one of the runs: large ones take seconds."""
    return junit.render(RUNS[name])


ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp"},
    "testcase": {"name", "classname", "time"},
    "properties": set(),
    "property": {"name", "value"},
    "failure": {"type", "message"},
    "error": {"type", "message"},
    "skipped": {"message"},
    "system-out": set(),
}
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "properties": {"property"},
    "testcase": {"failure", "error", "skipped", "system-out"},
}


@dataclass
class Case:
    mark: str
    message: str
    text: str


def cases(results) -> dict[str, Case]:
    found = {}
    for case in ElementTree.fromstring(junit.render(results)).iter("testcase"):
        child = next(iter(case), None)
        kind = "" if child is None else child.tag
        message = "" if child is None else child.get("message", "")
        text = "" if child is None else child.text or ""
        name = f"{case.get('classname')}.{case.get('name')}"
        assert name not in found
        found[name] = Case(kind, message, text)
    return found


@pytest.fixture(scope="module")
def broken() -> dict[str, Case]:
    return cases(sample.broken())


@pytest.mark.parametrize("name", EVERY_RUN)
def test_follows_the_schema_of_jenkins(name):
    """The rules of junit-10.xsd that apply to what we write."""
    root = ElementTree.fromstring(text_of(name))
    assert root.tag == "testsuites"
    for element in root.iter():
        assert set(element.attrib) == ATTRIBUTES[element.tag]
        assert {child.tag for child in element} <= CHILDREN.get(element.tag, set())
        if "time" in element.attrib:
            assert re.fullmatch(r"\d+\.\d{3}", element.attrib["time"])
    for case in root.iter("testcase"):
        assert len(case) <= 1
        assert case.get("name")
        assert re.fullmatch(r"wirecheck\.\w+", case.get("classname", ""))


@pytest.mark.parametrize("name", EVERY_RUN)
def test_counts_are_right_and_names_unique(name):
    root = ElementTree.fromstring(text_of(name))
    suite = root.find("testsuite")
    found = list(suite.iter("testcase"))
    assert len({(case.get("classname"), case.get("name")) for case in found}) == len(found)
    for holder in (root, suite):
        assert int(holder.get("tests")) == len(found)
        assert int(holder.get("failures")) == len(list(suite.iter("failure")))
        assert int(holder.get("errors")) == len(list(suite.iter("error")))
    assert int(suite.get("skipped")) == len(list(suite.iter("skipped")))


@pytest.mark.parametrize("name", EVERY_RUN)
def test_stays_under_a_megabyte(name):
    assert len(text_of(name).encode()) <= 1_000_000


def test_each_check_is_one_case_however_many_nodes_fail(broken):
    assert set(broken) == {f"wirecheck.{identity}" for identity, _ in sample.CHECKS}


def test_each_failure_is_counted_once():
    root = ElementTree.fromstring(junit.render(sample.broken()))
    numbers = tally_of(sample.broken())
    assert int(root.get("failures")) == numbers.number(Outcome.FAIL) == 3
    assert int(root.get("errors")) == numbers.number(Outcome.ERROR) == 3


@pytest.mark.parametrize(
    ("name", "mark"),
    [
        ("pods.carries_its_addresses", "failure"),
        ("services.are_programmed", "failure"),
        ("dns.pods_resolve_tcp", "error"),
        ("nodes.reachable", "error"),
        ("services.ipvs_weights_are_even", "skipped"),
        ("conntrack.no_drops", "skipped"),
        ("links.mtu_is_equal", "skipped"),
        ("conntrack.table_usage", "system-out"),
        ("pods.addresses_are_unique", ""),
    ],
)
def test_outcomes(broken, name, mark):
    assert broken[f"wirecheck.{name}"].mark == mark


def test_a_failure_makes_sense_alone(broken):
    case = broken["wirecheck.pods.carries_its_addresses"]
    assert case.message == (
        "Failed on 1 of 12 nodes (w2); 3 nodes not checked. w2: Pod shop/web-6d4cf56db6-x2x7q "
        "eth0 (Deployment/web): expected 10.32.2.17 on eth0, found nothing (and 2 more)"
    )
    for part in (
        "Each pod's interface carries every address",
        "Failed on 1 of 12 nodes (w2); 3 nodes not checked. Cluster prod-eu-1.",
        "On w2:",
        "expected: 10.32.2.17 on eth0",
        "found:    nothing",
        "in 3 rounds",
        "evidence: netns of pid 21734:",
        sample.WHY,
        sample.REMEDY,
    ):
        assert part in case.text


def test_the_case_of_a_check_says_where(broken):
    case = broken["wirecheck.services.are_programmed"]
    assert "Failed on 2 of 12 nodes (w2, w5); 3 nodes not checked" in case.message
    assert case.text.index("On w2:") < case.text.index("On w5:")


def test_findings_are_capped_with_a_count(broken):
    case = broken["wirecheck.services.are_programmed"]
    assert case.text.count("expected:") == 2 + 20
    assert "and 14 more" in case.text


def test_an_error_does_not_advise_what_is_for_failures(broken):
    case = broken["wirecheck.dns.pods_resolve_tcp"]
    assert "raise `ulimit -n`" in case.message
    assert sample.REMEDY not in case.text


def test_what_was_accepted_says_so_and_why(broken):
    waived = broken["wirecheck.conntrack.no_drops"].message
    assert waived.startswith("Waived on 1 of 12 nodes (w1); 3 nodes not checked; waived (burst ")
    assert "found +12 within 2.0 s" in waived
    assert "known from the baseline" in broken["wirecheck.links.mtu_is_equal"].message
    assert "iptables mode (9 nodes)" in broken["wirecheck.services.ipvs_weights_are_even"].message


def test_a_warning_is_shown_in_a_passed_case(broken):
    case = broken["wirecheck.conntrack.table_usage"]
    assert "On w1:" in case.text
    assert "211,004 entries, 80 %" in case.text


def test_inconclusive_objects_are_listed(broken):
    assert "12 objects (NetworkPolicy shop/deny-egress)" in (
        broken["wirecheck.dns.pods_resolve_udp"].text
    )
    assert "Service shop/search" in broken["wirecheck.services.are_programmed"].text


def test_nothing_unprintable_gets_through():
    text = junit.render(sample.broken())
    assert all(character.isprintable() or character == "\n" for character in text)
    assert r"\x1b[31mred" in text
    assert r"\u202eevil" in text


@pytest.mark.parametrize("results", [sample.nothing(), sample.empty()])
def test_never_green_on_nothing(results):
    case = cases(results)["wirecheck.run.checked_the_cluster"]
    assert case.mark == "failure"
    assert "Checked 0/" in case.text


def test_all_skipped_is_nothing_too():
    healthy = sample.healthy(3)
    skipped = [replace(item, outcome=Outcome.SKIP, reason="not here") for item in healthy.items]
    assert "wirecheck.run.checked_the_cluster" in cases(replace(healthy, items=skipped))


def test_a_healthy_run_has_no_red_case():
    assert {case.mark for case in cases(sample.healthy()).values()} == {""}


def test_a_cluster_without_nodes_is_nothing_too():
    healthy = sample.healthy(3)
    ended = replace(healthy.ended, coverage=sample.empty().ended.coverage)
    assert "wirecheck.run.checked_the_cluster" in cases(replace(healthy, ended=ended))


@pytest.mark.parametrize("changes", [{"interrupted": True}, {"status": 2}])
def test_an_unfinished_run_is_not_green(changes):
    healthy = sample.healthy(3)
    results = replace(healthy, ended=replace(healthy.ended, **changes))
    assert cases(results)["wirecheck.run.checked_everything"].mark == "error"


def test_a_check_without_any_judgement_is_an_error():
    case = cases(sample.nothing())["wirecheck.nodes.ready"]
    assert case.mark == "error"
    assert "3 nodes not checked" in case.message


@pytest.mark.slow
def test_nodes_whose_findings_are_left_out_are_counted():
    failed = next(case for case in cases(RUNS["all red"]).values() if case.mark)
    assert "Failed on 1,000 of 1,000 nodes (" in failed.message
    assert re.search(r"The findings of [\d,]+ more nodes are left out", failed.text)


def test_a_check_that_fails_and_could_not_be_completed_elsewhere_is_one_failure():
    results = sample.broken()
    unread = ItemResult("pods.carries_its_addresses", Outcome.ERROR, "w3", "No netns was read.")
    items = [unread if (e.check, e.node) == (unread.check, "w3") else e for e in results.items]
    case = cases(replace(results, items=items))["wirecheck.pods.carries_its_addresses"]
    assert case.mark == "failure"
    assert "could not be completed on 1 of 12 nodes (w3)" in case.message
    assert case.text.index("On w2:") < case.text.index("On w3:\nNo netns was read.")


def test_the_suite_shows_which_cluster_and_how_much():
    root = ElementTree.fromstring(junit.render(sample.broken()))
    properties = {p.get("name"): p.get("value") for p in root.iter("property")}
    assert properties["cluster.name"] == "prod-eu-1"
    assert properties["cluster.version"] == "v1.34.4"
    assert properties["wirecheck.version"] == "0.1.0"
    assert properties["wirecheck.coverage"].startswith("Checked 9/12 nodes")
    assert properties["wirecheck.override.conntrack.use_warn"] == "75 -> 70"


def test_a_check_about_the_cluster_is_one_case():
    healthy = sample.healthy(2)
    found = [sample.finding("Pod", "shop/a", "one address", "that of shop/b", Level.FAIL)]
    failed = ItemResult("pods.addresses_are_unique", Outcome.FAIL, findings=found)
    items = [item for item in healthy.items if item.node] + [failed]
    named = {n: c for n, c in cases(replace(healthy, items=items)).items() if "unique" in n}
    assert list(named) == ["wirecheck.pods.addresses_are_unique"]
    assert "found:    that of shop/b" in named["wirecheck.pods.addresses_are_unique"].text


def test_an_item_that_comes_twice_keeps_names_unique():
    results = sample.broken()
    cases(replace(results, items=[*results.items, *results.items]))


def test_evidence_is_cut_before_the_rule_that_decides():
    rules = [f"-A KUBE-X -m comment --comment {n}" for n in range(500)] + ["-A DECIDES -j DROP"]
    results = sample.healthy(1)
    found = [sample.finding("Service", "shop/web", "this", "that", evidence=rules)]
    item = ItemResult("services.are_programmed", Outcome.FAIL, "pool-a-000", findings=found)
    items = [item if each.check == item.check else each for each in results.items]
    run = replace(results, items=items)
    for detail in junit.DETAILS[:-1]:
        (case,) = [c for c in junit.cases(run, detail) if c.mark]
        assert "-A DECIDES -j DROP" in case.body
    text = cases(run)["wirecheck.services.are_programmed"].text
    assert "--comment 0" in text
    assert "more lines …" in text
