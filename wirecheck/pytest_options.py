"""The options of pytest that say which cluster is looked at, and how."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PREFIX = "wirecheck_"
OPTIONS: dict[str, dict[str, Any]] = {
    "inventory": {"type": Path, "metavar": "FILE", "help": "ways into nodes, thresholds, waivers"},
    "kubeconfig": {"type": Path, "metavar": "FILE", "help": "else the inventory's, or the usual"},
    "context": {"metavar": "NAME", "help": "context of the kubeconfig"},
    "snapshot": {"type": Path, "metavar": "DIR", "help": "judge what an earlier run saw"},
    "report-dir": {"type": Path, "metavar": "DIR", "help": "reports of a live run: ./reports"},
    "fail-on": {"choices": ("fail", "warn", "never"), "help": "what fails the run: fail"},
    "dns-rate": {"type": float, "metavar": "N", "help": "DNS queries per second, in all"},
    "looks": {"type": int, "metavar": "N", "help": "at most so many looks at a node"},
}


def add_options(parser: pytest.Parser) -> None:
    """Add them all, as `--wirecheck-…` where another plugin has the name already."""
    group = parser.getgroup("wirecheck", "wirecheck: the network of a Kubernetes cluster")
    taken = set(_taken(parser))
    for name, attributes in OPTIONS.items():
        option = f"--{name}" if f"--{name}" not in taken else f"--wirecheck-{name}"
        group.addoption(option, dest=_destination(name), default=None, **attributes)


def given(config: pytest.Config) -> dict[str, Any]:
    """The options that were given, by their names as attributes (`report_dir`)."""
    values = {name: config.getoption(_destination(name), None) for name in OPTIONS}
    return {name.replace("-", "_"): value for name, value in values.items() if value is not None}


def _destination(name: str) -> str:
    return PREFIX + name.replace("-", "_")


def _taken(parser: pytest.Parser) -> Iterator[str]:
    """The names that other plugins have: pytest has no public way to ask, argparse raises."""
    for group in getattr(parser, "_groups", ()):
        for option in group.options:
            yield from option.names()
