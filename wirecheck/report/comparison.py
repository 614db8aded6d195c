"""The changes since the baseline, in words that every report uses."""

from __future__ import annotations

from wirecheck.report.sentences import object_name
from wirecheck.results.records import Comparison, FindingRecord, PastFinding
from wirecheck.text import moment, plural


def comparison_sentence(comparison: Comparison) -> str:
    """`Compared with the run of 2026-11-23 03:06 UTC (before.jsonl): 1 new, 2 fixed …`."""
    parts = [
        f"{comparison.new:,} new",
        f"{comparison.known:,} still there",
        f"{len(comparison.fixed):,} fixed",
    ]
    if comparison.unseen:
        parts.append(f"{plural(len(comparison.unseen), 'finding')} not checked again")
    when = f"the run of {moment(comparison.time)}" if comparison.time else "the baseline"
    return f"Compared with {when} ({comparison.source}): {', '.join(parts)}"


def past_sentence(past: PastFinding) -> str:
    """`dns.replicas_answer on w2: Pod kube-system/coredns-x: previously no answer`."""
    where = f" on {past.node}" if past.node else ""
    why = f" ({past.why})" if past.why else ""
    about = object_name(past.finding)
    return f"{past.check}{where}: {about}: previously {past.finding.found}{why}"


def standing_word(finding: FindingRecord) -> str:
    """The words before a finding that the baseline or a waiver covers, or that is new or flaky."""
    words = {"known": "still there", "new": "new", "waived": "waived", "": ""}[finding.standing]
    flaky = f"flaky: {finding.flaky}" if finding.flaky else ""
    return ", ".join(filter(None, (words, flaky)))
