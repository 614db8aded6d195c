"""IPsec policies: what the kernel asks after routing (net/xfrm/xfrm_policy.c)."""

from __future__ import annotations

from wirecheck.addresses import network
from wirecheck.paths.journey import Journey
from wirecheck.paths.packet import Segment
from wirecheck.snapshot.netns import XfrmPolicy


def under_policies(journey: Journey, direction: str, stage: str) -> Journey:
    """The journey past the policies for one direction (`in`, `out`, `fwd`)."""
    policies = journey.at.place.netns.record.xfrm_policies or ()
    for each in sorted(policies, key=lambda policy: policy.priority):
        if each.direction == direction and _matches(each, journey.packet):
            line = f"{each.action} {direction} {each.source} to {each.destination}"
            if not each.is_plain:
                why = "an IPsec policy asks for more than is known"
                return journey.undecided(stage, why, line)
            if each.action == "block":
                return journey.refused(stage, "an IPsec policy blocks it", line)
            if each.has_template:
                return journey.undecided(stage, "an IPsec policy transforms it", line)
            return journey
    return journey


def _matches(policy: XfrmPolicy, packet: Segment) -> bool:
    source, destination = network(policy.source), network(policy.destination)
    return (
        source.version == packet.family
        and packet.source in source
        and packet.destination in destination
    )
