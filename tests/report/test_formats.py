"""Markdown, annotations, Prometheus, Nagios, Sonobuoy and messages: right, bounded, harmless."""

from __future__ import annotations

import html
import json
import re
from collections import Counter
from pathlib import Path

import pytest
import yaml
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from tests.report import sample
from tests.report.promtool import promtool
from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.catalogue.registry import load
from wirecheck.report import github, markdown, message, nagios, prometheus, sonobuoy
from wirecheck.report.registry import FORMATS
from wirecheck.results.measures import MEASURES
from wirecheck.results.records import ItemResult, Results

NASTY = (
    '<img src=x onerror=alert(1)>|`code`|**bold**|[click](http://evil.example)|"quoted"'
    "\n::error::forged\n# heading\n| a | b |\x1b[2J\x1b[31m @channel www.evil.example \\ {x} %0A"
    '"} 1\nforged_metric{a="b"} 2'
)


def nasty() -> Results:
    """A run of which every name and text was chosen by someone who means harm."""
    checks = sample.records([("pods.carries", f"A sentence {NASTY}")])
    bad = sample.finding("Pod", f"ns/{NASTY}", NASTY, NASTY, part=NASTY, workload=NASTY)
    items = [
        ItemResult("pods.carries", Outcome.FAIL, node=NASTY, findings=[bad]),
        ItemResult(f"pods.{NASTY}", Outcome.ERROR, node="w2", reason=NASTY),
    ]
    run = sample.broken()
    started = replace(
        run.started,
        checks=checks,
        notes=[NASTY],
        wirecheck=NASTY,
        cluster=replace(run.started.cluster, name=NASTY, version=NASTY),
    )
    ended = replace(run.ended, verdict=NASTY, counts={"fail": 1, "error": 1})
    return replace(run, started=started, items=items, ended=ended)


RUNS = sample.Runs(
    {
        "broken": sample.broken,
        "healthy": sample.healthy,
        "nothing": sample.nothing,
        "empty": sample.empty,
        "nasty": nasty,
        "large": sample.large,
    }
)
EVERY = {
    "markdown": markdown.render,
    "github": lambda run: "\n".join(github.error_lines(run)),
    "prometheus": prometheus.render,
    "nagios": nagios.render,
    "sonobuoy": sonobuoy.render,
    "message": message.render,
}


DOCS = (Path(__file__).parents[2] / "docs/formats.md").read_text()


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_renders_a_run_and_has_a_row_in_the_docs(name):
    assert FORMATS[name].render(sample.broken())
    assert re.search(rf"^\| .*`{name}\b.*\|.*\|.*\|$", DOCS, re.MULTILINE)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("run", RUNS)
def test_no_control_character_gets_through(name, run):
    text = EVERY[name](RUNS[run])

    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)


def test_markdown_starts_with_the_verdict_and_fits():
    for run in RUNS.values():
        text = markdown.render(run)
        assert text.startswith("## ")
        assert len(text.encode()) <= markdown.LARGEST


