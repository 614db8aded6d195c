"""Real first packets through the node: which of them arrive."""

from __future__ import annotations

import json
import socket
import struct
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from socket import inet_aton, inet_ntoa

from testbed.enforcer_referee.comparing import (
    FORWARDED,
    PORTS,
    UNKNOWN,
    Comparison,
    Connection,
    Places,
)
from testbed.enforcer_referee.node import ELSEWHERE, UPLINK_MACS
from testbed.enforcer_referee.reading import Subject
from testbed.enforcer_referee.scenes import BRIDGED, LOCAL, ROUTED
from testbed.referee.dice import Dice
from testbed.trace_referee.namespaces import Netns, opened
from testbed.trace_referee.taps import IPV4, OUTGOING
from testbed.trace_referee.world import World

FIRST, LAST = 1_024, 65_000
"""The source ports: each packet has its own, so that no two are of one connection."""
QUIET = 0.4
"""Seconds that packets have to arrive."""
TRIES = 3
NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
PROTOCOLS = {number: name for name, number in NUMBERS.items()}
BACKLOG = 20
"""Frames sent at once: the kernel's queue for what devices receive is short."""
RCVBUFFORCE, ROOM = 33, 32 << 20
"""An option of sockets that `socket` does not name, and bytes that wait to be read."""

Arrived = tuple[str, tuple[str, str, str, int, int]]
"""A netns, and the addresses, the protocol and the ports of a packet that came in there."""


@dataclass
class Sender:
    """Sends packets between the netns of one world."""

    every: Sequence[Netns]
    """Those of pods, and the one of everybody elsewhere."""
    macs: Mapping[str, str]
    """Of devices of the node, and of eth0 in the netns of each pod."""
    port: int = FIRST
    sent: int = 0

    def misread(self, seen: Comparison, among: Places, most: int, dice: Dice) -> list[Connection]:
        """Some of the connections are sent: those that the kernel treats otherwise than read."""
        known = [each for each in among if seen.fate(*each) != UNKNOWN]
        sent = dice.sample(known, min(most, len(known)))
        return self.wrong(
            [
                (Connection(*seen.pairs[at], PORTS[n]), seen.fate(at, n) == FORWARDED)
                for at, n in sent
            ]
        )

    def wrong(self, connections: Sequence[tuple[Connection, bool]]) -> list[Connection]:
        """The connections whose first packet arrives although it should not, or does not arrive.

        A packet can get lost, so these are sent again.
        """
        left = list(connections)
        for _ in range(TRIES):
            arrived = self.arrived([each for each, _ in left])
            left = [(each, wanted) for each, wanted in left if (each in arrived) is not wanted]
            if not left:
                break
        return [each for each, _ in left]

    def arrived(self, connections: Sequence[Connection]) -> set[Connection]:
        """Those of the connections whose first packet arrives."""
        frames: dict[str, list[bytes]] = {each.pod: [] for each in self.every}
        expected: dict[Arrived, Connection] = {}
        for each in connections:
            self.port = self.port + 1 if self.port < LAST else FIRST
            frames[_netns(each.source)].append(self._frame(each))
            protocol, number = each.port
            packet = (each.source.address, each.target.address, protocol, self.port, number)
            expected[_netns(each.target), packet] = each
        self.sent += len(connections)
        return {expected[key] for key in self._exchanged(frames) if key in expected}

    def _exchanged(self, frames: Mapping[str, Sequence[bytes]]) -> Iterator[Arrived]:
        """What arrives in which netns, when these frames are sent from there."""
        with ExitStack() as stack:
            taps = {each.pod: stack.enter_context(_tap(each)) for each in self.every}
            for name, tap in taps.items():
                for number, frame in enumerate(frames[name], start=1):
                    tap.send(frame)
                    if number % BACKLOG == 0:
                        time.sleep(0.002)
            time.sleep(QUIET)
            for name, tap in taps.items():
                yield from ((name, each) for each in _received(tap))

    def _frame(self, each: Connection) -> bytes:
        source = _netns(each.source)
        if source == ELSEWHERE:
            macs = UPLINK_MACS
        elif source == ROUTED.name:
            macs = self.macs[ROUTED.device], self.macs[source]
        elif _is_bridged(each.target):
            macs = self.macs[_netns(each.target)], self.macs[source]
        else:
            macs = self.macs["cni0"], self.macs[source]
        head = b"".join(bytes.fromhex(mac.replace(":", "")) for mac in macs)
        return head + b"\x08\x00" + packet_of(each, self.port)


