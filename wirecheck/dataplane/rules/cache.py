"""Caches the outcomes of one node's rules for the next node, where most are the same.

The outcome for a frontend depends on the steps that its packet met, on the clients that match
them, and on what is masqueraded or refused after routing (`Dependencies`). On the next node only
frontends with a changed dependency are read again: a further node costs what differs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from operator import is_
from typing import NamedTuple

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.rules.chains import Chain, ChainCache
from wirecheck.dataplane.rules.dependencies import ChainKey, Dependencies, Translated
from wirecheck.dataplane.rules.ruleset import MakePacket, Ruleset, packet_to
from wirecheck.dataplane.rules.sources import Regions
from wirecheck.dataplane.rules.steps import Action, Lookup, Packet, SourceTest, Step
from wirecheck.dataplane.table import Entry, Frontend, RuleText

MOST_RULESETS = 4
"""Rule sets that are kept: one of each mode and family, and of each version of the rules."""

MOST_READS = 200_000
"""After so many reads most of the recorded dependencies are of no use any more."""

MOST_PACKETS = 50_000


class Outcome(NamedTuple):
    """What happens to the packet to one frontend."""

    packet: Packet
    entry: Entry


@dataclass
class CachedRuleset:
    """The rules of one node, and the outcomes that were read from them."""

    kind: object
    chains: Mapping[str, Mapping[str, Chain]]
    own: frozenset[tuple[Backend, str]]
    outcomes: dict[Frontend, Outcome] = field(default_factory=dict)
    entries: dict[Frontend, Entry] = field(default_factory=dict)
    """The outcomes in which at least one rule decides about the connection."""
    passing: set[Frontend] = field(default_factory=set)
    """Frontends whose outcome is for one node only."""
    packets: Mapping[Frontend, Packet] = field(default_factory=dict)
    named: Mapping[Frontend, str] = field(default_factory=dict)
    met: dict[Frontend, frozenset[ChainKey]] = field(default_factory=dict)
    """The chains that each packet met."""
    masks: dict[tuple[SourceTest, ...], tuple[int, set[Frontend]]] = field(default_factory=dict)
    marks: dict[int, bool | None] = field(default_factory=dict)
    translated: dict[Translated, RuleText | None] = field(default_factory=dict)
    reads: int = 0

    def add(self, frontend: Frontend, outcome: Outcome, dependencies: Dependencies | None) -> None:
        """Keep an outcome and its dependencies."""
        self.reads += 1
        self.outcomes[frontend] = outcome
        if outcome.entry.is_decided:
            self.entries[frontend] = outcome.entry
        if dependencies is None:
            self.passing.add(frontend)
            return
        self.met[frontend] = dependencies.chains
        for tests, mask in dependencies.masks.items():
            self.masks.setdefault(tests, (mask, set()))[1].add(frontend)
        self.marks.update(dependencies.marks)
        self.translated.update(dependencies.translated)

    def outdated(self, ruleset: Ruleset, regions: Regions, changed: Changed) -> set[Frontend]:
        """The frontends whose outcome may differ with the rules of the next node."""
        by_mark = ruleset.masquerading.by_mark
        if any(by_mark(mark) is not answer for mark, answer in self.marks.items()):
            return set(self.outcomes)
        if any(ruleset.refuses(each) != rule for each, rule in self.translated.items()):
            return set(self.outcomes)
        found = set(self._by_own(ruleset.masquerading.own))
        for tests, (mask, users) in self.masks.items():
            if not regions.knows(tests) or regions.matching(tests) != mask:
                found |= users
        found |= {each for each in self.met if self._differs(each, changed)}
        return found

    def _by_own(self, own: frozenset[tuple[Backend, str]]) -> Iterator[Frontend]:
        """Those with a backend whose hairpin connections are masqueraded differently."""
        if differing := self.own ^ own:
            for frontend, outcome in self.outcomes.items():
                for handling in outcome.entry.handlings.values():
                    if any((each, frontend.protocol) in differing for each in handling.backends):
                        yield frontend

    def _differs(self, frontend: Frontend, changed: Changed) -> bool:
        met = self.met[frontend]
        if changed.keys().isdisjoint(met):
            return False
        packet = self.outcomes[frontend].packet
        return any(not _is_alike(*changed[each], packet) for each in met if each in changed)

    def drop(self, frontends: Iterable[Frontend]) -> None:
        """Forget the outcomes of these."""
        for frontend in frontends:
            self.outcomes.pop(frontend, None)
            self.entries.pop(frontend, None)
            self.met.pop(frontend, None)
            self.passing.discard(frontend)

    def renamed(
        self, packets: Mapping[Frontend, Packet], named: Mapping[Frontend, str]
    ) -> Iterator[Frontend]:
        """The frontends with another packet or another name than on the node before."""
        if packets is not self.packets:
            before = self.packets
            for frontend, packet in packets.items():
                known = before.get(frontend)
                if known is not packet and known != packet:
                    yield frontend
        if named is not self.named:
            names = self.named
            yield from [each for each, name in named.items() if names.get(each) != name]

    def follow(self, ruleset: Ruleset, regions: Regions) -> None:
        """Represent the next node from now on."""
        self.chains = _chains_of(ruleset)
        self.own = ruleset.masquerading.own
        self.masks = {
            tests: (regions.matching(tests), users)
            for tests, (_, users) in self.masks.items()
            if regions.knows(tests)
        }
        self.marks = {mark: ruleset.masquerading.by_mark(mark) for mark in self.marks}
        self.translated = {each: ruleset.refuses(each) for each in self.translated}


Changed = Mapping[ChainKey, tuple[Chain | None, Chain | None]]
"""The chains that are not the same, before and now."""

ReadEntry = Callable[[Frontend, Packet], tuple[Entry, Dependencies | None]]


class RuleCache:
    """The data that rule sets of several nodes share; one evaluation owns it."""

    def __init__(self) -> None:
        self.chains = ChainCache()
        self.packet_to: MakePacket = lru_cache(maxsize=MOST_PACKETS)(packet_to)
        """The same objects for all nodes."""
        self._rulesets: list[CachedRuleset] = []
        """The one that was used last comes first."""

    def entries_of(
        self,
        ruleset: Ruleset,
        regions: Regions,
        packets: Mapping[Frontend, Packet],
        named: Mapping[Frontend, str],
        read: ReadEntry,
    ) -> dict[Frontend, Entry]:
        """The entry of each frontend that is decided; calls `read` for those not yet known."""
        cached, changed = self._nearest(ruleset, regions)
        cached.drop(cached.outdated(ruleset, regions, changed))
        cached.drop(cached.passing.copy())
        cached.drop(list(cached.renamed(packets, named)))
        cached.drop(cached.outcomes.keys() - packets.keys())
        cached.follow(ruleset, regions)
        cached.packets, cached.named = packets, named
        if len(cached.outcomes) < len(packets):
            for frontend in [each for each in packets if each not in cached.outcomes]:
                entry, dependencies = read(frontend, packets[frontend])
                cached.add(frontend, Outcome(packets[frontend], entry), dependencies)
        return cached.entries.copy()

    def _nearest(self, ruleset: Ruleset, regions: Regions) -> tuple[CachedRuleset, Changed]:
        """The cached rule set with the fewest changes; a new one if these are too many."""
        kind = (ruleset.family, ruleset.owner, ruleset.hooks, regions.kinds)
        chains = _chains_of(ruleset)
        number = sum(map(len, chains.values()))
        candidates = [
            (each, _changed(each.chains, chains))
            for each in self._rulesets
            if each.kind == kind and each.reads <= MOST_READS
        ]
        cached, changed = min(candidates, key=lambda each: len(each[1]), default=(None, {}))
        if cached is None or len(changed) > number // 4 + 8:
            cached, changed = CachedRuleset(kind, chains, ruleset.masquerading.own), {}
        others = [each for each in self._rulesets if each is not cached]
        self._rulesets = [cached, *others][:MOST_RULESETS]
        return cached, changed


def _chains_of(ruleset: Ruleset) -> Mapping[str, Mapping[str, Chain]]:
    return {label: chains.all for label, chains in ruleset.chains.items()}


def _changed(
    before: Mapping[str, Mapping[str, Chain]], now: Mapping[str, Mapping[str, Chain]]
) -> Changed:
    """The chains that are not the same, or exist on one side only."""
    found: dict[ChainKey, tuple[Chain | None, Chain | None]] = {}
    for label in before.keys() | now.keys():
        old, new = before.get(label, {}), now.get(label, {})
        if old is new:
            continue
        others = [name for name, chain in new.items() if old.get(name) is not chain]
        names = [name for name in others if not _is_same(old.get(name), new[name])]
        names += old.keys() - new.keys()
        found.update(((label, name), (old.get(name), new.get(name))) for name in names)
    return found


def _is_same(old: Chain | None, new: Chain) -> bool:
    """Whether both have the very same steps."""
    if old is None or old is new or len(old.steps) != len(new.steps):
        return old is new
    return all(map(is_, old.steps, new.steps))


def _is_alike(old: Chain | None, new: Chain | None, packet: Packet) -> bool:
    """Whether the packet traverses the same steps in both chains."""
    if old is None or new is None or old.only_mark != new.only_mark:
        return False
    steps, others = old.concerning(packet), new.concerning(packet)
    return len(steps) == len(others) and all(
        one is other or _does(one, packet) == _does(other, packet)
        for one, other in zip(steps, others, strict=True)
    )


def _does(step: Step, packet: Packet) -> tuple[object, ...]:
    """A step without its conditions on the packet, which match."""
    return (
        step.rule,
        tuple(_resolved(each, packet) for each in step.actions),
        step.sources,
        step.marks,
        step.probability,
        step.recalls,
        step.remembers,
        step.sets,
        step.own,
    )


def _resolved(action: Action, packet: Packet) -> object:
    return action.actions.get(action.key(packet)) if isinstance(action, Lookup) else action
