"""Keeps what one node's rules came to, for the next node: most of them are the same there.

A frontend's outcome rests on the steps that its packet met, chain by chain, on what these
made of the clients, and on which marks and connections are masqueraded after routing. All of
that is kept with it; on the next node only those frontends are walked for which some of it
is not the same. So a further node costs what is different about it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import is_
from typing import TYPE_CHECKING, NamedTuple

from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.engine import Trace
from wirecheck.dataplane.rules.post_dnat import Onward
from wirecheck.dataplane.rules.sources import Regions
from wirecheck.dataplane.rules.steps import Action, Lookup, Packet, SourceTest, Step
from wirecheck.dataplane.table import Backend, Entry, Frontend, Told

if TYPE_CHECKING:
    from wirecheck.dataplane.rules.chains import Chain
    from wirecheck.dataplane.rules.handlings import Sent
    from wirecheck.dataplane.rules.ruleset import Ruleset

MOST_PASTS = 4
"""Nodes whose rules are kept: one of each mode and family, and of each version of their rules."""

MOST_WALKS = 200_000
"""After so many what is known about who met what is mostly of no use any more."""

Place = tuple[str, str]
"""Label of a table's chains, and the name of one that is there, or is not."""


class Outcome(NamedTuple):
    """What a frontend's packet came to."""

    packet: Packet
    entry: Entry


@dataclass(slots=True)
class Basis:
    """What one walk's outcome rests on."""

    met: frozenset[Place]
    masks: Mapping[tuple[SourceTest, ...], int]
    marks: Mapping[int, bool | None]
    onward: Mapping[Onward, Told | None]


@dataclass
class Past:
    """The rules of one node, and what they came to; `chains` and `outcomes` go together."""

    kind: object
    chains: Mapping[str, Mapping[str, Chain]]
    own: frozenset[tuple[Backend, str]]
    outcomes: dict[Frontend, Outcome] = field(default_factory=dict)
    entries: dict[Frontend, Entry] = field(default_factory=dict)
    """Those of the outcomes in which something is handled."""
    passing: set[Frontend] = field(default_factory=set)
    """Frontends whose outcome was worked out for one node only."""
    packets: Mapping[Frontend, Packet] = field(default_factory=dict)
    named: Mapping[Frontend, str] = field(default_factory=dict)
    met: dict[Frontend, frozenset[Place]] = field(default_factory=dict)
    """Where the walks led."""
    masks: dict[tuple[SourceTest, ...], tuple[int, set[Frontend]]] = field(default_factory=dict)
    marks: dict[int, bool | None] = field(default_factory=dict)
    onward: dict[Onward, Told | None] = field(default_factory=dict)
    walks: int = 0

    def add(self, frontend: Frontend, outcome: Outcome, basis: Basis | None) -> None:
        """Keep an outcome and what it rests on."""
        self.walks += 1
        self.outcomes[frontend] = outcome
        if outcome.entry.is_handled:
            self.entries[frontend] = outcome.entry
        if basis is None:
            self.passing.add(frontend)
            return
        self.met[frontend] = basis.met
        for tests, mask in basis.masks.items():
            self.masks.setdefault(tests, (mask, set()))[1].add(frontend)
        self.marks.update(basis.marks)
        self.onward.update(basis.onward)

    def unsettled(self, ruleset: Ruleset, regions: Regions, changed: Changed) -> set[Frontend]:
        """The frontends whose outcome may be another one with the rules of the next node."""
        by_mark = ruleset.masquerading.by_mark
        if any(by_mark(mark) is not answer for mark, answer in self.marks.items()):
            return set(self.outcomes)
        if any(ruleset.refuses(each) != answer for each, answer in self.onward.items()):
            return set(self.outcomes)
        found = set(self._by_own(ruleset.masquerading.own))
        for tests, (mask, users) in self.masks.items():
            if not regions.knows(tests) or regions.matching(tests) != mask:
                found |= users
        found |= {each for each in self.met if self._differs(each, changed)}
        return found

    def _by_own(self, own: frozenset[tuple[Backend, str]]) -> Iterator[Frontend]:
        """Those with a backend whose connections to itself are masqueraded otherwise."""
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
        """Keep no outcome of these."""
        for frontend in frontends:
            self.outcomes.pop(frontend, None)
            self.entries.pop(frontend, None)
            self.met.pop(frontend, None)
            self.passing.discard(frontend)

    def otherwise(
        self, packets: Mapping[Frontend, Packet], named: Mapping[Frontend, str]
    ) -> Iterator[Frontend]:
        """The frontends that have another packet or another name than on the node before."""
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
        """Stand for the next node from now on."""
        self.chains = _chains_of(ruleset)
        self.own = ruleset.masquerading.own
        self.masks = {
            tests: (regions.matching(tests), users)
            for tests, (_, users) in self.masks.items()
            if regions.knows(tests)
        }
        self.marks = {mark: ruleset.masquerading.by_mark(mark) for mark in self.marks}
        self.onward = {each: ruleset.refuses(each) for each in self.onward}


