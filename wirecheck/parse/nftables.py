"""`nft -j list table`: chains, rules, sets and maps of one table.

{"nftables": [{"metainfo": {…}}, {"table": {"family": "ip", "name": "kube-proxy", …}},
              {"map": {"name": "service-ips", "type": […], "map": "verdict", "elem": […]}},
              {"chain": {"name": "nat-prerouting", "type": "nat", "hook": "prerouting", …}},
              {"rule": {"chain": "nat-prerouting", "expr": [{"jump": {"target": "services"}}]}}]}

Statements and conditions (`expr`) stay as they are: what they mean is the reader's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Struct

from wirecheck.parse.errors import ParseError

Expression = Mapping[str, Any]
"""One condition or statement: an object with one member."""


class NftRule(Struct, frozen=True):
    """A rule of a chain."""

    chain: str
    expr: list[dict[str, Any]] = []
    comment: str = ""


class NftChain(Struct, frozen=True):
    """A chain; one with a `hook` is a base chain, the others are called by rules."""

    name: str
    type: str = ""
    hook: str = ""
    prio: int = 0
    policy: str = ""


class NftSet(Struct, frozen=True):
    """A set, or a map where `map` says what its elements lead to."""

    name: str
    type: str | list[str] = ""
    map: str | list[str] = ""
    flags: list[str] | str = []
    elem: list[Any] = []
    timeout: int = 0
    """Seconds that elements live, 0 for ever."""

    @property
    def is_remembered(self) -> bool:
        """Whether rules fill it, with elements that time out."""
        return self.timeout > 0


class _Metainfo(Struct, frozen=True):
    json_schema_version: int = 1


class _Item(Struct, frozen=True, forbid_unknown_fields=True):
    """One member of the list; objects that kube-proxy never makes are not known here."""

    metainfo: _Metainfo | None = None
    table: dict[str, Any] | None = None
    chain: NftChain | None = None
    rule: NftRule | None = None
    set: NftSet | None = None
    map: NftSet | None = None


class _Listing(Struct, frozen=True, forbid_unknown_fields=True):
    nftables: list[_Item]


@dataclass(slots=True)
class NftTable:
    """One table; sets and maps share their names' space."""

    chains: dict[str, NftChain] = field(default_factory=dict)
    rules: dict[str, list[NftRule]] = field(default_factory=dict)
    sets: dict[str, NftSet] = field(default_factory=dict)


def parse_nft_table(text: str) -> NftTable:
    """The table in `text`, an empty one for no text: the table does not exist.

    Raises ParseError where the JSON is cut, is not nft's, or holds an object or a schema
    that is not known here.
    """
    table = NftTable()
    if not text.strip():
        return table
    try:
        listing = msgspec.json.decode(text, type=_Listing)
    except msgspec.DecodeError as error:
        raise ParseError(f"nft -j list table: {error}") from error
    for item in listing.nftables:
        _add(table, item)
    unknown = sorted(set(table.rules) - set(table.chains))
    if unknown:
        raise ParseError(f"nft -j list table: rules of chain {unknown[0]}, which is not declared")
    return table


def _add(table: NftTable, item: _Item) -> None:
    if item.metainfo and item.metainfo.json_schema_version != 1:
        version = item.metainfo.json_schema_version
        raise ParseError(f"nft -j list table: JSON schema {version}, only 1 is known")
    if item.chain:
        table.chains[item.chain.name] = item.chain
        table.rules.setdefault(item.chain.name, [])
    if item.rule:
        table.rules.setdefault(item.rule.chain, []).append(item.rule)
    for each in (item.set, item.map):
        if each:
            table.sets[each.name] = each
