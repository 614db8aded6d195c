"""Configuration files in sections, as of systemd and NetworkManager: `[Match]`, `Name=*`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wirecheck.parse.errors import ParseError


@dataclass(frozen=True, slots=True)
class Section:
    """One section with its settings in order. A key can occur more than once."""

    name: str
    settings: list[tuple[str, str]] = field(default_factory=list)

    def last(self, key: str) -> str:
        """The last value, which is in force; empty if the key is not set."""
        return next((value for name, value in reversed(self.settings) if name == key), "")

    def words(self, key: str) -> tuple[str, ...]:
        """The words of a list; an empty value clears what came before it."""
        found: list[str] = []
        for name, value in self.settings:
            if name == key and value:
                found += value.split()
            elif name == key:
                found = []
        return tuple(found)


def parse_sections(lines: Iterable[str]) -> tuple[Section, ...]:
    """The sections in order; raises ParseError for a line that belongs to none."""
    return tuple(_sections(lines))


def _sections(lines: Iterable[str]) -> Iterator[Section]:
    section: Section | None = None
    for number, line in enumerate(lines, start=1):
        key, equals, value = line.partition("=")
        if line.startswith("[") and line.endswith("]"):
            if section:
                yield section
            section = Section(line[1:-1])
        elif equals and section:
            section.settings.append((key.strip(), value.strip()))
        else:
            raise ParseError(
                f"line {number} is neither a section header nor a setting: {line[:200]!r}"
            )
    if section:
        yield section
