"""Decodes objects one by one if a list cannot be decoded: one odd object costs its own odd fields.

Kubernetes checks what it stores, but not everything, and not what a custom resource contains. A
field with a value of another type is left out, and named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from wirecheck.snapshot.api_objects import OddField
from wirecheck.text import shortened

MOST_PRUNED = 20
"""Fields that are left out of one object; one with more keeps its metadata only."""
MOST_NAMED = 200
"""Fields that are named of one list."""
LONGEST_WHY = 120

_PATH = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")

Step = str | int


class _Names(Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""


class _Named(Struct, frozen=True):
    metadata: _Names


def decoded_items(items: list[Any], type_: Any, kind: str, odd: list[OddField]) -> Iterator[Any]:
    """Yield the items as `type_`, and note in `odd` what was left out of them.

    An item without a name is left out completely.
    """
    for item in items:
        try:
            yield msgspec.convert(item, type_)
        except msgspec.ValidationError:
            found = _pruned(item, type_, kind, odd)
            if found is not None:
                yield found


def _pruned(item: Any, type_: Any, kind: str, odd: list[OddField]) -> Any:
    """The item without the fields that cannot be decoded; None if nothing names it."""
    try:
        names = msgspec.convert(item, _Named).metadata
    except msgspec.ValidationError:
        return None
    for _ in range(MOST_PRUNED):
        try:
            return msgspec.convert(item, type_)
        except msgspec.ValidationError as error:
            found = _PATH.search(str(error))
            path = list(_steps(found["path"])) if found else []
            if not path or not _removed(item, path):
                break
            _note(odd, kind, names, _field(found["path"] if found else ""), str(error))
    _note(odd, kind, names, "spec", "more than one field cannot be decoded")
    try:
        return msgspec.convert({"metadata": msgspec.to_builtins(names)}, type_)
    except msgspec.ValidationError:
        return None


def _field(path: str) -> str:
    """`spec.ports[0]`; a mapping with an unknown member by its own name."""
    return path.lstrip(".").partition("[...]")[0]


def _note(odd: list[OddField], kind: str, names: _Names, field: str, why: str) -> None:
    if len(odd) < MOST_NAMED:
        said = shortened(why.partition(" - at ")[0], LONGEST_WHY)
        odd.append(
            OddField(kind, names.name, shortened(field, 200), said, names.namespace, names.uid)
        )


def _steps(path: str) -> Iterator[Step]:
    """The steps of a path in an error: `.spec.ports[0]`, or `.labels[...]` for some value."""
    for name, number in _STEP.findall(path):
        yield name or (int(number) if number.isdigit() else number)


def _removed(item: Any, path: list[Step]) -> bool:
    """Remove what the path leads to; a mapping whose member is unknown is removed completely."""
    if "..." in path:
        path = path[: path.index("...")]
    *way, last = path or [""]
    holder = item
    for step in way:
        try:
            holder = holder[step]
        except (KeyError, IndexError, TypeError):
            return False
    try:
        del holder[last]
    except (KeyError, IndexError, TypeError):
        return False
    return True
