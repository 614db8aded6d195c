"""What the base chains of one hook do with a packet: they pass, translate or refuse it.

An accepted packet still meets the chains of later priorities; a dropped one does not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from wirecheck.addresses import IPAddress, address
from wirecheck.dataplane.rules.engine import RuleEngine
from wirecheck.dataplane.rules.flows import Flow, Result
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.dataplane.table import RuleText, Verdict, text_of
from wirecheck.paths.packet import Segment
from wirecheck.paths.question import Followed, Situation
from wirecheck.paths.states import INVALID, TRACKING, UNTRACKED

SAME_PRIORITY = (
    "two chains of the same priority translate it, and the one counts that was loaded last, which "
    "the node does not show"
)
TO_SOURCE = re.compile(r"(?:--to-source |snat (?:ip6? )?to )([0-9a-fA-F.:]+)(?![-0-9a-fA-F.:])")
MOST_FORKS = 1_000


@dataclass(frozen=True)
class Passed:
    """One way through a hook."""

    packet: Segment
    share: float = 1.0
    lines: tuple[str, ...] = ()
    """The rules that accepted, translated or refused it."""
    refused: str = ""
    """`dropped` or `rejected`; empty if it passes."""
    unknown: str = ""
    """Why the rest is not known."""
    translated: bool = False
    masqueraded: bool = False
    """The source becomes an address of the device by which it leaves."""
    untracked: bool = False
    zoned: str = ""
    """The rule that sets its conntrack zone: whether that sees both directions is not followed."""

    @property
    def is_over(self) -> bool:
        return bool(self.refused or self.unknown)


def through(stages: Iterable[Stage], situation: Situation) -> tuple[Passed, ...]:
    """Every way of the packet through the stages of one hook."""
    found: tuple[Passed, ...] = (Passed(situation.packet),)
    for _, group in groupby(stages, key=lambda stage: stage.priority):
        tied = tuple(group)  # Each way meets all of them.
        found = tuple(
            new
            for way in found
            for new in ((way,) if way.is_over else _through_tied(tied, situation, way))
        )
        if len(found) > MOST_FORKS:
            return (replace(found[0], unknown="rules make too many distinctions"),)
    return found


def _through_tied(
    stages: Sequence[Stage], situation: Situation, before: Passed
) -> Iterator[Passed]:
    """The ways through stages of one priority, whose order the node does not show."""
    if len(stages) > 1 and _is_contested(stages, situation, before):
        yield replace(before, unknown=SAME_PRIORITY)
        return
    ways: tuple[Passed, ...] = (before,)
    for stage in stages:
        new: list[Passed] = []
        for way in ways:
            if way.is_over or not _meets(stage, situation, way):
                new.append(way)
                continue
            here = replace(
                situation,
                packet=way.packet,
                state=_state(stage, situation, way),
                is_translated=situation.is_translated or _is_moved(way.packet, situation.packet),
            )
            new += [_after(way, each) for each in _through_stage(stage, here)]
        ways = tuple(new)
    yield from ways


def _is_moved(after: Segment, before: Segment) -> bool:
    """Whether an earlier chain of the hook has changed the destination."""
    return (after.destination, after.port) != (before.destination, before.port)


def _state(stage: Stage, situation: Situation, way: Passed) -> str:
    """The state of a packet that connection tracking does not know here."""
    if way.untracked:
        return UNTRACKED
    is_before = situation.is_before_tracking and stage.priority < TRACKING
    return INVALID if is_before else situation.state


def _is_contested(stages: Sequence[Stage], situation: Situation, before: Passed) -> bool:
    """Whether several stages would translate the packet: the first one of them counts."""
    here = replace(situation, packet=before.packet)
    acting = [
        stage
        for stage in stages
        if stage.translates and _meets(stage, situation, before)
        if any(_is_changed(each, before) for each in _through_stage(stage, here))
    ]
    return len(acting) > 1


def _is_changed(way: Passed, before: Passed) -> bool:
    is_moved = way.packet.destination != before.packet.destination
    return is_moved or way.translated or way.masqueraded or way.is_over


def _meets(stage: Stage, situation: Situation, way: Passed) -> bool:
    """Whether the packet meets the stage: NAT sees the first packet of a tracked connection."""
    if not stage.translates:
        return True
    is_new = not situation.packet.is_answer and situation.is_tracked
    is_first = is_new and situation.is_translating
    return is_first and not (way.untracked or way.translated or way.masqueraded)


def _after(before: Passed, new: Passed) -> Passed:
    return replace(
        new,
        share=before.share * new.share,
        lines=(*before.lines, *new.lines),
        translated=before.translated or new.translated,
        masqueraded=before.masqueraded or new.masqueraded,
        untracked=before.untracked or new.untracked,
        zoned=before.zoned or new.zoned,
    )


def _through_stage(stage: Stage, situation: Situation) -> tuple[Passed, ...]:
    """The ways through one base chain."""
    packet = situation.packet
    question = Followed(situation)
    engine = RuleEngine(question, stage.chains)
    rest = engine.to_end_of(stage.base_chain, [Flow(1, packet.mark)])
    found = [
        *(_ended(each, packet) for each in engine.results),
        *(_accepted(each, engine.masqueraded_by, packet) for each in engine.accepted),
        *(_at_the_end(each, stage, situation) for each in rest),
    ]
    if question.unknown_ttl:
        why = "it is not known whether a rule changes the packet's TTL"
        return (Passed(packet, unknown=why, lines=(question.unknown_ttl,)),)
    if question.unknown and len({_fate(each) for each in found}) > 1:
        line = question.unknown[0]
        why = "it is not known whether the packet matches a rule"
        if "--match-set" in line:
            why = f"{why}: its ipset was not read, or is of an unknown kind"
        return (Passed(packet, unknown=why, lines=(line,)),)
    if question.unknown:
        found = found[:1]
    ttl, by = question.ttl, question.ttl_by
    return tuple(
        replace(each, packet=replace(each.packet, ttl=ttl, ttl_by=by), zoned=question.zoned)
        for each in found
    )


def _fate(way: Passed) -> tuple[object, ...]:
    return way.packet, way.refused, way.unknown, way.masqueraded, way.untracked


def _at_the_end(flow: Flow, stage: Stage, situation: Situation) -> Passed:
    here = replace(situation.packet, mark=flow.mark)
    if stage.policy == "DROP":
        lines = _texts((stage.chains.policy_drop(stage.base_chain),))
        if lines[0] not in situation.overlooked:
            return Passed(here, flow.weight, lines, refused="dropped")
    return Passed(here, flow.weight)


def _accepted(flow: Flow, masqueraded_by: tuple[RuleText, ...], packet: Segment) -> Passed:
    """An accepted flow; one without a rule that accepted it was given a source address."""
    here = replace(packet, mark=flow.mark)
    if flow.accepted:
        return Passed(here, flow.weight, _texts(flow.accepted[-1].rules[-1:]))
    lines = _texts(masqueraded_by)
    source = _source_in(lines[-1] if lines else "")
    if source is None:
        is_plain = bool(lines) and "masquerade" in lines[-1].lower()
        why = "" if is_plain else "the source address that the rule gives is not known"
        return Passed(here, flow.weight, lines, masqueraded=is_plain, unknown=why)
    return Passed(replace(here, source=source), flow.weight, lines, translated=True)


def _source_in(line: str) -> IPAddress | None:
    found = TO_SOURCE.search(line)
    try:
        return address(found.group(1)) if found else None
    except ValueError:
        return None


def _ended(result: Result, packet: Segment) -> Passed:
    """The way that ends the chain with a verdict."""
    flow, lines = result.flow, _texts(result.rules)
    here = replace(packet, mark=flow.mark)
    match result.verdict:
        case Verdict.FORWARD if result.backend is not None:
            to = replace(
                here, destination=address(result.backend.address), port=result.backend.port
            )
            return Passed(to, flow.weight, lines, translated=True)
        case Verdict.DROP | Verdict.REJECT:
            return Passed(here, flow.weight, lines, refused=str(result.verdict))
        case Verdict.UNTRACKED:
            return Passed(here, flow.weight, lines, untracked=True)
    why = result.reason or "it is not known what the rule does"
    return Passed(here, flow.weight, lines, unknown=why)


def _texts(rules: Iterable[RuleText]) -> tuple[str, ...]:
    return tuple(text_of(each) for each in rules)
