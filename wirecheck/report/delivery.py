"""`-o FORMAT=PLACE`: delivers further reports of a run, in addition to those in its folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from wirecheck.report import github, markdown
from wirecheck.report.format import DeliveryError, Destination, Format, refuse_file
from wirecheck.report.registry import FORMATS
from wirecheck.results.records import Results
from wirecheck.whole_file import is_replaced

JOB_SUMMARY = "GITHUB_STEP_SUMMARY"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Output:
    """One further report. Without a destination it is printed, or uses its format's default."""

    format: Format
    place: str = ""

    @property
    def is_printed(self) -> bool:
        """Whether it replaces the usual text on standard output."""
        return not self.place and not self.format.has_default_place


def read_output(text: str) -> Output:
    """Read `junit=FILE` or `nagios`. Raises ValueError, a sentence."""
    name, equals, place = text.partition("=")
    if "/" in name:
        # It may be a webhook's URL, which is a secret, without its format.
        raise ValueError("the format is missing: write FORMAT=FILE, or webhook=URL.")
    if name not in FORMATS:
        raise ValueError(f"unknown format {name!r}: choose {', '.join(FORMATS)}.")
    if equals and not place:
        raise ValueError(f"{text} names no place; write {name}=FILE, or {name} alone.")
    return Output(FORMATS[name], place)


def refuse_undeliverable(
    outputs: Sequence[Output], environment: Mapping[str, str] = os.environ
) -> None:
    """Raise DeliveryError if a report cannot be written to its place. Writes nothing."""
    taken: dict[str, str] = {}
    for output in outputs:
        if output.is_printed:
            continue
        name, place = output.format.name, output.place
        try:
            output.format.refuse(Destination(place, environment))
        except OSError as error:
            raise DeliveryError(
                f"The {name} report cannot be written to {place}: {error.strerror}."
            ) from None
        if output.format.refuse is refuse_file and is_replaced(Path(place)):
            other = taken.setdefault(os.path.realpath(place), name)
            if other != name or list(outputs).count(output) > 1:
                raise DeliveryError(
                    f"The {other} and the {name} report would be written to the same file, "
                    f"{place}. Name another file for one of them."
                )


def deliver(
    results: Results,
    outputs: Sequence[Output],
    say: Say,
    *,
    changed: bool = True,
    page: str = "",
    environment: Mapping[str, str] = os.environ,
) -> None:
    """Deliver every output that is not printed. `say` reports failures; the others continue.

    `changed`: whether the cluster has changed since the previous run. `page`: the run's page.
    """
    for output in outputs:
        if not output.is_printed and (changed or not output.format.only_changes):
            text = output.format.render(results)
            _write(output, text, say, Destination(output.place, environment, page))
    if summary := environment.get(JOB_SUMMARY):
        try:
            with Path(summary).open("a", encoding="utf-8", errors="replace") as stream:
                stream.write(markdown.render(results) + "\n")
        except OSError as error:
            say(f"The job summary was not written: {error.strerror}: {summary}")


def deliver_failure(
    outputs: Sequence[Output],
    sentence: str,
    say: Say,
    environment: Mapping[str, str] = os.environ,
) -> str:
    """Deliver the reason of a run without results, in the formats that have a text for it.

    Returns what to print; empty if nothing.
    """
    printed_text = ""
    for output in outputs:
        if output.format.render_failure is None:
            continue
        text = output.format.render_failure(sentence)
        if output.is_printed:
            printed_text = text
        else:
            _write(output, text, say, Destination(output.place, environment))
    return printed_text


def printed(results: Results, outputs: Sequence[Output]) -> str | None:
    """The text that replaces the usual one on standard output; None if no output does."""
    for output in outputs:
        if output.is_printed:
            return output.format.render(results)
    return None


def status_of(results: Results, outputs: Sequence[Output]) -> int:
    """The exit status of a run with results. A printed format may have a mapping of its own."""
    for output in outputs:
        if output.is_printed and output.format.exit_status:
            return output.format.exit_status(results)
    return results.ended.status


def failure_status(outputs: Sequence[Output], status: int) -> int:
    """The exit status of a run without results; `status` if no printed format has its own."""
    for output in outputs:
        if output.is_printed and output.format.exit_status:
            return output.format.exit_status(None)
    return status


def job_annotations(results: Results, environment: Mapping[str, str] = os.environ) -> list[str]:
    """Lines for standard output that a GitHub job shows as annotations; none elsewhere."""
    return github.error_lines(results) if environment.get(JOB_SUMMARY) else []


def _write(output: Output, text: str, say: Say, destination: Destination) -> None:
    try:
        output.format.write(text, destination)
    except OSError as error:
        name = output.format.name
        say(f"The {name} report was not written: {error.strerror}: {output.place}")
    except DeliveryError as error:
        say(str(error))
