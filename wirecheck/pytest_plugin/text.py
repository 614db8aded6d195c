"""The text that pytest prints for an item that does not pass: findings and next step."""

from __future__ import annotations

import textwrap

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.remedies import general
from wirecheck.report.sentences import finding_sentence
from wirecheck.results.ordering import REACHABLE
from wirecheck.results.records import FindingRecord, ItemResult
from wirecheck.text import harmless, shortened

MOST_FINDINGS = 20
LONGEST = 400


def message(check: Check, item: ItemResult, inspect_options: str = "") -> str:
    """The findings, then the check and its remedy. The short summary shows the first line."""
    if item.folded:
        return headline(item)
    lines = [headline(item)]
    lines += [_line(each) for each in item.findings[1:MOST_FINDINGS]]
    if item.findings[MOST_FINDINGS:]:
        lines.append(f"… and {len(item.findings) - MOST_FINDINGS:,} more")
    if item.findings and item.reason:
        lines.append(harmless(item.reason))
    lines += ["", *textwrap.wrap(check.sentence, 100)]
    # The reason of an error names the next step itself.
    if item.outcome is not Outcome.ERROR or check.id == REACHABLE:
        lines += textwrap.wrap(f"Why: {check.why}", 100)
        remedy = next((each.remedy for each in item.findings if each.remedy), "")
        lines += textwrap.wrap(f"Next: {remedy or general(check.remedy)}", 100)
    if shown := next((each.inspect for each in item.findings if each.inspect), ""):
        lines.append(f"Inspect: wirecheck inspect {harmless(shown)} {inspect_options}".rstrip())
    return "\n".join(lines)


def headline(item: ItemResult) -> str:
    """One line: the first finding, or the reason."""
    if item.folded:
        return f"{item.node} was not visited, see nodes.reachable[{item.node}]."
    if not item.findings:
        return shortened(harmless(item.reason), LONGEST)
    more = f" (and {len(item.findings) - 1:,} more)" if item.findings[1:] else ""
    return _line(item.findings[0]) + more


def _line(finding: FindingRecord) -> str:
    return shortened(harmless(finding_sentence(finding)), LONGEST)
