"""A flaky finding in every format: the object, the rounds and the times; never healthy."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace
from rich.console import Console

from tests.report.sample import finding, healthy
from wirecheck.catalogue.findings import Outcome
from wirecheck.evaluation.verdict import exit_status, verdict
from wirecheck.pytest_plugin.text import headline
from wirecheck.report import (
    github,
    html,
    junit,
    markdown,
    message,
    nagios,
    prometheus,
    sonobuoy,
    terminal,
)
from wirecheck.results import jsonl
from wirecheck.results.history import entry_of, has_changed
from wirecheck.results.ordering import tone
from wirecheck.results.records import FlakyRounds, ItemResult, Results

CHECK, NODE, POD = "dns.pods_resolve_udp", "pool-b-001", "shop/web-0"
FLAKY = FlakyRounds([1, 2], [1, 2, 3], "2026-11-29T10:00:00Z", "2026-11-29T10:00:20Z")
ROUNDS = "in rounds 1 and 2 of 3, from 2026-11-29T10:00:00Z to 2026-11-29T10:00:20Z"


def flaky(number: int = 6) -> Results:
    """A cluster where one pod had no DNS in two of three rounds."""
    results = healthy(number)
    record = replace(finding("Pod", POD, "10.96.0.1", "timeout"), flaky=FLAKY)
    items = [
        replace(each, outcome=Outcome.FLAKY, findings=[record])
        if (each.check, each.node) == (CHECK, NODE)
        else each
        for each in results.items
    ]
    ended = replace(
        results.ended,
        verdict=verdict(items),
        status=exit_status(items),
        counts=dict(Counter(str(each.outcome) for each in items)),
    )
    return replace(results, items=items, ended=ended)


def screen(results: Results) -> str:
    out = io.StringIO()
    terminal.show(results, Console(file=out, width=200))
    return out.getvalue()


@pytest.mark.parametrize(
    "render",
    [
        screen,
        html.render,
        html.render_fragment,
        junit.render,
        markdown.render,
        sonobuoy.render,
        jsonl.render,
        lambda results: "\n".join(github.error_lines(results)),
    ],
    ids=["terminal", "page", "fragment", "junit", "markdown", "sonobuoy", "jsonl", "github"],
)
def test_a_report_names_the_object_and_the_rounds(render):
    text = " ".join(render(flaky()).split())

    assert CHECK in text
    assert NODE in text
    assert "web-0" in text
    assert ROUNDS in text or msgspec.json.encode(FLAKY).decode() in text


def test_the_verdict_begins_with_flaky_and_never_says_healthy():
    results = flaky()

    assert results.ended.verdict == "Flaky: 1 check failed in some rounds only, on 1 node."
    assert tone(results) is Outcome.FLAKY
    for text in (nagios.render(results), message.render(results), markdown.render(results)):
        assert "Flaky" in text
        assert "ealthy" not in text


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        (
            [Outcome.ERROR],
            "Flaky: 1 check failed in some rounds only, 1 check could not be completed.",
        ),
        ([Outcome.WARN], "Flaky: 1 check failed in some rounds only, 1 check warned."),
        (
            [Outcome.FAIL],
            "1 check failed, 1 root cause, flaky: 1 check failed in some rounds only.",
        ),
        (
            [Outcome.KNOWN],
            "Flaky: 1 check failed in some rounds only, 1 check known from the baseline.",
        ),
    ],
)
def test_the_worst_comes_first(others, expected):
    items = [ItemResult(f"a.{number}", each) for number, each in enumerate(others)]

    assert verdict([ItemResult("a.flaky", Outcome.FLAKY), *items]) == expected


@pytest.mark.parametrize(
    ("outcome", "statuses"),
    [
        (Outcome.FAIL, {"fail": 1, "flaky": 1, "warn": 1, "never": 0}),
        (Outcome.FLAKY, {"fail": 0, "flaky": 1, "warn": 1, "never": 0}),
        (Outcome.WARN, {"fail": 0, "flaky": 0, "warn": 1, "never": 0}),
        (Outcome.PASS, {"fail": 0, "flaky": 0, "warn": 0, "never": 0}),
    ],
)
def test_each_value_of_fail_on_includes_those_before_it(outcome, statuses):
    items = [ItemResult("a.b", Outcome.PASS), ItemResult("a.c", outcome)]

    assert {value: exit_status(items, value) for value in statuses} == statuses


def test_junit_shows_it_as_a_passed_case_with_output():
    cases = ET.fromstring(junit.render(flaky())).iter("testcase")
    (case,) = [each for each in cases if each.get("name") == "pods_resolve_udp"]

    assert case.find("failure") is None
    assert ROUNDS in (case.findtext("system-out") or "")


def test_monitoring_warns():
    results = flaky()

    assert nagios.exit_status(results) == nagios.WARNING
    assert "flaky=1;;;0" in nagios.render(results)
    assert f'check="{CHECK}"' in prometheus.render(results)
    assert 'outcome="flaky"' in prometheus.render(results)


def test_github_gets_a_warning_and_no_error():
    (line,) = github.error_lines(flaky())

    assert line.startswith("::warning title=wirecheck dns.pods_resolve_udp")


def test_pytest_shows_the_rounds():
    (item,) = [each for each in flaky().items if each.outcome is Outcome.FLAKY]

    assert ROUNDS in headline(item)


def test_the_history_shows_it_and_its_coming_is_a_change():
    before, now = (entry_of(each, Path("r")) for each in (healthy(6), flaky()))

    assert now.checks[CHECK] == "flaky"
    assert now.counts["flaky"] == 1
    assert has_changed(before, now)
    assert not has_changed(now, now)


def test_a_results_file_keeps_it(tmp_path):
    file = tmp_path / "results.jsonl"
    jsonl.write(flaky(), file)

    (found,) = [e for e in jsonl.read_results(file).items if e.outcome is Outcome.FLAKY]
    assert found.findings[0].flaky == FLAKY
