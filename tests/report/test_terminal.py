import io
import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from tests.report import sample
from wirecheck.catalogue.findings import Outcome
from wirecheck.report import terminal
from wirecheck.results.records import ItemResult


def screen(results, *, width=80, colours=False, encoding="utf-8", report=None) -> list[str]:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding, write_through=True)
    console = Console(
        file=file,
        width=width,
        force_terminal=colours,
        color_system="standard" if colours else None,
        legacy_windows=False,
    )
    terminal.show(results, console, report)
    return raw.getvalue().decode(encoding).splitlines()


def plain(lines: list[str]) -> list[str]:
    return [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]


@pytest.fixture(scope="module")
def broken() -> list[str]:
    return screen(sample.broken(), report=Path("reports/1/report.html"))


def test_coverage_then_report_then_verdict_last(broken):
    assert broken[-3:] == [
        "Checked 9/12 nodes, 331/402 pods, 4,410/4,410 Services, 1,986 DNS queries in 3 rounds "
        "(1 min 21 s); 2 nodes unreachable; 1 node skipped; 16 objects inconclusive",
        "Report: reports/1/report.html",
        "3 checks failed on 2 nodes, 3 root causes, 3 checks could not be completed on 4 nodes, "
        "2 checks warned on 2 nodes, 1 check known from the baseline, 1 check waived.",
    ]


def test_a_failure_shows_check_object_and_next_step(broken):
    start = broken.index("FAIL pods.carries_its_addresses on 1 of 12 nodes")
    assert broken[start + 1 : start + 3] == [
        "  Each pod's interface carries every address the API shows.",
        "    w2: Pod shop/web-6d4cf56db6-x2x7q eth0 (Deployment/web): expected 10.32.2.17 on "
        "eth0; found nothing",
    ]
    assert broken[start + 5] == f"  Next: {sample.REMEDY}"


def test_failures_are_capped_with_a_count(broken):
    shown = [line for line in broken if "; found " in line and not line.startswith("WARN")]
    assert len(shown) <= terminal.MOST_FINDINGS
    assert "    … and 22 more, in the report" in broken


def test_unchecked_nodes_are_listed_once(broken):
    assert "ERROR 2 nodes could not be checked; nothing is known about them" in broken
    assert f"    w7: {sample.REFUSED}" in broken
    assert sum("sshd runs on" in line for line in broken) == 1
    assert f"    w12: {sample.DELETED}" in broken


def test_nodes_with_one_reason_share_a_line():
    assert f"    w1, w2, w3: {sample.REFUSED}" in screen(sample.nothing())


@pytest.mark.parametrize(
    "line",
    [
        "Note: 2 nodes have no entry in the inventory: edge-1, edge-2.",
        "Overridden: conntrack.use_warn was 75, now 70",
        "WARN conntrack.table_usage on 1 of 12 nodes; w1: conntrack: expected at most 75 % of "
        "262,144 entries; found 211,004 entries, 80 %",
        "WAIVED 1 waived: conntrack.no_drops[w1]",
        "KNOWN 1 known from the baseline: links.mtu_is_equal[w3]",
        "Inconclusive, because they kept changing: Service shop/search.",
        "Inconclusive: 12 objects (NetworkPolicy shop/deny-egress).",
    ],
)
def test_nothing_is_left_out(broken, line):
    assert line in broken


def test_a_healthy_run_shows_how_much_was_checked():
    lines = screen(sample.healthy())
    assert lines[-1] == "Healthy."
    assert lines[-2].startswith("Checked 240/240 nodes, 6,133/6,133 pods, 4,410/4,410 Services")
    assert "19 checks passed." in lines
    assert len(lines) < 10


def test_skipped_checks_are_named(broken):
    assert "8 checks passed, 1 not applicable: services.ipvs_weights_are_even." in broken


