"""Texts of tools that several readers need, parsed once for all of them.

The Service rules, the firewall and the hooks of table nat are read from the same text. With
10,000 Services splitting it takes longer than everything that follows. Texts in blocks are
mostly the same on all nodes.
"""

from __future__ import annotations

from wirecheck.parse.iptables import IptablesDump, parse_iptables_save
from wirecheck.parse.iptables_blocks import IptablesBlocks
from wirecheck.parse.iptables_doubts import IptablesDoubts
from wirecheck.parse.ipvs import IpvsLines, VirtualServer, parse_ip_vs
from wirecheck.parse.nft_tables import parse_table
from wirecheck.parse.nftables import NftTable
from wirecheck.parse.nftables_texts import NftTexts
from wirecheck.parse.recent import Recent
from wirecheck.parse.rule_counts import RuleCounts
from wirecheck.snapshot.blocks import MOST_TEXTS, BlockText

LARGE = 100_000
"""Characters; smaller texts are split again, so that they do not displace a large one."""

MOST_OTHERS = 16
"""The tables of other programs on the node at hand."""
MOST_LARGE = 2
"""One for each family of the node at hand."""


class ParsedTexts:
    """Parses rules, and caches texts that nodes share; one evaluation owns it."""

    def __init__(self) -> None:
        self._large: Recent[IptablesDump] = Recent(MOST_LARGE)
        self._in_blocks: Recent[IptablesDump] = Recent(MOST_TEXTS)
        self._blocks = IptablesBlocks()
        self._nft = NftTexts()
        self._others: Recent[NftTable] = Recent(MOST_OTHERS)
        self._ipvs = IpvsLines()
        self.rule_counts = RuleCounts()
        self.iptables_doubts = IptablesDoubts()

    def iptables(self, text: str) -> IptablesDump:
        """The same as `parse_iptables_save` returns and raises; do not change it."""
        if isinstance(text, BlockText):
            return self._in_blocks.get(text, lambda: self._of_blocks(text))
        if len(text) > LARGE:
            return self._large.get(text, lambda: parse_iptables_save(text))
        return parse_iptables_save(text)

    def _of_blocks(self, text: BlockText) -> IptablesDump:
        return self._blocks.dump_of(text.blocks) or parse_iptables_save(text)

    def nft_other(self, text: str, *, has_elements: bool) -> NftTable:
        """The same as `parse_table` returns and raises; do not change it."""
        key = text, has_elements
        return self._others.get(key, lambda: parse_table(text, has_elements=has_elements))

    def virtual_servers(self, text: str) -> list[VirtualServer]:
        """The same as `parse_ip_vs` returns and raises; do not change the real servers."""
        return parse_ip_vs(text, self._ipvs)

    def nft_table(self, text: str) -> NftTable:
        """The same as `NftTexts.table` returns and raises; do not change it."""
        return self._nft.table(text)
