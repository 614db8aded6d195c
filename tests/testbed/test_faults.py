"""The faults as data: each can be read, and names checks that exist."""

import click
import pytest

from testbed.faults import __main__ as command
from testbed.faults import target
from testbed.faults.fault import Fault, Outcome, Target, fill_in, flat, load_faults, spelled_out
from testbed.faults.matrix import Row, as_markdown, as_text, counted, into_page
from testbed.state import Record
from wirecheck.catalogue.registry import load

FAULTS = load_faults()
GROUPS = {check.group for check in load()}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
class TestEveryFault:
    def test_turns_something_red_that_is_in_the_catalogue(self, fault: Fault):
        assert fault.failing or fault.inconclusive or fault.needs
        assert {*fault.failing, *fault.inconclusive} <= {check.id for check in load()}

    def test_is_taken_out_again(self, fault: Fault):
        assert fault.remove

    def test_has_steps_with_one_thing_to_do(self, fault: Fault):
        for step in fault.inject + fault.remove:
            assert sum(map(bool, (step.run, step.kubectl, step.until, step.script))) == 1

    def test_names_cluster_checks_without_a_node(self, fault: Fault):
        scopes = {check.id: check.scope for check in load()}
        for check, places in fault.failing.items():
            assert (set(places) == {"cluster"}) == (scopes[check] == "cluster")


def test_names_are_unique():
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_every_group_has_faults_and_one_that_ci_runs():
    # The checks of `deprecations` are about versions to come, and nothing is broken. They have
    # tests on models, and clusters in IPVS mode warn all the time. What `paths` finds is a fault of
    # wirecheck, which the referee of traces looks for.
    broken = GROUPS - {"deprecations", "paths"}
    # CI's cluster has flannel: no eBPF maps, and nobody who enforces policies.
    in_ci = broken - {"ebpf", "policy"}
    assert in_ci <= {fault.group for fault in FAULTS} <= broken
    assert sorted(fault.group for fault in FAULTS if fault.smoke) == sorted(in_ci)


def test_other_nodes_are_all_but_the_targets():
    places = {"every node": "fail", "every other node": "warn", "{node}": "error"}
    fault = Fault("f", "g", "story", Target("n2"), [], [], {"a.b": places})

    assert spelled_out(fault.reds(), {"node": "n2"}, ["n1", "n2", "n3"]) == {
        *[("a.b", node, "fail") for node in ("n1", "n2", "n3")],
        *[("a.b", node, "warn") for node in ("n1", "n3")],
        ("a.b", "n2", "error"),
    }


def test_the_cluster_ip_of_a_service_is_a_word(monkeypatch: pytest.MonkeyPatch):
    asked: list[str] = []

    def kubectl(*args: str) -> str:
        asked.append(" ".join(args))
        return "10.96.154.197"

    monkeypatch.setattr(target, "kubectl", kubectl)

    words = target.words(Target("wc-w1", namespace="shop", service="web"))
    assert words == {"node": "wc-w1", "service": "10.96.154.197"}
    assert asked == ["-n shop get service web -o jsonpath={.spec.clusterIP}"]


def test_only_known_words_are_filled_in():
    assert fill_in("{pid} {other} {", {"pid": "7"}) == "7 {other} {"


@pytest.mark.parametrize(
    ("red", "left_over", "problem", "exact"),
    [
        ({("a.b", "n1", "fail")}, set(), "", True),
        (set(), set(), "", False),
        ({("a.b", "n1", "error")}, set(), "", False),
        ({("a.b", "n1", "fail"), ("a.c", "n1", "fail")}, set(), "", False),
        ({("a.b", "n1", "fail")}, {("a.b", "n1", "fail")}, "", False),
        ({("a.b", "n1", "fail")}, set(), "it could not be taken out", False),
    ],
)
def test_exact_is_this_set_and_no_other(red, left_over, problem, exact):
    expected = frozenset({("a.b", "n1", "fail")})
    row = Row("f", "g", "story", expected, frozenset(red), frozenset(left_over), 1.0, problem)

    assert row.is_exact is exact
    assert as_text(row).startswith("exact" if exact else "WRONG")
    assert ("not exact" in as_markdown(row, "2026-11-27")) is not exact


