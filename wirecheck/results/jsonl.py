"""`results.jsonl`: the run as one JSON object a line. All reports can be rendered from it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from wirecheck.catalogue.former_ids import current_id, current_key, warn_of_ids
from wirecheck.results.records import (
    FORMAT,
    Comparison,
    ItemResult,
    PastFinding,
    Results,
    RunEnded,
    RunStarted,
)
from wirecheck.whole_file import write_whole

Line = RunStarted | ItemResult | Comparison | RunEnded


class ResultsError(Exception):
    """A results file cannot be used: one sentence with the file, the line and the next step."""


class _Head(msgspec.Struct):
    """The fields that the first line has in every format, also in later ones."""

    type: str = ""
    format: int = 0


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Line] = msgspec.json.Decoder(Line)


def render(results: Results) -> str:
    """The complete file."""
    compared = [results.comparison] if results.comparison else []
    lines: list[Line] = [results.started, *results.items, *compared, results.ended]
    return "".join(f"{_encoder.encode(line).decode()}\n" for line in lines)


def write(results: Results, file: Path) -> None:
    """Replace the file at once. Raises OSError."""
    write_whole(file, render(results))


def read_results(file: Path) -> Results:
    """Read the results of a run. Raises ResultsError."""
    try:
        with file.open("rb") as stream:
            return _assembled(file, enumerate(stream, start=1))
    except OSError as error:
        raise ResultsError(
            f"{file} cannot be read ({error.strerror}): name the results.jsonl of an earlier run."
        ) from error


def _assembled(file: Path, lines: Iterator[tuple[int, bytes]]) -> Results:
    _, first = next(lines, (0, b""))
    if not first.strip():
        raise ResultsError(f"{file} is empty: use another copy of it, or run wirecheck again.")
    started = _started(file, first)
    items: list[ItemResult] = []
    comparison: Comparison | None = None
    number = 1
    for number, raw in lines:
        line = _decoded(file, number, raw)
        if isinstance(line, RunEnded):
            _expect_no_more(file, lines)
            return _with_current_ids(file, Results(started, items, line, comparison))
        if isinstance(line, RunStarted):
            raise ResultsError(
                f"{file}, line {number}: another run starts here. A file contains one run; "
                "split it before this line."
            )
        if isinstance(line, Comparison):
            comparison = line
        else:
            items.append(line)
    raise ResultsError(
        f"{file} was cut off after line {number}: the end of the run is missing; use another "
        "copy of the file, or run wirecheck again."
    )


def _with_current_ids(file: Path, results: Results) -> Results:
    """The results with the ids that checks have now; warns if the file has former ones."""
    ids = [check.id for check in results.started.checks]
    if all(current_id(each) == each for each in ids):
        return results
    warn_of_ids(ids, str(file))
    checks = [replace(check, id=current_id(check.id)) for check in results.started.checks]
    comparison = results.comparison
    if comparison is not None:
        comparison = replace(
            comparison,
            fixed=[_past_with_current_id(each) for each in comparison.fixed],
            unseen=[_past_with_current_id(each) for each in comparison.unseen],
        )
    return replace(
        results,
        started=replace(results.started, checks=checks),
        items=[_item_with_current_id(item) for item in results.items],
        comparison=comparison,
    )


def _item_with_current_id(item: ItemResult) -> ItemResult:
    findings = [replace(each, key=current_key(each.key)) for each in item.findings]
    return replace(item, check=current_id(item.check), findings=findings)


def _past_with_current_id(past: PastFinding) -> PastFinding:
    finding = replace(past.finding, key=current_key(past.finding.key))
    return replace(past, check=current_id(past.check), finding=finding)


def _started(file: Path, raw: bytes) -> RunStarted:
    try:
        head = msgspec.json.decode(raw, type=_Head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        head = _Head()
    if head.type == "run" and head.format != FORMAT:
        raise ResultsError(
            f"{file}, line 1: the results have format {head.format}, but this wirecheck reads "
            f"format {FORMAT}; use the version that wrote them, or run wirecheck again."
        )
    line = _decoded(file, 1, raw)
    if not isinstance(line, RunStarted):
        raise ResultsError(
            f"{file}, line 1: the start of the run is missing; use another copy of the file, or "
            "run wirecheck again."
        )
    return line


def _decoded(file: Path, number: int, raw: bytes) -> Line:
    try:
        return _decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ResultsError(
            f"{file}, line {number}: this is not a line of results ({error}). The file is "
            "damaged or not a results.jsonl; use another copy of it, or run wirecheck again."
        ) from error


def _expect_no_more(file: Path, lines: Iterator[tuple[int, bytes]]) -> None:
    for number, raw in lines:
        if raw.strip():
            raise ResultsError(
                f"{file}, line {number}: there is more after the end of the run. A file "
                "contains one run; split it before this line."
            )
