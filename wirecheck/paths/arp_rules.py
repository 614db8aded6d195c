"""What rules of nftables' family arp do with a question, and with its answer."""

from __future__ import annotations

from wirecheck.node.netns import Interface
from wirecheck.paths.arp import ArpAnswer
from wirecheck.paths.frames import past_rules
from wirecheck.paths.journey import Journey, Result, Sends
from wirecheck.paths.link_tables import ARP
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place

End = tuple[Place, Interface]


def past_arp_rules(answer: ArpAnswer, asker: End, answering: End, question: Segment) -> ArpAnswer:
    """The answer, if the rules of both ends let the question and the answer pass."""
    ways = ((asker, "output"), (answering, "input"), (answering, "output"), (asker, "input"))
    for (place, device), hook in ways:
        found = _past(place, device, hook, question)
        if found.result is Result.DIES:
            line = found.hops[-1].lines[-1] if found.hops[-1].lines else ""
            why = f"does not answer: ARP is {found.reason} {hook} of {place.name}"
            return ArpAnswer(refused=why.replace("by this rule", "in"), line=line)
        unknown = found.reason if found.result else next(iter(found.open), "")
        if unknown:
            return ArpAnswer(is_given=True, unknown=f"ARP in {hook} of {place.name}: {unknown}")
    return answer


def _past(place: Place, device: Interface, hook: str, question: Segment) -> Journey:
    tables = place.link_tables
    journey = Journey(Sends(place), question).doubting(*tables.unread(ARP))
    names = {"iif": device.name} if hook == "input" else {"oif": device.name}
    return past_rules(journey, tables.of_arp(hook), f"arp {hook}", **names)
