"""The number of iptables rules by table, without parsing them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from weakref import WeakKeyDictionary

from wirecheck.snapshot.blocks import Block, BlockText

Counts = tuple[tuple[str, int], ...]
"""(table, number of rules) in the order of a text."""


class RuleCounts:
    """Counts rules, and keeps the counts of blocks for other nodes; one evaluation owns it."""

    def __init__(self) -> None:
        self._blocks: WeakKeyDictionary[Block, Counts] = WeakKeyDictionary()

    def by_table(self, text: str) -> Counter[str]:
        """The number of rules by table; a block that nodes share is counted once."""
        counted: Counter[str] = Counter()
        table = ""
        for heading, number in self._parts(text):
            table = heading or table
            if number:
                counted[table] += number
        return counted

    def _parts(self, text: str) -> Iterator[tuple[str, int]]:
        """(table, number of rules); the name is empty before the first table's heading."""
        if not isinstance(text, BlockText):
            yield from _counted(text)
            return
        for block in text.blocks:
            found = self._blocks.get(block)
            if found is None:
                found = self._blocks[block] = _counted(block.text)
            yield from found


def _counted(text: str) -> Counts:
    before, *tables = f"\n{text}".split("\n*")
    named = [("", before), *((each.partition("\n")[0], each) for each in tables)]
    return tuple((name, part.count("\n-A")) for name, part in named)
