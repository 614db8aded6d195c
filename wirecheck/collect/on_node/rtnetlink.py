"""Reads links, addresses, routes, rules, neighbours and FDB of a netns, named as in `ip -j`.

Unknown attributes and flags are left out: every kernel release adds some.
"""

import socket
import struct
from typing import Any, Callable, Dict, List, Optional

from wirecheck.collect.on_node.netlink import Netlink, attribute, attributes, number, text

JsonObject = Dict[str, Any]

GETLINK, GETADDR, GETROUTE, GETNEIGH, GETRULE, GETNSID = 18, 22, 26, 30, 34, 90
FAMILIES = (socket.AF_INET, socket.AF_INET6)
AF_BRIDGE = 7

LINK = struct.Struct("=BxHiII")
ADDRESS = struct.Struct("=BBBBI")
ROUTE = struct.Struct("=BBBBBBBBI")
NEIGHBOUR = struct.Struct("=BxxxiHBB")
NEXT_HOP = struct.Struct("=HBBi")

EXT_MASK, SKIP_STATS = 29, 8
LINK_FLAGS = {
    1 << 0: "UP",
    1 << 1: "BROADCAST",
    1 << 3: "LOOPBACK",
    1 << 4: "POINTOPOINT",
    1 << 7: "NOARP",
    1 << 8: "PROMISC",
    1 << 12: "MULTICAST",
    1 << 16: "LOWER_UP",
    1 << 17: "DORMANT",
}
OPERATIONAL = ("UNKNOWN", "NOTPRESENT", "DOWN", "LOWERLAYERDOWN", "TESTING", "DORMANT", "UP")
SCOPES = {0: "global", 200: "site", 253: "link", 254: "host", 255: "nowhere"}
ADDRESS_FLAGS = {
    0x01: "secondary",
    0x08: "dadfailed",
    0x20: "deprecated",
    0x40: "tentative",
    0x80: "permanent",
    0x200: "noprefixroute",
}
ROUTE_TYPES = {
    0: "unspec",
    1: "unicast",
    6: "blackhole",
    7: "unreachable",
    8: "prohibit",
    9: "throw",
    10: "nat",
    11: "xresolve",
}
LOCAL, LOCAL_TABLE, BY_KERNEL = 2, 255, 2
UNINTERESTING_ROUTES = (2, 3, 4, 5)  # local, broadcast, anycast, multicast
CLONED, ONLINK = 0x200, 0x4
RULE_ACTIONS = {1: "lookup", 2: "goto", 3: "nop", 6: "blackhole", 7: "unreachable", 8: "prohibit"}
INVERTED = 0x2
# Attributes of rules that are not read: who sends a packet, or what is in it.
OTHER_SELECTORS = {
    12: "tun_id",
    19: "l3mdev",
    20: "uidrange",
    22: "ipproto",
    23: "sport",
    24: "dport",
}
NEIGHBOUR_STATES = {
    1: "INCOMPLETE",
    2: "REACHABLE",
    4: "STALE",
    8: "DELAY",
    16: "PROBE",
    32: "FAILED",
    64: "NOARP",
    128: "PERMANENT",
}
NOARP, PERMANENT, STALE = 64, 128, 4
PROXY = 0x8
FDB_FLAGS = {0x02: "self", 0x04: "master", 0x10: "extern_learn", 0x20: "offload", 0x40: "sticky"}


def address(value: bytes) -> str:
    """An address; its length determines the family."""
    return socket.inet_ntop(socket.AF_INET if len(value) == 4 else socket.AF_INET6, value)


def mac(value: bytes) -> str:
    """A hardware address: pairs of digits with colons."""
    return ":".join("%02x" % byte for byte in value)


def words(flags: int, names: Dict[int, str]) -> List[str]:
    """The names of the flags that are set."""
    return [name for bit, name in names.items() if flags & bit]


def links(netlink: Netlink) -> List[JsonObject]:
    """All interfaces."""
    request = LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    request += attribute(EXT_MASK, struct.pack("=I", SKIP_STATS))
    return [_link(payload) for payload in netlink.dump(GETLINK, request)]


def _link(payload: bytes) -> JsonObject:
    _, _, index, flags, _ = LINK.unpack_from(payload)
    found = attributes(payload, LINK.size)
    record: JsonObject = {
        "index": index,
        "name": text(found.get(3, b"")),
        "flags": words(flags, LINK_FLAGS),
        "mtu": number(found.get(4, b"")),
    }
    state = number(found.get(16, b""))
    record["operstate"] = OPERATIONAL[state] if state < len(OPERATIONAL) else str(state)
    if found.get(1):
        record["mac"] = mac(found[1])
    if number(found.get(5, b"")):
        record["peer_index"] = number(found[5])
    if 37 in found:
        record["peer_nsid"] = struct.unpack("=i", found[37])[0]
    if 10 in found:
        record["master"] = number(found[10])
    if 20 in found:
        record["alias"] = text(found[20])
    record.update(_kind(attributes(found.get(18, b""))))
    return record


