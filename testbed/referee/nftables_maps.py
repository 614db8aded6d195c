"""Maps of verdicts in what `nft -j list table` prints: who asks them, and what is in them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = Any


def maps_asked(expr: Json, things: list[Json]) -> set[str]:
    """The maps of verdicts that a rule asks, itself or in a chain that it jumps to."""
    found = {
        value["data"][1:]
        for kind, value in parts(expr)
        if kind == "vmap" and isinstance(value.get("data"), str)
    }
    for kind, value in parts(expr):
        if kind == "jump":
            for each in things:
                if each.get("rule", {}).get("chain") == value["target"]:
                    found |= maps_asked(each["rule"]["expr"], things)
    return found


def elements(name: str, things: list[Json]) -> list[Json]:
    """Those of a map."""
    maps = [each["map"] for each in things if each.get("map", {}).get("name") == name]
    return [element for each in maps for element in each.get("elem", ())]


def keys(name: str, things: list[Json]) -> set[str]:
    """The keys of a map's elements."""
    return {key_of(each) for each in elements(name, things)}


def key_of(element: Json) -> str:
    """`198.18.255.1,tcp:80` or `tcp:30080`, empty for a set's element."""
    if not isinstance(element, list):
        return ""
    key = element[0].get("elem", {}).get("val", element[0]) if isinstance(element[0], dict) else {}
    *host, protocol, port = key.get("concat", ("", ""))
    return ",".join([*host, f"{protocol}:{port}"])


def parts(value: Json) -> Iterator[tuple[str, Json]]:
    """Every named part of an expression, however deep."""
    if isinstance(value, list):
        for each in value:
            yield from parts(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name, each
            yield from parts(each)