Changed = Mapping[Place, "tuple[Chain | None, Chain | None]"]

_pasts: list[Past] = []
"""The one that was used last comes first."""


def forget() -> None:
    """Forget everything, as at the start of the process."""
    _pasts.clear()
    Chains.forget()


def entries_of(
    ruleset: Ruleset,
    regions: Regions,
    packets: Mapping[Frontend, Packet],
    named: Mapping[Frontend, str],
    walk: Callable[[Frontend, Packet], tuple[Entry, Basis | None]],
) -> dict[Frontend, Entry]:
    """The entry of each frontend that is handled; `walk` is asked where it is not known before."""
    past, changed = _nearest(ruleset, regions)
    past.drop(past.unsettled(ruleset, regions, changed))
    past.drop(past.passing.copy())
    past.drop(list(past.otherwise(packets, named)))
    past.drop(past.outcomes.keys() - packets.keys())
    past.follow(ruleset, regions)
    past.packets, past.named = packets, named
    if len(past.outcomes) < len(packets):
        for frontend in [each for each in packets if each not in past.outcomes]:
            entry, basis = walk(frontend, packets[frontend])
            past.add(frontend, Outcome(packets[frontend], entry), basis)
    return past.entries.copy()


def basis_of(ruleset: Ruleset, regions: Regions, trace: Trace, sent: Iterable[Sent]) -> Basis:
    """What the outcome of a walk rests on."""
    results = [each for way in sent for each in way.results]
    marks = {each.flow.mark for each in results}
    marks |= {mark for each in results for _, mark in each.flow.own_marks}
    return Basis(
        frozenset(trace.met),
        {tests: regions.matching(tests) for tests in trace.tests},
        {mark: ruleset.masquerading.by_mark(mark) for mark in marks},
        trace.onward,
    )


def _nearest(ruleset: Ruleset, regions: Regions) -> tuple[Past, Changed]:
    """Of the pasts the one that least has changed since; a new one where that is too much."""
    kind = (ruleset.family, ruleset.owner, ruleset.ways, regions.kinds)
    chains = _chains_of(ruleset)
    number = sum(map(len, chains.values()))
    candidates = [
        (each, _changed(each.chains, chains))
        for each in _pasts
        if each.kind == kind and each.walks <= MOST_WALKS
    ]
    past, changed = min(candidates, key=lambda each: len(each[1]), default=(None, {}))
    if past is None or len(changed) > number // 4 + 8:
        past, changed = Past(kind, chains, ruleset.masquerading.own), {}
    _pasts[:] = [past, *(each for each in _pasts if each is not past)][:MOST_PASTS]
    return past, changed


def _chains_of(ruleset: Ruleset) -> Mapping[str, Mapping[str, Chain]]:
    return {label: chains.all for label, chains in ruleset.chains.items()}


def _changed(
    before: Mapping[str, Mapping[str, Chain]], now: Mapping[str, Mapping[str, Chain]]
) -> Changed:
    """The chains that are not the same, or only on one side."""
    found: dict[Place, tuple[Chain | None, Chain | None]] = {}
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
    """Whether it is the same chain, or one of the very same steps."""
    if old is None or old is new or len(old.steps) != len(new.steps):
        return old is new
    return all(map(is_, old.steps, new.steps))


def _is_alike(old: Chain | None, new: Chain | None, packet: Packet) -> bool:
    """Whether the packet meets the same steps in both chains."""
    if old is None or new is None or old.only_mark != new.only_mark:
        return False
    steps, others = old.concerning(packet), new.concerning(packet)
    return len(steps) == len(others) and all(
        one is other or _does(one, packet) == _does(other, packet)
        for one, other in zip(steps, others, strict=True)
    )


def _does(step: Step, packet: Packet) -> tuple[object, ...]:
    """All of a step but its conditions on the packet, which hold."""
    return (
        step.told,
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
