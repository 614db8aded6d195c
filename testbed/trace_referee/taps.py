"""Packet capture at every device of a world: where a packet came in, and what it left by."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

from testbed.trace_referee.namespaces import Netns

ALL = 3
FOREIGN, OUTGOING = 3, 4
IPV4, IPV6 = 0x0800, 0x86DD
TUNNEL_PORT = 8472
INTERNAL = frozenset({"lo", "cni0", "flannel.1"})
"""What leaves by these devices is still in the netns."""
REQUEST, ANSWER = "request", "answer"


class Sighting(NamedTuple):
    """A packet at a device."""

    netns: Netns
    device: str
    is_sent: bool
    """By the device; otherwise it came in by it."""
    phase: str
    """`request` or `answer`."""
    is_foreign: bool = False
    """Whether it came in for another MAC: who is not a bridge's port takes no such frame."""


class Tap:
    """Everything that devices of one netns send and receive."""

    def __init__(self, netns: Netns) -> None:
        self.netns = netns
        with netns.entered():
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(ALL))
        self.socket.setblocking(False)

    def sightings(self, port: int) -> Iterator[Sighting]:
        """What was captured since, of the connection with this source port."""
        while True:
            try:
                data, (device, kind, direction, *_) = self.socket.recvfrom(256)
            except BlockingIOError:
                return
            if (phase := phase_of(data, kind, port)) is not None:
                yield Sighting(
                    self.netns, device, direction == OUTGOING, phase, direction == FOREIGN
                )


def phase_of(frame: bytes, kind: int, port: int) -> str | None:
    """Whether a frame has a request from the port or its answer, also inside of a tunnel."""
    if kind == IPV4 and len(frame) > 34:
        protocol, start = frame[23], 14 + (frame[14] & 15) * 4
    elif kind == IPV6 and len(frame) > 54:
        protocol, start = frame[20], 54
    else:
        return None
    if protocol not in (socket.IPPROTO_TCP, socket.IPPROTO_UDP) or len(frame) < start + 4:
        return None
    source, target = struct.unpack_from("!HH", frame, start)
    if protocol == socket.IPPROTO_UDP and target == TUNNEL_PORT:
        inside = frame[start + 16 :]
        return phase_of(inside, int.from_bytes(inside[12:14]), port)
    return REQUEST if source == port else ANSWER if target == port else None


def has_ended_in(seen: frozenset[Sighting], phase: str, netns: Netns, *, is_origin: bool) -> bool:
    """Whether the packet was last here: it came in, or was sent here, and did not go on."""
    own = [each for each in seen if each.phase == phase and each.netns == netns]
    has_left = any(each.is_sent and each.device not in INTERNAL for each in own)
    came_in = any(not each.is_sent and each.device != "lo" for each in own)
    return (came_in or is_origin) and not has_left


def came_into(seen: frozenset[Sighting], phase: str) -> set[Netns]:
    """The netns that took the packet in, except bridges' ports, which take in every frame."""
    return {
        each.netns
        for each in seen
        if each.phase == phase
        if not (each.is_sent or each.is_foreign or each.device == "lo")
    }
