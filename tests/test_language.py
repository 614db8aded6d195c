"""What people read is plain English: a net of phrases to avoid, each with what it must catch.

The net is not the goal. The goal is text that an engineer reads without stopping.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from wirecheck.catalogue.registry import load
from wirecheck.cli.main import wirecheck
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.snapshot.folder import Snapshot

ROOT = Path(__file__).parent.parent
CLUSTERS = sorted(
    path.parent
    for folder in ("wirecheck/recorded", "tests/recorded/clusters")
    for path in (ROOT / folder).glob("*/snapshot.json")
)
PAGES = [
    path
    for folder in (
        ".",
        "docs",
        "docs/checks",
        "ci",
        "deploy",
        "inventories",
        "reports",
        "testbed",
        "tests",
    )
    for path in sorted((ROOT / folder).glob("*.md"))
    # Entries of the changelog stay as they were published.
    if path.name != "CHANGELOG.md"
]


@dataclass(frozen=True)
class Phrase:
    """A regular expression, a sentence that it catches and one that it must not catch."""

    pattern: str
    catches: str
    spares: str

    def found_in(self, text: str) -> list[str]:
        return [match.group() for match in re.finditer(self.pattern, text, re.IGNORECASE)]


PHRASES = (
    Phrase(r"\bin vain\b", "an address held in vain", "an address that was leaked"),
    Phrase(r"\bways? in(?:to)?\b", "no way in to the node", "the way interfaces are named"),
    Phrase(r"\blook(?:s|ed|ing)? (?:again )?at\b", "3 of 3 nodes looked at", "look up the name"),
    Phrase(
        r"\b(?:first|second|third|each|every|one|three|more) looks?\b",
        "the first look",
        "looks like a loop",
    ),
    Phrase(r"\blooks? again\b", "wirecheck looks again", "check again"),
    Phrase(
        r"(?<!there )\b(?:is|are|was|were) no (?!longer\b|more\b|less\b|fewer\b)[a-z]+\b",
        "the host is no node",
        "there is no route; the node is no longer Ready",
    ),
    Phrase(r"\bheld against\b", "held against the API", "held by the kernel"),
    Phrase(r"\bto hold (?:\w+ ){1,4}against\b", "a run to hold this one against", "to hold a lock"),
    Phrase(r"\b(?:un)?judged?\b", "6 objects not judged", "6 objects not evaluated"),
    Phrase(r"\bjudg(?:es|ing|e?ment)\b", "it judges the cluster", "it evaluates the cluster"),
    Phrase(r"\bundecided\b", "90 objects undecided", "90 objects inconclusive"),
    Phrase(r"\bchecks? holds?\b", "92 checks hold", "92 checks passed"),
    Phrase(r"\btold apart\b", "are told apart", "are distinguished"),
    Phrase(r"\btells? of\b", "the log tells of trouble", "the log shows errors"),
    Phrase(r"\b(?:is|are|was|were|be) told\b", "nobody was told", "nobody was notified"),
    Phrase(r"\bat stake\b", "what is at stake", "what is affected"),
    Phrase(r"\bbut for\b", "all but for one", "all except one"),
    Phrase(r"\brightly\b", "what may rightly differ", "what may differ"),
    Phrase(r"\brightful\b", "the rightful answer", "the correct answer"),
    Phrase(r"\bmended\b", "found and mended", "found and fixed"),
    Phrase(r"\bnobody's\b", "it is nobody's fault", "nobody is affected"),
    Phrase(r"\brules of others\b", "rules of others", "third-party rules"),
    Phrase(r"\bnot understood\b", "a rule that is not understood", "an unrecognised rule"),
    Phrase(r"\bwired\b", "the pod is wired again", "the pod is recreated"),
    Phrase(
        r"\bcarr(?:y|ies) (?:its|their|every|the|an) address",
        "carries an address",
        "has an address",
    ),
    Phrase(r"\bleads? (?:to|nowhere|elsewhere)\b", "the route leads to w2", "the route to w2"),
    Phrase(r"\bturn(?:s|ed)? red\b", "exactly these turn red", "exactly these fail"),
    Phrase(r"\b(?:is|are|was|were|something|what) red\b", "what is red", "a red cell"),
    Phrase(r"\bas ever\b", "read as ever", "read as before"),
    Phrase(r"\bexacter\b", "becomes exacter", "becomes more precise"),
    Phrase(r"\bside by side\b", "visits side by side", "concurrent visits"),
    Phrase(r"\bto and fro\b", "sent to and fro", "sent in both directions"),
    Phrase(r"\bwhat recurs\b", "what recurs", "what is repeated"),
    Phrase(r"\bmay yet\b", "may yet settle", "may still change"),
)

QUOTED = re.compile(r"```.*?```|`[^`\n]*`|<!--.*?-->|\]\([^)]*\)|\"[^\"\n]*\"", re.DOTALL)
"""Code, identifiers, links and quotations: the words of other tools, or names that stay."""


def prose(text: str) -> str:
    return " ".join(QUOTED.sub(" ", text).split())


def offences(text: str) -> list[str]:
    return [hit for phrase in PHRASES for hit in phrase.found_in(text)]


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.pattern)
def test_a_phrase_catches_what_it_should_and_nothing_else(phrase: Phrase):
    assert phrase.found_in(phrase.catches)
    assert not phrase.found_in(phrase.spares)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pages(page: Path):
    assert offences(prose(page.read_text(encoding="utf-8"))) == []


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from commands(each, (*path, name))


@pytest.mark.parametrize("words", list(commands(wirecheck)), ids=" ".join)
def test_help(words: tuple[str, ...]):
    command: click.Command = wirecheck
    for word in words:
        assert isinstance(command, click.Group)
        command = command.commands[word]
    with click.Context(command, info_name=" ".join(("wirecheck", *words))) as context:
        text = command.get_help(context)

    assert offences(prose(text)) == []


@pytest.mark.parametrize("check", load(), ids=lambda check: check.id)
def test_checks(check):
    texts = [check.sentence, check.why, check.remedy, check.exceptions]
    texts += [f"{each.unit} {each.reason}" for each in check.thresholds]
    texts += [f"{f.measured.what} {f.measured.cost} {f.measured.sends}" for f in check.facts]

    assert offences(prose(" ".join(texts))) == []


@pytest.mark.parametrize("folder", CLUSTERS, ids=lambda folder: folder.name)
def test_findings_of_recorded_clusters(folder: Path):
    said = set()
    for item in evaluate(Snapshot.open(folder), load()):
        said |= {item.reason, *item.unjudged}
        said |= {text for each in item.findings for text in (each.expected, each.found)}

    assert {text for text in said if offences(prose(text))} == set()


@pytest.mark.parametrize(
    "words", [("demo", "broken"), ("demo", "healthy"), ("node-commands",), ("list", "-l")]
)
def test_the_screen(words: tuple[str, ...], tmp_path: Path):
    ended = subprocess.run(
        [sys.executable, "-m", "wirecheck", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert offences(prose(ended.stdout + ended.stderr)) == []
