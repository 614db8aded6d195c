"""Files in sections, as systemd and NetworkManager write them: `[Match]`, `OriginalName=*`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from wirecheck.parse.errors import ParseError


@dataclass(frozen=True, slots=True)
class Section:
    """One section, with its settings in their order: a key may come several times."""

    name: str
    settings: list[tuple[str, str]] = field(default_factory=list)

    def last(self, key: str) -> str:
        """The value that counts; empty where there is none."""
        return next((value for name, value in reversed(self.settings) if name == key), "")

    def words(self, key: str) -> tuple[str, ...]:
        """The words of a list; an empty value takes back what came before it."""
        found: list[str] = []
        for name, value in self.settings:
            if name == key:
                found = [*found, *value.split()] if value else []
        return tuple(found)


def parse_sections(lines: Iterable[str]) -> tuple[Section, ...]:
    """The sections in their order; raises ParseError for a line that is none of them."""
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
                f"line {number} is neither a section nor a setting in one: {line[:200]!r}"
            )
    if section:
        yield section
