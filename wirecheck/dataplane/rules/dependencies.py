"""The dependencies of a frontend's outcome: nodes with equal ones have the same outcome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from wirecheck.dataplane.rules.steps import SourceTest
from wirecheck.dataplane.table import RuleText

ChainKey = tuple[str, str]
"""Label of a table's chains, and the name of a chain that exists or does not."""


class Translated(NamedTuple):
    """A connection after DNAT, as far as later rules can distinguish it from others."""

    from_node: bool
    """Whether the node itself sent it."""
    stage: int
    """Where it was translated: the number of the stage on its path."""
    mark: int
    to_node: bool
    """Whether the backend's address is one of the node's own."""


@dataclass(slots=True)
class Consulted:
    """The parts of the rule set that the engine has consulted so far."""

    chains: set[ChainKey] = field(default_factory=set)
    tests: set[tuple[SourceTest, ...]] = field(default_factory=set)
    """Conditions on the source."""
    way_out: bool = False
    """Whether a rule asked for the device by which the packet leaves."""
    translated: dict[Translated, RuleText | None] = field(default_factory=dict)
    """Connections after DNAT, each with the rule that refuses it, if there is one."""


@dataclass(slots=True)
class Dependencies:
    """The dependencies of one outcome, with their values."""

    chains: frozenset[ChainKey]
    masks: Mapping[tuple[SourceTest, ...], int]
    """The clients that match each condition on the source."""
    marks: Mapping[int, bool | None]
    """Whether packets with each mark are masqueraded."""
    translated: Mapping[Translated, RuleText | None]
