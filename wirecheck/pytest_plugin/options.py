"""Pytest's options for the cluster to check, and for the run."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from wirecheck.run.durations import read_duration
from wirecheck.run.intervals import read_intervals
from wirecheck.run.renamed_options import RENAMED
from wirecheck.run.report_mode import read_mode
from wirecheck.run.shard import read_shard
from wirecheck.run.target_version import read_target_version

Value = TypeVar("Value")


def reading(read: Callable[[str], Value]) -> Callable[[str], Value]:
    """A type for argparse that shows the sentence of the function's ValueError."""

    def read_argument(text: str) -> Value:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read_argument


def positive(text: str) -> float:
    """Read a number above zero. Raises ArgumentTypeError."""
    with contextlib.suppress(ValueError):
        if float(text) > 0:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number above zero.")


def count(text: str) -> int:
    """Read a whole number above zero. Raises ArgumentTypeError."""
    with contextlib.suppress(ValueError):
        if int(text) > 0:
            return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above zero.")


PREFIX = "wirecheck_"
OPTIONS: dict[str, dict[str, Any]] = {
    "inventory": {
        "type": Path,
        "metavar": "FILE",
        "help": "access to the nodes, thresholds, waivers",
    },
    "kubeconfig": {
        "type": Path,
        "metavar": "FILE",
        "help": "default: the inventory's, then $KUBECONFIG",
    },
    "context": {"metavar": "NAME", "help": "context of the kubeconfig"},
    "snapshot": {
        "type": Path,
        "metavar": "DIR",
        "help": "evaluate the snapshot of an earlier run, without a cluster",
    },
    "node": {
        "action": "append",
        "metavar": "NAME",
        "help": "visit and evaluate only this node; a glob, and repeatable",
    },
    "namespace": {
        "action": "append",
        "metavar": "NAME",
        "help": "count only findings about objects of this namespace, and about nodes; a glob, "
        "and repeatable",
    },
    "report-dir": {
        "type": Path,
        "metavar": "DIR",
        "help": "where reports go; default for a live cluster: ./reports",
    },
    "keep": {
        "type": count,
        "metavar": "N",
        "help": "remove all but the newest N reports of --report-dir",
    },
    "report-mode": {
        "type": reading(read_mode),
        "metavar": "MODE",
        "help": "who may read the report's folder: 0750 for a collector in its group; default 0700",
    },
    "history": {"type": Path, "metavar": "FILE", "help": "append a line about the run to FILE"},
    "fail-on": {
        "choices": ("fail", "flaky", "warn", "never"),
        "help": "what fails the run; each value includes those before it; default: fail",
    },
    "baseline": {
        "type": Path,
        "metavar": "RUN",
        "help": "an earlier run: only findings that are new since then fail",
    },
    "force-baseline": {
        "action": "store_true",
        "help": "use the baseline even if it did not check everything",
    },
    "wait": {
        "type": reading(read_duration),
        "metavar": "TIME",
        "help": "check again until the cluster is healthy, for at most this long: 90s, 10m",
    },
    "output": {
        "action": "append",
        "metavar": "FORMAT=FILE",
        "help": "write another report, like -o of `wirecheck run`",
    },
    "dns-rate": {
        "type": positive,
        "metavar": "N",
        "help": "DNS queries per second, over the whole cluster",
    },
    "helper-pods": {
        "action": "store_true",
        "help": "create a pod on each node for the run, to send large payloads between all nodes",
    },
    "shard": {
        "type": reading(read_shard),
        "metavar": "K/N",
        "help": "visit only shard K of N; /N in an Indexed Job",
    },
    "target-version": {
        "type": reading(read_target_version),
        "metavar": "VERSION",
        "help": "leave out deprecations that a later version of Kubernetes brings: 1.40",
    },
    "rounds": {"type": count, "metavar": "N", "help": "maximum number of rounds"},
    "round-intervals": {
        "type": reading(read_intervals),
        "metavar": "SECONDS,…",
        "help": "pauses before the second, third … round: 10,30",
    },
}
OPTIONS |= {old: {**OPTIONS[new], "help": argparse.SUPPRESS} for old, new in RENAMED.items()}


def add_options(parser: pytest.Parser, names: Iterable[str]) -> None:
    """Add those of `names` that are missing, as `--wirecheck-…` where the name is taken."""
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

    pytest takes the word after an option that it does not know yet for a test file, and searches
    for pytest.ini beside it. Nothing in a snapshot is to be trusted.
    """
    if inipath and snapshot and inipath.resolve().is_relative_to(snapshot.resolve()):
        raise pytest.UsageError(
            f"pytest has read {inipath}, which does not belong in a snapshot. Remove it, and write "
            f"--snapshot={snapshot} in one word."
        )


def refuse_workers(config: pytest.Config) -> None:
    """Raise UsageError under xdist: each of its workers would visit the whole cluster."""
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError("Checks are evaluated in one process; leave out -n.")


def given(config: pytest.Config) -> dict[str, Any]:
    """The options that were given, by their names as attributes (`report_dir`)."""
    found = {name: config.getoption(_destination(name), None) for name in OPTIONS}
    values = {RENAMED.get(n, n): value for n, value in found.items() if value is not None}
    for name in ("node", "namespace"):
        if name in values:
            values[f"{name}s"] = tuple(values.pop(name))
    return {name.replace("-", "_"): value for name, value in values.items()}


def old_names(config: pytest.Config) -> list[str]:
    """The options that were given by their old names."""
    return [name for name in RENAMED if config.getoption(_destination(name), None) is not None]


def _destination(name: str) -> str:
    return PREFIX + name.replace("-", "_")


def _taken(parser: pytest.Parser) -> Iterator[str]:
    """The names that other plugins have: pytest has no public way to ask, argparse raises."""
    for group in getattr(parser, "_groups", ()):
        for option in group.options:
            yield from option.names()
