"""Pages of a bounded size of a JSON document, which lose nothing.

A document that fits is one page, `{"result": …}`. Any other is a list of parts, `{"at": …, "value":
…}`: `at` is the JSON Pointer of an object, a list or a text, and `value` is a part of it. Parts of
an object are merged, parts of a list or a text are appended in their order; `from` says where.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

LARGEST = 64 << 10
"""Bytes of one result on the wire. Its JSON is a string within JSON there, so quotes take more."""
ENVELOPE = 2 << 10
ROOM = LARGEST - ENVELOPE
LONGEST_KEY = 200
Part = dict[str, Any]


def size(value: object) -> int:
    """Bytes of the value as JSON that is a string within JSON."""
    return len(msgspec.json.encode(msgspec.json.encode(value).decode()))


def pages_of(document: object, room: int = ROOM) -> list[bytes]:
    """Each page as the members of a JSON object, without its braces."""
    if size(document) <= room:
        return [b'"result":' + msgspec.json.encode(document)]
    pages: list[list[Part]] = [[]]
    left = room
    for part in _parts(document, "", room // 2):
        needed = size(part) + 1
        if needed > left and pages[-1]:
            pages.append([])
            left = room
        pages[-1].append(part)
        left -= needed
    return [b'"parts":' + msgspec.json.encode(page) for page in pages]


def _parts(value: object, at: str, room: int) -> Iterator[Part]:
    if isinstance(value, Mapping):
        yield from _parts_of_object(value, at, room)
    elif isinstance(value, list | tuple):
        yield from _parts_of_list(value, at, room)
    elif isinstance(value, str):
        # A control character takes seven bytes: \\u001b within a string within JSON.
        step = max(1, room // 8)
        for start in range(0, max(1, len(value)), step):
            yield {"at": at, "from": start, "value": value[start : start + step]}
    else:
        yield {"at": at, "value": value}


def _parts_of_object(value: Mapping[str, object], at: str, room: int) -> Iterator[Part]:
    some: dict[str, object] = {}
    used = 0
    for given, each in value.items():
        key = given if len(given) <= LONGEST_KEY else f"{given[:LONGEST_KEY]}…"
        needed = size({key: each})
        if some and used + needed > room:
            yield {"at": at, "value": some}
            some, used = {}, 0
        if needed > room:
            yield from _parts(each, f"{at}/{_escaped(key)}", room)
        else:
            some[key] = each
            used += needed
    if some:
        yield {"at": at, "value": some}


def _parts_of_list(value: Sequence[object], at: str, room: int) -> Iterator[Part]:
    some: list[object] = []
    used = start = 0
    for number, each in enumerate(value):
        needed = size(each) + 1
        if some and used + needed > room:
            yield {"at": at, "from": start, "value": some}
            some, used = [], 0
        if needed > room:
            yield from _parts(each, f"{at}/{number}", room)
        else:
            start = start if some else number
            some.append(each)
            used += needed
    if some:
        yield {"at": at, "from": start, "value": some}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
