"""Pages fit a phone and a sheet of A4, and do not move under the reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.report import sample
from tests.report.devtools import A4, PHONE, Browser
from wirecheck.catalogue.findings import Outcome
from wirecheck.report import diff_page, html, trend_page
from wirecheck.report.trend import trends
from wirecheck.results.history import HistoryEntry
from wirecheck.results.measures import MEASURES
from wirecheck.results.records import ItemResult, PastFinding, Results

OUTSIDE = """
(() => {
  const width = document.documentElement.clientWidth;
  const scrolls = (element) => element && getComputedStyle(element).overflowX === "auto";
  return [...document.body.querySelectorAll("*")]
    .filter((element) => {
      const box = element.getBoundingClientRect();
      if (!box.width || box.right <= width + 1) return false;
      for (let at = element.parentElement; at; at = at.parentElement) if (scrolls(at)) return false;
      return true;
    })
    .map((element) => `${element.tagName}.${element.className} ${element.textContent.slice(0, 60)}`)
    .slice(0, 5);
})()
"""
"""The elements that the reader would have to scroll sideways for, but for those in the map."""

HEIGHTS = """
(async () => {
  const next = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  const heights = [document.documentElement.scrollHeight];
  for (let at = 0; at < heights[0]; at += Math.max(900, heights[0] / 20)) {
    scrollTo(0, at);
    await next();
    heights.push(document.documentElement.scrollHeight);
  }
  return [...new Set(heights)];
})()
"""
"""The heights of the page while the reader scrolls to its end."""

SHIFTS = """
new Promise((done) => {
  new PerformanceObserver((list) => done(list.getEntries().reduce((sum, e) => sum + e.value, 0)))
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(0), 200);
})
"""
"""How much moved while the page was loaded, as browsers measure it."""

LONG = "ip-10-32-117-250.eu-central-1.compute.internal-with-a-very-long-name"


def many_failures(number_of_nodes: int = 12) -> Results:
    """Eighty checks that failed on a third of the nodes, which have long names."""
    ids = [(f"group{n // 8}.a_check_with_a_long_name_{n:02}", "It holds.") for n in range(80)]
    nodes = [f"{LONG}-{n}" for n in range(number_of_nodes)]
    finding = sample.finding(
        "Pod", f"shop/{'web-' * 40}", "x" * 300, "y" * 300, evidence=["z" * 900]
    )
    items = [
        ItemResult(check, Outcome.FAIL, node, findings=[finding])
        if (number + at) % 3 == 0
        else ItemResult(check, Outcome.PASS, node)
        for number, (check, _) in enumerate(ids)
        for at, node in enumerate(nodes)
    ]
    run = sample.broken()
    return replace(run, started=replace(run.started, checks=sample.records(ids)), items=items)


def history() -> list[HistoryEntry]:
    checks = {f"group.a_check_with_a_long_name_{n}": "fail" if n % 2 else "pass" for n in range(30)}
    return [
        HistoryEntry(
            f"2026-11-{day:02}T03:00:00Z",
            "prod-eu-1",
            day % 2,
            "30 checks failed on 12 nodes, 4 root causes, 40 checks could not be completed.",
            checks=checks,
            measured=dict.fromkeys(MEASURES, day / 100),
        )
        for day in range(1, 29)
    ]


def difference() -> str:
    some = [
        PastFinding(item.check, finding, item.node)
        for run in (sample.broken(), many_failures())
        for item in run.items
        for finding in item.findings
    ]
    return diff_page.render(
        (sample.broken(), many_failures()),
        ("before/results.jsonl", f"{LONG}/results.jsonl"),
        diff_page.Difference(some, some[:20], some[20:40], some[40:60]),
        [f"Node {LONG} was added"],
        "9 new, 1 still there.",
    )


PAGES = {
    "broken": lambda: html.render(sample.broken(), trends(history())),
    "healthy": lambda: html.render(sample.healthy(40)),
    "nothing": lambda: html.render(sample.nothing()),
    "many": lambda: html.render(many_failures()),
    "names": lambda: html.render(many_failures(3)),
    "trend": lambda: trend_page.render(history()),
    "diff": difference,
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module", params=PAGES)
def page(request, tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("page") / f"{request.param}.html"
    file.write_text(PAGES[request.param]())
    return file


def test_a_phone_shows_it_without_scrolling_sideways(browser, page):
    browser.open(page, PHONE)

    assert browser.value("innerWidth") == PHONE[0]
    assert browser.value(OUTSIDE) == []
    assert browser.value("document.documentElement.scrollWidth") <= PHONE[0]


def test_a_sheet_of_a4_has_room_for_its_width(browser, page):
    browser.open(page, A4, media="print")
    browser.value("dispatchEvent(new Event('beforeprint'))")

    assert browser.value(OUTSIDE) == []
    assert browser.value("document.documentElement.scrollWidth") <= A4[0]


@pytest.mark.parametrize("size", [PHONE, (1280, 900)], ids=["phone", "desk"])
def test_its_height_stays_the_same_while_it_is_read(browser, page, size):
    browser.open(page, size)

    assert len(browser.value(HEIGHTS)) == 1


def test_nothing_moves_while_it_is_loaded(browser, page):
    """On a slow machine, where parts are shown before the rest has arrived."""
    browser.call("Emulation.setCPUThrottlingRate", rate=10)
    browser.open(page, (1280, 900))
    moved = browser.value(SHIFTS)
    browser.call("Emulation.setCPUThrottlingRate", rate=1)

    assert moved == 0


def test_a_filter_does_not_move_what_is_above_it(browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(html.render(sample.broken()))
    where = "document.querySelector('section.cards h2').getBoundingClientRect().top"
    for size in (PHONE, (1280, 900)):
        browser.open(file, size)
        before = browser.value(where)
        browser.value(
            "(() => { const q = document.querySelector('[name=q]'); q.value = 'web';"
            " q.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
        assert "rows shown" in browser.value("document.querySelector('output').value")
        assert browser.value(where) == before


def test_checks_that_passed_everywhere_stay_folded_on_paper(browser, tmp_path):
    file = tmp_path / "page.html"
    file.write_text(html.render(sample.broken()))
    browser.open(file, A4, media="print")
    browser.value("dispatchEvent(new Event('beforeprint'))")

    folded = "[...document.querySelectorAll('details:not([open])')].map((each) => each.className)"
    assert browser.value(folded) == ["ondemand"]
