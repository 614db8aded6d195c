"""Cilium's own dump of its maps, as what our decoder makes of the same maps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from testbed.commands import TestbedError
from wirecheck.addresses import network
from wirecheck.dataplane.ebpf.maps import (
    STATES,
    CiliumMaps,
    Flags,
    MapBackend,
    MapFrontend,
    Place,
)

_WHERE = r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[\d.]+)):(?P<port>\d+)"
_SERVICE = re.compile(
    rf"SVC: ID=(?P<id>\d+) ADDR={_WHERE}/(?P<protocol>\w+)(?P<inner>/i)? SLOT=(?P<slot>\d+)"
    r" (?:BEID=(?P<backend>\d+)|LBALG=\w+ AFFTimeout=(?P<affinity>\d+))"
    r" COUNT=(?P<count>\d+) QCOUNT=(?P<left>\d+) FLAGS=(?P<flags>.*)"
)
_BACKEND = re.compile(rf"BE: ID=(?P<id>\d+) ADDR={_WHERE}/(?P<protocol>\w+) STATE=(?P<state>\w+)")
_REVERSE = re.compile(rf"REV: ID=(?P<id>\d+) ADDR={_WHERE}")
_AFFINITY = re.compile(r"AFF: ID=(?P<id>\d+) BEID=(?P<backend>\d+)")
_RANGE = re.compile(r"SRCRANGE: ID=(?P<id>\d+) CIDR=(?P<range>\S+)")
_WORDS: Mapping[str, Flags] = {
    "ExternalIPs": Flags.EXTERNAL_IP,
    "NodePort": Flags.NODE_PORT,
    "LoadBalancer": Flags.LOAD_BALANCER,
    "HostPort": Flags.HOST_PORT,
    "LocalRedirect": Flags.LOCAL_REDIRECT,
    "Local": Flags.EXTERNAL_LOCAL,
    "InternalLocal": Flags.INTERNAL_LOCAL,
    "two-scopes": Flags.TWO_SCOPES,
    "sessionAffinity": Flags.AFFINITY,
    "check source-range": Flags.SOURCE_RANGES,
    "deny": Flags.DENIES_RANGES,
    "46x64": Flags.NAT_46X64,
    "l7-load-balancer": Flags.L7,
    "loopback": Flags.LOOPBACK,
    "delegate-if-local": Flags.LOOPBACK,
    "dsr": Flags.DSR,
    "ClusterIP": Flags(0),
    "non-routable": Flags(0),
}


def of_dump(lines: Iterable[str]) -> CiliumMaps:
    """The maps that a dump shows. Raises TestbedError for a line of another form."""
    found = CiliumMaps(families={4, 6})
    for line in lines:
        if match := _SERVICE.fullmatch(line):
            _service(found, match)
        elif match := _BACKEND.fullmatch(line):
            family, address, port = _where(match)
            state, protocol = STATES.index(match["state"]), match["protocol"].lower()
            backend = MapBackend(address, port, protocol, state, 0)
            found.backends[family, int(match["id"])] = backend
        elif match := _REVERSE.fullmatch(line):
            family, address, port = _where(match)
            found.reverse_nat[family, int(match["id"])] = address, port
        elif match := _AFFINITY.fullmatch(line):
            found.affinity.add((int(match["backend"]), int(match["id"])))
        elif match := _RANGE.fullmatch(line):
            range_ = network(match["range"])
            found.source_ranges.setdefault((range_.version, int(match["id"])), []).append(range_)
        else:
            raise TestbedError(f"Cilium's dump has a line of another form: {line}")
    return in_order(found)


def in_order(maps: CiliumMaps) -> CiliumMaps:
    """The same with sorted ranges, so that equal maps are equal."""
    for ranges in maps.source_ranges.values():
        ranges.sort(key=str)
    return maps


def differences(ours: CiliumMaps, theirs: CiliumMaps) -> list[str]:
    """What one of the two has and the other has not, or not so."""
    found = []
    for name in ("frontends", "slots", "backends", "reverse_nat", "source_ranges"):
        own, other = getattr(ours, name), getattr(theirs, name)
        for key in own.keys() | other.keys():
            if own.get(key) != other.get(key):
                found.append(f"{name} {key}: read {own.get(key)}, dumped {other.get(key)}")
    found += [f"affinity {each}" for each in ours.affinity ^ theirs.affinity]
    return sorted(found)


def _where(match: re.Match[str]) -> tuple[int, str, int]:
    address = match["v6"] or match["v4"]
    return 6 if match["v6"] else 4, address, int(match["port"])


def _service(found: CiliumMaps, match: re.Match[str]) -> None:
    family, address, port = _where(match)
    place = Place(family, address, match["protocol"].lower(), port, 1 if match["inner"] else 0)
    if int(match["slot"]):
        found.slots.setdefault(place, {})[int(match["slot"])] = int(match["backend"])
        return
    words = match["flags"].split("+")
    flags = Flags(0) if "non-routable" in words else Flags.ROUTABLE
    for each in words:
        flags |= _WORDS[each]
    affinity, count, left, number = (
        int(match[name]) for name in ("affinity", "count", "left", "id")
    )
    found.frontends[place] = MapFrontend(affinity, count, left, number, flags)