@pytest.mark.parametrize("width", [40, 80, 120])
def test_lines_are_broken_at_words(width):
    lines = plain(screen(sample.broken(), width=width, colours=True))
    assert all(len(line) <= width or " " not in line.strip() for line in lines)
    whole = " ".join(" ".join(screen(sample.broken())).split())
    assert " ".join(" ".join(lines).split()) == whole


def test_colours_only_on_a_terminal():
    assert not any("\x1b" in line for line in screen(sample.broken()))
    coloured = screen(sample.broken(), colours=True)
    assert any(line.startswith("\x1b[1;31m3 checks failed") for line in coloured)
    assert screen(sample.healthy(), colours=True)[-1].startswith("\x1b[1;32m")
    assert screen(sample.nothing(), colours=True)[-1].startswith("\x1b[1;35m")


def test_names_from_the_cluster_do_not_paint(broken):
    assert all(line.isprintable() for line in broken)
    assert any(r"<script>alert(1)</script>\x1b[31mred\x1b[0m\u202eevil" in line for line in broken)
    run = sample.broken()
    markup = ItemResult("nodes.ready", Outcome.ERROR, node="[bold]w1[/]", reason="[red]:boom:[/]")
    assert "    [bold]w1[/]: [red]:boom:[/]" in screen(replace(run, items=[*run.items, markup]))


def test_a_terminal_without_utf8_gets_escapes():
    assert any(r"\u2026 and 22 more" in line for line in screen(sample.broken(), encoding="ascii"))


def test_an_interrupted_run_is_not_green():
    healthy = sample.healthy(3)
    ended = replace(healthy.ended, interrupted=True, verdict="The run was interrupted.")
    assert screen(replace(healthy, ended=ended), colours=True)[-1].startswith("\x1b[1;35m")


@pytest.mark.parametrize("size", [(1000, 50, 2000, 1), (1000, 50, 100_000, 20)])
def test_a_large_cluster_still_fits_the_scrollback(size):
    lines = screen(sample.large(*size))
    assert len(lines) < 120
    assert any(line.startswith("And 40 more checks: b.check_10, ") for line in lines)


def test_findings_that_nodes_share_are_listed_once():
    def item(node: str, *names: str) -> ItemResult:
        findings = [
            sample.finding("Service", f"shop/{n}", "forwarded", "not handled") for n in names
        ]
        return ItemResult("pods.carries_its_addresses", Outcome.FAIL, node, findings=findings)

    results = sample.broken()
    items = [item("w2", "web", "api"), item("w3", "web"), item("w1", "web")]
    lines = screen(replace(results, items=items), width=200)
    shown = [line.strip() for line in lines if "not handled" in line]

    assert [line.partition(": ")[0] for line in shown] == ["w2, w3, w1", "w2"]
    assert "Service shop/web" in shown[0]


def test_each_nodes_first_finding_comes_before_the_second_of_any():
    def item(node: str, *names: str) -> ItemResult:
        findings = [sample.finding("Pod", f"shop/{name}", "forwarded", "lost") for name in names]
        return ItemResult("pods.carries_its_addresses", Outcome.FAIL, node, findings=findings)

    def order(*items: ItemResult) -> list[str]:
        lines = screen(replace(sample.broken(), items=list(items)), width=200)
        return [line.split("shop/")[1].split(":")[0] for line in lines if "found lost" in line]

    assert order(item("w1", "a", "b"), item("w2", "c")) == ["a", "c", "b"]
    assert order(item("w1", "a"), item("w2", "b"), item("w3", "b")) == ["b", "a"]


def test_symptoms_are_listed_with_their_cause():
    found = sample.finding("Pod", "shop/web", "this", "that")

    def item(check: str) -> ItemResult:
        return ItemResult(check, Outcome.FAIL, "w1", findings=[found])

    items = [item("dns.pods_resolve_udp"), item("pods.ip_on_interface")]
    lines = screen(replace(sample.broken(), items=items), width=200)

    assert [line.split()[1] for line in lines if line.startswith("FAIL")] == [
        "pods.ip_on_interface"
    ]
    assert "  Follows from it: dns.pods_resolve_udp on w1" in lines
