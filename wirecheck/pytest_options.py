"""The options of pytest that say which cluster is looked at, and how."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from wirecheck.request import Request

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


def request_of(config: pytest.Config) -> Request:
    """What was asked for; an option that was not given is the request's default."""
    given = {name.replace("-", "_"): _value(config, name) for name in OPTIONS}
    return Request(**{name: value for name, value in given.items() if value is not None})


def gave_any(config: pytest.Config) -> bool:
    """Whether one of the options was given."""
    return any(_value(config, name) is not None for name in OPTIONS)


def writes_reports(config: pytest.Config) -> bool:
    """A live run always leaves what it saw; a replay only where it was told to."""
    return _value(config, "snapshot") is None or _value(config, "report-dir") is not None


def _value(config: pytest.Config, name: str) -> Any:
    return config.getoption(_destination(name), None)


def _destination(name: str) -> str:
    return PREFIX + name.replace("-", "_")


def _taken(parser: pytest.Parser) -> Iterator[str]:
    """The names that other plugins have: pytest has no public way to ask, argparse raises."""
    for group in getattr(parser, "_groups", ()):
        for option in group.options:
            yield from option.names()
