"""What the mutants showed: counts for people, and each survivor with its diff."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from testbed.mutants.trial import Outcome, Result

_OPEN = (Outcome.SURVIVED, Outcome.NO_TESTS, Outcome.UNCERTAIN)


def counts(results: Sequence[Result], drawn: int) -> str:
    """Return one line: how many of each outcome, and the share that was killed."""
    by = Counter(each.outcome for each in results)
    parts = [f"{by[outcome]} {outcome.value}" for outcome in Outcome]
    killed, stopped = by[Outcome.KILLED], by[Outcome.TIMED_OUT]
    shares = f"{_percent(killed, drawn)} killed, {_percent(killed + stopped, drawn)} with time-outs"
    return f"{drawn} mutants: {', '.join(parts)}, {drawn - len(results)} not run ({shares})"


def survivors(results: Sequence[Result]) -> str:
    """Return every mutant that no test noticed, with its diff."""
    return "\n".join(
        f"# {each.mutant.id}: {each.outcome.value}, tests: {each.tests}\n{each.diff}\n"
        for each in _open(results)
    )


def markdown(results: Sequence[Result], drawn: int, seed: int) -> str:
    """Return the summary as a page: counts by folder, and the survivors."""
    folders = sorted({_folder(each) for each in results})
    rows = [_row(name, [r for r in results if _folder(r) == name]) for name in folders]
    headings = " | ".join(outcome.value for outcome in Outcome)
    lines = [
        "# Mutants",
        "",
        f"Seed {seed}. {counts(results, drawn)}.",
        "",
        f"| folder | mutants | {headings} |",
        f"|---|{'---|' * (len(Outcome) + 1)}",
        *rows,
    ]
    for each in _open(results):
        lines += ["", f"## `{each.mutant.file}` line {each.mutant.line}", ""]
        lines += [f"{each.outcome.value.capitalize()}; tests: {each.tests}.", ""]
        lines += ["```diff", each.diff, "```"]
    return "\n".join(lines) + "\n"


def _open(results: Sequence[Result]) -> list[Result]:
    found = [each for each in results if each.outcome in _OPEN]
    return sorted(found, key=lambda each: (each.mutant.file, each.mutant.line))


def _folder(result: Result) -> str:
    return "/".join(result.mutant.file.split("/")[:-1][:2])


def _row(name: str, those: Sequence[Result]) -> str:
    by = Counter(each.outcome for each in those)
    cells = " | ".join(str(by[outcome]) for outcome in Outcome)
    return f"| `{name}` | {len(those)} | {cells} |"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "0 %"
