"""The upgrade gate's steps, with commands that need no cluster."""

from __future__ import annotations

from pathlib import Path

from testbed.upgrade.gate import GateStep, pass_through, read_steps

RECORDED = Path(__file__).parents[2] / "wirecheck" / "recorded"
LOOK = f"wirecheck run --snapshot {RECORDED}/CLUSTER --report-dir before"


def gate(*steps: GateStep, folder: Path, cluster: str) -> tuple[list[tuple[str, int]], bool]:
    """How the steps ended, and whether there was an upgrade."""
    done: list[bool] = []
    words = {f"{RECORDED}/CLUSTER": f"{RECORDED}/{cluster}"}
    verdicts = pass_through(steps, lambda: done.append(True), folder, words)
    return [(each.step, each.status) for each in verdicts], bool(done)


def test_the_gate_of_the_pipelines():
    steps = read_steps()

    assert [step.name for step in steps] == ["before", "upgrade", "after", "report"]
    assert [step.name for step in steps if not step.run] == ["upgrade"]
    assert steps[0].goes_on == [0, 1]
    assert steps[2].goes_on == [0]


def test_what_was_broken_before_does_not_stop_the_upgrade(tmp_path):
    before = GateStep("before", LOOK, goes_on=[0, 1])
    after = GateStep("after", f"{LOOK} --baseline before", goes_on=[0])

    ended, upgraded = gate(before, GateStep("upgrade"), after, folder=tmp_path, cluster="broken")

    assert ended == [("before", 1), ("after", 0)]
    assert upgraded


def test_what_could_not_be_looked_at_stops_it(tmp_path):
    before = GateStep("before", "wirecheck run --snapshot nowhere", goes_on=[0, 1])
    report = GateStep("report", "wirecheck list", always=True)

    ended, upgraded = gate(before, GateStep("upgrade"), report, folder=tmp_path, cluster="broken")

    assert ended == [("before", 4), ("report", 0)]
    assert not upgraded
