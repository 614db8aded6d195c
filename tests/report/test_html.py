import re
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace

from tests.report import sample
from wirecheck.catalogue.findings import Outcome
from wirecheck.report import html
from wirecheck.results.records import ItemResult


class Page(HTMLParser):
    """The visible text, and the tags with their attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(source)
        self.text = " ".join(" ".join(self._text).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag in ("script", "style"):
            self._open.pop()

    def handle_data(self, data):
        if not self._open:
            self._text.append(data)

    def having(self, attribute: str) -> list[dict[str, str | None]]:
        return [attributes for _, attributes in self.tags if attribute in attributes]


@pytest.fixture(scope="module")
def broken() -> Page:
    return Page(html.render(sample.broken()))


def test_verdict_and_coverage_come_first(broken):
    assert re.match(
        r".*prod-eu-1 Kubernetes v1.34.4 · kube-proxy iptables and ipvs · checked "
        r"2026-11-23 03:06 UTC ✕ 3 checks failed on 2 nodes, .* Checked 9/12 nodes, "
        r"331/402 pods, 4,410/4,410 Services, 1,986 DNS queries; 2 nodes unreachable; "
        r"1 node skipped; 16 objects inconclusive\.",
        broken.text,
    )


@pytest.mark.parametrize(
    "said",
    [
        "2 nodes have no entry in the inventory: edge-1, edge-2.",
        "conntrack.use_warn was 75, now 70",
        "eth0 (Deployment/web) 10.32.2.17 on eth0 nothing in 3 rounds",
        "Pod shop/web-6d4cf56db6-x2x7q eth0",
        "Evidence netns of pid 21734:",
        sample.WHY,
        sample.REMEDY,
        sample.REFUSED,
        sample.DELETED,
        "services.are_programmed Service shop/search",
        "12 objects: NetworkPolicy shop/deny-egress",
        "kube-proxy runs in iptables mode 9 items",
        "The probe's socket could not be opened in 3 netns",
        "burst test until the new limit is rolled out",
        "known from the baseline",
        "211,004 entries, 80 %",
        "pods.addresses_are_unique No two pods of the cluster have the same address.",
        "0c5f7f0e-9f3f-4f3a-8d5e-1f2d8a3b4c5d",
        "1 min 21 s",
    ],
)
def test_everything_is_readable_without_scripts(broken, said):
    assert said in broken.text


def test_nothing_is_hidden_without_scripts(broken):
    """But for the fields of the filter, which would do nothing."""
    assert broken.having("hidden") == [{"class": "fields", "hidden": None}]


def test_the_map_says_each_outcome_in_words(broken):
    row = re.search(r" w2 failed passed passed .*? w5 ", broken.text)
    assert row
    assert row[0].count("failed") == 2


def test_links_lead_somewhere(broken):
    ids = {attributes["id"] for attributes in broken.having("id")}
    for attributes in broken.having("href"):
        target = attributes["href"]
        if target.startswith("#wc-"):
            assert target[1:] in ids
        else:
            assert target.startswith(("#node=", "data:image/svg+xml,"))


def test_ids_are_unique(broken):
    ids = [attributes["id"] for attributes in broken.having("id")]
    assert len(ids) == len(set(ids))


def test_names_from_the_cluster_are_text(broken):
    source = html.render(sample.broken())
    assert source.count("<script>") == 1
    assert all(character.isprintable() or character == "\n" for character in source)
    assert r"shop/<script>alert(1)</script>\x1b[31mred\x1b[0m\u202eevil\x00" in broken.text


@pytest.mark.parametrize("place", ["node", "check", "cluster", "reason", "note", "verdict"])
def test_hostile_text_in_every_place(place):
    evil = '"><img src=x onerror=alert(1)>\x1b[2J</script><script>alert(2)</script>{{ 7 * 7 }}'
    run = sample.broken()
    fields = {"node": {"node": evil}, "check": {"check": evil}, "reason": {"reason": evil}}
    item = replace(
        ItemResult("nodes.ready", Outcome.ERROR, node="w1", reason="a reason"),
        **fields.get(place, {}),
    )
    run = replace(run, items=[*run.items, item])
    if place == "cluster":
        cluster = replace(run.started.cluster, name=evil, version=evil, uid=evil)
        run = replace(run, started=replace(run.started, cluster=cluster))
    if place == "note":
        run = replace(run, started=replace(run.started, notes=[evil], source=evil))
    if place == "verdict":
        run = replace(run, ended=replace(run.ended, verdict=evil))
    for render in (html.render, html.render_fragment):
        page = Page(render(run))
        assert "img" not in {tag for tag, _ in page.tags}
        assert [tag for tag, _ in page.tags].count("script") == 1
        assert not page.having("onerror")
        assert r"<img src=x onerror=alert(1)>\x1b[2J" in page.text
        assert "49" not in page.text.replace("(sre-net", "")


def advised(remedy: str) -> str:
    """The page's advice for the first check, with this remedy."""
    run = sample.broken()
    checks = [replace(each, remedy=remedy) for each in run.started.checks]
    source = html.render(replace(run, started=replace(run.started, checks=checks)))
    found = re.search(r"<dt>Next</dt><dd>(.*?)</dd>", source)
    assert found
    return found[1]


