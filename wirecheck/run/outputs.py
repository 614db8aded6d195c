"""`-o FORMAT=PLACE`: further reports of a run, beside those in its folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wirecheck.report import github, html, junit, markdown, message, nagios, prometheus, sonobuoy
from wirecheck.report.webhook import WebhookError, post
from wirecheck.results import history, jsonl
from wirecheck.results.records import Results
from wirecheck.run.request import Request
from wirecheck.whole_file import write_whole

FORMATS: Mapping[str, Callable[[Results], str]] = {
    "html": html.render,
    "junit": junit.render,
    "jsonl": jsonl.render,
    "markdown": markdown.render,
    "nagios": nagios.render,
    "prometheus": prometheus.render,
}
"""What can be written to a file, or to standard output where no file is named."""

SONOBUOY, WEBHOOK = "sonobuoy", "webhook"
NAMES = (*FORMATS, SONOBUOY, WEBHOOK)
WEBHOOK_URL = "WIRECHECK_WEBHOOK_URL"
SUMMARY = "GITHUB_STEP_SUMMARY"
SONOBUOY_FOLDERS = ("SONOBUOY_RESULTS_DIR", "RESULTS_DIR")
SONOBUOY_DEFAULT = "/tmp/sonobuoy/results"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Output:
    """One further report; without a place it goes to standard output, or where it belongs."""

    format: str
    place: str = ""

    @property
    def is_printed(self) -> bool:
        """Whether it takes the screen's place on standard output."""
        return self.format in FORMATS and not self.place


def read_output(text: str) -> Output:
    """`junit=FILE` or `nagios`. Raises ValueError, a sentence."""
    name, _, place = text.partition("=")
    if name not in NAMES:
        raise ValueError(f"there is no format {name!r}: choose {', '.join(NAMES)}.")
    return Output(name, place)


def deliver(
    results: Results,
    outputs: Sequence[Output],
    say: Say,
    *,
    changed: bool = True,
    report: str = "",
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Write every output that has a place; what cannot be written is said, and stops nothing.

    `changed`: whether the cluster is otherwise than in the run before, which a chat wants to know.
    """
    for output in outputs:
        try:
            if output.format == SONOBUOY:
                _write_sonobuoy(output, sonobuoy.render(results), environment)
            elif output.format == WEBHOOK:
                if changed:
                    _tell(output, message.render(results, report), environment)
            elif output.place:
                write_whole(Path(output.place), FORMATS[output.format](results))
        except OSError as error:
            say(f"The {output.format} report was not written: {error.strerror}: {output.place}")
        except WebhookError as error:
            say(f"Nobody was told: {error}")
    if summary := environment.get(SUMMARY):
        try:
            with Path(summary).open("a", encoding="utf-8", errors="replace") as stream:
                stream.write(markdown.render(results) + "\n")
        except OSError as error:
            say(f"The job's summary was not written: {error.strerror}: {summary}")


def printed(results: Results, outputs: Sequence[Output]) -> str | None:
    """What is printed in the place of the screen; None where that was not asked for."""
    for output in outputs:
        if output.is_printed:
            return FORMATS[output.format](results)
    return None


def job_annotations(results: Results, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Lines for standard output that a pipeline marks up; none outside of one."""
    return github.error_lines(results) if environment.get(SUMMARY) else []


def deliver_trouble(
    outputs: Sequence[Output], sentence: str, environment: Mapping[str, str] = os.environ
) -> str:
    """A run ended without results: tell those who would wait for them. Returns what to print."""
    said = ""
    for output in outputs:
        if output.format == SONOBUOY:
            _write_sonobuoy(output, sonobuoy.trouble(sentence), environment)
        elif output.format == "nagios" and output.is_printed:
            said = nagios.trouble(sentence)
    return said


def status_of(results: Results, outputs: Sequence[Output]) -> int:
    """The exit status: Nagios has words of its own for it."""
    if any(output.format == "nagios" and output.is_printed for output in outputs):
        return nagios.status(results)
    return results.ended.status


def has_changed(results: Results, folder: Path, request: Request) -> bool:
    """Whether the cluster is otherwise than in the run before this one, by the history."""
    now = history.entry_of(results, folder)
    try:
        runs = history.read(request.history_file, now.cluster, 100)
    except OSError:
        return True
    before = [entry for entry in runs if entry.report != now.report]
    return history.has_changed(before[-1] if before else None, now)


def _write_sonobuoy(output: Output, tree: str, environment: Mapping[str, str]) -> None:
    named = (environment.get(name, "") for name in SONOBUOY_FOLDERS)
    folder = Path(output.place or next(filter(None, named), SONOBUOY_DEFAULT))
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / sonobuoy.FILE
    write_whole(file, tree)
    # Last: the sidecar takes the results away as soon as it sees this file.
    write_whole(folder / sonobuoy.DONE, str(file.absolute()))


def _tell(output: Output, body: str, environment: Mapping[str, str]) -> None:
    url = output.place or environment.get(WEBHOOK_URL, "")
    if not url:
        raise WebhookError(f"there is no URL; set {WEBHOOK_URL}, or write -o webhook=URL.")
    post(url, body)
