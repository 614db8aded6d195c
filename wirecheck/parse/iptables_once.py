"""`iptables-save` of the node at hand, split once for all who read it.

The Service rules, the firewall and the hooks of table nat are read from the same text, and with
10,000 Services splitting it takes longer than anything that is then done with it.
"""

from __future__ import annotations

from functools import lru_cache

from wirecheck.parse.iptables import IptablesDump, parse_iptables_save
from wirecheck.parse.iptables_blocks import dump_of
from wirecheck.snapshot.blocks import MOST_TEXTS, BlockText

LARGE = 100_000
"""Characters; those below are split again, so that they do not push a large one out."""


def iptables_dump(text: str) -> IptablesDump:
    """As `parse_iptables_save` returns it, and raises; nobody may change it."""
    if isinstance(text, BlockText):
        return _of_blocks(text)
    return _kept(text) if len(text) > LARGE else parse_iptables_save(text)


@lru_cache(maxsize=2)
def _kept(text: str) -> IptablesDump:
    """One for each family: more are the next node's."""
    return parse_iptables_save(text)


@lru_cache(maxsize=MOST_TEXTS)
def _of_blocks(text: BlockText) -> IptablesDump:
    """Of most nodes the same."""
    return dump_of(text.blocks) or parse_iptables_save(text)
