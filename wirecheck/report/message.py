"""A chat message of at most five lines: the changes in the cluster since the previous run."""

from __future__ import annotations

import json

from wirecheck import __version__
from wirecheck.catalogue.findings import Outcome
from wirecheck.report.comparison import comparison_sentence
from wirecheck.report.sentences import cluster_sentence, coverage_sentence
from wirecheck.results.ordering import by_check, failing_checks, tone
from wirecheck.results.records import Results
from wirecheck.text import harmless, listed, shortened

LONGEST = 300
"""Characters of one line, before it is escaped."""

WORDS = {"pass": "OK", "warn": "WARN", "flaky": "FLAKY", "fail": "FAIL", "error": "ERROR"}

TEST = "TEST"
"""The first word of a test message."""


def render(results: Results) -> str:
    """The lines of the message, as plain text: each chat has an escaping of its own."""
    started, ended = results.started, results.ended
    failing = failing_checks(results)
    flaky = [check.record.id for check in by_check(results) if check.having(Outcome.FLAKY)]
    lines = [
        f"{WORDS.get(str(tone(results)), '')} {cluster_sentence(started.cluster)}",
        ended.verdict,
        f"Failing: {listed(failing, 8)}" if failing else "",
        f"Flaky: {listed(flaky, 8)}" if flaky and not failing else "",
        comparison_sentence(results.comparison)
        if results.comparison
        else coverage_sentence(ended.coverage),
    ]
    return "\n".join(_line(line) for line in lines if line)


def trial_message() -> str:
    """A message that shows whether messages arrive. It is about no run."""
    return "\n".join(
        [
            f"{TEST} wirecheck {__version__}",
            "This is a test message. A run sends one like it when something has changed.",
        ]
    )


def with_report(text: str, page: str) -> list[str]:
    """The lines of the message. `page` is the place of the run's page; it becomes the last line."""
    return [*text.split("\n"), *([_line(f"Report: {page}")] if page else [])]


def body(text: str, page: str = "") -> str:
    """The document to post: `{"text": …}`, as Mattermost, Google Chat and others accept it."""
    lines = map(escaped_for_slack, with_report(text, page))
    # Mattermost also notifies a channel for a plain @channel.
    plain = "\n".join(lines).replace("@", "(at)").replace("`", "'")
    return json.dumps({"text": plain}, ensure_ascii=False)


def escaped_for_slack(text: str) -> str:
    """The text without Slack's markup, which <…> begins: a link, or a mention of everybody.

    Mattermost and others read the same markup.
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _line(text: str) -> str:
    return shortened(harmless(text), LONGEST)
