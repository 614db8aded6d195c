"""`/proc/net/ip_vs`: virtual servers and their real servers, of both families.

IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  0A600001:01BB rr  persistent 2700000 FFFFFFFF
  -> C0A80002:192B      Masq    1      3          0
TCP  [fd00:0096:0000:0000:0000:0000:0000:0001]:01BB rr
FWM  00000007 rr

Addresses and ports are hexadecimal, in network order (net/netfilter/ipvs/ip_vs_ctl.c).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address

from wirecheck.addresses import canonical
from wirecheck.parse.errors import ParseError

_TITLE = re.compile(r"IP Virtual Server version \S+ \(size=\d+\)$")
_HEADINGS = ("Prot LocalAddress:Port ", "  -> RemoteAddress:Port ")
_PLACE = re.compile(r"(?:\[([0-9a-f:]+)\]|([0-9A-F]{8})):([0-9A-F]{4})$")
_PROTOCOLS = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}
FULL_MASKS = {4: (0xFFFFFFFF,), 6: (128, 0x80000000)}
"""For single addresses; of IPv6 it is a length, whose bytes the kernel swaps on most machines."""


@dataclass(frozen=True, slots=True)
class RealServer:
    """A backend of a virtual server."""

    address: str
    port: int
    forward: str
    """`Masq`, `Route`, `Tunnel` or `Local`."""
    weight: int
    line: str
    """Without the numbers of its connections: equal for equal backends."""


@dataclass(slots=True)
class VirtualServer:
    """An address and port that IPVS serves."""

    family: int
    protocol: str
    address: str
    port: int
    scheduler: str
    persistent_ticks: int
    """How long clients stay with their backend, 0 without persistence: in ticks of the kernel,
    whose rate (CONFIG_HZ) is not in the file."""
    is_by_client: bool
    """Whether persistence is for single addresses, not for whole ranges of clients."""
    line: str
    """As `ipvsadm -Ln` prints it, for people: `TCP  10.96.0.1:443 rr`."""
    real_servers: list[RealServer] = field(default_factory=list)


class IpvsLines:
    """Reads single lines, and keeps those of other nodes, which are mostly the same."""

    def __init__(self) -> None:
        self.fields = lru_cache(maxsize=100_000)(_fields)
        self.real_server = lru_cache(maxsize=200_000)(_real_server)


def parse_ip_vs(text: str, known: IpvsLines | None = None) -> list[VirtualServer]:
    """The virtual servers in `text`, without those by firewall mark, which no Service has.

    Raises ParseError with the first malformed line, and if the title is missing:
    the kernel never shows an empty file.
    """
    lines = text.removesuffix("\n").split("\n")
    if not _TITLE.match(lines[0]):
        raise ParseError(f"/proc/net/ip_vs: its first line is {lines[0][:200]!r}, not the title")
    return list(_servers(lines, known or IpvsLines()))


def _servers(lines: list[str], known: IpvsLines) -> Iterator[VirtualServer]:
    server: VirtualServer | None = None
    is_known = False
    for number, line in enumerate(lines[1:], start=2):
        if line.startswith(_HEADINGS):
            continue
        try:
            if not line.startswith("  -> "):
                is_known = not line.startswith("FWM  ")
                server = VirtualServer(*known.fields(line.strip())) if is_known else None
                if server:
                    yield server
            elif server:
                server.real_servers.append(_real(line, known))
            elif is_known or number <= len(_HEADINGS) + 2:
                raise ValueError(line)
        except ValueError:
            raise ParseError(
                f"/proc/net/ip_vs: line {number} is malformed: {line[:200]!r}"
            ) from None


def _fields(line: str) -> tuple[int, str, str, int, str, int, bool, str]:
    """The fields of a virtual server in their order."""
    protocol, place, scheduler, *flags = line.split()
    if flags[:1] == ["ops"]:
        flags = flags[1:]
    family, text, port = _place(place)
    ticks, is_by_client, more = 0, True, ""
    if flags:
        word, timeout, mask = flags
        if word != "persistent":
            raise ValueError(line)
        ticks, is_by_client = int(timeout), int(mask, 16) in FULL_MASKS[family]
        more = f"persistent {ticks} ticks"
        if not is_by_client:
            more += f" mask {IPv4Address(int(mask, 16)) if family == 4 else int(mask, 16)}"
    if protocol not in _PROTOCOLS:
        raise ValueError(line)
    shown = readable(protocol, text, port, scheduler, more)
    return family, _PROTOCOLS[protocol], text, port, scheduler, ticks, is_by_client, shown


def _real(line: str, known: IpvsLines) -> RealServer:
    """A real server. The last words are its numbers of open and of closing connections."""
    kept, active, inactive = line.rsplit(maxsplit=2)
    if not (active.isdecimal() and inactive.isdecimal()):
        raise ValueError(line)
    return known.real_server(kept)


def _real_server(kept: str) -> RealServer:
    _, place, forward, weight = kept.split()
    _, text, port = _place(place)
    return RealServer(text, port, forward, int(weight), readable_real(text, port, forward, weight))


def readable(protocol: str, host: str, port: int, scheduler: str, more: str) -> str:
    """A virtual server as `ipvsadm -Ln` prints it."""
    return f"{protocol:<4} {_with_port(host, port)} {scheduler} {more}".rstrip()


def readable_real(host: str, port: int, forward: str, weight: str) -> str:
    """A real server as `ipvsadm -Ln` prints it, without the numbers of its connections."""
    return f"-> {_with_port(host, port)} {forward} {weight}"


def _with_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _place(text: str) -> tuple[int, str, int]:
    """Family, address and port."""
    found = _PLACE.match(text)
    if not found:
        raise ValueError(text)
    six, four, port = found.groups()
    if six:
        return 6, canonical(six), int(port, 16)
    return 4, ".".join(map(str, bytes.fromhex(four))), int(port, 16)
