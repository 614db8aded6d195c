"""The options of pytest that say which cluster is looked at, and how."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from wirecheck.run.intervals import read_intervals


def seconds(text: str) -> tuple[float, ...]:
    """Numbers of seconds, separated by commas. Raises ArgumentTypeError."""
    try:
        return read_intervals(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def positive(text: str) -> float:
    """A number above zero. Raises ArgumentTypeError."""
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number above zero.")


def count(text: str) -> int:
    """A whole number above zero. Raises ArgumentTypeError."""
    with contextlib.suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no whole number above zero.")


PREFIX = "wirecheck_"
OPTIONS: dict[str, dict[str, Any]] = {
    "inventory": {"type": Path, "metavar": "FILE", "help": "ways into nodes, thresholds, waivers"},
    "kubeconfig": {"type": Path, "metavar": "FILE", "help": "else the inventory's, or the usual"},
    "context": {"metavar": "NAME", "help": "context of the kubeconfig"},
    "snapshot": {"type": Path, "metavar": "DIR", "help": "judge what an earlier run saw"},
    "report-dir": {"type": Path, "metavar": "DIR", "help": "reports of a live run: ./reports"},
    "fail-on": {"choices": ("fail", "warn", "never"), "help": "what fails the run: fail"},
    "baseline": {"type": Path, "metavar": "RUN", "help": "an earlier run: only new is a failure"},
    "force-baseline": {"action": "store_true", "help": "take it though it did not see all"},
    "output": {
        "action": "append",
        "metavar": "FORMAT=FILE",
        "help": "another report, as -o of `wirecheck run`",
    },
    "dns-rate": {"type": positive, "metavar": "N", "help": "DNS queries per second, in all"},
    "helper-pods": {
        "action": "store_true",
        "help": "make a pod on each node for the run, to send large messages between them",
    },
    "looks": {"type": count, "metavar": "N", "help": "at most so many looks at a node"},
    "look-intervals": {
        "type": seconds,
        "metavar": "SECONDS,…",
        "help": "pauses before the second, third … look: 10,30",
    },
}


def add_options(parser: pytest.Parser, names: Iterable[str]) -> None:
    """Add those of `names` that are not there, as `--wirecheck-…` where the name is taken."""
    group = parser.getgroup("wirecheck", "wirecheck: the network of a Kubernetes cluster")
    there = {option.dest for option in group.options}
    taken = set(_taken(parser))
    for name in names:
        if _destination(name) not in there:
            option = f"--wirecheck-{name}" if f"--{name}" in taken else f"--{name}"
            group.addoption(option, dest=_destination(name), default=None, **OPTIONS[name])


def on_command_line(words: Iterable[str]) -> list[str]:
    """The options that are among the words of a command line."""
    options = {word.partition("=")[0] for word in words}
    return [name for name in OPTIONS if f"--{name}" in options]


def refuse_configuration_of_snapshot(inipath: Path | None, snapshot: Path | None) -> None:
    """Raise UsageError where pytest read its own configuration from the snapshot's folder.

    It takes the word after an option that it does not know yet for a test file, and looks for
    pytest.ini beside it; what is in a snapshot is never to be trusted.
    """
    if inipath and snapshot and inipath.resolve().is_relative_to(snapshot.resolve()):
        raise pytest.UsageError(
            f"pytest has read {inipath}, which has no place in a snapshot; remove it, and write "
            f"--snapshot={snapshot} in one word."
        )


def refuse_workers(config: pytest.Config) -> None:
    """Raise UsageError under xdist: each of its workers would look at the whole cluster."""
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("Checks are judged in one process; leave out -n.")


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
