"""Prometheus' own tool on metrics, rules and queries."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.needs import find, need
from wirecheck.report import prometheus
from wirecheck.results.records import Results


def promtool(*words: str, given: str = "") -> str:
    """What it complains about; empty if nothing. Skips where it is not installed."""
    need("promtool")
    ended = subprocess.run(
        [str(find("promtool")), *words],
        input=given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # `check metrics` prints its complaints about names to standard error, whatever the status.
    said = f"{ended.stdout}{ended.stderr}"
    return said if ended.returncode else ended.stderr


def series(results: Results, more: str = "") -> list[dict[str, str]]:
    """The exported metrics as the input of a test, the same at all times. `more`: labels."""
    return [
        {
            "series": _named(sample.name, {**sample.labels, **_labels(more)}),
            "values": f"{sample.value}+0x20",
        }
        for family in text_string_to_metric_families(prometheus.render(results))
        for sample in family.samples
    ]


def unmet(file: Path, rules: Iterable[Path] = (), **test: Any) -> str:
    """What `promtool test rules` says against one test, which is written to `file`."""
    document = {
        "rule_files": [str(each) for each in rules],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", **test}],
    }
    file.write_text(yaml.safe_dump(document))
    return promtool("test", "rules", str(file))


def _named(name: str, labels: dict[str, str]) -> str:
    quoted = (
        '{}="{}"'.format(label, value.replace("\\", "\\\\").replace('"', '\\"'))
        for label, value in labels.items()
    )
    return f"{name}{{{','.join(quoted)}}}"


def _labels(more: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in more.split(",") if pair)
