"""A chat message of at most five lines: the changes in the cluster since the previous run."""

from __future__ import annotations

import json

from wirecheck.report.comparison import comparison_sentence
from wirecheck.report.sentences import cluster_sentence, coverage_sentence
from wirecheck.results.ordering import FAILING, by_check, tone
from wirecheck.results.records import Results
from wirecheck.text import harmless, listed, shortened

LONGEST = 300
WORDS = {"pass": "OK", "warn": "WARN", "fail": "FAIL", "error": "ERROR"}


def render(results: Results) -> str:
    """The lines of the message. Markup and mentions are escaped."""
    started, ended = results.started, results.ended
    failing = [check.record.id for check in by_check(results) if check.having(*FAILING)]
    lines = [
        f"{WORDS.get(str(tone(results)), '')} {cluster_sentence(started.cluster)}",
        ended.verdict,
        f"Failing: {listed(failing, 8)}" if failing else "",
        comparison_sentence(results.comparison)
        if results.comparison
        else coverage_sentence(ended.coverage),
    ]
    return "\n".join(_escaped(line) for line in lines if line)


def body(text: str, page: str = "") -> str:
    """The document to post: `{"text": …}`, as Slack, Mattermost and others accept it.

    `page` is the place of the run's page; it becomes the last line.
    """
    lines = [text, f"Report: {_escaped(page)}"] if page else [text]
    return json.dumps({"text": "\n".join(lines)}, ensure_ascii=False)


def _escaped(text: str) -> str:
    text = shortened(harmless(text), LONGEST)
    # Slack reads <…> as a link or a mention of everybody; its API wants these three as entities.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("@", "(at)").replace("`", "'")
