"""`nft -j list table`: chains, rules, sets and maps of one table.

{"nftables": [{"metainfo": {…}}, {"table": {"family": "ip", "name": "kube-proxy", …}},
              {"map": {"name": "service-ips", "type": […], "map": "verdict", "elem": […]}},
              {"chain": {"name": "nat-prerouting", "type": "nat", "hook": "prerouting", …}},
              {"rule": {"chain": "nat-prerouting", "expr": [{"jump": {"target": "services"}}]}}]}

Statements and conditions (`expr`) stay as they are: what they mean is the reader's business,
and that they are a list of objects shows when they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import msgspec
from msgspec import Raw, Struct
from msgspec import field as struct_field

from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.blocks import Block, BlockText

Expression = Mapping[str, Any]
"""One condition or statement: an object with one member."""


class NftRule(Struct, frozen=True, gc=False):
    """A rule of a chain; what it says is kept as text, and read when it is asked for.

    Objects for it would be seven a rule, millions that live as long as the rules are kept.
    """

    chain: str
    raw: Raw = struct_field(name="expr", default=Raw(b"[]"))
    comment: str = ""

    @property
    def expr(self) -> list[dict[str, Any]]:
        """Its conditions and statements; raises ParseError where they are no such list."""
        try:
            return _statements.decode(self.raw)
        except msgspec.DecodeError as error:
            name = self.chain[:200]
            raise ParseError(f"nft -j list table: a rule of chain {name}: {error}") from error


_statements = msgspec.json.Decoder(list[dict[str, Any]])


class NftChain(Struct, frozen=True):
    """A chain; one with a `hook` is a base chain, the others are called by rules."""

    name: str
    type: str = ""
    hook: str = ""
    prio: int = 0
    policy: str = ""


class NftSet(Struct, frozen=True, eq=False):
    """A set, or a map where `map` says what its elements lead to."""

    name: str
    type: str | list[str] = ""
    map: str | list[str] = ""
    flags: list[str] | str = []
    elem: list[Any] = []
    timeout: int = 0
    """Seconds that elements live, 0 for ever."""

    def is_like(self, other: NftSet) -> bool:
        """Whether both hold the same."""
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
    """Whether a rule may ask a set or map; where that is not known it may."""

    def __iter__(self) -> Iterator[NftRule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @cached_property
    def sets(self) -> tuple[str, ...]:
        """The names of the sets and maps that they ask."""
        if not self.asks_sets:
            return ()
        return tuple(dict.fromkeys(name for each in self.rules for name in _sets_in(each.expr)))


def _sets_in(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("@"):
        yield value[1:]
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _sets_in(each)


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
    rules: dict[str, NftRules] = field(default_factory=dict)
    sets: dict[str, NftSet] = field(default_factory=dict)


def parse_nft_table(text: str) -> NftTable:
    """The table in `text`, an empty one for no text: the table does not exist.

    Raises ParseError where the JSON is cut, is not nft's, or holds an object or a schema
    that is not known here.
    """
    if not text or text.isspace():
        return NftTable()
    # Most rules of a cluster's nodes are the same but for their handles: text that was decoded
    # before need not be decoded again.
    table = _of_blocks(text) if isinstance(text, BlockText) else None
    table = table or _by_items(text) or _whole(str(text))
    unknown = sorted(set(table.rules) - set(table.chains))
    if unknown:
        name = unknown[0][:200]
        raise ParseError(f"nft -j list table: rules of chain {name}, which is not declared")
    return table


def _whole(text: str) -> NftTable:
    table = NftTable()
    try:
        listing = msgspec.json.decode(text, type=_Listing)
    except msgspec.DecodeError as error:
        raise ParseError(f"nft -j list table: {str(error)[:200]}") from error
    for item in listing.nftables:
        _add(table, item)
    return table


def _add(table: NftTable, item: _Item) -> None:
    if item.metainfo and item.metainfo.json_schema_version != 1:
        version = item.metainfo.json_schema_version
        raise ParseError(f"nft -j list table: JSON schema {version}, only 1 is known")
    if item.chain:
        _refuse_second(item.chain.name, table.chains)
        table.chains[item.chain.name] = item.chain
        table.rules.setdefault(item.chain.name, NftRules())
    if item.rule:
        table.rules.setdefault(item.rule.chain, NftRules()).rules.append(item.rule)
    for each in (item.set, item.map):
        if each:
            _refuse_second(each.name, table.sets)
            table.sets[each.name] = each


def _refuse_second(name: str, known: Collection[str]) -> None:
    if name in known:
        raise ParseError(f"nft -j list table: {name[:200]} is declared twice: outputs are mixed")


MOST_KEPT = 100_000
"""Chains; four sets or maps of each name."""

_kept_rules: dict[tuple[str, ...], NftRules] = {}
_kept_sets: dict[str, list[NftSet]] = {}
_kept_chains: dict[str, list[NftRules]] = {}


def forget() -> None:
    """Keep nothing of any node."""
    _kept_rules.clear()
    _kept_sets.clear()
    _kept_chains.clear()


_BEGIN, _ENDS = '{"nftables": [', ("]}", "]}\n")

_parts: WeakKeyDictionary[Block, NftTable | None] = WeakKeyDictionary()


def _of_blocks(text: BlockText) -> NftTable | None:
    """The table, of blocks that are decoded once; None where one is no list of whole items."""
    if not (text.startswith(_BEGIN) and text.endswith(_ENDS)):
        return None
    table = NftTable()
    number = 0
    for block in text.blocks:
        if block not in _parts:
            _parts[block] = _decoded(block.text)
        part = _parts[block]
        if part is None:
            return None
        table.chains.update(part.chains)
        table.rules.update(part.rules)
        table.sets.update(part.sets)
        number += len(part.chains) + len(part.rules) + len(part.sets)
    is_each_once = number == len(table.chains) + len(table.rules) + len(table.sets)
    return table if is_each_once else None


def _decoded(text: str) -> NftTable | None:
    """What is in one block: items with commas between them."""
    items = text.removeprefix(_BEGIN).removeprefix(", ").removesuffix("\n").removesuffix("]}")
    part = NftTable()
    try:
        for item in msgspec.json.decode(f"[{items}]", type=list[_Item]):
            _add(part, item)
    except (ParseError, msgspec.DecodeError):
        return None
    part.sets = {name: _kept_set(each) for name, each in part.sets.items()}
    if '"@' not in text and "\\" not in text:
        for each in part.rules.values():
            each.asks_sets = False
    part.rules = {name: _kept_chain(name, each) for name, each in part.rules.items()}
    return part


_CHAIN_ITEM = re.compile(r'([^"]+)", "handle": (?:0|[1-9]\d*)\}\}', re.ASCII)
_NUMBER = re.compile(r"0|[1-9]\d*", re.ASCII)


def _by_items(text: str) -> NftTable | None:
    """The table, with what is kept of others; None where the text is not just as nft writes it.

    The text is cut where an item of the list begins. Each of the pieces is a whole item, or
    several, and decoded as such, so that together they are exactly the list.
    """
    family = "ip6" if '"family": "ip6"' in text[:512] else "ip"
    place = f'"family": "{family}", "table": "kube-proxy"'
    # Nobody's names need escapes, and without any a quotation mark is one.
    if "\\" in text or not text.endswith(("]}", "]}\n")):
        return None
    declared, *rules = text.split(f', {{"rule": {{{place}, "chain": "')
    if not rules:
        return None
    rules[-1] = rules[-1].rstrip("\n").removesuffix("]}")
    start, *chains = declared.split(f', {{"chain": {{{place}, "name": "')
    try:
        table = _whole(f"{start}]}}")
        for piece in chains:
            if plain := _CHAIN_ITEM.fullmatch(piece):
                _refuse_second(plain[1], table.chains)
                table.chains[plain[1]] = NftChain(plain[1])
                continue
            for item in msgspec.json.decode(f'[{{"chain": {{"name": "{piece}]', type=list[_Item]):
                _add(table, item)
        is_known = _add_rules(table, rules)
    except (ParseError, msgspec.DecodeError):
        return None
    table.sets = {name: _kept_set(each) for name, each in table.sets.items()}
    return table if is_known else None


def _add_rules(table: NftTable, pieces: list[str]) -> bool:
    """Enter the rules, each without its handle, which differs from node to node."""
    by_chain: dict[str, list[str]] = {}
    for piece in pieces:
        name, _, rest = piece.partition('", "handle": ')
        number, _, rule = rest.partition(", ")
        if not _NUMBER.fullmatch(number):
            return False
        by_chain.setdefault(name, []).append(rule)
    if any(map(len, table.rules.values())):
        return False
    for name, texts in by_chain.items():
        key = (name, *texts)
        kept = _kept_rules.get(key)
        if kept is None:
            asks_sets = any('"@' in each for each in texts)
            kept = NftRules([_rule(name, each) for each in texts], asks_sets)
            if len(_kept_rules) >= MOST_KEPT:
                _kept_rules.clear()
            _kept_rules[key] = kept
        table.rules[name] = kept
    for name in table.chains.keys() - table.rules.keys():
        table.rules[name] = _kept_rules.setdefault((name,), NftRules())
    return True


def _rule(chain: str, text: str) -> NftRule:
    item = msgspec.json.decode(f'{{"rule": {{"chain": "{chain}", {text}', type=_Item)
    if item.rule is None or item.rule.chain != chain:
        raise ParseError(chain)
    return item.rule


def _kept_chain(name: str, found: NftRules) -> NftRules:
    """Equal rules that are kept of the chain, or these from now on.

    Of a block in which something has changed most chains are as before.
    """
    kept = _kept_chains.setdefault(name, [])
    for each in kept:
        if each.rules == found.rules:
            return each
    if len(_kept_chains) > MOST_KEPT:
        _kept_chains.clear()
    kept.insert(0, found)
    del kept[2:]
    return found


def _kept_set(found: NftSet) -> NftSet:
    """An equal one that is kept, or this one from now on."""
    kept = _kept_sets.setdefault(found.name, [])
    for each in kept:
        if each.is_like(found):
            return each
    if len(_kept_sets) > MOST_KEPT:
        _kept_sets.clear()
    kept.insert(0, found)
    del kept[4:]
    return found
