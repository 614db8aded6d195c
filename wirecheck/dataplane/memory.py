"""Keeps what walks came to, for the next node: most rules of a cluster's nodes are the same.

A walk's outcome rests on the rules it met, on what these made of the clients, and on which
marks are masqueraded. Where all of that is the same on another node, and nothing else is
asked, the outcome is taken over: that costs a tenth of the walk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from wirecheck.dataplane.sources import Regions
from wirecheck.dataplane.steps import Packet, SourceTest
from wirecheck.dataplane.table import Backend, Client, Handling
from wirecheck.dataplane.walk import Met, Trace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wirecheck.dataplane.chains import Chain
    from wirecheck.dataplane.fold import Sent
    from wirecheck.dataplane.ruleset import Ruleset

MOST_FRONTENDS = 50_000
MOST_VARIANTS = 4
"""Outcomes kept for one frontend: nodes with local backends differ from the others."""


class _Outcome(NamedTuple):
    """What a walk met and came to."""

    small: tuple[tuple[str, tuple[str, ...], tuple[Chain | None, ...]], ...]
    """By label of their table the small chains that were met: they must be the same ones."""
    large: tuple[Met, ...]
    """Of the others the steps that concern the packet."""
    masks: tuple[tuple[tuple[SourceTest, ...], int], ...]
    marks: tuple[tuple[int, bool], ...]
    hairpins: tuple[tuple[Backend, bool], ...]
    handlings: dict[Client, Handling]


_outcomes: dict[tuple[object, ...], list[_Outcome]] = {}


def forget() -> None:
    """Forget everything, as at the start of the process."""
    _outcomes.clear()


def recalled(ruleset: Ruleset, packet: Packet, regions: Regions) -> dict[Client, Handling] | None:
    """The outcome for a packet, if it was walked before through the same rules."""
    for outcome in _outcomes.get((packet, ruleset.ways, regions.kinds), ()):
        if _holds(outcome, ruleset, packet, regions):
            return outcome.handlings
    return None


def remember(  # noqa: PLR0917 - a record of one walk
    ruleset: Ruleset,
    packet: Packet,
    regions: Regions,
    trace: Trace,
    sent: Iterable[Sent],
    handlings: dict[Client, Handling],
) -> None:
    """Keep an outcome, with all that it rests on."""
    results = [each for way in sent for each in way.results]
    marks = {each.flow.mark for each in results}
    marks |= {mark for each in results for _, mark in each.flow.own_marks}
    backends = {each.backend for each in results if each.backend}
    by_mark, of_own = ruleset.masquerading
    small: dict[str, dict[str, Chain | None]] = {}
    large: dict[tuple[str, str], Met] = {}
    for met in trace.met:
        chain = ruleset.chains[met[0]].find(met[1])
        if chain is None or chain.is_small:
            small.setdefault(met[0], {})[met[1]] = chain
        else:
            large[met[:2]] = met
    outcome = _Outcome(
        small=tuple((label, tuple(of), tuple(of.values())) for label, of in small.items()),
        large=tuple(large.values()),
        masks=tuple((tests, regions.matching(tests)) for tests in trace.tests),
        marks=tuple((mark, by_mark(mark)) for mark in marks),
        hairpins=tuple((each, of_own(each, packet.protocol)) for each in backends),
        handlings=handlings,
    )
    if len(_outcomes) > MOST_FRONTENDS:
        forget()
    variants = _outcomes.setdefault((packet, ruleset.ways, regions.kinds), [])
    variants.insert(0, outcome)
    del variants[MOST_VARIANTS:]


def _holds(outcome: _Outcome, ruleset: Ruleset, packet: Packet, regions: Regions) -> bool:
    for label, names, chains in outcome.small:
        if ruleset.chains[label].find_all(names) != chains:
            return False
    for label, name, steps in outcome.large:
        chain = ruleset.chains[label].find(name)
        if (chain.candidates(packet) if chain else None) != steps:
            return False
    by_mark, of_own = ruleset.masquerading
    return (
        all(regions.knows(tests) and regions.matching(tests) == m for tests, m in outcome.masks)
        and all(by_mark(mark) is answer for mark, answer in outcome.marks)
        and all(of_own(each, packet.protocol) is answer for each, answer in outcome.hairpins)
    )