@contextmanager
def sender(world: World) -> Iterator[Sender]:
    """A sender, during the block; from then on the node knows the neighbours that are its pods."""
    macs = _macs(world, "ip -json link")
    for pod in LOCAL:
        macs[pod.name] = _macs(world, f"ip -n {pod.name} -json link")["eth0"]
        device = pod.device if pod.routed else "cni0"
        neighbour = f"{pod.address} lladdr {macs[pod.name]} dev {device} nud permanent"
        world.run(f"ip neigh replace {neighbour}")
    with opened([world], [ELSEWHERE]) as every:
        yield Sender([each for each in every if each.pod], macs)


def _tap(netns: Netns) -> socket.socket:
    """A socket that sends frames by eth0 of a netns, and gets those that come in."""
    with netns.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(IPV4))
        tap.setsockopt(socket.SOL_SOCKET, RCVBUFFORCE, ROOM)
        tap.bind(("eth0", IPV4))
    tap.setblocking(False)
    return tap


def _received(tap: socket.socket) -> Iterator[tuple[str, str, str, int, int]]:
    """The packets that have come in."""
    while True:
        try:
            data, (_, _, kind, *_) = tap.recvfrom(128)
        except BlockingIOError:
            return
        start = 14 + (data[14] & 15) * 4
        if kind != OUTGOING and data[23] in PROTOCOLS and len(data) >= start + 4:
            source, target = inet_ntoa(data[26:30]), inet_ntoa(data[30:34])
            yield source, target, PROTOCOLS[data[23]], *struct.unpack_from("!HH", data, start)


def _netns(of: Subject) -> str:
    return next((each.name for each in LOCAL if each.address == of.address), ELSEWHERE)


def _is_bridged(of: Subject) -> bool:
    return any(each.address == of.address for each in BRIDGED)


def _macs(world: World, command: str) -> dict[str, str]:
    inside = ["nsenter", "--target", str(world.pid), "--all", "--", *command.split()]
    text = subprocess.run(inside, check=True, capture_output=True, timeout=60).stdout
    return {each["ifname"]: each.get("address", "") for each in json.loads(text)}


def packet_of(each: Connection, source_port: int) -> bytes:
    """The first IPv4 packet of the connection: SYN, a datagram or INIT.

    With its checksums: connection tracking calls a packet with a wrong one invalid.
    """
    protocol, target_port = each.port
    addresses = inet_aton(each.source.address) + inet_aton(each.target.address)
    ports = struct.pack("!HH", source_port, target_port)
    body = {"tcp": _tcp, "udp": _udp, "sctp": _sctp}[protocol](ports, addresses)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, NUMBERS[protocol], 0)
    return head[:10] + _checksum(head + addresses) + addresses + body


def _tcp(ports: bytes, addresses: bytes) -> bytes:
    body = ports + struct.pack("!IIBBHHH", 1, 0, 0x50, 0x02, 64_000, 0, 0)
    pseudo = addresses + struct.pack("!HH", NUMBERS["tcp"], len(body))
    return body[:16] + _checksum(pseudo + body) + body[18:]


def _udp(ports: bytes, addresses: bytes) -> bytes:
    body = ports + struct.pack("!HH", 8, 0)
    pseudo = addresses + struct.pack("!HH", NUMBERS["udp"], len(body))
    return body[:6] + _checksum(pseudo + body)


def _sctp(ports: bytes, _: bytes) -> bytes:
    init = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 64_000, 1, 1, 1)
    return ports + bytes(4) + struct.pack("<I", crc32c(ports + bytes(8) + init)) + init


def _checksum(data: bytes) -> bytes:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)


def crc32c(data: bytes) -> int:
    """The checksum of SCTP."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF
