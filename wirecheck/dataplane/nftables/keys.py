"""Keys and elements of nft's sets and maps, as far as they are about Services."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from operator import attrgetter
from typing import Any

from wirecheck.addresses import canonical
from wirecheck.dataplane.rules.steps import Packet
from wirecheck.parse.nftables import Expression, NftSet

PROTOCOLS = {4: "ipencap", 6: "tcp", 17: "udp", 132: "sctp"}
"""By number, as nft prints them where the file with their names is missing."""


class UnknownError(Exception):
    """A part of an expression that is not known here."""


MALFORMED = (UnknownError, AttributeError, IndexError, KeyError, TypeError, ValueError)
"""The exceptions that reading an expression of an unknown shape raises."""


def elements_of(data: Any, sets: Mapping[str, NftSet]) -> list[Any]:
    """The elements of a named set or map, or of one in the rule, without comments."""
    if isinstance(data, str):
        if not data.startswith("@") or data[1:] not in sets:
            raise UnknownError(data)
        return [_plain(each) for each in sets[data[1:]].elem]
    return [_plain(each) for each in data["set"]]


def _plain(element: Any) -> Any:
    """An element without its comment or timeout; a map's element with its value."""
    if isinstance(element, list):
        return [_plain(element[0]), element[1]]
    if isinstance(element, dict) and "elem" in element:
        return element["elem"]["val"]
    return element


_FIELDS: dict[tuple[str, Any], str] = {
    ("payload", "daddr"): "daddr",
    ("payload", "saddr"): "saddr",
    ("payload", "dport"): "dport",
    ("meta", "l4proto"): "l4proto",
}


def key_parts(key: Expression) -> tuple[str, ...]:
    """The parts of a key: daddr, saddr, l4proto, dport. Raises UnknownError for other keys."""
    parts = []
    for each in key.get("concat", [key]):
        ((kind, inner),) = each.items()
        field = (inner.get("field") or inner.get("key")) if isinstance(inner, dict) else None
        part = _FIELDS.get((kind, field))
        if part is None:
            raise UnknownError(key)
        parts.append(part)
    return tuple(parts)


def key_of(parts: tuple[str, ...], value: Any) -> tuple[Any, ...]:
    """The element of a set or map as a tuple in canonical form."""
    values = value["concat"] if isinstance(value, dict) else [value]
    if len(values) != len(parts):
        raise UnknownError(value)
    return tuple(_canonical(part, each) for part, each in zip(parts, values, strict=True))


def _canonical(part: str, value: Any) -> object:
    if part in ("daddr", "saddr"):
        return canonical(value)
    if part == "l4proto":
        return PROTOCOLS.get(value, value)
    return int(value)


_READ = {"daddr": "address", "l4proto": "protocol", "dport": "port"}


@cache
def reader_of(parts: tuple[str, ...]) -> Callable[[Packet], object]:
    """A function that reads these parts of a packet, as a tuple."""
    names = [_READ[part] for part in parts]
    read = attrgetter(*names)
    return read if len(names) > 1 else lambda packet: (read(packet),)
