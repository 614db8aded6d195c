"""Sysctls of a netns, and what the kernel asks about a packet's source.

Source: __fib_validate_source (net/ipv4/fib_frontend.c).
"""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.node.netns import Interface
from wirecheck.node.rule_selectors import Origin
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place

STRICT, LOOSE = 1, 2
SWITCHES = frozenset({"accept_local", "arp_filter", "proxy_arp", "route_localnet"})
"""Settings that are on if they are on for the device or for all (IN_DEV_ORCONF)."""


def setting(place: Place, path: str) -> str | None:
    """A sysctl of the netns, by its path below /proc/sys; None if it was not read."""
    if place.is_host:
        value = place.machine.seen.files.get(f"/proc/sys/{path}")
        return None if value is None else value.strip()
    return (place.netns.record.settings or {}).get(path)


def device_setting(place: Place, name: str, device: Interface) -> int | None:
    """The larger value of `all` and of the device; None if one that counts was not read."""
    values = [setting(place, f"net/ipv4/conf/{each}/{name}") for each in ("all", device.name)]
    known = [int(each) for each in values if each is not None and each.isdecimal()]
    is_on = name in SWITCHES and any(known)
    return max(known) if is_on or len(known) == len(values) else None


@dataclass(frozen=True)
class SourceCheck:
    """Why the kernel drops a packet because of its source; both empty if it does not."""

    refused: str = ""
    unknown: str = ""


def source_check(place: Place, packet: Segment, device: Interface) -> SourceCheck:
    """Whether the receiving device accepts the source. IPv6 has no such check."""
    source = packet.source
    if source.version != 4 or "LOOPBACK" in device.link.flags:
        return SourceCheck()
    if found := loopback_check(place, packet, device):
        return found
    if place.has(source):
        accepts = device_setting(place, "accept_local", device)
        if accepts is None:
            return SourceCheck(unknown=f"accept_local of {device.name} was not read")
        why = f"its source {source} is an address of this netns (accept_local is 0)"
        return SourceCheck(refused="" if accepts else why)
    return _reverse_path(place, packet, device)


def loopback_check(place: Place, packet: Segment, device: Interface) -> SourceCheck | None:
    """Whether the device may receive or send packets of 127.0.0.0/8; None if it is none of them.

    Source: ip_route_input_slow and __mkroute_output (net/ipv4/route.c).
    """
    ends = [each for each in (packet.source, packet.destination) if each.is_loopback]
    if packet.family != 4 or not ends or "LOOPBACK" in device.link.flags:
        return None
    name = f"net/ipv4/conf/{device.name}/route_localnet"
    value = device_setting(place, "route_localnet", device)
    if value is None:
        return SourceCheck(unknown=f"sysctl {name} was not read")
    if value:
        return None
    return SourceCheck(refused=f"packets of {ends[0]} do not pass {device.name} ({name} = 0)")


def _reverse_path(place: Place, packet: Segment, device: Interface) -> SourceCheck:
    source = packet.source
    back, _ = place.routing.decision(source, origin=Origin(source=packet.destination))
    hops = {hop.get("index") for hop in back.hops} if back else set()
    is_back = back is not None and back.type == "unicast"
    if is_back and back and (back.index == device.index or str(device.index) in hops):
        return SourceCheck()
    value = device_setting(place, "rp_filter", device)
    if value is None:
        return SourceCheck(unknown=f"rp_filter of {device.name} was not read")
    route = place.routing.text_of(back)
    if value == STRICT or (value == LOOSE and not is_back):
        return SourceCheck(
            refused=f"rp_filter of {device.name} is {value}, and its answer takes {route}"
        )
    return SourceCheck()
