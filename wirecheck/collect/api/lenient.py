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
"""Odd fields that are recorded for one list."""
LONGEST_WHY = 120

_PATH = re.compile(r" - at (?:`key` in )?`\$(?P<path>[^`]*)`$")
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


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
    """The item without the fields that cannot be decoded; None if it has no name."""
    try:
        names = msgspec.convert(item, _Named).metadata
    except msgspec.ValidationError:
        return None
    for _ in range(MOST_PRUNED):
        try:
            return msgspec.convert(item, type_)
        except msgspec.ValidationError as error:
            path = _path(error)
            if not _removed(item, list(_steps(path))):
                break
            _note(odd, kind, names, path.lstrip("."), str(error))
    _note(odd, kind, names, "spec", "more than one field cannot be decoded")
    try:
        return msgspec.convert({"metadata": msgspec.to_builtins(names)}, type_)
    except msgspec.ValidationError:
        return None


def _path(error: msgspec.ValidationError) -> str:
    """`.spec.ports[0]`. If the error is in some member of a mapping, the path of the mapping."""
    found = _PATH.search(str(error))
    return found["path"].partition("[...]")[0] if found else ""


def _note(odd: list[OddField], kind: str, names: _Names, field: str, why: str) -> None:
    if len(odd) < MOST_NAMED:
        said = shortened(why.partition(" - at ")[0], LONGEST_WHY)
        odd.append(
            OddField(kind, names.name, shortened(field, 200), said, names.namespace, names.uid)
        )


def _steps(path: str) -> Iterator[str | int]:
    """The keys and indices of a path."""
    for name, number in _STEP.findall(path):
        yield name or int(number)


def _removed(item: Any, steps: list[str | int]) -> bool:
    """Remove what the steps lead to; False if they lead nowhere."""
    if not steps:
        return False
    *way, last = steps
    holder = item
    try:
        for step in way:
            holder = holder[step]
        del holder[last]
    except (KeyError, IndexError, TypeError):
        return False
    return True