def _kind(info: Dict[int, bytes]) -> JsonObject:
    record: JsonObject = {}
    if 1 in info:
        record["kind"] = text(info[1])
    if record.get("kind") == "vxlan":
        data = attributes(info.get(2, b""))
        if 1 in data:
            record["vxlan_id"] = number(data[1])
        local = data.get(4) or data.get(17)
        if local and any(local):
            record["vxlan_local"] = address(local)
        if 15 in data:
            record["vxlan_port"] = int.from_bytes(data[15], "big")
    if record.get("kind") == "bridge":
        data = attributes(info.get(2, b""))
        if 7 in data:
            record["vlan_filtering"] = bool(number(data[7]))
    if 4 in info:
        record["port_kind"] = text(info[4])
    if record.get("port_kind") == "bridge":
        record.update(_bridge_port(attributes(info.get(5, b""))))
    return record


def _bridge_port(found: Dict[int, bytes]) -> JsonObject:
    record: JsonObject = {"port_state": number(found[1])} if 1 in found else {}
    for kind, name in ((4, "hairpin"), (9, "flooded"), (33, "isolated")):
        if kind in found:
            record["port_" + name] = bool(number(found[kind]))
    return record


def addresses(netlink: Netlink) -> List[JsonObject]:
    """All addresses of both families."""
    request = ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    return [
        _address(payload) for payload in netlink.dump(GETADDR, request) if payload[0] in FAMILIES
    ]


def _address(payload: bytes) -> JsonObject:
    _, prefix, flags, scope, index = ADDRESS.unpack_from(payload)
    found = attributes(payload, ADDRESS.size)
    if 8 in found:
        flags = number(found[8])
    own = found.get(2) or found[1]
    record = {
        "index": index,
        "address": address(own),
        "prefix": prefix,
        "scope": SCOPES.get(scope, str(scope)),
        "flags": words(flags, ADDRESS_FLAGS),
    }
    if found.get(1, own) != own:
        record["peer"] = address(found[1])
    return record


def routes(netlink: Netlink) -> List[JsonObject]:
    """The configured routes of all tables, without those that the kernel adds for addresses."""
    return _routes(netlink, _route)


def local_routes(netlink: Netlink) -> List[JsonObject]:
    """Routes of the type local, by which the netns takes packets for what it has no address of."""
    return _routes(netlink, _local_route)


def _routes(netlink: Netlink, read: Callable[[bytes], Optional[JsonObject]]) -> List[JsonObject]:
    found = []
    for family in FAMILIES:
        request = ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for payload in netlink.dump(GETROUTE, request):
            # Without support for the requested family, the kernel returns routes of all families.
            if payload[0] == family:
                record = read(payload)
                if record:
                    found.append(record)
    return found


def _route(payload: bytes) -> Optional[JsonObject]:
    _, _, _, _, _, _, _, kind, flags = ROUTE.unpack_from(payload)
    if kind in UNINTERESTING_ROUTES or flags & CLONED:
        return None
    return _fields_of(payload)


def _local_route(payload: bytes) -> Optional[JsonObject]:
    _, _, _, _, table, protocol, _, kind, flags = ROUTE.unpack_from(payload)
    if kind != LOCAL or flags & CLONED or (table, protocol) == (LOCAL_TABLE, BY_KERNEL):
        return None
    return dict(_fields_of(payload), type="local")


def _fields_of(payload: bytes) -> JsonObject:
    family, length, _, _, table, protocol, scope, kind, flags = ROUTE.unpack_from(payload)
    found = attributes(payload, ROUTE.size)
    record = {
        "family": 4 if family == socket.AF_INET else 6,
        "destination": "%s/%d" % (address(found[1]), length) if 1 in found else "default",
        "table": number(found[15]) if 15 in found else table,
        "type": ROUTE_TYPES.get(kind, str(kind)),
        "scope": SCOPES.get(scope, str(scope)),
        "protocol": protocol,
    }
    gateway = _gateway(found)
    if gateway:
        record["gateway"] = gateway
    if 4 in found:
        record["index"] = number(found[4])
    if 6 in found:
        record["metric"] = number(found[6])
    if 7 in found:
        record["source"] = address(found[7])
    if flags & ONLINK:
        record["onlink"] = True
    if 9 in found:
        record["hops"] = _hops(found[9])
    return record


def _gateway(found: Dict[int, bytes]) -> str:
    if 5 in found:
        return address(found[5])
    if 18 in found:  # RTA_VIA: an address of the other family, after two bytes that name it
        return address(found[18][2:])
    return ""


