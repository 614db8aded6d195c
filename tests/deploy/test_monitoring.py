"""Alert rules and the Grafana dashboard fit the metrics that wirecheck exports."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from tests.report import sample
from tests.report.promtool import promtool, series, unmet
from tests.report.test_flaky import flaky
from wirecheck.catalogue.findings import Outcome
from wirecheck.report import prometheus
from wirecheck.report.prometheus import MEASURED
from wirecheck.results.measures import CONNTRACK_USE, DNS_LOST, MEASURES
from wirecheck.results.records import Comparison, ItemResult, Results

FOLDER = Path(__file__).parents[2] / "deploy/monitoring"
RULES = FOLDER / "rules.yaml"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text())
SCHEMA = json.loads((Path(__file__).parent / "grafana_dashboard.schema.json").read_text())
CLUSTER = "prod-eu-1"
METRIC = re.compile(r"\bwirecheck_\w+")
MATCHER = re.compile(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"')


def measured(results: Results, **more: Any) -> Results:
    """The run with a value for each measure, so that every metric exists."""
    ended = replace(results.ended, measured=dict.fromkeys(MEASURES, 0.5), **more)
    compared = Comparison("before.jsonl", new=2, known=1)
    return replace(results, ended=ended, comparison=compared)


BROKEN = measured(sample.broken())
HEALTHY = measured(sample.healthy(3))


def panels(dashboard: dict[str, Any] = DASHBOARD) -> Iterator[dict[str, Any]]:
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries() -> dict[str, str]:
    """Every query of the dashboard, by panel and letter, as Grafana sends it."""
    return {
        f"{panel['title']} {target['refId']}": target["expr"].replace("$cluster", CLUSTER)
        for panel in panels()
        for target in panel["targets"]
    }


def rules() -> list[dict[str, Any]]:
    return [
        rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
    ]


def expressions() -> list[str]:
    """All of PromQL that is shipped, with the queries in the annotations of alerts."""
    said = [text for rule in rules() for text in rule["annotations"].values()]
    inner = [query for text in said for query in re.findall(r"wirecheck_\w+\{[^}]*\}", text)]
    return [*queries().values(), *(rule["expr"] for rule in rules()), *inner]


def exported(results: Results) -> dict[str, set[str]]:
    """The labels of each exported metric."""
    return {
        family.name: {label for each in family.samples for label in each.labels}
        for family in text_string_to_metric_families(prometheus.render(results))
    }


def test_every_metric_and_label_in_a_query_is_exported():
    found = exported(BROKEN)
    used = {name for text in expressions() for name in METRIC.findall(text)}

    assert used <= set(found)
    for text in expressions():
        for name, selector in re.findall(r"(wirecheck_\w+)\{([^}]*)\}", text):
            labels = {label for label, _ in MATCHER.findall(selector.replace('\\"', '"'))}
            assert labels <= found[name], text


def test_every_outcome_in_a_query_exists():
    named = {
        word
        for text in expressions()
        for label, value in MATCHER.findall(text.replace('\\"', '"'))
        if label == "outcome"
        for word in value.split("|")
    }

    assert named
    assert named <= {*map(str, Outcome)}


def test_every_metric_is_used_by_a_rule_or_the_dashboard():
    used = {name for text in expressions() for name in METRIC.findall(text)}

    # The version is looked up by hand, and only runs with a baseline have findings since then.
    assert set(exported(BROKEN)) - used == {
        "wirecheck_build_info",
        "wirecheck_baseline_findings",
    }
    assert {metric.name for metric in MEASURED.values()} <= used


def test_the_dashboard_is_valid_by_its_schema():
    Draft202012Validator.check_schema(SCHEMA)

    assert [error.message for error in Draft202012Validator(SCHEMA).iter_errors(DASHBOARD)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("panels", 0, "targets", 0, "expr"), 5),
        (("panels", 0, "gridPos", "w"), 25),
        (("panels", 0, "type"), "singlestat"),
        (("panels", 0, "fieldConfig", "defaults", "colour"), {}),
        (("templating", "list", 0, "type"), "datasources"),
        (("schemaVersion",), "39"),
        (("rows",), []),
    ],
)
def test_the_schema_refuses_what_grafana_does_not_know(path, value):
    changed = json.loads(json.dumps(DASHBOARD))
    place = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value

    assert list(Draft202012Validator(SCHEMA).iter_errors(changed))


def test_panels_have_unique_ids_and_do_not_overlap():
    ids = [panel["id"] for panel in panels()]
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not taken & cells, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells

    assert len(ids) == len(set(ids))


def test_every_panel_uses_the_chosen_data_source_and_cluster():
    for panel in panels():
        for target in panel["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"
            assert all(
                'cluster="$cluster"' in selector
                for selector in re.findall(r"wirecheck_\w+(\{[^}]*\})?", target["expr"])
            ), target["expr"]


def test_every_query_of_the_dashboard_has_a_result(tmp_path):
    """Over the exported sample, in Prometheus' own engine."""
    found = unmet(
        tmp_path / "test.yaml",
        input_series=series(BROKEN, "instance=node-1:9100"),
        promql_expr_test=[
            {
                "expr": f"count({query}) > bool 0",
                "eval_time": "10m",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
            for query in queries().values()
        ],
    )

    assert found == ""


def test_numbers_of_the_dashboard_are_those_of_the_run(tmp_path):
    numbers = {
        "Checks failed A": 3,
        "Could not be checked A": 3,
        "Warnings A": 2,
        "Nodes with failures A": 2,
        "Root causes A": 3,
    }
    found = unmet(
        tmp_path / "test.yaml",
        input_series=series(BROKEN),
        promql_expr_test=[
            {
                "expr": f"sum({queries()[name]})",
                "eval_time": "10m",
                "exp_samples": [{"labels": "{}", "value": value}],
            }
            for name, value in numbers.items()
        ],
    )

    assert found == ""


def test_a_query_that_finds_nothing_would_be_noticed(tmp_path):
    found = unmet(
        tmp_path / "test.yaml",
        input_series=series(BROKEN),
        promql_expr_test=[
            {
                "expr": 'count(wirecheck_checks{cluster="other"}) > bool 0',
                "eval_time": "10m",
                "exp_samples": [{"labels": "{}", "value": 1}],
            }
        ],
    )

    assert "FAILED" in found


def test_the_cluster_can_be_chosen():
    chosen = {each["name"]: each for each in DASHBOARD["templating"]["list"]}

    found = re.fullmatch(r"label_values\((\w+), (\w+)\)", chosen["cluster"]["query"])
    assert found
    assert found[2] in exported(HEALTHY)[found[1]]


def test_rules_are_valid():
    assert promtool("check", "rules", str(RULES)) == ""


def test_the_operator_gets_the_same_rules():
    manifest = yaml.safe_load((FOLDER / "prometheus-rule.yaml").read_text())

    assert manifest["kind"] == "PrometheusRule"
    assert manifest["spec"] == yaml.safe_load(RULES.read_text())


def test_the_kustomization_names_files_that_exist():
    manifest = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())

    files = [each.partition("=")[2] for each in manifest["configMapGenerator"][0]["files"]]
    assert all((FOLDER / name).is_file() for name in [*manifest["resources"], *files])


