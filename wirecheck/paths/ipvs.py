"""Virtual servers of IPVS, which take packets on their way to the node, and the node's own."""

from __future__ import annotations

from wirecheck.parse.ipvs import parse_ip_vs
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place

IP_VS = "/proc/net/ip_vs"
BY_MARK = "FWM "


def virtual_server(place: Place, packet: Segment) -> str:
    """The virtual server that takes the packet, as text; empty if none does."""
    text = place.machine.seen.files.get(IP_VS, "") if place.is_host else ""
    if not text or packet.is_answer:
        return ""
    by_mark = next((line for line in text.splitlines() if line.startswith(BY_MARK)), "")
    if by_mark:
        return by_mark.strip()
    wanted = (packet.protocol, str(packet.destination), packet.port)
    for each in parse_ip_vs(text):
        if (each.protocol.lower(), each.address, each.port) == wanted:
            return each.line
    return ""
