"""One line for Nagios, Icinga and similar systems, with performance data; and their exit status."""

from __future__ import annotations

from wirecheck.catalogue.findings import Outcome
from wirecheck.report.sentences import coverage_sentence
from wirecheck.results.records import Results
from wirecheck.text import harmless, shortened

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WORDS = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
LONGEST = 1000
"""Characters before the performance data; older versions cut a line off at 4 kB."""


def render(results: Results) -> str:
    """The line, with its line feed."""
    ended = results.ended
    text = f"{ended.verdict} {coverage_sentence(ended.coverage)}."
    numbers = [f"{outcome}={ended.counts.get(str(outcome), 0)};;;0" for outcome in Outcome]
    coverage = ended.coverage
    numbers.append(f"nodes_seen={coverage.nodes_seen};;;0;{coverage.nodes_known}")
    numbers.append(f"pods_seen={coverage.pods_seen};;;0;{coverage.pods_known}")
    numbers.append(f"time={ended.seconds:.3f}s;;;0")
    return f"{_line(exit_status(results), text)} | {' '.join(numbers)}\n"


def exit_status(results: Results | None) -> int:
    """0 OK, 1 warnings, 2 at least one failure, 3 not everything was checked, or no results."""
    if results is None:
        return UNKNOWN
    match results.ended.status:
        case 0:
            warned = results.ended.counts.get(str(Outcome.WARN), 0)
            return WARNING if warned else OK
        case 1:
            return CRITICAL
    return UNKNOWN


def render_failure(sentence: str) -> str:
    """The line of a run that ended without results, from the sentence with the reason."""
    return _line(UNKNOWN, sentence) + "\n"


def _line(code: int, text: str) -> str:
    """Nagios reads everything after a vertical bar as numbers, so the text may have none."""
    return f"WIRECHECK {WORDS[code]} - {shortened(harmless(text), LONGEST).replace('|', '/')}"
