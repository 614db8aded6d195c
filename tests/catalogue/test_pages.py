"""What is said about each check, in the terminal and in the documentation."""

from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.pages import as_page, as_text, commands_of, index_page
from wirecheck.catalogue.profiles import PROFILES, profiles_of
from wirecheck.catalogue.registry import Check, load
from wirecheck.collect.on_node.commands import TABLE
from wirecheck.run.selection import in_profile

PAGES = Path(__file__).parents[2] / "docs" / "checks"


@pytest.mark.parametrize("check", load(), ids=lambda check: check.id)
class TestEveryCheck:
    def test_is_fully_explained(self, check: Check):
        assert check.facts, "what it looks at, from wirecheck/catalogue/facts.py"
        assert check.exceptions.endswith("."), "its legitimate exceptions, as a sentence"
        assert check.sources, "where it is documented, or what was reported"
        assert profiles_of(check.id)
        for threshold in check.thresholds:
            assert threshold.unit
            assert len(threshold.reason.split()) > 3

    def test_has_its_page(self, check: Check):
        assert (PAGES / f"{check.id}.md").read_text() == as_page(check), (
            "run `python -m wirecheck.catalogue.pages docs/checks`"
        )

    def test_fits_a_terminal(self, check: Check):
        lines = as_text(check).splitlines()
        urls = [line for line in lines if "://" in line]
        assert all(len(line) <= 100 for line in lines if line not in urls)


def test_the_index_names_every_check():
    assert (PAGES / "README.md").read_text() == index_page(load())


def test_no_page_is_left_of_a_check_that_is_gone():
    names = {path.stem for path in PAGES.glob("*.md")}
    assert names == {check.id for check in load()} | {"README"}


def test_every_fact_is_looked_at_by_some_check_and_runs_only_known_commands():
    used = {fact for check in load() for fact in check.facts}
    assert used | {Fact.PATH_SETTINGS} == set(Fact)  # `wirecheck trace` uses it
    assert {name for fact in Fact for name in fact.measured.commands} <= set(TABLE)


def test_only_dns_is_sent_by_the_checks_of_cron():
    sending = {f for c in in_profile(load(), "cron") for f in c.facts if f.measured.sends}
    assert sending == {Fact.DNS}


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_says_when_and_selects_something(name: str):
    profile = PROFILES[name]
    assert len(profile.when.split()) > 4
    assert any(profile.has(check.id) for check in load())
    assert "nodes.reachable" in {check.id for check in in_profile(load(), name)}
    for pattern in profile.patterns:
        assert any(fnmatchcase(check.id, pattern) for check in load()), pattern


def test_commands_are_shown_as_they_are_run():
    (check,) = [c for c in load() if c.id == "conntrack.no_stale_udp_entries"]
    assert "conntrack -L -f ipv4 -p udp" in commands_of(check)
