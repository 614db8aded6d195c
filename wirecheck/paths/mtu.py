"""Sizes of packets against the MTU of the devices that they pass.

A sender's own device never gets a larger packet: TCP makes smaller segments, and UDP fragments.
Where it is forwarded, the kernel drops what does not fit and sends an ICMP message (PMTU
discovery), which firewalls often block. Between the ends of a pair, and to a bridge port, what
does not fit is lost silently (is_skb_forwardable).
"""

from __future__ import annotations

from dataclasses import replace

from wirecheck.node.netns import Interface
from wirecheck.paths.journey import Journey
from wirecheck.paths.packet import Segment

HEADERS = {"tcp": 20, "udp": 8, "sctp": 28}
IP_HEADER = {4: 20, 6: 40}
VXLAN = {4: 50, 6: 70}
"""The outer headers: IP, UDP, VXLAN and the inner Ethernet header."""
SLACK = 4
"""Room for a VLAN tag, which is_skb_forwardable leaves."""


def with_size(packet: Segment, payload: int) -> Segment:
    """The packet with so many bytes of payload."""
    length = payload + HEADERS.get(packet.protocol, 0) + IP_HEADER[packet.family]
    return replace(packet, length=length if payload else 0)


def sent_by(journey: Journey, device: Interface, *, is_own: bool) -> Journey:
    """The packet as it leaves by a device: cut down by its sender, or refused."""
    packet, mtu = journey.packet, device.link.mtu
    if not packet.length or not mtu or packet.length <= mtu:
        return journey
    if is_own:
        how = "segments" if packet.protocol == "tcp" else "fragments"
        text = f"in {how} of {mtu} bytes, the MTU of {device.name}"
        cut = replace(journey, packet=replace(packet, length=mtu))
        return cut.noted("MTU", text, f"{device.name} mtu {mtu}")
    why = (
        f"{packet.length} bytes exceed the MTU of {device.name}, which is {mtu}: the node "
        "returns an ICMP message, by which the sender learns the MTU if it arrives"
    )
    return journey.refused("MTU", why, f"{device.name} mtu {mtu}")


def received_by(journey: Journey, device: Interface) -> Journey:
    """The packet at the other end of a pair, or at a bridge port."""
    packet, mtu = journey.packet, device.link.mtu
    if not packet.length or not mtu or packet.length <= mtu + SLACK:
        return journey
    line = f"{device.name} mtu {mtu}"
    why = f"{packet.length} bytes exceed the MTU of {device.name}, which is {mtu}"
    if packet.protocol == "tcp":
        unsure = f"{why}: whether they are lost depends on segmentation offload"
        return journey.undecided("MTU", unsure, line)
    return journey.refused("MTU", f"{why}: they are lost silently", line)


def received_from_wire(journey: Journey, device: Interface) -> Journey:
    """The packet at another node: a virtual device takes no larger one, and hardware may."""
    packet, mtu = journey.packet, device.link.mtu
    if device.link.kind == "veth" or not packet.length or not mtu or packet.length <= mtu + SLACK:
        return received_by(journey, device)
    why = f"{packet.length} bytes exceed the MTU of {device.name}, which is {mtu}"
    unsure = f"{why}: whether they are lost depends on the hardware"
    return journey.undecided("MTU", unsure, f"{device.name} mtu {mtu}")
