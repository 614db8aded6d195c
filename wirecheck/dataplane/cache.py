"""The cache of rule readers from one node to the next; each evaluation owns one.

Nodes of a cluster have mostly the same rules. Everything here is bounded: it grows with what
differs between nodes, not with their number.
"""

from __future__ import annotations

from functools import lru_cache

from wirecheck.dataplane.compare.comparison import EqualEntries
from wirecheck.dataplane.ebpf.shared import SharedEntries
from wirecheck.dataplane.iptables.rules import MakeStep, make_step
from wirecheck.dataplane.rules.cache import RuleCache
from wirecheck.dataplane.rules.ipsets import Members
from wirecheck.dataplane.rules.ruleset import Ruleset
from wirecheck.dataplane.rules.steps import Step
from wirecheck.parse.recent import Recent
from wirecheck.parse.texts import ParsedTexts

MOST_RULESETS = 8
"""Of both families and a few versions of the rules."""

MOST_STEPS = 150_000
MOST_SERVERS = 100_000
MOST_IPSETS = 64


class ReaderCache:
    """Parsed texts, translated rules, and the tables read from them."""

    def __init__(self) -> None:
        self.texts = ParsedTexts()
        self.rules = RuleCache()
        self.step_of: MakeStep = lru_cache(maxsize=MOST_STEPS)(make_step)
        """The steps of iptables rules by their lines."""
        self.rulesets: Recent[Ruleset] = Recent(MOST_RULESETS)
        """Those of texts that several nodes have."""
        self.unrecognised: Recent[tuple[str, ...]] = Recent(MOST_RULESETS)
        """Unrecognised third-party rules in the same texts."""
        self.ipsets: Recent[Members] = Recent(MOST_IPSETS)
        self.equal = EqualEntries()
        self.of_cilium = SharedEntries()
        self.equal_in_cilium = EqualEntries()
        """Apart from the others: beside kube-proxy both have the same frontends."""
        self.virtual_servers: Recent[tuple[Step, ...]] = Recent(MOST_SERVERS)
