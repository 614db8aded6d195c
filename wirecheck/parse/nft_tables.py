"""`nft -j list table` of any program: chains, rules and sets, without what counts packets.

Programs use more objects and types than kube-proxy does. What is not known stays as it is: whether
it matters depends on the packets that reach it. Counters and expiry times differ from node to node
and from second to second, so they are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from msgspec import Raw

from wirecheck.parse.errors import UNKNOWN_SHAPE, ParseError
from wirecheck.parse.nftables import NftChain, NftRule, NftRules, NftSet, NftTable

_COUNTING = frozenset({"counter", "last"})


def parse_table(text: str, *, has_elements: bool = True) -> NftTable:
    """Return the table in a listing. Raises ParseError if it is not one.

    Without elements (`nft -t`) the sets and maps are left out: their content is unknown.
    """
    table = NftTable()
    try:
        for item in json.loads(text)["nftables"]:
            _add(table, item, has_elements)
    except UNKNOWN_SHAPE as error:
        raise ParseError(f"nft -j list table: it is not a listing: {text[:200]!r}") from error
    for name in table.chains:
        table.rules.setdefault(name, NftRules())
    return table


def _add(table: NftTable, item: Mapping[str, Any], has_elements: bool) -> None:
    if (chain := item.get("chain")) is not None:
        table.chains[str(chain["name"])] = NftChain(
            str(chain["name"]),
            str(chain.get("type", "")),
            str(chain.get("hook", "")),
            int(chain.get("prio", 0)),
            str(chain.get("policy", "")),
            _devices(chain.get("dev", "")),
        )
    elif (rule := item.get("rule")) is not None:
        name = str(rule["chain"])
        raw = Raw(json.dumps(_statements(rule["expr"])).encode())
        table.rules.setdefault(name, NftRules()).rules.append(NftRule(name, raw))
    elif has_elements and (found := item.get("set") or item.get("map")):
        name = str(found["name"])
        elements = [_plain(each) for each in found.get("elem", ())]
        flags = [str(each) for each in found.get("flags", ())]
        table.sets[name] = NftSet(name, flags=flags, elem=elements, timeout=_changes(found, flags))


def _devices(value: Any) -> str | list[str]:
    return [str(each) for each in value] if isinstance(value, list) else str(value)


def _changes(found: Mapping[str, Any], flags: list[str]) -> int:
    """Greater than 0 if rules or time change the set, as NftSet.is_remembered tests."""
    return max(int(found.get("timeout") or 0), int("dynamic" in flags))


def _statements(expressions: list[Any]) -> list[Any]:
    if not all(isinstance(each, dict) for each in expressions):
        raise TypeError(expressions)
    return [each for each in expressions if not _COUNTING & set(each)]


def _plain(element: Any) -> Any:
    """An element without comment, counter and expiry; a map's element with its value."""
    if isinstance(element, list):
        return [_plain(element[0]), element[1]]
    if isinstance(element, dict) and set(element) == {"elem"}:
        return element["elem"]["val"]
    return element
