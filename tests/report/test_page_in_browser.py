import html as html_text
import re
from pathlib import Path

import pytest

from tests.report import sample
from tests.report.chromium import opened
from wirecheck.report import html


@pytest.fixture
def page(tmp_path: Path) -> Path:
    file = tmp_path / "report.html"
    file.write_text(html.render(sample.broken()))
    return file


def entries(document: str) -> tuple[list[str], list[str]]:
    """The entries that can be seen, and those that cannot."""
    found = re.findall(r"<(?:tbody|tr) (data-o=[^>]*)>(.*?)</(?:tbody|tr)>", document, re.S)
    text = [
        (tag, html_text.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))))
        for tag, body in found
    ]
    return [t for tag, t in text if "hidden" not in tag], [t for tag, t in text if "hidden" in tag]


@pytest.mark.parametrize("results", [sample.broken(), sample.healthy(12), sample.empty()])
def test_opens_without_complaints(results, tmp_path):
    file = tmp_path / "report.html"
    file.write_text(html.render(results))
    document, complaints = opened(file, "", tmp_path / "profile")
    assert complaints == []
    assert 'class="wirecheck scripted"' in document.replace("wirecheck  ", "wirecheck ")


def test_shows_everything_without_a_filter(page, tmp_path):
    document, _ = opened(page, "", tmp_path / "profile")
    seen, unseen = entries(document)
    assert len(seen) > 40
    assert unseen == []


def test_the_search_in_the_address_narrows_it_down(page, tmp_path):
    document, complaints = opened(page, "#q=WEB+10.32.2.17", tmp_path / "profile")
    seen, unseen = entries(document)
    assert complaints == []
    assert len(seen) == 2
    assert all("shop/web" in text for text in seen)
    assert any("shop/cart-0" in text for text in unseen)
    assert f"2 of {len(seen) + len(unseen)} rows shown" in document


def test_filters_are_joined_by_and(page, tmp_path):
    document, _ = opened(page, "#outcome=fail,error&node=w2&group=services", tmp_path / "profile")
    seen, _ = entries(document)
    assert len(seen) == 2
    assert all("w2" in text and "Service" in text for text in seen)
    unfolded, _, _ = document.partition('class="ondemand"')
    rows = re.findall(r"<tr data-nodes=\"([^\"]*)\"([^>]*)>", unfolded)
    assert [nodes for nodes, rest in rows if "hidden" not in rest] == ["w2"]


def titles(document: str) -> list[str]:
    """The cards that can be seen."""
    cards = re.findall(r'<article class="card[^>]*>.*?</article>', document, re.S)
    cards = [card for card in cards if "hidden" not in card.partition(">")[0]]
    return [re.search(r"<code[^>]*>(.*?)</code>", card)[1] for card in cards]


def test_findings_by_node(page, tmp_path):
    usual, _ = opened(page, "", tmp_path / "profile")
    document, complaints = opened(page, "#by=node", tmp_path / "profile")
    assert complaints == []
    assert entries(document)[1] == []
    assert len(entries(document)[0]) == len(entries(usual)[0])
    assert {"w2", "w5"} <= set(titles(document))
    assert not any("." in title for title in titles(document))


def test_findings_by_likely_cause(page, tmp_path):
    document, complaints = opened(page, "#by=cause&outcome=fail", tmp_path / "profile")
    seen, unseen = entries(document)
    assert complaints == []
    assert seen
    assert unseen
    assert len(titles(document)) <= len(set(seen))
    assert all("." in title for title in titles(document))


def test_a_link_into_the_page_is_no_filter(page, tmp_path):
    document, complaints = opened(page, "#wc-services.are_programmed", tmp_path / "profile")
    assert complaints == []
    assert entries(document)[1] == []


def test_nothing_from_the_cluster_runs(page, tmp_path):
    """Even if escaping failed: the policy lets no script run but the page's own."""
    injected = page.read_text().replace(
        '<p class="brand">', '<script>document.title = "taken"</script><p class="brand">'
    )
    page.write_text(injected)
    document, complaints = opened(page, "", tmp_path / "profile")
    assert "<title>taken</title>" not in document
    assert any("Content Security Policy" in complaint for complaint in complaints)


@pytest.mark.slow
def test_a_large_page_opens(tmp_path):
    file = tmp_path / "report.html"
    file.write_text(html.render(sample.large()))
    document, complaints = opened(file, "#q=deployment-7-", tmp_path / "profile")
    seen, unseen = entries(document)
    assert complaints == []
    assert len(seen) + len(unseen) == 2000
    assert seen
    assert all("deployment-7-" in text for text in seen)
