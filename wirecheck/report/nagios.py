"""One line for Nagios, Icinga and similar systems, with performance data; and their exit status."""

from __future__ import annotations

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.sentences import coverage_sentence
from wirecheck.results.ordering import failing_checks
from wirecheck.results.records import Results
from wirecheck.results.tally import tally_of
from wirecheck.text import harmless, listed, shortened

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
LONGEST = 1000
"""Characters before the performance data; older versions cut a line off at 4 kB."""

MOST_CHECKS = 8


def render(results: Results) -> str:
    """The line, with its line feed."""
    ended, tally = results.ended, tally_of(results)
    text = f"{ended.verdict} {failing_sentence(results)}{coverage_sentence(ended.coverage)}."
    numbers = [f"{outcome}={tally.number(outcome)};;;0" for outcome in Outcome]
    numbers.append(f"nodes_failed={tally.nodes.get(Outcome.FAIL, 0)};;;0")
    numbers.append(f"root_causes={tally.root_causes};;;0")
    coverage = ended.coverage
    numbers.append(f"nodes_seen={coverage.nodes_seen};;;0;{coverage.nodes_known}")
    numbers.append(f"pods_seen={coverage.pods_seen};;;0;{coverage.pods_known}")
    numbers.append(f"time={ended.seconds:.3f}s;;;0")
    return f"{_line(exit_status(results), text)} | {' '.join(numbers)}\n"


def failing_sentence(results: Results) -> str:
    """`Failing: links.up, dns.latency and 4 more. `, root causes first; empty if none fails."""
    failing = failing_checks(results)
    return f"Failing: {listed(failing, MOST_CHECKS)}. " if failing else ""


def exit_status(results: Results | None) -> int:
    """0 OK, 1 warned or flaky, 2 at least one failure, 3 not everything checked, or no results."""
    if results is None:
        return UNKNOWN
    match results.ended.status:
        case 0:
            counts = results.ended.counts
            is_warned = any(counts.get(each, 0) for each in (Outcome.FLAKY, Outcome.WARN))
            return WARNING if is_warned else OK
        case 1:
            return CRITICAL
    return UNKNOWN


def render_failure(sentence: str) -> str:
    """The line of a run that ended without results, from the sentence with the reason."""
    return _line(UNKNOWN, sentence) + "\n"


def _line(code: int, text: str) -> str:
    """Nagios reads everything after a vertical bar as numbers, so the text may have none."""
    return f"WIRECHECK {WORDS[code]} - {shortened(harmless(text), LONGEST).replace('|', '/')}"