def _hops(data: bytes) -> List[Dict[str, str]]:
    hops = []
    offset = 0
    while offset + NEXT_HOP.size <= len(data):
        size, flags, weight, index = NEXT_HOP.unpack_from(data, offset)
        if size < NEXT_HOP.size:
            break
        inner = attributes(data[offset : offset + size], NEXT_HOP.size)
        hop = {"index": str(index), "weight": str(weight + 1)}
        gateway = _gateway(inner)
        if gateway:
            hop["gateway"] = gateway
        if flags & ONLINK:
            hop["onlink"] = "true"
        hops.append(hop)
        offset += (size + 3) & ~3
    return hops


def rules(netlink: Netlink) -> List[JsonObject]:
    """The routing rules of both families."""
    found = []
    for family in FAMILIES:
        request = ROUTE.pack(family, 0, 0, 0, 0, 0, 0, 0, 0)
        for payload in netlink.dump(GETRULE, request):
            if payload[0] == family:
                found.append(_rule(payload))
    return found


def _rule(payload: bytes) -> JsonObject:
    family, to, from_, tos, table, _, _, action, flags = ROUTE.unpack_from(payload)
    found = attributes(payload, ROUTE.size)
    name = RULE_ACTIONS.get(action, str(action))
    record: JsonObject = {
        "family": 4 if family == socket.AF_INET else 6,
        "priority": number(found.get(6, b"")),
        "table": number(found[15]) if 15 in found else table,
        "action": name + " (not)" if flags & INVERTED else name,
    }
    if 21 in found:
        record["protocol"] = found[21][0]
    if 1 in found:
        record["destination"] = "%s/%d" % (address(found[1]), to)
    if 2 in found:
        record["source"] = "%s/%d" % (address(found[2]), from_)
    if 3 in found:
        record["iif"] = text(found[3])
    if 17 in found:
        record["oif"] = text(found[17])
    if 10 in found:
        record["mark"] = "0x%x" % number(found[10])
        if 16 in found and number(found[16]) != 0xFFFFFFFF:
            record["mark"] += "/0x%x" % number(found[16])
    if 4 in found:
        record["goto"] = number(found[4])
    if 14 in found and number(found[14]) != 0xFFFFFFFF:
        record["suppress_prefix"] = number(found[14])
    others = [name for kind, name in OTHER_SELECTORS.items() if kind in found] + ["tos"] * bool(tos)
    if others:
        record["other_selectors"] = others
    return record


def neighbours(netlink: Netlink) -> List[JsonObject]:
    """The neighbour tables of both families, without entries that need no resolution."""
    found = []
    for family in FAMILIES:
        for payload in netlink.dump(GETNEIGH, NEIGHBOUR.pack(family, 0, 0, 0, 0)):
            _, index, state, flags, _ = NEIGHBOUR.unpack_from(payload)
            inner = attributes(payload, NEIGHBOUR.size)
            if payload[0] != family or state & NOARP or flags & PROXY or 1 not in inner:
                continue
            record = {
                "index": index,
                "address": address(inner[1]),
                "state": NEIGHBOUR_STATES.get(state, str(state)),
            }
            if inner.get(2):
                record["mac"] = mac(inner[2])
            found.append(record)
    return found


def forwarding_database(netlink: Netlink) -> List[JsonObject]:
    """The entries of bridges and VXLAN devices, without those of multicast groups."""
    found = []
    for payload in netlink.dump(GETNEIGH, NEIGHBOUR.pack(AF_BRIDGE, 0, 0, 0, 0)):
        family, index, state, flags, _ = NEIGHBOUR.unpack_from(payload)
        inner = attributes(payload, NEIGHBOUR.size)
        hardware = inner.get(2, b"")
        if family != AF_BRIDGE or not hardware or hardware[0] & 1:
            continue
        record = {"index": index, "mac": mac(hardware), "flags": words(flags, FDB_FLAGS)}
        if 1 in inner:
            record["destination"] = address(inner[1])
        if 9 in inner:
            record["master"] = number(inner[9])
        if state & PERMANENT:
            record["state"] = "permanent"
        elif state & NOARP:
            record["state"] = "static"
        elif state & STALE:
            record["state"] = "stale"
        found.append(record)
    return found


def namespace_id(netlink: Netlink, descriptor: int) -> Optional[int]:
    """The id (nsid) of the netns behind `descriptor` in the socket's netns."""
    request = b"\0\0\0\0" + attribute(3, struct.pack("=I", descriptor))
    answer = netlink.ask(GETNSID, request)
    value = attributes(answer, 4).get(1) if answer else None
    assigned = struct.unpack("=i", value)[0] if value else -1
    return assigned if assigned >= 0 else None
