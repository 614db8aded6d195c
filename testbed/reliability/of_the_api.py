"""The API server is busy, fails, expires, breaks off, or restarts while it is asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from testbed import nodes
from testbed.layout import CONTROL_PLANE
from testbed.reliability.api_proxy import Fault, Rule, serving
from testbed.reliability.of_the_nodes import looks_at_nodes, wait_until_healthy
from testbed.reliability.scenario import Outcome, Scenario, begin, expected
from testbed.state import state

PODS = "/api/v1/pods"


def _through(
    rule: Rule, judge: Callable[[Outcome], list[str]], *, watching: bool = False
) -> list[str]:
    with (
        tempfile.TemporaryDirectory(prefix="wirecheck-reliability-") as folder,
        serving(state().kubeconfig, rule) as kubeconfig,
    ):
        running = begin(Path(folder) / "run", kubeconfig=kubeconfig, watching=watching)
        return judge(running.end())


def _at(path: str, counts: Sequence[int], fault: Fault) -> Rule:
    """The fault at some requests of a path, by their number; at all of them without numbers."""
    return lambda asked, count: fault if asked == path and (not counts or count in counts) else None


def _healthy(outcome: Outcome) -> list[str]:
    return expected(outcome, 0)


def _nothing_but_a_sentence(*words: str) -> Callable[[Outcome], list[str]]:
    def judge(outcome: Outcome) -> list[str]:
        wrong = expected(outcome, 2, words=words)
        return [*wrong, "it left a folder"] if outcome.folder else wrong

    return judge


def _noted(*words: str) -> Callable[[Outcome], list[str]]:
    """All results are there, and a note says what could not be read."""

    def judge(outcome: Outcome) -> list[str]:
        wrong = expected(outcome, 0, 2)
        notes = "\n".join(outcome.results.started.notes)
        wrong += [f"no note says {word!r}: {notes}" for word in words if word not in notes]
        if set(outcome.visits.values()) != {"seen"}:
            wrong.append(f"not every node was seen: {outcome.visits}")
        return wrong

    return judge


def _busy() -> list[str]:
    return _through(_at(PODS, [1, 2], Fault(429, {"Retry-After": "1"})), _healthy)


def _failing_for_a_while() -> list[str]:
    return _through(_at(PODS, [1, 2, 3], Fault(500)), _healthy)


def _failing() -> list[str]:
    words = ("did not return the list of pods in several attempts (500: as the test demands)",)
    return _through(_at(PODS, [], Fault(500)), _nothing_but_a_sentence(*words))


def _failing_at_the_end() -> list[str]:
    return _through(
        _at(PODS, range(2, 1000), Fault(503)),
        _noted("What changed during the round is unknown"),
    )


def _expired() -> list[str]:
    """The continue token, so to say: the whole list is asked for again."""
    return _through(_at(PODS, [1], Fault(410)), _healthy)


def _watching() -> list[str]:
    return _through(lambda *_: None, _healthy, watching=True)


def _watch_expired() -> list[str]:
    return _through(_at(f"{PODS}?watch", [], Fault(410)), _healthy, watching=True)


def _watch_broken() -> list[str]:
    return _through(_at(f"{PODS}?watch", [], Fault(cut=True)), _healthy, watching=True)


def _truncated() -> list[str]:
    return _through(
        _at(PODS, [1], Fault(cut=True)),
        _nothing_but_a_sentence("The API server", "the list of pods"),
    )


def _restarted() -> list[str]:
    """During the visits the API server is killed; the kubelet starts it again."""
    with tempfile.TemporaryDirectory(prefix="wirecheck-reliability-") as folder:
        running = begin(Path(folder) / "run", "--dns-rate", "8")
        try:
            looks_at_nodes()
            nodes.output(CONTROL_PLANE, ["pkill", "-KILL", "-x", "kube-apiserver"])
            outcome = running.end()
            wrong = expected(outcome, 0, 1, 2)
            if set(outcome.visits.values()) != {"seen"}:
                wrong.append(f"not every node was seen: {outcome.visits}")
            return wrong
        finally:
            wait_until_healthy()


SCENARIOS = (
    Scenario("api-429", "429 with Retry-After is waited for", _busy),
    Scenario("api-500-passing", "three times 500 are tried again", _failing_for_a_while),
    Scenario("api-500", "500 for good is one sentence, status 2, no folder", _failing),
    Scenario(
        "api-503-later",
        "503 after the visits is a note; all nodes are evaluated",
        _failing_at_the_end,
    ),
    Scenario("api-410", "a list that expires is read again", _expired),
    Scenario("watch", "watches on the real server tell what changed", _watching),
    Scenario("watch-410", "a watch that expires is replaced by a list", _watch_expired),
    Scenario("watch-cut", "a watch that breaks off is replaced by a list", _watch_broken),
    Scenario("api-cut", "a list that breaks off is one sentence, status 2, no folder", _truncated),
    Scenario("api-restart", "a restart during the visits: all nodes are evaluated", _restarted),
)