def sized(length: int) -> Results:
    """A run with 50 findings, whose full Markdown summary has this many bytes."""

    def run(*texts: str) -> Results:
        findings = [
            sample.finding("Pod", "shop/web", *pair)
            for pair in zip(texts[::2], texts[1::2], strict=True)
        ]
        items = [ItemResult("pods.carries_its_addresses", Outcome.FAIL, "w1", findings=findings)]
        return replace(sample.broken(), items=items)

    missing = length - len(markdown.render(run(*[""] * 100)).encode())
    texts = []
    for left in range(100, 0, -1):
        share = missing // left
        texts.append("€" * (share // 3) + "x" * (share % 3))
        missing -= share
    return run(*texts)


@pytest.mark.parametrize(("more", "listed"), [(0, 50), (1, 20), (20_000, 20)])
def test_markdown_lists_as_many_findings_as_fit_in_bytes(more, listed):
    run = sized(markdown.LARGEST + more)
    text = markdown.render(run)

    assert text.count("**Pod shop/web**") == listed
    assert (len(text.encode()) == markdown.LARGEST) is (listed == 50)
    assert len(text.encode()) <= markdown.LARGEST


def test_markdown_shows_what_fails_and_what_to_do():
    text = html.unescape(markdown.render(sample.broken()))

    assert "## ❌ 3 checks failed on 2 nodes" in text
    assert "| pods.carries_its_addresses | 1 |" in text
    assert "w2: **Pod shop/web-6d4cf56db6-x2x7q eth0 (Deployment/web)**: expected" in text
    assert f"Next: {sample.REMEDY}" in text
    assert "w7: ssh://ops@10.0.3.7 refused the connection" in text


def test_markdown_has_no_markup_of_the_clusters():
    text = markdown.render(nasty())

    for piece in ("<img", "`code`", "**bold**", "[click]", "http://evil", "www.evil", "@channel"):
        assert piece not in text
    lines = text.splitlines()
    assert not [line for line in lines if line.startswith(("::", "# heading", "| a "))]
    # Every row of a table has the columns that its head has.
    rows = [line for line in lines if line.startswith("|")]
    assert {row.count("|") for row in rows} == {7}


def test_there_are_at_most_ten_annotations_the_worst_first():
    lines = github.error_lines(sample.large(1000, 50, 2000))

    assert len(lines) == github.MOST
    assert all(line.startswith("::error title=wirecheck ") for line in lines)
    first = github.error_lines(sample.broken())[0]
    assert first.startswith(
        "::error title=wirecheck pods.carries_its_addresses::w2: Pod shop/web-6d4cf56db6-x2x7q eth0"
    )
    assert github.error_lines(sample.healthy()) == []


def test_an_annotation_is_one_line_and_nothing_can_be_added_to_it():
    lines = github.error_lines(nasty())

    assert len(lines) == 2
    for line in lines:
        assert "\n" not in line
        assert "%0A" not in line
        assert re.fullmatch(r"::error title=[^:,]*::.*", line)


def metrics(results: Results) -> dict[str, list]:
    families = text_string_to_metric_families(prometheus.render(results))
    return {family.name: list(family.samples) for family in families}


@pytest.mark.parametrize("run", RUNS)
def test_prometheus_reads_what_is_written(run):
    found = metrics(RUNS[run])

    assert set(found) == {
        "wirecheck_build_info",
        "wirecheck_checked_objects",
        "wirecheck_checks",
        "wirecheck_inconclusive_objects",
        "wirecheck_items",
        "wirecheck_known_objects",
        "wirecheck_node_items",
        "wirecheck_nodes",
        "wirecheck_root_causes",
        "wirecheck_run_duration_seconds",
        "wirecheck_run_rounds",
        "wirecheck_run_status",
        "wirecheck_run_timestamp_seconds",
        "wirecheck_skipped_nodes",
        "wirecheck_unreachable_nodes",
    }


def test_metrics_count_items_by_check_and_outcome():
    results = sample.broken()
    expected = Counter((item.check, str(item.outcome)) for item in results.items)

    found = {
        (each.labels["check"], each.labels["outcome"]): each.value
        for each in metrics(results)["wirecheck_items"]
    }

    assert {key: value for key, value in found.items() if value} == expected
    assert len(found) == len(sample.CHECKS) * len(Outcome)


def test_a_large_cluster_has_a_bounded_number_of_series():
    small, large = (metrics(sample.large(nodes, 20, nodes)) for nodes in (10, 5000))
    per_node = {name for name in large if any("node" in s.labels for s in large[name])}

    assert per_node == {"wirecheck_node_items"}
    assert len({each.labels["node"] for each in large["wirecheck_node_items"]}) == 100
    assert sum(map(len, large.values())) < 1000
    assert {n: len(s) for n, s in small.items() if n not in per_node} == {
        n: len(s) for n, s in large.items() if n not in per_node
    }


def test_the_documented_bound_has_room_for_all_checks():
    of_checks = len(load()) * len(Outcome)
    of_nodes = prometheus.MOST_NODES * len(prometheus.NODE_OUTCOMES)

    assert of_checks + of_nodes + 60 < 2000
    assert "fewer than 2,000 series" in " ".join(DOCS.split())


def test_nodes_with_most_failures_come_first():
    few, many = sample.finding("Pod", "a/b", "this", "that"), prometheus.MOST_NODES
    items = [ItemResult("nodes.ready", Outcome.ERROR, f"e{n}", reason="x") for n in range(many)]
    items += [ItemResult(c, Outcome.FAIL, "bad", findings=[few]) for c in ("a.b", "a.c")]
    items += [ItemResult("a.b", Outcome.PASS, f"p{n}") for n in range(9)]
    found = metrics(replace(sample.broken(), items=items))
    listed = {each.labels["node"]: each for each in found["wirecheck_node_items"]}

    assert len(listed) == many
    assert "bad" in listed
    assert not any(name.startswith("p") for name in listed)
    numbers = {each.labels["outcome"]: each.value for each in found["wirecheck_nodes"]}
    assert (numbers["fail"], numbers["error"], numbers["pass"]) == (1, many, 9)


@pytest.mark.parametrize("run", RUNS)
def test_metrics_follow_the_rules_for_names(run):
    assert promtool("check", "metrics", given=prometheus.render(RUNS[run])) == ""


@pytest.mark.parametrize("run", RUNS)
def test_a_metric_has_one_base_unit_and_label_values_have_no_spaces(run):
    for name, samples in metrics(with_measures(RUNS[run])).items():
        assert not re.search(r"percent|milli|minute|hour|_ms\b|_(kilo|mega)?bytes_?max", name)
        assert not name.endswith(("_total", "_count", "_sum"))  # all are gauges
        for each in samples:
            assert all(value == "".join(value.split()) for value in each.labels.values())
            assert not name.endswith("_ratio") or 0 <= each.value <= 1


def with_measures(run: Results) -> Results:
    return replace(run, ended=replace(run.ended, measured=dict.fromkeys(MEASURES, 12.5)))


def test_percent_become_ratios():
    found = metrics(with_measures(sample.broken()))

    assert found["wirecheck_conntrack_max_usage_ratio"][0].value == 0.125
    assert found["wirecheck_dns_lost_tries_ratio"][0].value == 0.125
    assert found["wirecheck_dns_median_latency_seconds"][0].value == 12.5
    assert set(prometheus.MEASURED) == set(MEASURES)


def test_a_name_that_breaks_the_rules_would_be_noticed():
    wrong = "# HELP wirecheck_looks_total A gauge.\n# TYPE wirecheck_looks_total gauge\n"

    assert "_total" in promtool("check", "metrics", given=f"{wrong}wirecheck_looks_total 1\n")


def test_every_metric_has_a_row_in_the_docs():
    found = set(metrics(with_measures(sample.broken()))) | {"wirecheck_baseline_findings"}

    assert {name for name in found if f"`{name}`" not in DOCS} == set()
    assert set(re.findall(r"`(wirecheck_\w+)`", DOCS)) == found


def test_labels_keep_hostile_names_as_values():
    found = metrics(nasty())

    assert "forged_metric" not in found
    (status,) = found["wirecheck_run_status"]
    assert "forged_metric" in status.labels["cluster"]


@pytest.mark.parametrize(
    ("run", "code", "start"),
    [
        ("broken", 2, "WIRECHECK CRITICAL - 3 checks failed on 2 nodes"),
        ("healthy", 0, "WIRECHECK OK - Healthy."),
        ("nothing", 3, "WIRECHECK UNKNOWN - 4 checks could not be completed on 3 nodes."),
        ("empty", 3, "WIRECHECK UNKNOWN - Nothing was checked."),
    ],
)
def test_nagios_gets_one_line_and_its_own_status(run, code, start):
    line = nagios.render(RUNS[run])

    assert line.startswith(start)
    assert (line.count("\n"), line[-1], nagios.exit_status(RUNS[run])) == (1, "\n", code)


def test_a_warning_is_one_for_nagios_too():
    run = sample.healthy(3)
    warned = replace(run, ended=replace(run.ended, counts={"pass": 3, "warn": 1}))

    assert nagios.exit_status(warned) == nagios.WARNING


@pytest.mark.parametrize("run", RUNS)
def test_performance_data_follow_the_guidelines(run):
    line = nagios.render(RUNS[run])
    said, bar, data = line.rstrip("\n").partition(" | ")

    assert bar
    assert "|" not in said + data
    for each in data.split(" "):
        assert re.fullmatch(r"[a-z_]+=\d+(\.\d+)?s?;\d*;\d*;\d*(;\d+)?", each), each


def items_below(tree: dict) -> list[dict]:
    below = tree.get("items", [])
    return [*below, *(each for item in below for each in items_below(item))]


@pytest.mark.parametrize("run", RUNS)
def test_sonobuoys_tree_has_its_fields_and_no_others(run):
    tree = yaml.safe_load(sonobuoy.render(RUNS[run]))

    for item in [tree, *items_below(tree)]:
        assert {"name", "status"} <= set(item) <= {"name", "status", "details", "items"}
        assert isinstance(item["name"], str)
        assert isinstance(item["status"], str)


def test_sonobuoys_tree_shows_check_node_and_finding():
    tree = yaml.safe_load(sonobuoy.render(sample.broken()))

    by_name = {item["name"]: item for item in items_below(tree)}
    assert tree["status"] == "failed"
    check = by_name["pods.carries_its_addresses"]
    (node,) = (item for item in check["items"] if item["name"] == "w2")
    assert (check["status"], node["status"]) == ("failed", "failed")
    assert "expected 10.32.2.17 on eth0; found nothing" in node["details"]["failure"][0]
    assert by_name["dns.pods_resolve_tcp"]["status"] == "unknown"
    assert by_name["conntrack.no_drops"]["status"] == "waived"


def test_sonobuoys_tree_stays_small():
    assert len(sonobuoy.render(sample.large(1000, 50, 2000))) < 2_000_000


@pytest.mark.parametrize("run", RUNS)
def test_a_message_has_at_most_five_lines(run):
    text = json.loads(message.body(message.render(RUNS[run]), "reports/1/report.html"))["text"]

    assert 3 <= len(text.splitlines()) <= 5
    assert not re.search(r"[<>@`]", text)
    assert max(map(len, text.splitlines())) < 700


def test_what_is_known_is_marked_in_markdown():
    bad = replace(sample.finding("Pod", "shop/web", "this", "that", Level.FAIL), standing="known")
    new = replace(sample.finding("Pod", "shop/new", "this", "that", Level.FAIL), standing="new")
    item = ItemResult("pods.carries_its_addresses", Outcome.FAIL, node="w1", findings=[bad, new])
    text = markdown.render(replace(sample.broken(), items=[item]))

    was, is_new = "- w1: (still there) **Pod shop/web**", "- w1: (new) **Pod shop/new**"
    assert 0 < text.index(is_new) < text.index(was)
