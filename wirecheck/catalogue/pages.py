"""What there is to say about a check: for the terminal, and as its page in the documentation.

`python -m wirecheck.catalogue.pages docs/checks` writes the pages.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from wirecheck.catalogue.profiles import PROFILES, profiles_of
from wirecheck.catalogue.registry import Check, load
from wirecheck.catalogue.remedies import general
from wirecheck.collect.node_commands import NODE_COMMANDS

Section = tuple[str, list[str]]
"""A heading, and its paragraphs."""

PREAMBLE = "<!-- Made by `python -m wirecheck.catalogue.pages docs/checks`: change the check. -->"
SETTLING = (
    "API and node follow each other with a delay, so what it finds counts only if several looks, "
    "some seconds apart, have it identically; an object that changed meanwhile is undecided."
)


def sections(check: Check) -> Iterator[Section]:
    """Everything about the check, in the order in which it is told."""
    yield "Why it matters", [check.why]
    yield "Next", [general(check.remedy)]
    yield "How it is measured", list(_measured(check))
    if check.thresholds:
        yield (
            "Thresholds",
            [f"`{t.name}`: {t.default:g} {t.unit}: {t.reason}." for t in check.thresholds],
        )
    yield "Legitimate exceptions", [_sentence(check.exceptions)]
    yield (
        "Profiles",
        [", ".join(f"`{name}`" for name in profiles_of(check.id)) or "only without a profile"],
    )
    if check.sources:
        yield "Sources", list(check.sources)


def commands_of(check: Check) -> tuple[str, ...]:
    """The command lines that may be run on a node for the check."""
    lines = {each.id: " ".join(each.argv) for each in NODE_COMMANDS}
    return tuple(lines[name] for fact in check.facts for name in fact.measured.commands)


def as_text(check: Check) -> str:
    """For the terminal, at most 100 columns wide."""
    paragraphs = [f"{check.id} (one result per {check.scope})", _wrapped(check.sentence)]
    for heading, texts in sections(check):
        told = [_wrapped(text.replace("`", ""), "  ") for text in texts]
        paragraphs.append("\n".join([f"{heading}:", *told]))
    return "\n\n".join(paragraphs)


def as_page(check: Check) -> str:
    """As a page in Markdown."""
    parts = [PREAMBLE, f"# {check.id}", f"**{check.sentence}**"]
    for heading, texts in sections(check):
        body = "\n".join(f"- {text}" for text in texts) if len(texts) > 1 else texts[0]
        parts += [f"## {heading}", body]
    return "\n\n".join(parts) + "\n"


def index_page(checks: Sequence[Check]) -> str:
    """The list of all pages."""
    rows = [f"| [{c.id}]({c.id}.md) | {c.scope} | {c.sentence} |" for c in checks]
    profiles = [f"- `{each.name}`: {each.when}." for each in PROFILES.values()]
    head = ["| check | one result per | what holds |", "|---|---|---|"]
    parts = [PREAMBLE, "# The checks", "\n".join([*head, *rows]), "## Profiles"]
    return "\n\n".join([*parts, "\n".join(profiles)]) + "\n"


def write_pages(folder: Path) -> None:
    """Write a page for each check and their index; pages of checks that are gone go."""
    checks = load()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.md"):
        old.unlink()
    for check in checks:
        (folder / f"{check.id}.md").write_text(as_page(check), encoding="utf-8")
    (folder / "README.md").write_text(index_page(checks), encoding="utf-8")


def _measured(check: Check) -> Iterator[str]:
    for fact in check.facts:
        measured = fact.measured
        sends = f" Sends {measured.sends}." if measured.sends else ""
        yield f"From {measured.what}. Cost: {measured.cost}.{sends}"
    if commands := commands_of(check):
        told = "; ".join(f"`{each}`" for each in commands)
        yield f"Runs on a node, as far as there is reason to: {told}."
    if check.settles:
        yield SETTLING


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrapped(text: str, indent: str = "") -> str:
    return textwrap.fill(text, 100, initial_indent=indent, subsequent_indent=indent)


if __name__ == "__main__":
    write_pages(Path(sys.argv[1]))
