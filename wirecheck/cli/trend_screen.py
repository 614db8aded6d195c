"""What `wirecheck trend` prints of the last runs of a cluster."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from wirecheck.catalogue.findings import Outcome
from wirecheck.cli.json_text import json_text
from wirecheck.cli.page_output import PageOutput
from wirecheck.report import trend_page
from wirecheck.report.trend import MeasureLine, trends
from wirecheck.results import history
from wirecheck.run.request import NothingToDoError, RequestError
from wirecheck.text import harmless, moment, plural

BARS = "▁▂▃▄▅▆▇█"
SIGNS: dict[Outcome | None, tuple[str, str]] = {
    Outcome.PASS: ("·", "green"),
    Outcome.FLAKY: ("~", "yellow"),
    Outcome.WARN: ("!", "yellow"),
    Outcome.FAIL: ("✕", "bold red"),
    Outcome.ERROR: ("?", "magenta"),
    Outcome.SKIP: ("-", "dim"),
    Outcome.WAIVED: ("w", "cyan"),
    Outcome.KNOWN: ("k", "cyan"),
    None: (" ", "dim"),
}


def show(file: Path, cluster: str, runs: int, output: PageOutput) -> None:
    """Show the last `runs` runs of the cluster. Raises RequestError or NothingToDoError."""
    entries = _entries(file, cluster, runs)
    if output.format == "json":
        output.put(json_text(entries))
        return
    if output.format == "html":
        output.put(trend_page.render(entries))
        return
    found = trends(entries)
    console = Console(highlight=False)
    first, last = (harmless(moment(run.time)) for run in (entries[0], entries[-1]))
    console.print(f"{plural(len(entries), 'run')}, {first} to {last}", soft_wrap=True)
    rows: list[tuple[str, Text, str]] = [
        ("exit status", Text("".join(str(status)[:1] for status in found.statuses)), "")
    ]
    for line in found.measures:
        rows.append((line.what, Text(_bars(line)), f"{line.last} ({line.range})"))
    for row in found.checks:
        signs = Text.assemble(*(SIGNS[outcome] for outcome in row.outcomes))
        rows.append((harmless(row.check), signs, row.summary))
    width = max(len(what) for what, _, _ in rows)
    for what, signs, summary in rows:
        console.print(Text.assemble(f"{what:{width}}  ", signs, f"  {summary}"), soft_wrap=True)
    if not found.checks:
        console.print("Every check passed in all of these runs.")


def _entries(file: Path, cluster: str, runs: int) -> list[history.HistoryEntry]:
    try:
        entries = history.read(file, cluster, history.LARGEST)
    except OSError as error:
        raise RequestError(f"{file} cannot be read: {error.strerror}.") from None
    if not entries:
        raise NothingToDoError(
            f"{file} lists no run. Each `wirecheck run` on a live cluster appends a line."
        )
    return [each for each in entries if each.cluster == entries[-1].cluster][-runs:]


def _bars(line: MeasureLine) -> str:
    top = max((value for value in line.values if value is not None), default=0) or 1
    return "".join(
        " " if value is None else BARS[min(7, int(8 * max(0.0, value) / top))]
        for value in line.values
    )
