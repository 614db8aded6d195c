"""A journey through one netfilter hook, with what connection tracking translates back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wirecheck.addresses import IPAddress, address
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.iptables.base_chains import INPUT, OUTPUT, POSTROUTING, PREROUTING
from wirecheck.node.netns import Interface
from wirecheck.node.rule_selectors import Origin
from wirecheck.parse.errors import ParseError
from wirecheck.paths.filtering import Passed, through
from wirecheck.paths.journey import Journey, Result, Translation
from wirecheck.paths.packet import UNSPECIFIED, Segment
from wirecheck.paths.place import Place
from wirecheck.paths.question import Situation
from wirecheck.paths.route import source_on
from wirecheck.paths.states import INVALID, NEW, UNTRACKED

AT_DESTINATION, AT_SOURCE = frozenset({PREROUTING, OUTPUT}), frozenset({POSTROUTING, INPUT})
"""The hooks at which connection tracking translates destinations, and sources."""
FIRST, LAST = -(1 << 31), 1 << 31
"""Bounds of priorities."""


def through_hook(
    journey: Journey,
    hook: str,
    *,
    iif: str = "",
    out: Interface | None = None,
    via: IPAddress | None = None,
    since: int = FIRST,
    until: int = LAST,
) -> tuple[Journey, ...]:
    """Every way through a hook, or through its chains with priorities from `since` to `until`.

    `out` is the device by which the packet leaves, and `via` the next hop, where they are known.
    """
    before = journey
    journey = _translated_back(journey, hook)
    place = journey.at.place
    if journey.result is not None:
        return (journey,)
    situation = _situation(journey, hook, iif, out.name if out else "")
    try:
        found = place.hooks.stages(hook, journey.packet.family)
        stages = [each for each in found if since <= each.priority < until]
        if not stages and not place.is_host:
            return (replace(journey, tracked=journey.tracked | {journey.tracking}),)
        ways = through(stages, situation)
    except (FactMissingError, NotApplicable, ParseError) as error:
        return (journey.undecided(hook, str(error)),)
    journey = replace(journey, tracked=journey.tracked | {journey.tracking})
    source = source_on(place, out, via or journey.packet.destination) if out else None
    return tuple(_onward(before, journey, hook, each, source) for each in ways)


def _situation(journey: Journey, hook: str, iif: str, oif: str) -> Situation:
    packet, place = journey.packet, journey.at.place
    end = (packet.source, packet.source_port) if packet.is_answer else _destination(packet)
    is_known = not packet.is_answer or journey.tracking in journey.tracked
    return Situation(
        packet,
        iif,
        oif,
        place.has(packet.destination),
        place.has(packet.source),
        is_translated=any(
            each.netns == place.key
            and each.is_destination
            and each.after == end
            and each.by_conntrack
            for each in journey.translations
        ),
        is_tracked=is_known and journey.tracking not in journey.untracked | journey.unseen,
        state=_state(journey),
        is_before_tracking=hook in AT_DESTINATION and iif != "lo",
        # IPVS sends on what has passed table nat as a new connection already.
        is_translating=hook not in AT_DESTINATION
        or (iif != "lo" and journey.tracking not in journey.taken),
        sets=place.hooks.sets,
        overlooked=overlooked_rules(journey, hook),
        redirected_to=_redirected_to(place, packet, iif) if hook == PREROUTING else "",
        is_back=_is_back(place, packet, iif),
    )


def _state(journey: Journey) -> str:
    """The state of a packet whose connection is not known here; empty if it is.

    An answer without a first packet is invalid over TCP, and begins a connection over UDP.
    """
    if journey.tracking in journey.untracked:
        return UNTRACKED
    if journey.tracking not in journey.unseen:
        return ""
    return INVALID if journey.packet.protocol == "tcp" else NEW


def overlooked_rules(journey: Journey, stage: str) -> frozenset[str]:
    """The rules of a stage that are followed as if they were not there."""
    place = journey.at.place
    here = (place.node, place.name, stage)
    return frozenset(line for *where, lines in journey.overlooked for line in lines
                     if tuple(where) == here)  # fmt: skip


def _redirected_to(place: Place, packet: Segment, iif: str) -> str:
    """The first address of the device; without one the kernel drops what is to be redirected."""
    index = next((each.index for each in place.links.values() if each.name == iif), None)
    own = (
        each.address
        for each in place.netns.record.addresses
        if each.index == index
        and address(each.address).version == packet.family
        and (packet.family == 4 or each.scope == "global")
        and "secondary" not in each.flags
    )
    return next(own, str(UNSPECIFIED[packet.family]))


def _is_back(place: Place, packet: Segment, iif: str) -> bool | None:
    """Whether the route to the source leaves by the device; None where that asks for nothing."""
    device = next((e for e in place.links.values() if e.name == iif), None) if iif else None
    if device is None:
        return None
    if "LOOPBACK" in device.link.flags:
        return True  # rpfilter_is_loopback
    route, _ = place.routing.decision(packet.source, origin=Origin(packet.destination))
    return route is not None and route.index == device.index


def _destination(packet: Segment) -> tuple[object, int]:
    return packet.destination, packet.port


def _onward(
    before: Journey, journey: Journey, hook: str, way: Passed, source: IPAddress | None
) -> Journey:
    """The journey after one way through the hook; `source` is what masquerading gives."""
    journey = replace(journey, share=journey.share * way.share)
    if way.unknown:
        return journey.undecided(hook, way.unknown, *way.lines)
    if doubt := _lacks_conditions(journey, way):
        return journey.undecided(hook, doubt, *way.lines)
    if way.refused:
        return journey.dies(hook, f"{way.refused} by this rule", *way.lines[-1:])
    if way.zoned:
        journey = journey.doubting(f"whether its conntrack zone sees both directions: {way.zoned}")
    packet = way.packet
    if packet.destination.is_unspecified:
        why = "the device by which it came in has no address that it could be redirected to"
        return journey.dies(hook, why, *way.lines[-1:])
    if way.masqueraded:
        if source is None:
            return journey.undecided(hook, "the masqueraded source is not known", *way.lines)
        packet = replace(packet, source=source)
    new = replace(journey, packet=packet)
    if way.untracked:
        new = replace(new, untracked=new.untracked | {journey.tracking})
    new = replace(new, translations=(*new.translations, *_translations(journey, packet)))
    text = _what(before.packet, packet, way)
    is_ttl = packet.ttl != before.packet.ttl
    lines = (packet.ttl_by, *way.lines) if is_ttl else way.lines
    return new.noted(hook, text, *lines) if text else new


def _lacks_conditions(journey: Journey, way: Passed) -> str:
    """Why a rule may match less than its tool prints: an old iptables lists rules of a newer one.

    Rules are shown with the table that they are in.
    """
    rules = [each.partition(": ")[2] for each in way.lines if " -A " in f" {each}"]
    return journey.at.place.hooks.lacks_conditions(journey.packet.family, rules) if rules else ""


def _translations(journey: Journey, after: Segment) -> Iterator[Translation]:
    key, before = journey.at.place.key, journey.packet
    if (before.destination, before.port) != (after.destination, after.port):
        yield Translation(
            key, True, (before.destination, before.port), (after.destination, after.port)
        )
    if before.source != after.source:
        yield Translation(key, False, (before.source, 0), (after.source, 0))


def _what(before: Segment, after: Segment, way: Passed) -> str:
    """What the hook did, in words; empty if nothing is worth a line."""
    found = []
    if (before.destination, before.port) != (after.destination, after.port):
        found.append(f"the destination becomes {after.target}")
    if before.source != after.source:
        found.append(f"the source becomes {after.source}")
    if way.untracked:
        found.append("exempt from connection tracking")
    if after.ttl != before.ttl:
        found.append(f"the TTL becomes {after.ttl}")
    return "; ".join(found) or ("accepted" if way.lines else "")


def _translated_back(journey: Journey, hook: str) -> Journey:
    """The answer with the address that connection tracking gives back at this hook."""
    packet, key = journey.packet, journey.at.place.key
    if not packet.is_answer:
        return journey
    for each in reversed(journey.translations):
        if each.netns != key or hook not in (AT_SOURCE if each.is_destination else AT_DESTINATION):
            continue
        if each.is_destination and each.after == (packet.source, packet.source_port):
            source, port = each.before
            return replace(journey, packet=replace(packet, source=source, source_port=port))
        if not each.is_destination and each.after[0] == packet.destination:
            return replace(journey, packet=replace(packet, destination=each.before[0]))
    return journey


def is_over(journey: Journey) -> bool:
    """Whether the journey has ended without reaching a socket."""
    return journey.result in (Result.DIES, Result.UNDECIDED)
