"""The templates of pages, and everything that they may use.

A page is one file that is readable without a network and without scripts. Every value may come from
the cluster, so all are escaped and made printable.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from wirecheck.catalogue.findings import Outcome
from wirecheck.report import sentences
from wirecheck.report.comparison import comparison_sentence, past_sentence
from wirecheck.report.finding_rows import LONGEST, MOST_NAMES
from wirecheck.report.gates import healing_sentences, wait_sentence, waiver_sentence
from wirecheck.results.ordering import REMARKABLE
from wirecheck.text import duration, harmless, harmless_lines, listed, moment, plural, shortened

SYMBOLS: Mapping[Outcome | None, str] = {
    Outcome.FAIL: "✕",
    Outcome.ERROR: "?",
    Outcome.FLAKY: "~",
    Outcome.WARN: "!",
    Outcome.WAIVED: "w",
    Outcome.KNOWN: "k",
    Outcome.PASS: "✓",
    Outcome.SKIP: "–",  # noqa: RUF001 - as wide as the other symbols
    None: "",
}

_CODE_SPAN = re.compile(r"`([^`]+)`")


def rendered(template: str, **shown: Any) -> str:
    """The page that the template makes of these values."""
    style, script = _asset("page.css"), _asset("page.js")
    # If a name from the cluster ever became a script, its digest would not match.
    policy = (
        f"default-src 'none'; img-src data:; style-src 'sha256-{_digest(style)}'; "
        f"script-src 'sha256-{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    assets = {"style": Markup(style), "script": Markup(script), "policy": policy}
    return _environment().get_template(template).render(assets | shown)


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every value may come from the cluster, unless it is marked as our own markup.
        finalize=_finalized,
    )
    environment.filters |= {
        "lines": lambda text: "\n".join(harmless_lines(text)),
        "cut": lambda text: shortened(text, LONGEST),
        "with_code": _with_code,
        "plural": plural,
        "listed": listed,
        "duration": duration,
        "moment": moment,
        "thousands": "{:,}".format,
    }
    environment.globals |= {
        "symbols": SYMBOLS,
        "words": sentences.OUTCOME_WORDS,
        "Outcome": Outcome,
        "remarkable": REMARKABLE,
        "most_names": MOST_NAMES,
        "coverage_sentence": sentences.coverage_sentence,
        "comparison_sentence": comparison_sentence,
        "past_sentence": past_sentence,
        "waiver_sentence": waiver_sentence,
        "wait_sentence": wait_sentence,
        "healing_sentences": healing_sentences,
        "cluster_sentence": sentences.cluster_sentence,
    }
    return environment


def _with_code(text: str) -> Markup:
    """The text with its `code` spans as elements. Everything else stays text, escaped."""
    # Every second part was between two backticks. A backtick without a partner stays.
    parts = [escape(part) for part in _CODE_SPAN.split(harmless(text))]
    parts[1::2] = [Markup("<code>{}</code>").format(part) for part in parts[1::2]]
    return Markup().join(parts)


def _finalized(value: object) -> object:
    if isinstance(value, str) and not isinstance(value, Markup):
        # Evidence keeps its line breaks.
        return harmless(value) if "\n" not in value else "\n".join(harmless_lines(value))
    return value


@functools.cache
def _asset(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
