"""Helper pods on the real cluster: made, used in all pairs, and gone whatever ends the run."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from testbed import helper_pods
from testbed.reliability.of_the_nodes import NODES, SLOW, looks_at_nodes
from testbed.reliability.scenario import Outcome, Running, Scenario, begin, expected, wait_for
from testbed.state import state

BETWEEN = "reachability.large_payloads_between_nodes"
WITHIN = "reachability.large_payloads_within_node"
PAIRS = len(NODES) * (len(NODES) - 1)
SOURCES = 2
"""The node, and its own helper pod; within a node another pod."""


@contextmanager
def _running(*options: str, image: str = "") -> Iterator[Running]:
    helper_pods.prepare(state())
    with tempfile.TemporaryDirectory(prefix="wirecheck-reliability-") as folder:
        changes = {"helper_pods": {"image": image}} if image else {}
        reports = Path(folder) / "run"
        yield begin(reports, *options, inventory=helper_pods.INVENTORY, changes=changes)


def _left() -> list[str]:
    return [f"left behind: {each}" for each in helper_pods.pods()]


def _all_pairs() -> list[str]:
    with _running("--helper-pods") as running:
        outcome = running.end()
        wrong = expected(outcome, 0, words=("Creating 3 helper pods", "(all pairs)"))
        wrong += _not_passed(outcome)
        sent = [each for each in _contacts(outcome) if each.endswith("helper")]
        for purpose, number in (("helper", PAIRS * SOURCES), ("own helper", len(NODES) * SOURCES)):
            if sent.count(purpose) != number:
                wrong.append(f"{sent.count(purpose)} and not {number} of purpose {purpose!r}")
        if "helper" in str(sorted(outcome.results.ended.coverage.unjudged)):
            wrong.append(f"inconclusive: {outcome.results.ended.coverage.unjudged}")
        return wrong + _left()


def _not_passed(outcome: Outcome) -> list[str]:
    items = {(i.check, i.node): i.outcome for i in outcome.results.items}
    found = {
        (check, node): items.get((check, node)) for check in (BETWEEN, WITHIN) for node in NODES
    }
    return [f"{key} is {outcome}" for key, outcome in found.items() if outcome != "pass"]


def _contacts(outcome: Outcome) -> list[str]:
    """The purposes of all messages that came back in full."""
    snapshot = outcome.snapshot
    return [
        each.purpose
        for node in NODES
        for each in snapshot.document(node, 1).contacts or ()
        if each.messages and each.replies == each.messages and each.received > 64 * 1024
    ]


def _without_an_image() -> list[str]:
    """Never green: each item is an error that names node and reason."""
    with _running("--helper-pods", image="testbed.test/none:1") as running:
        outcome = running.end()
        wrong = expected(outcome, 2, words=("No helper pod runs on", "ErrImage"))
        evaluated = {i.outcome for i in outcome.results.items if i.check in (BETWEEN, WITHIN)}
        return wrong + [f"outcomes are {evaluated}"] * (evaluated != {"error"}) + _left()


def _ended(number: signal.Signals, stage: str) -> list[str]:
    """No pod stays, whatever the run was doing; what a killed one leaves is cleaned."""
    slow = SLOW if stage == "visits" else ()
    with _running("--helper-pods", *slow) as running:
        if stage == "visits":
            looks_at_nodes()
        else:
            wait_for("a helper pod is made", helper_pods.pods)
        was_there = helper_pods.pods()
        running.process.send_signal(number)
        outcome = running.end()
        wrong = [] if was_there else ["no helper pod was left to remove"]
        if number == signal.SIGKILL:
            return wrong + _cleaned(running)
        return wrong + expected(outcome, 2) + _left()


def _cleaned(running: Running) -> list[str]:
    wrong = [] if helper_pods.pods() else ["the killed run has left nothing to clean"]
    command = [sys.executable, "-m", "wirecheck", "clean", "--inventory", str(running.inventory)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode or "removed wirecheck-helper-" not in ended.stdout:
        wrong.append(f"clean ended with {ended.returncode}: {ended.stdout}{ended.stderr}")
    return wrong + _left()


SCENARIOS = (
    Scenario("helper-pods", "large messages pass between all pairs; no pod stays", _all_pairs),
    Scenario("helper-pods-image", "an image that is not there is never green", _without_an_image),
    *(
        Scenario(
            f"helper-pods-{number.name.lower()}-{stage}",
            f"{number.name}, {when}: no helper pod stays",
            partial(_ended, number, stage),
        )
        for stage, when in (("made", "while they start"), ("visits", "during visits"))
        for number in (signal.SIGINT, signal.SIGTERM)
    ),
    Scenario(
        "helper-pods-sigkill",
        "what SIGKILL leaves, `wirecheck clean` removes",
        partial(_ended, signal.SIGKILL, "visits"),
    ),
)
