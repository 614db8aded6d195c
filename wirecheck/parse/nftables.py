"""`nft -j list table`: chains, rules, sets and maps of one table.

{"nftables": [{"metainfo": {…}}, {"table": {"family": "ip", "name": "kube-proxy", …}},
              {"map": {"name": "service-ips", "type": […], "map": "verdict", "elem": […]}},
              {"chain": {"name": "nat-prerouting", "type": "nat", "hook": "prerouting", …}},
              {"rule": {"chain": "nat-prerouting", "expr": [{"jump": {"target": "services"}}]}}]}

Statements and conditions (`expr`) stay as they are: what they mean is the reader's business,
and that they are a list of objects shows when they are asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec import field as struct_field

from wirecheck.parse.errors import ParseError

Expression = Mapping[str, Any]
"""One condition or statement: an object with one member."""


class NftRule(Struct, frozen=True, gc=False):
    """A rule of a chain, whose statements are kept as text and decoded when needed.

    Decoded, a rule has about seven objects: millions for all rules that are kept.
    """

    chain: str
    raw: Raw = struct_field(name="expr", default=Raw(b"[]"))
    comment: str = ""

    @property
    def expr(self) -> list[dict[str, Any]]:
        """Its conditions and statements; raises ParseError if they are not a list of objects."""
        try:
            return _statements.decode(self.raw)
        except MALFORMED as error:
            name = self.chain[:200]
            raise ParseError(f"nft -j list table: a rule of chain {name}: {error}") from error


MALFORMED = (msgspec.DecodeError, RecursionError, UnicodeEncodeError)
"""What decoding a text raises: RecursionError if it is nested too deeply."""

_statements = msgspec.json.Decoder(list[dict[str, Any]])


class NftChain(Struct, frozen=True):
    """A chain; one with a `hook` is a base chain, the others are called by rules."""

    name: str
    type: str = ""
    hook: str = ""
    prio: int = 0
    policy: str = ""
    dev: str | list[str] = ""
    """Of hooks of single devices: their names."""


class NftSet(Struct, frozen=True, eq=False):
    """A set, or a map if `map` has the type of its values."""

    name: str
    type: str | list[str] = ""
    map: str | list[str] = ""
    flags: list[str] | str = []
    elem: list[Any] = []
    timeout: int = 0
    """Seconds until elements expire, 0 for never."""

    def is_like(self, other: NftSet) -> bool:
        """Whether both have the same content."""
        return all(getattr(self, name) == getattr(other, name) for name in self.__struct_fields__)

    @property
    def is_remembered(self) -> bool:
        """Whether rules fill it, with elements that time out."""
        return self.timeout > 0


class _Metainfo(Struct, frozen=True):
    json_schema_version: int = 1


@dataclass(eq=False)
class NftRules:
    """The rules of one chain. Equal ones of many nodes are one object, as long as it is kept."""

    rules: list[NftRule] = field(default_factory=list)
    asks_sets: bool = True
    """Whether a rule may use a set or map, or this is not known."""

    def __iter__(self) -> Iterator[NftRule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @cached_property
    def sets(self) -> tuple[str, ...]:
        """The names of the sets and maps that they use."""
        if not self.asks_sets:
            return ()
        return tuple(dict.fromkeys(name for each in self.rules for name in _sets_in(each.expr)))


def _sets_in(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("@"):
        yield value[1:]
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _sets_in(each)


class Item(Struct, frozen=True, forbid_unknown_fields=True):
    """One member of the list. Objects that kube-proxy never makes are refused."""

    metainfo: _Metainfo | None = None
    table: dict[str, Any] | None = None
    chain: NftChain | None = None
    rule: NftRule | None = None
    set: NftSet | None = None
    map: NftSet | None = None


class _Listing(Struct, frozen=True, forbid_unknown_fields=True):
    nftables: list[Item]


@dataclass(slots=True)
class NftTable:
    """One table; sets and maps share their names' space."""

    chains: dict[str, NftChain] = field(default_factory=dict)
    rules: dict[str, NftRules] = field(default_factory=dict)
    sets: dict[str, NftSet] = field(default_factory=dict)


def checked(table: NftTable) -> NftTable:
    """The table; raises ParseError if it has rules of a chain that is not declared."""
    unknown = sorted(set(table.rules) - set(table.chains))
    if unknown:
        name = unknown[0][:200]
        raise ParseError(f"nft -j list table: rules of chain {name}, which is not declared")
    return table


def whole_table(text: str) -> NftTable:
    """The table in `text`, decoded as a whole.

    Raises ParseError if the JSON is cut, is not nft's, or has an unknown object or schema.
    """
    table = NftTable()
    try:
        listing = msgspec.json.decode(text, type=_Listing)
    except MALFORMED as error:
        raise ParseError(f"nft -j list table: {str(error)[:200]}") from error
    for item in listing.nftables:
        add_item(table, item)
    return table


def add_item(table: NftTable, item: Item) -> None:
    """Add one member of nft's list to the table."""
    if item.metainfo and item.metainfo.json_schema_version != 1:
        version = item.metainfo.json_schema_version
        raise ParseError(f"nft -j list table: JSON schema {version}, only 1 is known")
    if item.chain:
        refuse_second(item.chain.name, table.chains)
        table.chains[item.chain.name] = item.chain
        table.rules.setdefault(item.chain.name, NftRules())
    if item.rule:
        table.rules.setdefault(item.rule.chain, NftRules()).rules.append(item.rule)
    for each in (item.set, item.map):
        if each:
            refuse_second(each.name, table.sets)
            table.sets[each.name] = each


def refuse_second(name: str, known: Collection[str]) -> None:
    """Raise ParseError if the name was declared before."""
    if name in known:
        raise ParseError(f"nft -j list table: {name[:200]} is declared twice: outputs are mixed")
