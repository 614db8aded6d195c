"""A stage that runs while the next one does."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import cast

import pytest

from wirecheck.collect.on_node import visit
from wirecheck.collect.on_node.alongside import Alongside
from wirecheck.collect.on_node.stages import Stage
from wirecheck.collect.on_node.visit_state import VisitState

PATIENCE = 60.0


@pytest.fixture(autouse=True)
def no_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real deadline takes over this process's signals."""
    deadline = SimpleNamespace(left=lambda: PATIENCE, has_stage=False)
    monkeypatch.setattr("wirecheck.collect.on_node.visit_state.Deadline", lambda _: deadline)


@pytest.fixture
def seen() -> VisitState:
    return VisitState({"deadline": PATIENCE}, {"namespaces": []})


def reads_contacts(of: VisitState) -> None:
    of.document["contacts"] = [1]


def test_two_stages_run_at_once_and_both_are_in_the_document(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, there = threading.Event(), threading.Event()

    def first(of: VisitState) -> None:
        here.set()
        of.document["contacts"] = there.wait(PATIENCE)

    def second(of: VisitState) -> None:
        there.set()
        of.document["probes"] = here.wait(PATIENCE)

    stages = (Stage("A", first, ["contacts"], alongside=True), Stage("B", second, ["probes"]))
    monkeypatch.setattr(visit, "STAGES", stages)
    document = visit.document_of({"program": "1", "deadline": PATIENCE})

    assert (document["contacts"], document["probes"], document["problems"]) == (True, True, [])
    assert set(document["seconds"]) == {"A", "B"}


def test_a_failure_is_a_problem_of_the_stage_itself(seen: VisitState) -> None:
    def fails(_: VisitState) -> None:
        raise OSError("no")

    begun = Alongside(Stage("Contacts", fails, ["contacts"]), seen)
    visit.attempt(seen, begun.stage, begun.end)

    assert seen.problems == ["Contacts: OSError: no."]
    assert "contacts" not in seen.document


def test_what_it_reads_is_in_the_document_only_after_its_end(seen: VisitState) -> None:
    begun = Alongside(Stage("Contacts", reads_contacts, ["contacts"]), seen)
    begun._thread.join(PATIENCE)
    assert "contacts" not in seen.document

    begun.end(seen)

    assert seen.document["contacts"] == [1]


def test_without_another_thread_it_runs_before_the_next(
    seen: VisitState, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    begun = Alongside(Stage("Contacts", reads_contacts, ["contacts"]), seen)
    begun.end(seen)

    assert cast("list[int]", seen.document["contacts"]) == [1]
