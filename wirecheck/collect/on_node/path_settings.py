"""Reads what decides about packets beside rules and routes: IPsec policies, and sysctls of pods."""

import socket
import struct
from typing import Any, Dict, Iterator, List

from wirecheck.collect.on_node.commands import can_be_there
from wirecheck.collect.on_node.netlink import Netlink, attributes
from wirecheck.collect.on_node.visit_state import VisitState

JsonObject = Dict[str, Any]

NETLINK_XFRM, GETPOLICY = 6, 0x15
SELECTOR = struct.Struct("=16s16s2s2s2s2sHBBBxxxiI")  # xfrm_selector
POLICY = struct.Struct("=56s64s32sIIBBBBxxxx")  # xfrm_userpolicy_info
ASKED = bytes(64)  # xfrm_userpolicy_id
TEMPLATE, MARK, IF_ID = 5, 21, 31
DIRECTIONS, ACTIONS = ("in", "out", "fwd"), ("allow", "block")
MOST_POLICIES = 2000
IN_POD = ("accept_local", "arp_filter", "arp_ignore", "forwarding", "proxy_arp", "rp_filter")
"""Sysctls of each interface below net/ipv4/conf that decide whether it takes a packet."""
MOST_SETTINGS = 200
MOST_BYTES = 64


def read_all(visit: VisitState) -> None:
    """Add `xfrm_policies` to the node's own netns and to those of pods, and `settings` to these.

    Without xfrm_user nothing can have made a policy; to ask would load it.
    """
    has_policies = can_be_there("xfrm_user")
    host = visit.namespaces.host
    wanted = {host, *visit.netns.values()}
    for record in visit.document.get("namespaces", ()):
        inode = record["inode"]
        if inode in wanted and inode in visit.namespaces.descriptors and "links" in record:
            with visit.namespaces.inside(inode):
                record["xfrm_policies"] = _policies() if has_policies else []
                if inode != host:
                    record["settings"] = _settings(record["links"])


def _policies() -> List[JsonObject]:
    """The policies of the current netns; a kernel without XFRM has none."""
    try:
        netlink = Netlink(NETLINK_XFRM, most=MOST_POLICIES)
    except OSError:
        return []
    try:
        return list(_described(netlink.dump(GETPOLICY, ASKED)))
    finally:
        netlink.close()


def _described(payloads: List[bytes]) -> Iterator[JsonObject]:
    for payload in payloads:
        selector, _, _, priority, _, direction, action, _, _ = POLICY.unpack_from(payload)
        if direction >= len(DIRECTIONS):
            continue  # of one socket
        found = attributes(payload, POLICY.size)
        to, from_, *others = SELECTOR.unpack(selector)
        family, to_length, from_length = others[4:7]
        ports, rest = others[:4], others[7:]
        yield {
            "direction": DIRECTIONS[direction],
            "action": ACTIONS[action] if action < len(ACTIONS) else str(action),
            "source": _prefix(from_, from_length, family),
            "destination": _prefix(to, to_length, family),
            "priority": priority,
            "is_plain": not (any(map(any, ports)) or any(rest) or MARK in found or IF_ID in found),
            "has_template": TEMPLATE in found,
        }


def _prefix(address: bytes, length: int, family: int) -> str:
    """A policy for all packets has no family: it counts as one of IPv4 here."""
    size = 16 if family == socket.AF_INET6 else 4
    kind = socket.AF_INET6 if size == 16 else socket.AF_INET
    return "%s/%d" % (socket.inet_ntop(kind, address[:size]), length)


def _settings(links: List[JsonObject]) -> Dict[str, str]:
    """The files below /proc/sys/net are those of the netns of the process that opens them."""
    found = {}
    names = ["all"] + [each["name"] for each in links if "LOOPBACK" not in each["flags"]]
    for name in names[: MOST_SETTINGS // len(IN_POD)]:
        if "/" in name or name in (".", ".."):
            continue
        for setting in IN_POD:
            path = "net/ipv4/conf/%s/%s" % (name, setting)
            try:
                with open("/proc/sys/" + path, "rb") as file:
                    found[path] = file.read(MOST_BYTES).decode("utf-8", "replace").strip()
            except OSError:
                continue
    return found
