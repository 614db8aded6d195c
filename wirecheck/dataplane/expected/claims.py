"""Which Service has a frontend that several entries claim."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from wirecheck.dataplane.table import Entry, Frontend


@dataclass(frozen=True, slots=True)
class Claims:
    """Every frontend with its first entry, and all entries of those that have several."""

    entries: dict[Frontend, Entry]
    contested: dict[Frontend, tuple[Entry, ...]]
    """By several Services."""
    ambiguous: dict[Frontend, tuple[Entry, ...]]
    """By one Service, whose endpoints allow several."""


def claims(known: dict[Frontend, Entry], entries: Iterable[Entry]) -> Claims:
    """The claims of `entries`, in their order, after those that are `known`, which is added to."""
    contested: dict[Frontend, tuple[Entry, ...]] = {}
    ambiguous: dict[Frontend, tuple[Entry, ...]] = {}
    for entry in entries:
        first = known.setdefault(entry.frontend, entry)
        if first is not entry:
            into = ambiguous if first.owner is entry.owner else contested
            into[entry.frontend] = (*into.get(entry.frontend, (first,)), entry)
    contested = {
        frontend: (*of, *ambiguous.pop(frontend, ())[1:]) for frontend, of in contested.items()
    }
    return Claims(known, contested, ambiguous)
