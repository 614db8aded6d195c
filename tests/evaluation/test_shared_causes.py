"""A cause that many checks of a node share is one error."""

from __future__ import annotations

from msgspec.structs import replace

from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.evaluation.shared_causes import reported_once
from wirecheck.results.records import FindingRecord, ItemResult, Object

CAUSE = "n1 has no iptables."


def item(check: str, outcome: Outcome = Outcome.ERROR, reason: str = CAUSE) -> ItemResult:
    return ItemResult(check=check, outcome=outcome, node="n1", reason=reason)


def finding(found: str) -> FindingRecord:
    return FindingRecord(Object("Node", "n1"), Level.ERROR, expected="tools", found=found, key="k")


def outcomes(*items: ItemResult) -> dict[str, str]:
    return {each.check: str(each.outcome) for each in reported_once(items, {CAUSE})}


def test_the_check_of_tools_reports_what_it_found() -> None:
    tools = replace(item("nodes.tools_present", reason=""), findings=[finding(CAUSE)])
    items = [item("firewall.forwards_pods"), tools, item("services.frontends_programmed")]

    assert outcomes(*items) == {
        "firewall.forwards_pods": "skip",
        "nodes.tools_present": "error",
        "services.frontends_programmed": "skip",
    }
    first = next(reported_once(items, {CAUSE}))
    assert first.reason == "n1 has no iptables. See nodes.tools_present."


def test_without_it_the_check_of_frontends_does() -> None:
    items = [item("services.rules_reachable"), item("services.frontends_programmed")]

    assert outcomes(*items) == {
        "services.rules_reachable": "skip",
        "services.frontends_programmed": "error",
    }


def test_a_check_that_does_not_apply_or_found_something_else_reports_nothing() -> None:
    tools = replace(item("nodes.tools_present", reason=""), findings=[finding("no conntrack")])
    frontends = item("services.frontends_programmed", Outcome.SKIP, "Cilium forwards Services.")
    items = [tools, frontends, item("firewall.forwards_pods"), item("firewall.forwards_dns")]

    assert outcomes(*items) == {
        "nodes.tools_present": "error",
        "services.frontends_programmed": "skip",
        "firewall.forwards_pods": "error",
        "firewall.forwards_dns": "skip",
    }


def test_findings_and_other_errors_stay() -> None:
    failed = replace(item("services.masquerade", Outcome.FAIL), findings=[finding("x")])
    other = item("services.even_weights", reason="another reason")
    partly = replace(item("services.source_ranges"), findings=[finding("x")])
    items = [item("services.frontends_programmed"), failed, other, partly]

    assert outcomes(*items) == {
        "services.frontends_programmed": "error",
        "services.masquerade": "fail",
        "services.even_weights": "error",
        "services.source_ranges": "error",
    }
    assert [*reported_once(items, set())] == items
