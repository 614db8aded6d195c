"""The question about bans: which third-party rules refuse clients of Services by their source?

Block lists (fail2ban, CrowdSec, ufw, bogon filters) are decisions of the node's owner. They
are listed once, instead of being a fault of every Service.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from wirecheck.addresses import network
from wirecheck.dataplane.clients import Intervals, difference, everything, intersection, intervals
from wirecheck.dataplane.rules.chains import Chain, concerns
from wirecheck.dataplane.rules.flows import REFUSED
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage
from wirecheck.dataplane.rules.steps import (
    IN,
    LOOPBACK,
    OUT,
    End,
    Jump,
    Packet,
    Return,
    SourceTest,
    Step,
)
from wirecheck.dataplane.table import Verdict, table_in, text_of

MOST_PACKETS = 500
"""Packets to Services that are tried with rules for some destinations."""

MOST_STEPS = 50_000
"""Rules that are followed in one base chain, each as often as it is called."""

FROM_LOOPBACK = SourceTest(IN, LOOPBACK, negated=False)
OTHERS = SourceTest(IN, LOOPBACK, negated=True)
"""Everything that comes from elsewhere: no list of sources."""
DEEPEST = 16
MOST_FILTERING = 200
"""Rules of a chain that are searched for one that accepts packets."""

SOURCES = frozenset({"network", IN})
RATE = "limit "
"""Of hashlimit and connlimit, which have no list of sources."""
BY_SOURCE = (
    " saddr",
    " src",
    "src,",
    "--src-cc",
    "--source-country",
    "--src-range",
    "-m recent",
    "--mac-source",
)
"""In the text of a condition that is not followed: it is about the source."""


@dataclass(frozen=True)
class Ban:
    """A rule that refuses some sources before packets get to Services."""

    family: int
    base_chain: str
    rules: tuple[str, ...]
    """The rule with the condition on the source, and those that it calls."""
    sources: tuple[SourceTest, ...]
    """All conditions on the source."""
    before_dnat: bool
    """Whether it meets packets before they are translated; those to other nodes, too."""
    is_open: bool
    """Whether it is for all destinations, ports and protocols, and no rule before it lets some
    packets pass."""
    breaks: tuple[Packet, ...] = ()
    """The packets between nodes that it is for, if no rule before it lets some packets pass."""
    is_for_services: bool = True
    """Whether it is for packets to Services."""
    is_forwarded: bool = False
    """Whether it meets packets that the node forwards, after they are translated."""

    @property
    def rule(self) -> str:
        """The rule with the condition on the source."""
        return self.rules[0]

    @property
    def table(self) -> str:
        """The nftables table of another program that has it; empty for tables of iptables."""
        return table_in(self.rule)

    @property
    def spans(self) -> Intervals:
        """The source addresses; empty if another condition than a range decides about them."""
        found = everything(self.family)
        if any(each.kind not in SOURCES for each in self.sources):
            return ()
        for each in self.sources:
            if each.kind == "network":
                of = intervals(map(network, each.value.split(",")))
                found = difference(found, of) if each.negated else intersection(found, of)
        return found

    @property
    def interfaces(self) -> tuple[SourceTest, ...]:
        """The conditions on the interface where the packet comes in."""
        return tuple(each for each in self.sources if each.kind == IN)


@dataclass(frozen=True)
class _Way:
    """How a packet got to a chain."""

    packets: Sequence[Packet]
    steps: tuple[Step, ...] = ()
    is_open: bool = True
    is_rest: bool = False
    """Whether rules before it have let some sources pass."""
    is_filtered: bool = False
    """Whether rules before it may have accepted or returned some packets, whatever for."""


class _Search:
    """The bans in the chains of one base chain."""

    def __init__(
        self,
        stage: Stage,
        family: int,
        by_address: Mapping[str, Sequence[Packet]],
        between_nodes: Sequence[Packet],
        *,
        early: bool,
        forwarded: bool = False,
        policies: tuple[str, ...] = (),
    ) -> None:
        self._stage = stage
        self._forwarded = forwarded
        self._policies = policies
        """How chains of policy engines begin: what they refuse is what NetworkPolicies say."""
        self._between_nodes = between_nodes
        self._family = family
        self._by_address = by_address
        self._early = early
        self._left = MOST_STEPS
        self._passing: dict[str, bool] = {}
        """The chains that were searched for a rule that accepts packets."""

    def bans(self, chain: Chain, way: _Way) -> Iterator[Ban]:
        """Those that refuse the packets of `way`."""
        for step in chain.steps:
            self._left -= 1
            if self._left < 0:
                return
            onward = None if step.never or step.marks else self._onward(step, way)
            is_for_others = step.never or FROM_LOOPBACK in step.sources
            if not is_for_others and any(map(self._may_pass, step.actions)):
                way = replace(way, is_filtered=True)
            if onward is None:
                continue
            for action in step.actions:
                if isinstance(action, End) and action.verdict in REFUSED:
                    yield from self._ban(onward)
                elif isinstance(action, Jump) and len(way.steps) < DEEPEST:
                    yield from self._in_chain(action, onward)
                if self._early and step.sources and _leaves(action):
                    way = replace(way, is_rest=True)

    def _may_pass(self, action: object, depth: int = 0) -> bool:
        """Whether the action may accept a packet, or end the chain for it."""
        if not isinstance(action, Jump):
            return _leaves(action)
        if action.goto or depth >= DEEPEST:
            return action.goto
        if action.chain not in self._passing:
            self._passing[action.chain] = False  # While it is searched: chains may call in circles.
            self._passing[action.chain] = self._accepts_some(action.chain, depth)
        return self._passing[action.chain]

    def _accepts_some(self, name: str, depth: int) -> bool:
        chain = self._stage.chains.find(name)
        if chain is None or len(chain.steps) > MOST_FILTERING:
            return False
        return any(
            each == End(Verdict.NOTHING)
            or (isinstance(each, Jump) and self._may_pass(each, depth + 1))
            for step in chain.steps
            if not step.never
            for each in step.actions
        )

    def _in_chain(self, action: Jump, onward: _Way) -> Iterator[Ban]:
        chains = self._stage.chains
        name = action.chain
        is_listed = chains.is_third_party(name) and not name.startswith(self._policies)
        found = chains.find(name) if is_listed else None
        if found is not None:
            yield from self.bans(found, onward)

    def _onward(self, step: Step, way: _Way) -> _Way | None:
        """The packets that the step matches; None if it matches none."""
        is_open = not (step.host or step.port or step.protocol or step.tests)
        if is_open:
            return replace(way, steps=(*way.steps, step))
        among = self._by_address.get(step.host, ()) if step.host else way.packets
        packets = [each for each in among if concerns(each, step)]
        onward = replace(way, packets=packets, steps=(*way.steps, step), is_open=False)
        return onward if packets else None

    def _ban(self, way: _Way) -> Iterator[Ban]:
        sources = tuple(test for step in way.steps for test in step.sources)
        first = next(
            (at for at, step in enumerate(way.steps) if any(map(_is_source, step.sources))), -1
        )
        if first < 0 and not way.is_rest:
            return
        # A policy for an interface lets through what it accepts, and refuses the rest.
        is_policy = (way.is_filtered or not self._early) and not way.is_rest
        if first >= 0 and is_policy and all(each.kind == IN for each in sources):
            return
        # What leaves by one device is what VPNs and containers' networks protect themselves from.
        if any(each.kind == OUT for each in sources):
            return
        rules = self._stage.chains.named(tuple(step.rule for step in way.steps[first:]))
        breaks = [each for each in self._between_nodes if each in way.packets]
        yield Ban(
            self._family,
            self._stage.base_chain,
            tuple(map(text_of, rules)),
            sources,
            self._early,
            way.is_open and not way.is_filtered,
            () if way.is_filtered else tuple(breaks),
            way.is_open or len(breaks) < len(way.packets),
            self._forwarded,
        )


def _leaves(action: object) -> bool:
    return isinstance(action, Return) or action == End(Verdict.NOTHING)


def _is_source(test: SourceTest) -> bool:
    if test == OTHERS or RATE in test.value:
        return False
    return test.kind in SOURCES or any(each in f"{test.value} " for each in BY_SOURCE)


def bans_of(
    ruleset: Ruleset,
    packets: Sequence[Packet],
    between_nodes: Sequence[Packet] = (),
    forwarded: Sequence[Packet] = (),
    policies: tuple[str, ...] = (),
) -> Iterator[Ban]:
    """The bans of third-party rules, each once; `packets` are those to Services.

    `forwarded` are packets to pods behind Services, for the hook FORWARD, where chains that begin
    with one of `policies` are left out.
    """
    by_address: dict[str, list[Packet]] = {}
    for each in packets:
        by_address.setdefault(each.address, []).append(each)
    some = [*between_nodes, *packets[:MOST_PACKETS]]
    of = (ruleset.family, by_address, between_nodes)
    here = [each for each in some if each.is_local]
    searched = [
        *((stage, some, _Search(stage, *of, early=True)) for stage in ruleset.arriving),
        *((stage, here, _Search(stage, *of, early=False)) for stage in ruleset.to_node),
        *(
            (stage, forwarded, _Search(stage, *of, early=False, policies=policies, forwarded=True))
            for stage in (ruleset.through_node if forwarded else ())
        ),
    ]
    seen: set[tuple[str, ...]] = set()
    listed: set[tuple[SourceTest, ...]] = set()
    for stage, packets_here, search in searched:
        chain = stage.chains.find(stage.base_chain)
        if chain is None or stage.chains.owner:
            continue
        for ban in search.bans(chain, _Way(packets_here)):
            # Programs write their list for what arrives at the node, and for what it forwards.
            is_known = ban.rules in seen or (ban.is_forwarded and ban.sources in listed)
            seen.add(ban.rules)
            listed.add(ban.sources)
            if not is_known:
                yield ban
