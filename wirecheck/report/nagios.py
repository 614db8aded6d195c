"""One line for Nagios, Icinga and their like, with performance data; and their exit status."""

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
    """The line."""
    ended = results.ended
    said = f"{ended.verdict} {coverage_sentence(ended.coverage)}"
    numbers = [f"{outcome}={ended.counts.get(str(outcome), 0)};;;0" for outcome in Outcome]
    coverage = ended.coverage
    numbers.append(f"nodes_seen={coverage.nodes_seen};;;0;{coverage.nodes_known}")
    numbers.append(f"pods_seen={coverage.pods_seen};;;0;{coverage.pods_known}")
    numbers.append(f"time={ended.seconds:.3f}s;;;0")
    return f"{_line(status(results), said)} | {' '.join(numbers)}\n"


def status(results: Results) -> int:
    """0 OK, 1 warnings, 2 something failed, 3 could not look at everything."""
    match results.ended.status:
        case 0:
            warned = results.ended.counts.get(str(Outcome.WARN), 0)
            return WARNING if warned else OK
        case 1:
            return CRITICAL
    return UNKNOWN


def trouble(sentence: str) -> str:
    """The line of a run that ended without results."""
    return _line(UNKNOWN, sentence) + "\n"


def _line(code: int, said: str) -> str:
    """What is after a vertical bar is taken for numbers, so there must be none."""
    return f"WIRECHECK {WORDS[code]} - {shortened(harmless(said), LONGEST).replace('|', '/')}"
