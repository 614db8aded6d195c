"""Whether a netns answers a question for an address (arp_process in net/ipv4/arp.c).

The kernel routes the question as a packet from the asker: its source is checked as any other's.
IPv6 neighbour discovery has none of these settings.
"""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.addresses import IPAddress
from wirecheck.node.netns import Interface
from wirecheck.node.rule_selectors import Origin
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place
from wirecheck.paths.source_check import device_setting, setting, source_check

NO_REPLY, SAME_NETWORK, ONLY_ON_DEVICE = 8, 2, 1


@dataclass(frozen=True)
class ArpAnswer:
    """Whether a netns answers, or why that is not known."""

    is_given: bool = False
    refused: str = ""
    """The setting because of which a netns that has the address does not answer."""
    line: str = ""
    unknown: str = ""
    """Why it might not be given."""
    open: str = ""
    """Why it might be given."""


NONE = ArpAnswer()


def arp_answer(
    there: Place, receiver: Interface, where: IPAddress, asker: IPAddress | None
) -> ArpAnswer:
    """What the netns does with a question that comes in by the device."""
    is_own = there.has(where)
    if where.version == 6:
        return ArpAnswer(is_given=is_own)
    is_proxy = None if is_own else device_setting(there, "proxy_arp", receiver)
    if not is_own and is_proxy is None:
        return ArpAnswer(open=f"proxy_arp of {receiver.name} of {there.node} was not read")
    if not is_own and not is_proxy:
        return NONE
    if not is_own and not _is_forwarded(there, receiver, where, asker):
        return ArpAnswer(open=f"{receiver.name} of {there.node} may answer for {where} (proxy_arp)")
    found = _dropped(there, receiver, where, asker)
    if is_own:
        found = found or _ignored(there, receiver, where) or _filtered(there, receiver, asker)
    return found or ArpAnswer(is_given=True)


def _dropped(
    there: Place, receiver: Interface, where: IPAddress, asker: IPAddress | None
) -> ArpAnswer | None:
    """The answer if the check of the asker's address decides; None if it is accepted."""
    if asker is None:
        return None
    check = source_check(there, Segment(asker, where, "arp", 0), receiver)
    if check.refused:
        return ArpAnswer(refused=f"drops the question: {check.refused}")
    return ArpAnswer(is_given=True, unknown=check.unknown) if check.unknown else None


def _ignored(there: Place, receiver: Interface, where: IPAddress) -> ArpAnswer | None:
    """The answer that arp_ignore decides; None if it lets the netns answer."""
    ignore = device_setting(there, "arp_ignore", receiver)
    if ignore is None:
        why = f"arp_ignore of {receiver.name} in {there.name} on {there.node} was not read"
        return ArpAnswer(is_given=True, unknown=why)
    is_elsewhere = ignore in (ONLY_ON_DEVICE, SAME_NETWORK) and where not in receiver.addresses
    if ignore >= NO_REPLY or is_elsewhere:
        return ArpAnswer(
            refused="answers no ARP for it",
            line=f"net/ipv4/conf/{receiver.name}/arp_ignore = {ignore}",
        )
    return None


def _filtered(there: Place, receiver: Interface, asker: IPAddress | None) -> ArpAnswer:
    """The answer by arp_filter: only the device that the asker is routed by answers."""
    if asker is None or _leaves_by(there, asker, receiver):
        return ArpAnswer(is_given=True)
    value = device_setting(there, "arp_filter", receiver)
    if value is None:
        why = f"arp_filter of {receiver.name} in {there.name} on {there.node} was not read"
        return ArpAnswer(is_given=True, unknown=why)
    if value:
        return ArpAnswer(
            refused=f"answers {asker} by another device only",
            line=f"net/ipv4/conf/{receiver.name}/arp_filter = {value}",
        )
    return ArpAnswer(is_given=True)


def _is_forwarded(
    there: Place, receiver: Interface, where: IPAddress, asker: IPAddress | None
) -> bool:
    """Whether the netns forwards to the address by another device: proxy_arp asks for that."""
    if setting(there, f"net/ipv4/conf/{receiver.name}/forwarding") in (None, "0"):
        return False
    route, _ = there.routing.decision(where, origin=Origin(asker, receiver.name))
    return route is not None and route.type == "unicast" and route.index != receiver.index


def _leaves_by(there: Place, where: IPAddress, device: Interface) -> bool:
    route, _ = there.routing.decision(where)
    return route is not None and route.index == device.index
