"""Virtual servers of IPVS, which take the first packet of a connection and choose its receiver.

IPVS meets packets to the node behind the filters of INPUT, and those of the node itself behind
table nat of OUTPUT. It routes what it takes to the new destination, whatever source and mark the
packet has, and sends it like a packet of the node: through OUTPUT and POSTROUTING, past FORWARD
(net/netfilter/ipvs/ip_vs_core.c and ip_vs_xmit.c).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from wirecheck.addresses import address
from wirecheck.parse.errors import ParseError
from wirecheck.parse.ipvs import RealServer, VirtualServer
from wirecheck.paths.journey import Journey
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place
from wirecheck.paths.source_check import setting
from wirecheck.paths.virtual_servers import IP_VS

STAGE = "IPVS"
DEVICE = "kube-ipvs0"
AT_INPUT, AT_OUTPUT = 99, -98
"""NF_IP_PRI_NAT_SRC - 1 and NF_IP_PRI_NAT_DST + 2: chains of lower priorities come first."""
CONNTRACK = "net/ipv4/vs/conntrack"


def has_virtual_servers(place: Place, packet: Segment) -> bool:
    """Whether IPVS may take the packet: it has virtual servers, and it is a first packet."""
    return place.is_host and not packet.is_answer and place.machine.virtual_servers.are_there


def scheduled(journey: Journey) -> Iterator[Journey]:
    """The journey to each real server that IPVS may choose; nothing if it takes no packet.

    The way to it is not decided yet.
    """
    place, packet = journey.at.place, journey.packet
    if journey.tracking in journey.taken:
        return
    try:
        found = _server_of(place, packet)
    except ParseError as error:
        yield journey.undecided(STAGE, str(error))
        return
    if isinstance(found, str):
        yield journey.undecided(STAGE, "what IPVS does with it is not followed", found)
    elif found is not None:
        yield from _chosen(journey, found)


def _chosen(journey: Journey, server: VirtualServer) -> Iterator[Journey]:
    tracks = setting(journey.at.place, CONNTRACK)
    if tracks != "1":
        why = f"sysctl {CONNTRACK} is {tracks}" if tracks else f"sysctl {CONNTRACK} was not read"
        yield journey.undecided(STAGE, f"{why}: connection tracking of IPVS decides", server.line)
        return
    used = [each for each in server.real_servers if each.weight > 0]
    total = sum(each.weight for each in used)
    if not used:
        yield journey.dies(STAGE, "rejected: the virtual server has no real server", server.line)
    for each in used:
        share = journey.share * each.weight / total
        yield _sent_to(replace(journey, share=share), server, each)


def _sent_to(journey: Journey, server: VirtualServer, real: RealServer) -> Journey:
    lines = (server.line, real.line)
    if real.forward != "Masq":
        why = f"real servers by {real.forward} are not followed"
        return journey.undecided(STAGE, why, *lines)
    on = journey.redirected(address(real.address), real.port)
    on = replace(on, taken=journey.taken | {journey.tracking})
    return on.noted(STAGE, f"the destination becomes {on.packet.target}", *lines)


def _server_of(place: Place, packet: Segment) -> VirtualServer | str | None:
    """The virtual server that takes the packet; a text if that or what it does is not known.

    Raises ParseError if the listing is malformed.
    """
    servers = place.machine.virtual_servers
    if servers.by_mark:
        return servers.by_mark
    wanted = (packet.protocol, str(packet.destination), packet.port)
    if found := servers.by_frontend.get(wanted):
        return found
    is_cut = servers.may_lack_some and _is_bound(place, packet)
    return f"{IP_VS} may not list all virtual servers" if is_cut else None


def _is_bound(place: Place, packet: Segment) -> bool:
    """Whether kube-proxy has bound the destination to its device for virtual servers."""
    device = next((each for each in place.links.values() if each.name == DEVICE), None)
    return device is not None and packet.destination in device.addresses
