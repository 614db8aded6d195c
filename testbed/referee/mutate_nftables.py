"""Random single changes of what `nft -j list table` prints."""

from __future__ import annotations

import copy
import json
from typing import Any

from testbed.referee.dice import Dice
from testbed.referee.mutation import Edit

KINDS = ("delete", "delete element", "redirect", "reorder", "weight", "shadow")
Json = Any


def edit_nftables(dice: Dice, text: str) -> Edit | None:
    """One random change; None where the one that was drawn does not apply."""
    if not text:
        return None
    document = json.loads(text)
    things = copy.deepcopy(document["nftables"])
    for each in map(_named, things):
        # The kernel tells elements in an order of chance, which would make the draw one of chance.
        if each.get("elem"):
            each["elem"].sort(key=json.dumps)
    kind = dice.choice(KINDS)
    change = _changed(dice, kind, things)
    if change is None or change[0] == change[1]:
        return None
    before, after = (json.dumps(each) if each is not None else "" for each in change)
    return Edit(kind, before, after, json.dumps({**document, "nftables": things}))


def _changed(dice: Dice, kind: str, things: list[Json]) -> tuple[Json, Json] | None:
    """Change `things`, and tell what was there and what is."""
    of_all = {"delete element": _without_element, "redirect": _redirected, "weight": _weighted}
    if kind in of_all:
        return of_all[kind](dice, things)
    rules = sorted(
        (at for at, each in enumerate(things) if "rule" in each),
        key=lambda at: json.dumps({**things[at]["rule"], "handle": 0}),
    )
    if not rules:
        return None
    at = dice.choice(rules)
    match kind:
        case "delete":
            return things.pop(at)["rule"], None
        case "reorder":
            return _swapped(things, at)
        case _:
            return _shadowed(things, at)


def _shadowed(things: list[Json], at: int) -> tuple[Json, Json]:
    """Before the rule another one with the same matches, which ends the packet's way."""
    rule = things[at]["rule"]
    ending = [each for each in rule["expr"] if "match" in each] + [{"drop": None}]
    fresh = {**rule, "expr": ending}
    things.insert(at, {"rule": fresh})
    return rule, [fresh, rule]


def _without_handle(thing: Json) -> str:
    """What a thing is, whenever it was made."""
    return json.dumps({name: {**each, "handle": 0} for name, each in thing.items()})


def _named(thing: Json) -> Json:
    """A set or map, whatever it is."""
    return thing.get("map") or thing.get("set") or {}


def _without_element(dice: Dice, things: list[Json]) -> tuple[Json, Json] | None:
    full = [each for each in map(_named, sorted(things, key=_without_handle)) if each.get("elem")]
    if not full:
        return None
    chosen = dice.choice(full)
    element = chosen["elem"].pop(dice.randrange(len(chosen["elem"])))
    return {chosen["name"]: element}, None


def _redirected(dice: Dice, things: list[Json]) -> tuple[Json, Json] | None:
    """Another port behind DNAT, or another chain in a map."""
    in_order = sorted(things, key=_without_handle)
    dnats = [
        (each["rule"], expr["dnat"])
        for each in in_order
        if "rule" in each
        for expr in each["rule"]["expr"]
        if isinstance(expr.get("dnat", {}).get("port"), int)
    ]
    maps = [
        each for each in map(_named, in_order) if each.get("map") and len(each.get("elem", ())) > 1
    ]
    if dnats and (not maps or dice.chance(0.5)):
        rule, dnat = dice.choice(dnats)
        before = copy.deepcopy(rule)
        dnat["port"] += 1
        return before, rule
    if not maps:
        return None
    chosen = dice.choice(maps)
    one, other = dice.sample(range(len(chosen["elem"])), 2)
    before = copy.deepcopy(chosen["elem"][one])
    chosen["elem"][one][1] = chosen["elem"][other][1]
    return {chosen["name"]: before}, {chosen["name"]: chosen["elem"][one]}


def _swapped(things: list[Json], at: int) -> tuple[Json, Json] | None:
    one = things[at]["rule"]
    other = things[at + 1].get("rule") if at + 1 < len(things) else None
    if other is None or one["chain"] != other["chain"]:
        return None
    things[at], things[at + 1] = things[at + 1], things[at]
    return one, [other, one]


def _weighted(dice: Dice, things: list[Json]) -> tuple[Json, Json] | None:
    """One endpoint more often than the others: it takes the place of another one."""
    found = []
    for each in sorted(things, key=_without_handle):
        for expr in each.get("rule", {}).get("expr", ()):
            for pairs in _numbered(expr):
                if len(pairs) > 1:
                    found.append((each["rule"], pairs))
    if not found:
        return None
    rule, pairs = dice.choice(found)
    before = copy.deepcopy(rule)
    one, other = dice.sample(range(len(pairs)), 2)
    pairs[one][1] = pairs[other][1]
    return before, rule


def _numbered(value: Json) -> list[Json]:
    """The pairs of each map from random numbers within an expression."""
    if isinstance(value, list):
        return [pairs for each in value for pairs in _numbered(each)]
    if not isinstance(value, dict):
        return []
    key, data = value.get("key"), value.get("data")
    if isinstance(key, dict) and "numgen" in key and isinstance(data, dict):
        return [data["set"]]
    return [pairs for each in value.values() for pairs in _numbered(each)]
