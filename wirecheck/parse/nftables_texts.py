"""nftables listings of many nodes: text that was decoded before is not decoded again.

Most rules of a cluster's nodes are the same except for their handles. A listing is decoded in
parts: the blocks that it consists of, or the text of one chain. Equal parts become one object.
"""

from __future__ import annotations

import re
from weakref import WeakKeyDictionary

import msgspec

from wirecheck.parse.errors import ParseError
from wirecheck.parse.nftables import (
    MALFORMED,
    Item,
    NftChain,
    NftRule,
    NftRules,
    NftSet,
    NftTable,
    add_item,
    checked,
    refuse_second,
    whole_table,
)
from wirecheck.snapshot.blocks import Block, BlockText

MOST_KEPT = 100_000
"""Chains, or names of sets and maps; four sets or maps of each name."""

_BEGIN, _ENDS = '{"nftables": [', ("]}", "]}\n")
_CHAIN_ITEM = re.compile(r'([^"]+)", "handle": (?:0|[1-9]\d*)\}\}', re.ASCII)
_NUMBER = re.compile(r"0|[1-9]\d*", re.ASCII)


class NftTexts:
    """Reads listings, and keeps their parts for other nodes; one evaluation owns it."""

    def __init__(self) -> None:
        self._blocks: WeakKeyDictionary[Block, NftTable | None] = WeakKeyDictionary()
        self._rules: dict[tuple[str, ...], NftRules] = {}
        self._sets: dict[str, list[NftSet]] = {}
        self._chains: dict[str, list[NftRules]] = {}

    def table(self, text: str) -> NftTable:
        """The table in `text`, an empty one for an empty text; do not change it.

        Raises ParseError if the JSON is cut, is not nft's, or has an unknown object or schema.
        """
        if not text or text.isspace():
            return NftTable()
        table = self.of_blocks(text) if isinstance(text, BlockText) else None
        return checked(table or self.by_items(text) or whole_table(str(text)))

    def of_blocks(self, text: BlockText) -> NftTable | None:
        """The table of a text in blocks; None if one of them is not a list of complete items."""
        if not (text.startswith(_BEGIN) and text.endswith(_ENDS)):
            return None
        table = NftTable()
        number = 0
        for block in text.blocks:
            if block not in self._blocks:
                self._blocks[block] = self._decoded(block.text)
            part = self._blocks[block]
            if part is None:
                return None
            table.chains.update(part.chains)
            table.rules.update(part.rules)
            table.sets.update(part.sets)
            number += len(part.chains) + len(part.rules) + len(part.sets)
        is_each_once = number == len(table.chains) + len(table.rules) + len(table.sets)
        return table if is_each_once else None

    def _decoded(self, text: str) -> NftTable | None:
        """The content of one block: items with commas between them."""
        items = text.removeprefix(_BEGIN).removeprefix(", ").removesuffix("\n").removesuffix("]}")
        part = NftTable()
        try:
            for item in msgspec.json.decode(f"[{items}]", type=list[Item]):
                add_item(part, item)
        except (ParseError, *MALFORMED):
            return None
        part.sets = {name: self._kept_set(each) for name, each in part.sets.items()}
        if '"@' not in text and "\\" not in text:
            for each in part.rules.values():
                each.asks_sets = False
        part.rules = {name: self._kept_chain(name, each) for name, each in part.rules.items()}
        return part

    def by_items(self, text: str) -> NftTable | None:
        """The table of a text that is just as nft writes it; None for any other text.

        The text is cut where an item of the list begins. Each piece is one or more whole items
        and decoded as such, so that together they are exactly the list.
        """
        family = "ip6" if '"family": "ip6"' in text[:512] else "ip"
        place = f'"family": "{family}", "table": "kube-proxy"'
        # No usual name needs escapes, and without escapes a quotation mark is always one.
        if "\\" in text or not text.endswith(("]}", "]}\n")):
            return None
        declared, *rules = text.split(f', {{"rule": {{{place}, "chain": "')
        if not rules:
            return None
        rules[-1] = rules[-1].rstrip("\n").removesuffix("]}")
        start, *chains = declared.split(f', {{"chain": {{{place}, "name": "')
        try:
            table = whole_table(f"{start}]}}")
            for piece in chains:
                if plain := _CHAIN_ITEM.fullmatch(piece):
                    refuse_second(plain[1], table.chains)
                    table.chains[plain[1]] = NftChain(plain[1])
                    continue
                text_of_items = f'[{{"chain": {{"name": "{piece}]'
                for item in msgspec.json.decode(text_of_items, type=list[Item]):
                    add_item(table, item)
            is_known = self._add_rules(table, rules)
        except (ParseError, *MALFORMED):
            return None
        table.sets = {name: self._kept_set(each) for name, each in table.sets.items()}
        return table if is_known else None

    def _add_rules(self, table: NftTable, pieces: list[str]) -> bool:
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
            kept = self._rules.get(key)
            if kept is None:
                asks_sets = any('"@' in each for each in texts)
                kept = NftRules([_rule(name, each) for each in texts], asks_sets)
                if len(self._rules) >= MOST_KEPT:
                    self._rules.clear()
                self._rules[key] = kept
            table.rules[name] = kept
        for name in table.chains.keys() - table.rules.keys():
            table.rules[name] = self._rules.setdefault((name,), NftRules())
        return True

    def _kept_chain(self, name: str, found: NftRules) -> NftRules:
        """Equal rules that are kept of the chain; these rules if there are none.

        Most chains of a block that has changed are as before.
        """
        kept = self._chains.setdefault(name, [])
        for each in kept:
            if each.rules == found.rules:
                return each
        if len(self._chains) > MOST_KEPT:
            self._chains.clear()
        kept.insert(0, found)
        del kept[2:]
        return found

    def _kept_set(self, found: NftSet) -> NftSet:
        """An equal set that is kept; this one if there is none."""
        kept = self._sets.setdefault(found.name, [])
        for each in kept:
            if each.is_like(found):
                return each
        if len(self._sets) > MOST_KEPT:
            self._sets.clear()
        kept.insert(0, found)
        del kept[4:]
        return found


def _rule(chain: str, text: str) -> NftRule:
    item = msgspec.json.decode(f'{{"rule": {{"chain": "{chain}", {text}', type=Item)
    if item.rule is None or item.rule.chain != chain:
        raise ParseError(chain)
    return item.rule