@pytest.mark.parametrize(
    ("remedy", "shown"),
    [
        (
            "Run `ip route`, then `ip rule`.",
            "Run <code>ip route</code>, then <code>ip rule</code>.",
        ),
        ("`dmesg`", "<code>dmesg</code>"),
        ("A `cut command", "A `cut command"),
        ("Two `` of them", "Two `` of them"),
        ("Plain text", "Plain text"),
    ],
)
def test_commands_of_remedies_are_code(remedy, shown):
    assert advised(remedy) == shown


@pytest.mark.parametrize("evil", ["<img src=x onerror=alert(1)>", "</code><script>", "{{ 7 * 7 }}"])
@pytest.mark.parametrize("around", ["{}", "`{}`", "a `b` {} `c", "`{}", "{}`"])
def test_hostile_names_in_remedies_are_text(evil, around):
    remedy = around.format(evil + "\x1b[2J")
    advice = Page(advised(remedy))

    assert {tag for tag, _ in advice.tags} <= {"code"}
    assert evil in advice.text
    assert r"\x1b[2J" in advice.text


def test_loads_nothing_from_anywhere():
    source = html.render(sample.broken())
    links = set(re.findall(r"https?://[^\s'\"<>]*", source))
    assert links == {"http://www.w3.org/2000/svg"}
    assert "@import" not in source
    assert "url(" not in source
    assert "default-src &#39;none&#39;" in source
    assert "unsafe-inline" not in source


def test_a_healthy_run_shows_what_was_checked():
    page = Page(html.render(sample.healthy()))
    assert "✓ Healthy. Checked 240/240 nodes, 6,133/6,133 pods" in page.text
    assert "240 nodes, nothing wrong" in page.text
    assert "Every known node, pod and Service was checked, and every check applied." in page.text
    assert "19 checks passed" in page.text
    assert "on all 240 nodes" in page.text
    assert {"open": None} in [{"open": attributes["open"]} for attributes in page.having("open")]


def test_a_run_without_any_node_does_not_look_healthy():
    for results in (sample.nothing(), sample.empty()):
        source = html.render(results)
        assert 'class="verdict error"' in source
        assert "Every known node" not in source
    assert "ready, nodes.ip_forward" in Page(html.render(sample.nothing())).text


def test_pods_that_were_not_seen_are_not_passed_over():
    healthy = sample.healthy(3)
    coverage = replace(healthy.ended.coverage, pods_seen=6000)
    page = Page(html.render(replace(healthy, ended=replace(healthy.ended, coverage=coverage))))
    assert "Every known node" not in page.text
    assert "6,000/6,133 pods" in page.text


@pytest.mark.parametrize(
    ("size", "entries"), [((1000, 50, 2000, 1), 2000), ((1000, 50, 200_000, 20), 4000)]
)
@pytest.mark.slow
def test_a_large_cluster_stays_a_small_page(size, entries):
    results = sample.large(*size)
    source = html.render(results)
    assert len(source.encode()) < 5_000_000
    assert source.count("<tbody data-o") == entries
    left_out = [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) further finding", source)]
    assert sum(left_out) == sum(len(item.findings) for item in results.items) - entries


def test_the_fragment_is_the_page_without_its_frame():
    page, fragment = html.render(sample.broken()), html.render_fragment(sample.broken())
    assert "<html" not in fragment
    assert "<body" not in fragment
    assert 'class="wirecheck embedded"' in fragment
    assert Page(fragment).text == Page(page[page.index("<body") :]).text


def test_every_rule_of_the_style_stays_within_the_fragment():
    style = re.search(r"<style>(.*?)</style>", html.render_fragment(sample.broken()), re.S)[1]
    outer = re.sub(r"@media[^{]*", "", style)
    depth, selectors, begun = 0, [], ""
    for character in outer:
        if character in "{}":
            if character == "{" and depth <= 1:
                selectors.append(begun.strip())
            depth += 1 if character == "{" else -1
            begun = ""
        else:
            begun = "" if character == ";" else begun + character
    rules = [selector for selector in selectors if selector]
    assert rules
    assert all(rule.startswith((".wirecheck", "&")) for rule in rules)
