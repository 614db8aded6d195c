"""Nodes that do not masquerade what their pods send outside, while the other nodes do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wirecheck.catalogue.findings import Ref
from wirecheck.text import listed

MOST_NAMES = 3
"""How many of the other nodes are named."""


@dataclass(frozen=True)
class UnlikeEgress:
    """A node without the rules that masquerade pods of the plugin's pools, in one family."""

    ref: Ref
    family: int
    others: str
    """The nodes with such rules, as words."""


def unlike_egress(seen: Mapping[Ref, Mapping[int, bool]]) -> Iterator[UnlikeEgress]:
    """Yield the nodes without the rules that another node has: pools are those of the cluster."""
    for family in (4, 6):
        having = sorted(ref.name for ref, by_family in seen.items() if by_family.get(family))
        for ref, by_family in seen.items():
            if having and by_family.get(family) is False:
                yield UnlikeEgress(ref, family, listed(having, MOST_NAMES))
