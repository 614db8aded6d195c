"""What rules do with a frame: those of bridges and of single devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wirecheck.catalogue.findings import FactMissingError
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.node.netns import Interface
from wirecheck.parse.errors import ParseError
from wirecheck.paths.filtering import through
from wirecheck.paths.journey import Journey
from wirecheck.paths.link_tables import BRIDGE, NETDEV
from wirecheck.paths.netfilter import overlooked_rules
from wirecheck.paths.programs import past_programs
from wirecheck.paths.question import Situation


def past_device(journey: Journey, device: Interface, direction: str) -> Journey:
    """The journey past the programs, filters and rules of a device, at `ingress` or `egress`."""
    journey = past_programs(journey, device, direction) if journey.result is None else journey
    if journey.result is not None:
        return journey
    tables = journey.at.place.link_tables
    journey = journey.doubting(*tables.unread(NETDEV))
    stages = tables.of_device(direction, journey.packet.family, device.name)
    iif, oif = (device.name, "") if direction == "ingress" else ("", device.name)
    stage = f"{direction} of {device.name}"
    journey = past_rules(journey, stages, stage, iif=iif, oif=oif)
    if journey.result is not None:
        return journey
    others = tables.of_some_device(direction, journey.packet.family)
    other = past_rules(journey, others, stage, iif=iif, oif=oif)
    if other.result is None:
        return journey
    lines = other.hops[-1].lines
    return journey.undecided(stage, "nft does not print the device that this rule is for", *lines)


def past_bridge(journey: Journey, hook: str, *, iif: str = "", oif: str = "") -> Journey:
    """The journey past the rules of a bridge's hook; devices are its ports."""
    if journey.result is not None:
        return journey
    tables = journey.at.place.link_tables
    journey = journey.doubting(*tables.unread(BRIDGE))
    stages = tables.of_bridge(hook, journey.packet.family)
    return past_rules(journey, stages, f"bridge {hook}", iif=iif, oif=oif)


def past_rules(
    journey: Journey, stages: Sequence[Stage], name: str, *, iif: str = "", oif: str = ""
) -> Journey:
    """The journey past these chains, which know no connections."""
    if journey.result is not None or not stages:
        return journey
    situation = Situation(
        journey.packet,
        iif,
        oif,
        is_local=journey.at.place.has(journey.packet.destination),
        is_from_here=False,
        is_tracked=False,
        is_translating=False,
        overlooked=overlooked_rules(journey, name),
    )
    try:
        ways = through(stages, situation)
    except (FactMissingError, ParseError) as error:
        return journey.undecided(name, str(error))
    way = ways[0]
    if len(ways) > 1:
        return journey.undecided(name, "its rules choose at random", *way.lines)
    if way.unknown:
        return journey.undecided(name, way.unknown, *way.lines)
    if way.refused:
        return journey.dies(name, f"{way.refused} by this rule", *way.lines[-1:])
    return replace(journey, packet=way.packet)