@pytest.mark.parametrize(
    ("red", "exact"),
    [
        ({("a.b", "n1", "fail")}, True),
        ({("a.b", "n1", "fail"), ("a.c", "n1", "fail")}, True),
        ({("a.c", "n1", "fail")}, False),
        ({("a.b", "n1", "fail"), ("a.c", "n2", "fail")}, False),
    ],
    ids=["without", "with", "nothing else", "on another node"],
)
def test_what_fails_by_chance_neither_has_to_nor_must_not(red, exact):
    certain, possible = frozenset({("a.b", "n1", "fail")}), frozenset({("a.c", "n1", "fail")})
    row = Row("f", "g", "s", certain, frozenset(red), frozenset(), 1.0, by_chance=possible)

    assert row.is_exact is exact
    assert ("NOT EXPECTED" in as_text(row)) is bool(red - certain - possible)


def test_what_fails_by_chance_may_have_several_outcomes():
    chance: dict[str, dict[str, Outcome | list[Outcome]]] = {
        "a.b": {"cluster": ["fail", "error"], "n1": "warn"}
    }

    assert set(flat(chance)) == {("a.b", "", "fail"), ("a.b", "", "error"), ("a.b", "n1", "warn")}


def test_a_fault_that_is_not_named_yet_has_no_set_and_still_must_leave_nothing():
    red = frozenset({("a.b", "n1", "fail")})
    unnamed = Row("f", "g", "s", frozenset(), red, frozenset(), 1.0, needs="policy")
    left = Row("f", "g", "s", frozenset(), red, red, 1.0, needs="policy")
    exact = Row("f", "g", "s", red, red, frozenset(), 1.0)

    assert "not yet named: it needs policy" in as_text(unnamed)
    assert "exact" not in as_text(unnamed)
    assert as_text(left).startswith("WRONG")
    assert counted([unnamed, left, exact]) == "1 passed, 1 failed, 1 not yet named"
    assert counted([exact]) == "1 passed, 0 failed"


def test_faults_on_another_network_are_not_known_there(monkeypatch: pytest.MonkeyPatch):
    faults = [fault for fault in FAULTS if fault.name == "static-route-to-a-node-missing"]
    records = {"kind": Record("iptables", "", vm=False, network="kind"), "none": None}

    def chosen(running: str) -> list[Fault]:
        class Here:
            def record(self) -> Record | None:
                return records[running]

        monkeypatch.setattr(command, "state", Here)
        return command._chosen(faults, (), smoke=False, vm=False)

    assert chosen("kind") == faults
    assert chosen("none") == []
    with pytest.raises(click.UsageError, match="in iptables mode on the network flannel: static-"):
        command._chosen(faults, (faults[0].name,), smoke=False, vm=False)


def test_symptoms_are_told_apart_from_their_cause():
    cause, symptom = ("a.b", "n1", "fail"), ("a.c", "n1", "fail")
    both = frozenset({cause, symptom})
    row = Row("f", "g", "s", both, both, frozenset(), 1.0, symptoms=frozenset({symptom}))

    assert "| `a.b[n1] fail`<br>↳ `a.c[n1] fail` |" in as_markdown(row, "2026-11-27")
    assert ["follows", "a.c[n1]", "fail"] in [line.split() for line in as_text(row).splitlines()]


def test_a_page_keeps_the_rows_of_faults_that_were_not_injected(tmp_path):
    page = tmp_path / "faults.md"
    page.write_text("before\n<!-- matrix -->\n<!-- end of matrix -->\nafter\n")
    one, two = (
        Row(n, "g", "s", frozenset(), frozenset(), frozenset(), 1.0) for n in ("one", "two")
    )

    into_page(page, [two, one], ["one", "two"], "2026-11-01")
    into_page(page, [two], ["one", "two"], "2026-11-02")

    lines = page.read_text().splitlines()
    assert [line[:11] for line in lines[4:6]] == ["| g | `one`", "| g | `two`"]
    assert [line[-14:] for line in lines[4:6]] == ["| 2026-11-01 |", "| 2026-11-02 |"]
    assert (lines[0], lines[-1]) == ("before", "after")
