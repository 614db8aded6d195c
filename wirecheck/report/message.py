"""A message of at most five lines, for a chat: what became of the cluster since the last run."""

from __future__ import annotations

import json

from wirecheck.report.comparison import comparison_sentence
from wirecheck.report.sentences import cluster_sentence, coverage_sentence
from wirecheck.results.ordering import RED, by_check, tone
from wirecheck.results.records import Results
from wirecheck.text import harmless, listed, shortened

LONGEST = 300
WORDS = {"pass": "OK", "warn": "WARN", "fail": "FAIL", "error": "ERROR"}


def render(results: Results, report: str = "") -> str:
    """The body: `{"text": …}`, as Slack, Mattermost and others take it."""
    return json.dumps({"text": "\n".join(lines(results, report))}, ensure_ascii=False)


def lines(results: Results, report: str = "") -> list[str]:
    """The lines; what chats take for markup or mentions is made plain."""
    started, ended = results.started, results.ended
    red = [check.record.id for check in by_check(results) if check.having(*RED)]
    said = [
        f"{WORDS.get(str(tone(results)), '')} {cluster_sentence(started.cluster)}",
        ended.verdict,
        f"Red: {listed(red, 8)}" if red else "",
        comparison_sentence(results.comparison)
        if results.comparison
        else coverage_sentence(ended.coverage),
        f"Report: {report}" if report else "",
    ]
    return [_plain(line) for line in said if line]


def _plain(text: str) -> str:
    text = shortened(harmless(text), LONGEST)
    # Slack reads <…> as a link or a mention of everybody, and asks for these three as entities.
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace("@", "(at)").replace("`", "'")
