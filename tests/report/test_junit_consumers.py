"""`junit.xml` within the limits of those who read it: GitLab, Jenkins, GitHub, Azure, TestGrid."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema
from msgspec.structs import replace

from tests.report import sample
from wirecheck.catalogue.findings import Outcome
from wirecheck.report import junit
from wirecheck.results.records import Comparison, ItemResult, Wait, WaiverRecord

SCHEMA = Path(__file__).with_name("junit.xsd")


def gated():
    """With all that baselines, waivers and waiting add."""
    run = sample.broken()
    waiver = WaiverRecord("dns.*", "*", sample.HOSTILE, "net", "2026-01-01", "expired", 3)
    ended = replace(run.ended, waivers=[waiver], wait=Wait(600, 40, 3), spared=["w7", "w9"])
    return replace(run, ended=ended, comparison=Comparison(sample.HOSTILE, new=1))


RUNS = sample.Runs(
    {
        "broken": sample.broken,
        "healthy": lambda: sample.healthy(1000),
        "nothing": sample.nothing,
        "empty": sample.empty,
        "gated": gated,
        "large": sample.large,
        "all red": lambda: sample.large(1000, 50, 50_000),
    }
)


@pytest.fixture(scope="module")
def schema() -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(SCHEMA)


LARGE = {"healthy", "large", "all red"}
EVERY_RUN = [pytest.param(name, marks=pytest.mark.slow) if name in LARGE else name for name in RUNS]


@pytest.fixture(scope="module", params=EVERY_RUN)
def text(request) -> str:
    return junit.render(RUNS[request.param])


def test_it_is_valid(schema, text):
    schema.validate(ElementTree.fromstring(text.encode()))


def test_the_schema_can_fail(schema):
    text = junit.render(sample.broken())
    for wrong in (
        text.replace("<testcase", "<testcase file='x'", 1),
        text.replace('name="carries_its_addresses"', 'name="addresses_are_unique"', 1),
        text.replace("<properties>", "<system-err/><properties>", 1),
    ):
        assert wrong != text
        assert not schema.is_valid(ElementTree.fromstring(wrong.encode()))


def test_testgrid_and_gitlab_take_its_size(text):
    root = ElementTree.fromstring(text.encode())
    objects = sum(1 + len(element.attrib) for element in root.iter())

    assert len(text.encode()) < 1_000_000
    assert objects < 250_000 / 2
    assert max((len(e.text or "") for e in root.iter()), default=0) < 1_000_000


def test_the_numbers_are_those_of_the_cases(text):
    root = ElementTree.fromstring(text.encode())
    (suite,) = root
    marks = Counter(child.tag for case in suite.iter("testcase") for child in case)

    for element in (root, suite):
        assert int(element.get("tests")) == len(list(suite.iter("testcase")))
        assert int(element.get("failures")) == marks["failure"]
        assert int(element.get("errors")) == marks["error"]
    assert int(suite.get("skipped")) == marks["skipped"]


def test_a_red_case_makes_sense_alone(text):
    for case in ElementTree.fromstring(text.encode()).iter("testcase"):
        for red in (*case.iter("failure"), *case.iter("error")):
            assert len(red.get("message")) > 20
            assert red.text


def test_the_suite_says_which_cluster_and_versions_it_was():
    root = ElementTree.fromstring(junit.render(sample.broken()).encode())
    said = {each.get("name"): each.get("value") for each in root.iter("property")}

    assert said["cluster.name"] == "prod-eu-1"
    assert said["cluster.version"] == "v1.34.4"
    assert said["wirecheck.version"] == "0.1.0"
    assert said["wirecheck.status"] == "1"


def test_names_stay_the_same_from_run_to_run():
    """A case that has another name is another test to all who keep a history."""

    def of_checks(results) -> set[str]:
        root = ElementTree.fromstring(junit.render(results).encode())
        return {f"{c.get('classname')}.{c.get('name')}" for c in root.iter("testcase")}

    assert of_checks(sample.broken()) == of_checks(sample.healthy())


@pytest.mark.parametrize("run", ["nothing", "empty"])
def test_a_run_that_checked_nothing_is_never_green(run):
    cases = list(ElementTree.fromstring(junit.render(RUNS[run]).encode()).iter("testcase"))

    assert any(case.find("failure") is not None for case in cases)


def test_everything_known_is_skipped_and_not_red():
    bad = replace(sample.finding("Pod", "shop/web", "this", "that"), standing="known")
    items = [
        ItemResult("pods.carries_its_addresses", Outcome.KNOWN, node="w1", findings=[bad]),
        ItemResult("nodes.reachable", Outcome.PASS, node="w1"),
    ]
    ended = replace(sample.healthy(1).ended, status=0)
    run = replace(sample.healthy(1), items=items, ended=ended)
    root = ElementTree.fromstring(junit.render(run).encode())

    assert (root.get("failures"), root.get("errors")) == ("0", "0")
    assert "known from the baseline" in "".join(
        each.get("message") for each in root.iter("skipped")
    )
