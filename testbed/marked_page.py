"""The part of a Markdown page between two marks, which a command writes anew."""

from __future__ import annotations

from pathlib import Path


def between(page: Path, begin: str, end: str) -> str:
    """What is there; empty without the marks."""
    _, _, rest = page.read_text().partition(begin)
    return rest.partition(end)[0]


def put_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put lines there instead."""
    before, _, rest = page.read_text().partition(begin)
    _, _, after = rest.partition(end)
    page.write_text(f"{before}{begin}\n{text}{end}{after}")