def alerts(results: Results, tmp_path: Path, name: str, at: str, *expected: dict[str, Any]) -> str:
    """What promtool says against the alert being these at that time."""
    return unmet(
        tmp_path / "test.yaml",
        [RULES],
        input_series=series(results),
        alert_rule_test=[{"alertname": name, "eval_time": at, "exp_alerts": list(expected)}],
    )


def test_no_alert_fires_on_a_healthy_run(tmp_path):
    fresh = replace(HEALTHY, started=replace(HEALTHY.started, time="1970-01-01T00:00:00Z"))
    well = replace(fresh, ended=replace(fresh.ended, measured={CONNTRACK_USE: 40.0, DNS_LOST: 0.0}))
    found = unmet(
        tmp_path / "test.yaml",
        [RULES],
        input_series=series(well),
        alert_rule_test=[
            {"alertname": rule["alert"], "eval_time": "20m", "exp_alerts": []} for rule in rules()
        ],
    )

    assert found == ""


def test_failed_checks_alert_with_their_names(tmp_path):
    expected = {
        "exp_labels": {"cluster": CLUSTER, "outcome": "fail", "severity": "critical"},
        "exp_annotations": {
            "summary": f"Failed wirecheck checks in cluster {CLUSTER}: 3.",
            "description": "Root causes: 3. Failed: pods.carries_its_addresses (1), "
            "services.are_programmed (2), services.kube_proxy_is_in_sync (1). The newest report "
            "lists the objects and the next command for each.",
        },
    }

    assert alerts(BROKEN, tmp_path, "WirecheckChecksFailed", "1m", expected) == ""


