"""`ipvsadm -Sn`: the same virtual servers as in /proc/net/ip_vs, as ipvsadm prints them.

-A -t 10.96.0.1:443 -s rr -p 10800
-a -t 10.96.0.1:443 -r 172.31.250.10:6443 -m -w 1
-A -u [fd00:96::a]:53 -s rr
-A -f 7 -s rr
"""

from __future__ import annotations

import re

from wirecheck.addresses import canonical
from wirecheck.parse.errors import ParseError
from wirecheck.parse.ipvs import RealServer, VirtualServer, readable, readable_real

TICKS_PER_SECOND = 1
"""ipvsadm shows persistence in seconds."""

_SERVICES = {"-t": "tcp", "-u": "udp", "--sctp-service": "sctp"}
_FORWARDS = {"-m": "Masq", "-g": "Route", "-i": "Tunnel"}
_PLACE = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d+)$")


def parse_ipvsadm_save(text: str) -> list[VirtualServer]:
    """The virtual servers in `text`, without those by firewall mark, which no Service has.

    Raises ParseError with the first malformed line, and if the last line is truncated.
    """
    if text and not text.endswith("\n"):
        raise ParseError("ipvsadm -Sn: the output ends within a line")
    servers: dict[tuple[str, str], VirtualServer] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            _read(line, servers)
        except (ValueError, KeyError, IndexError):
            raise ParseError(f"ipvsadm -Sn: line {number} is malformed: {line[:200]!r}") from None
    return list(servers.values())


def _read(line: str, servers: dict[tuple[str, str], VirtualServer]) -> None:
    command, kind, place, *words = line.split()
    if command not in {"-A", "-a"}:
        raise ValueError(line)
    if kind == "-f":
        return
    if command == "-A":
        if (kind, place) in servers:
            raise ValueError(line)
        servers[kind, place] = _virtual(line, kind, place, words)
    else:
        servers[kind, place].real_servers.append(_real(words))


def _virtual(line: str, kind: str, place: str, words: list[str]) -> VirtualServer:
    family, host, port = _place(place)
    options = {"-s": "", "-p": "0", "-M": "", "-b": ""}
    while words:
        name = words.pop(0)
        if name in {"-o", "--ops"}:
            continue
        if name not in options:
            raise ValueError(line)
        options[name] = words.pop(0)
    if not options["-s"]:
        raise ValueError(line)
    return VirtualServer(
        family,
        _SERVICES[kind],
        host,
        port,
        options["-s"],
        persistent_ticks=int(options["-p"]) * TICKS_PER_SECOND,
        # The mask is shown only if it is not that of a single address.
        is_by_client=not options["-M"],
        line=_shown(kind, host, port, options),
    )


def _shown(kind: str, host: str, port: int, options: dict[str, str]) -> str:
    persistence = f"persistent {options['-p']}" if options["-p"] != "0" else ""
    mask = f"mask {options['-M']}" if options["-M"] else ""
    more = f"{persistence} {mask}".strip()
    return readable(_SERVICES[kind].upper(), host, port, options["-s"], more)


def _real(words: list[str]) -> RealServer:
    marker, place, forward, weight_marker, weight, *more = words
    if (marker, weight_marker) != ("-r", "-w") or more:
        raise ValueError(words)
    _, host, port = _place(place)
    forward = _FORWARDS[forward]
    return RealServer(host, port, forward, int(weight), readable_real(host, port, forward, weight))


def _place(text: str) -> tuple[int, str, int]:
    """Family, address and port."""
    found = _PLACE.match(text)
    if not found or int(found[3]) > 65535:
        raise ValueError(text)
    host = canonical(found[1] or found[2])
    return (6 if found[1] else 4), host, int(found[3])
