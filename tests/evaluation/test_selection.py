"""What a selection of nodes and namespaces leaves out, of this run and of earlier results."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from wirecheck.catalogue.findings import CONCLUSIVE, Conclusive, Finding, Level, Outcome, Ref
from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.selection import EVERYTHING, Selected, Selection, within
from wirecheck.results.records import FindingRecord, ItemResult, Object

NODE, SHOP = Selection(nodes=("w1",)), Selection(namespaces=("shop",))
BOTH = Selection(nodes=("w1",), namespaces=("shop",))
EARLIER = {
    "web": Object("Pod", "web", "shop"),
    "cart": Object("Pod", "cart", "ops"),
    "service": Object("Service", "web", "shop"),
    "other service": Object("Service", "cart", "ops"),
    "w1": Object("Node", "w1"),
    "w2": Object("Node", "w2"),
    "namespace": Object("Namespace", "shop"),
    "other namespace": Object("Namespace", "ops"),
}


def item(node: str) -> ItemResult:
    findings = [FindingRecord(each, Level.FAIL, "a", "b", "k") for each in EARLIER.values()]
    return ItemResult("a.b", Outcome.FAIL, node=node, findings=findings)


def left(selection: Selection, node: str) -> set[str]:
    """The findings that are left of an item with all of them."""
    (only,) = within(selection, [item(node)])
    names = {each: name for name, each in EARLIER.items()}
    return {names[each.object] for each in only.findings}


ALL = set(EARLIER)
OF_SHOP = {"web", "service", "namespace", "w1", "w2"}


@pytest.mark.parametrize(
    ("selection", "of_node", "of_cluster"),
    [
        (EVERYTHING, ALL, ALL),
        # Where a pod of an earlier run was is not known.
        (NODE, ALL, ALL - {"web", "cart", "w2"}),
        (SHOP, OF_SHOP, OF_SHOP),
        (BOTH, OF_SHOP, {"service", "namespace", "w1"}),
    ],
    ids=["everything", "a node", "a namespace", "both"],
)
def test_of_an_earlier_run_the_findings_within_the_selection_are_left(
    selection: Selection, of_node: set[str], of_cluster: set[str]
) -> None:
    assert left(selection, "w1") == of_node
    assert left(selection, "") == of_cluster


@pytest.mark.parametrize(
    ("selection", "nodes"),
    [(EVERYTHING, ["w1", "w2", ""]), (NODE, ["w1", ""]), (SHOP, ["w1", "w2", ""])],
)
def test_items_of_other_nodes_are_left_out(selection: Selection, nodes: list[str]) -> None:
    found = within(selection, [item("w1"), item("w2"), item("")])

    assert [each.node for each in found] == nodes


@pytest.mark.parametrize(
    ("selection", "is_one", "globs", "words"),
    [
        (EVERYTHING, False, "", ""),
        (NODE, True, "node w1", "1 of 3 nodes (w1)"),
        (SHOP, True, "namespace shop", "namespace shop"),
        (BOTH, True, "node w1, namespace shop", "1 of 3 nodes (w1), namespace shop"),
        (
            Selection(("w1", "x*"), ("shop", "ops")),
            True,
            "nodes w1, x*, namespaces shop, ops",
            "1 of 3 nodes (w1), namespaces shop, ops",
        ),
    ],
)
def test_a_selection_in_words(selection: Selection, is_one: bool, globs: str, words: str) -> None:
    assert bool(selection) is is_one
    assert selection.globs == globs
    assert selection.words(["w1"], 3) == words


def test_of_many_nodes_the_first_five_are_named() -> None:
    names = [f"w{number}" for number in range(7, 0, -1)]

    assert (
        Selection(nodes=("w*",)).words(names, 9) == "7 of 9 nodes (w1, w2, w3, w4, w5 and 2 more)"
    )
    assert Selection(nodes=("w*",)).words(names[2:], 9) == "5 of 9 nodes (w1, w2, w3, w4, w5)"


@pytest.mark.parametrize(
    ("selection", "node", "namespace"),
    [(EVERYTHING, True, True), (NODE, False, True), (SHOP, True, False), (BOTH, False, False)],
)
def test_what_is_selected(selection: Selection, node: bool, namespace: bool) -> None:
    assert selection.has_node("w1")
    assert selection.has_node("w2") is node
    assert selection.has_namespace("shop")
    assert selection.has_namespace("ops") is namespace
    assert selection.has_namespace("")


def finding(name: str, namespace: str) -> Finding:
    return Finding(Ref("Pod", name, namespace), expected="a", found="b")


def function(_subject: object) -> Iterator[Finding | Conclusive]:
    yield CONCLUSIVE
    yield finding("web", "shop")
    yield finding("cart", "ops")


CHECK = Check("a.b", "s", "w", "r", "node", settles=False, thresholds=(), function=function)


def test_findings_about_other_objects_are_counted_once_in_all_rounds() -> None:
    selected = Selected(SHOP, None)
    check = selected.applied(CHECK)

    for _ in range(2):
        assert list(check.function(None)) == [CONCLUSIVE, finding("web", "shop")]
    assert selected.left_out == {("a.b", finding("cart", "ops").identity)}


def test_without_a_selection_the_check_is_itself() -> None:
    assert Selected(EVERYTHING, None).applied(CHECK) is CHECK


@pytest.mark.parametrize(("scope", "counts"), [("node", 1), ("cluster", 0)])
def test_a_check_of_a_selected_node_may_find_other_nodes(scope: str, counts: int) -> None:
    def of_node(_subject: object) -> Iterator[Finding]:
        yield Finding(Ref("Node", "w2"), expected="a", found="b")

    check = replace(CHECK, function=of_node, scope=scope)  # type: ignore[arg-type]

    assert len(list(Selected(NODE, None).applied(check).function(None))) == counts