def test_what_could_not_be_checked_alerts(tmp_path):
    item = ItemResult("nodes.ready", Outcome.ERROR, node="n1", reason="unknown")
    run = replace(HEALTHY, items=[*HEALTHY.items, item])
    expected = {
        "exp_labels": {"cluster": CLUSTER, "outcome": "error", "severity": "warning"},
        "exp_annotations": {
            "summary": f"Wirecheck checks that could not be completed in cluster {CLUSTER}: 1.",
            "description": "Nothing is known about what they check: nodes.ready (1).",
        },
    }

    assert alerts(run, tmp_path, "WirecheckNotChecked", "1m", expected) == ""


def test_flaky_checks_alert(tmp_path):
    expected = {
        "exp_labels": {"cluster": CLUSTER, "outcome": "flaky", "severity": "warning"},
        "exp_annotations": {
            "summary": f"Flaky wirecheck checks in cluster {CLUSTER}: 1.",
            "description": "Failed in some rounds only: dns.pods_resolve_udp (1).",
        },
    }

    assert alerts(flaky(), tmp_path, "WirecheckFlaky", "1m", expected) == ""


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WirecheckConntrackNearlyFull", {CONNTRACK_USE: 93.0}, "a conntrack table is 93% full."),
        ("WirecheckDNSLoss", {DNS_LOST: 2.5}, "2.5% of DNS queries had no answer."),
    ],
)
def test_measured_values_alert(name, value, said, tmp_path):
    run = replace(HEALTHY, ended=replace(HEALTHY.ended, measured=value))
    (rule,) = (each for each in rules() if each["alert"] == name)
    expected = {
        "exp_labels": {"cluster": CLUSTER, **rule["labels"]},
        "exp_annotations": {
            "summary": f"Cluster {CLUSTER}: {said}",
            "description": rule["annotations"]["description"],
        },
    }

    assert alerts(run, tmp_path, name, "1m", expected) == ""


def test_a_run_that_is_missing_alerts(tmp_path):
    run = replace(HEALTHY, started=replace(HEALTHY.started, time="1970-01-01T00:00:00Z"))
    (rule,) = (each for each in rules() if each["alert"] == "WirecheckRunMissing")
    found = unmet(
        tmp_path / "test.yaml",
        [RULES],
        input_series=[
            {**each, "values": each["values"].replace("x20", "x400")} for each in series(run)
        ],
        alert_rule_test=[
            {"alertname": "WirecheckRunMissing", "eval_time": "2h59m", "exp_alerts": []},
            {
                "alertname": "WirecheckRunMissing",
                "eval_time": "3h2m",
                "exp_alerts": [
                    {
                        "exp_labels": {"cluster": CLUSTER, "severity": "warning"},
                        "exp_annotations": {
                            "summary": f"Cluster {CLUSTER}: the last wirecheck run was "
                            "3h 2m 0s ago.",
                            "description": rule["annotations"]["description"],
                        },
                    }
                ],
            },
        ],
    )

    assert found == ""


def test_metrics_that_are_missing_altogether_alert(tmp_path):
    (rule,) = (each for each in rules() if each["alert"] == "WirecheckAbsent")
    found = unmet(
        tmp_path / "test.yaml",
        [RULES],
        input_series=[],
        alert_rule_test=[
            {
                "alertname": "WirecheckAbsent",
                "eval_time": "3h1m",
                "exp_alerts": [
                    {"exp_labels": rule["labels"], "exp_annotations": rule["annotations"]}
                ],
            }
        ],
    )

    assert found == ""
