"""The stages of the node program, and everything elsewhere that refers to them by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.collect.on_node.conftest import plan
from wirecheck.catalogue.facts import Fact
from wirecheck.collect.on_node import visit, visit_state
from wirecheck.collect.on_node.stages import STAGES, Stage
from wirecheck.collect.on_node.visit_state import VisitState
from wirecheck.collect.plan.visit_plan import Plan
from wirecheck.snapshot.node_document import Host, NodeDocument

NAMES = [each.name for each in STAGES]
OF_THE_VISIT = {"format", "program", "started", "finished", "host", "problems", "seconds"}
"""Fields that describe the visit, and that no stage fills."""


def test_each_stage_has_a_name_of_its_own() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert not [name for name in NAMES if ":" in name], "a problem begins with `NAME: `"


def test_facts_name_every_stage_and_no_other() -> None:
    assert {name for fact in Fact for name in fact.measured.stages} == set(NAMES)


def test_only_facts_of_the_api_and_of_the_visit_itself_have_no_stage() -> None:
    assert {fact for fact in Fact if not fact.measured.stages} == {Fact.API, Fact.VISIT}


def test_stages_fill_every_field_of_the_document_and_no_other() -> None:
    filled = {field for each in STAGES for field in each.fields}

    assert filled == set(NodeDocument.__struct_fields__) - OF_THE_VISIT


def test_stages_use_every_part_of_the_plan_and_no_other() -> None:
    used = {part for each in STAGES for part in each.plan}

    assert used == set(Plan.__struct_fields__) - {"program", "deadline"}


def test_a_document_has_the_time_of_every_stage(fake_node) -> None:
    seen = fake_node(web={}).visit(plan())

    assert set(seen.document.seconds) == set(NAMES)


@pytest.mark.parametrize("fact", [fact for fact in Fact if fact.measured.stages])
def test_a_problem_belongs_to_the_facts_of_its_stage_alone(fact: Fact) -> None:
    name = fact.measured.stages[-1]
    document = NodeDocument(
        1, "1", 0.0, 1.0, Host("n1"), problems=[f"{name} too: x.", f"{name}: OSError: no."]
    )

    assert document.problem_with(fact) == f"{name}: OSError: no."
    others = [each for each in Fact if name not in each.measured.stages]
    assert not any(document.problem_with(each) for each in others)


@dataclass
class LeftOver:
    """A deadline without the real one's alarm, which would end the tests."""

    seconds: float
    has_stage: bool = False

    def left(self) -> float:
        return self.seconds


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], VisitState]:
    def with_deadline(seconds: float) -> VisitState:
        plan = {"program": "1", "deadline": seconds, "window": 0.0}
        return VisitState(plan, {"format": 1, "namespaces": []})

    monkeypatch.setattr(visit_state, "Deadline", LeftOver)
    return with_deadline


def test_a_stage_that_fails_is_a_problem_with_its_name(state) -> None:
    def fails(_: VisitState) -> None:
        raise OSError("no")

    seen = state(60.0)
    visit.attempt(seen, Stage("CNI files", fails, ["cni"]), fails)

    assert seen.problems == ["CNI files: OSError: no."]
    assert seen.document["seconds"].keys() == {"CNI files"}


def test_a_stage_without_time_is_not_begun(state) -> None:
    begun = []
    seen = state(0.0)
    visit.attempt(seen, Stage("CNI files", begun.append, ["cni"]), begun.append)

    assert (begun, seen.problems) == ([], ["CNI files: not read, the visit had no time left."])


def test_a_limit_bounds_what_a_stage_waits_for(state) -> None:
    limits = []

    def run(seen: VisitState) -> None:
        limits.append(seen.limit())

    seen = state(60.0)
    visit.attempt(seen, Stage("Pods", run, ["pods"], limit=3.0), run)
    visit.attempt(seen, Stage("Rules", run, ["commands"]), run)

    assert limits == [3.0, 60.0]
