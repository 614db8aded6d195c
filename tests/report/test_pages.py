"""What pages show: equal findings once, columns that are not all green, what was not evaluated."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from tests.report import sample
from tests.report.chromium import opened
from tests.report.test_html import Page
from tests.report.test_page_layout import difference, history, many_failures
from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.report import diff_page, html, trend_page
from wirecheck.report.finding_rows import FindingRow, grouped, groups_of_items
from wirecheck.report.node_map import MOST_COLUMNS, node_map
from wirecheck.results.ordering import by_check
from wirecheck.results.records import FindingRecord, ItemResult, PastFinding, Results

WRONG = sample.finding(
    "Service", "shop/web", "3 backends", "2 backends", evidence=["-A KUBE-SVC-1"]
)


def run_with(*items: ItemResult) -> Results:
    return replace(sample.healthy(12), items=list(items))


def failed(node: str, *findings: FindingRecord) -> ItemResult:
    return ItemResult("services.are_programmed", Outcome.FAIL, node=node, findings=list(findings))


def rows_of_items(items: list[ItemResult]) -> list[FindingRow]:
    return [group.row() for group in groups_of_items(items)]


def rows(source: str) -> list[str]:
    """The rows of findings, as text."""
    found = re.findall(r"<tbody data-o=.*?</tbody>", source, re.S)
    return [" ".join(re.sub(r"<[^>]+>", " ", each).split()) for each in found]


def test_equal_findings_of_many_nodes_are_one_row():
    source = html.render(run_with(*(failed(f"w{n}", WRONG) for n in range(300))))

    (row,) = rows(source)
    assert row.startswith("✕ failed 300 nodes Service shop/web 3 backends 2 backends")
    assert "Evidence on w0 -A KUBE-SVC-1" in row
    assert source.count("w299") < 20  # listed once, however many rows there are


def test_a_few_nodes_are_named_in_the_row():
    (row,) = rows(html.render(run_with(*(failed(f"w{n}", WRONG) for n in range(3)))))

    assert row.startswith("✕ failed w0, w1, w2 Service shop/web")


@pytest.mark.parametrize(
    "other",
    [
        replace(WRONG, expected="4 backends"),
        replace(WRONG, found="1 backend"),
        replace(WRONG, level=Level.WARN),
        replace(WRONG, looks=2),
        replace(WRONG, standing="known"),
        replace(WRONG, object=replace(WRONG.object, part="10.96.0.1:80/TCP")),
    ],
)
def test_findings_that_differ_are_rows_of_their_own(other):
    found = rows_of_items([failed("w1", WRONG), failed("w2", other)])

    assert [row.nodes for row in found] == [("w1",), ("w2",)]


def test_evidence_may_differ_and_is_that_of_a_named_node():
    (row,) = rows_of_items(
        [failed("w1", replace(WRONG, evidence=[])), failed("w2", replace(WRONG, evidence=["b"]))]
    )

    assert row.nodes == ("w1", "w2")
    assert (row.evidence, row.evidence_of) == ("b", "w2")


def test_findings_about_the_nodes_themselves_are_equal_too():
    own = [
        failed(node, sample.finding("Node", node, "1", "0", part="net.ipv4.ip_forward"))
        for node in ("w1", "w2")
    ]

    (row,) = rows_of_items(own)
    assert (row.nodes, row.name) == (("w1", "w2"), "net.ipv4.ip_forward")


def test_equal_reasons_are_one_row():
    items = [ItemResult("nodes.ready", Outcome.ERROR, f"w{n}", reason="no nft") for n in range(9)]

    (row,) = rows_of_items(items)
    assert (row.reason, len(row.nodes)) == ("no nft", 9)


def test_findings_of_most_nodes_come_first_and_accepted_ones_last():
    known = replace(WRONG, standing="known", found="known")
    rare = replace(WRONG, found="rare")
    items = [failed(f"w{n}", known, WRONG) for n in range(5)] + [failed("w9", rare)]

    assert [row.found for row in rows_of_items(items)] == ["2 backends", "rare", "known"]


def test_a_node_with_the_same_finding_twice_counts_once():
    (group,) = grouped([("w1", Outcome.FAIL, WRONG, ""), ("w1", Outcome.FAIL, WRONG, "")])

    assert group.row().nodes == ("w1",)


def test_a_page_with_thousands_of_shared_findings_stays_small():
    shared = [
        sample.finding("Service", f"load/svc-{n:04}", "3 backends", "none") for n in range(2000)
    ]
    source = html.render(run_with(*(failed(f"ip-10-0-0-{n}.eu", *shared) for n in range(100))))

    assert len(rows(source)) == 2000
    assert len(source) < 3_000_000


def test_a_page_with_thousands_of_sets_of_nodes_stays_small():
    """Each finding is on nodes of its own choice: no two sets are equal."""
    shared = [sample.finding("Service", f"s/svc-{n:04}", "3", "none") for n in range(1500)]
    items = [
        failed(f"ip-10-0-{n}-1.eu", *(each for at, each in enumerate(shared) if (at * n) % 7 < 3))
        for n in range(1, 300)
    ]
    rolled = [replace(item, findings=item.findings[at:]) for at, item in enumerate(items)]
    source = html.render(run_with(*rolled))

    assert len(source) < 5_000_000
    assert "more; <code>results.jsonl</code> has all of them" in source


@pytest.mark.parametrize(("checks", "folded"), [(1, 15), (40, 15), (100, 30), (400, 5)])
def test_a_page_of_many_cards_folds_more_of_their_rows(checks, folded):
    some = [sample.finding("Pod", f"shop/web-{n}", "this", "that") for n in range(40)]
    items = [ItemResult(f"a.b{n}", Outcome.FAIL, "w1", findings=some) for n in range(checks)]
    source = html.render(run_with(*items))

    assert source.count(f">{folded} more</summary>") == checks


def test_the_map_shows_only_columns_that_are_not_all_green():
    page = node_map(by_check(sample.broken()))
    loud = [column.check.record.id for band in page.loud for column in band.columns]
    calm = [column.check.record.id for band in page.calm for column in band.columns]

    assert "services.are_programmed" in loud
    assert {"links.both_ends_are_up", "services.ipvs_weights_are_even"} <= set(calm)
    assert sorted([*loud, *calm]) == sorted(identity for identity, _ in sample.CHECKS)


def test_a_node_that_was_not_checked_makes_no_column_loud():
    items = [
        ItemResult(check, Outcome.ERROR, "w2", reason="down", folded=check != "nodes.reachable")
        for check, _ in sample.CHECKS
    ]
    run = run_with(*items, *(ItemResult(check, Outcome.PASS, "w1") for check, _ in sample.CHECKS))
    text = Page(html.render(run)).text

    assert "No check found anything on any node." in text
    assert "down" in text


def test_a_healthy_page_has_the_map_on_demand():
    source = html.render(sample.healthy(3))

    assert "No check found anything on any node." in source
    assert source.index('class="ondemand"') < source.index('<div class="map"')


def test_the_map_is_divided_into_bands():
    page = node_map(by_check(many_failures()))

    assert [len(band.columns) for band in page.loud] == [MOST_COLUMNS, MOST_COLUMNS, 16]
    assert all(len(band.rows) <= 3 for band in page.loud)


def test_findings_come_before_the_map():
    source = html.render(sample.broken())
    order = ["Failed", "Could not be completed", "Warnings", "Not evaluated", "Nodes and checks"]
    places = [source.index(f"<h2>{each}") for each in order]

    assert places == sorted(places)


def test_checks_without_any_result_are_named():
    run = sample.healthy(3)
    items = [item for item in run.items if not item.check.startswith("conntrack.")]
    text = Page(html.render(replace(run, items=items))).text

    assert (
        "3 selected checks without a result conntrack.table_usage, conntrack.no_drops, "
        "conntrack.no_stale_udp_entries" in text
    )
    assert "every check applied" not in text


def test_nodes_without_a_result_of_a_check_are_named():
    run = sample.healthy(3)
    items = [each for each in run.items if (each.check, each.node) != ("nodes.ready", "pool-b-001")]
    text = Page(html.render(replace(run, items=items))).text

    assert "No result on some nodes nodes.ready pool-b-001" in text
    assert "every check applied" not in text


def test_inconclusive_objects_come_with_their_check_and_node():
    text = Page(html.render(sample.broken())).text

    assert "12 objects: NetworkPolicy shop/deny-egress dns.pods_resolve_udp on w1" in text


def test_a_filter_for_a_node_finds_rows_of_many_nodes(tmp_path):
    items = [failed(f"w{n}", WRONG) for n in range(30)]
    file = tmp_path / "report.html"
    file.write_text(html.render(run_with(*items, failed("x1", replace(WRONG, found="else")))))
    document, complaints = opened(file, "#node=w17", tmp_path / "profile")

    found = re.findall(r"<tbody (data-o=[^>]*)>", document)
    assert complaints == []
    assert [("data-s" in tag, "hidden" in tag) for tag in found] == [(True, False), (False, True)]


HOSTILE = '"><img src=x onerror=alert(1)></script><script>alert(2)</script>\x1b[2J'


@pytest.mark.parametrize("source", [difference(), trend_page.render(history())])
def test_other_pages_are_one_file_without_a_network(source):
    assert set(re.findall(r"https?://[^\s'\"<>]*", source)) == {"http://www.w3.org/2000/svg"}
    assert "default-src &#39;none&#39;" in source
    assert "unsafe-inline" not in source
    page = Page(source)
    ids = [attributes["id"] for attributes in page.having("id")]
    assert len(ids) == len(set(ids))
    for link in page.having("href"):
        assert link["href"].startswith("data:") or link["href"][1:] in ids


def test_the_page_of_a_diff_shows_each_kind_of_finding():
    text = Page(difference()).text

    for said in ("9 new, 1 still there.", "New", "Still there", "Fixed", "Not checked again"):
        assert said in text
    assert "Changed in the cluster Node ip-10-32" in text
    assert sample.REMEDY in text


def test_names_in_a_diff_are_text():
    bad = sample.finding("Pod", f"shop/{HOSTILE}", HOSTILE, HOSTILE, evidence=[HOSTILE])
    past = PastFinding(HOSTILE, bad, HOSTILE, HOSTILE)
    run = sample.broken()
    cluster = replace(run.started.cluster, name=HOSTILE)
    run = replace(run, started=replace(run.started, cluster=cluster))
    source = diff_page.render(
        (run, run), (HOSTILE, HOSTILE), diff_page.Difference([past], [past], [past], [past]),
        [HOSTILE], HOSTILE,
    )  # fmt: skip
    page = Page(source)

    assert {"img", "script"} & {tag for tag, _ in page.tags} == set()
    assert not page.having("onerror")
    assert "\x1b" not in source


@pytest.mark.parametrize(
    ("kinds", "tone"),
    [
        (([WRONG], [], [], []), "fail"),
        (([replace(WRONG, level=Level.WARN)], [WRONG], [], []), "warn"),
        (([], [WRONG], [], []), "warn"),
        (([], [], [WRONG], []), "pass"),
        (([], [], [WRONG], [WRONG]), "error"),
        (([], [], [], []), "pass"),
    ],
)
def test_the_colour_of_a_diff(kinds, tone):
    parts = [[PastFinding("a.b", finding, "w1") for finding in some] for some in kinds]
    run = sample.broken()
    source = diff_page.render((run, run), ("a", "b"), diff_page.Difference(*parts), [], "none")

    assert f'class="verdict {tone}"' in source


def test_the_page_of_a_trend_has_charts_and_runs():
    runs = history()
    source = trend_page.render(runs)
    text = Page(source).text

    assert "28 runs, 2026-11-01 03:00 UTC to 2026-11-28 03:00 UTC" in text
    assert source.count("<polyline") >= 4
    assert text.count("30 checks failed on 12 nodes") == len(runs) + 1
    assert "group.a_check_with_a_long_name_1 not healthy in 28 of 28 runs" in text


def test_the_page_of_a_trend_takes_hostile_text_as_text():
    words = dict.fromkeys(("cluster", "verdict", "time"), HOSTILE)
    run = replace(history()[0], **words, checks={HOSTILE: "fail"})
    page = Page(trend_page.render([run]))

    assert {"img", "script"} & {tag for tag, _ in page.tags} == set()
    assert not page.having("onerror")
