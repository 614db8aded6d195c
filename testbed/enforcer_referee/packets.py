"""Real first packets through the node: which of them arrive."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from socket import inet_aton

from testbed.enforcer_referee.comparing import Connection
from testbed.enforcer_referee.node import ELSEWHERE, UPLINK_MACS
from testbed.enforcer_referee.reading import Subject
from testbed.enforcer_referee.scenes import BRIDGED, LOCAL, ROUTED
from testbed.trace_referee.world import World

FIRST, LAST = 1_024, 65_000
"""The source ports: each packet has its own, so that no two are of one connection."""
QUIET = 0.4
"""Seconds that packets have to arrive."""
TRIES = 3
NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132}
_PROGRAM = Path(__file__).with_name("packet_process.py")


@dataclass
class Sender:
    """Sends packets between the netns of one world."""

    world: World
    macs: Mapping[str, str]
    """Of devices of the node, and of eth0 in the netns of each pod."""
    port: int = FIRST
    sent: int = 0

    @classmethod
    def of(cls, world: World) -> Sender:
        """A sender; from then on the node knows the neighbours that are its pods."""
        macs = _macs(world, "ip -json link")
        for pod in LOCAL:
            macs[pod.name] = _macs(world, f"ip -n {pod.name} -json link")["eth0"]
            device = pod.device if pod.routed else "cni0"
            neighbour = f"{pod.address} lladdr {macs[pod.name]} dev {device} nud permanent"
            world.run(f"ip neigh replace {neighbour}")
        return cls(world, macs)

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
        names = (*(each.name for each in LOCAL), ELSEWHERE)
        frames: dict[str, list[str]] = {each: [] for each in names}
        expected: dict[tuple[str, tuple[str, str, str, int, int]], Connection] = {}
        for each in connections:
            self.port = self.port + 1 if self.port < LAST else FIRST
            frames[_netns(each.source)].append(self._frame(each).hex())
            protocol, number = each.port
            packet = (each.source.address, each.target.address, protocol, self.port, number)
            expected[_netns(each.target), packet] = each
        self.sent += len(connections)
        return {expected[key] for key in self._exchanged(frames) if key in expected}

    def _exchanged(
        self, frames: Mapping[str, list[str]]
    ) -> Iterator[tuple[str, tuple[str, str, str, int, int]]]:
        """What arrives in which netns, when these frames are sent from there."""
        with ExitStack() as stack:
            running = {name: stack.enter_context(self._process(name)) for name in frames}
            for process in running.values():
                _line(process)
            for name, process in running.items():
                _say(process, json.dumps(frames[name]))
                _line(process)
            time.sleep(QUIET)
            for name, process in running.items():
                text, _ = process.communicate("\n")
                for each in json.loads(text):
                    yield name, tuple(each)

    def _process(self, name: str) -> subprocess.Popen[str]:
        inside = ["nsenter", "--target", str(self.world.pid), "--all", "--"]
        return subprocess.Popen(
            [*inside, "ip", "netns", "exec", name, sys.executable, str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

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


def _netns(of: Subject) -> str:
    return next((each.name for each in LOCAL if each.address == of.address), ELSEWHERE)


def _is_bridged(of: Subject) -> bool:
    return any(each.address == of.address for each in BRIDGED)


def _macs(world: World, command: str) -> dict[str, str]:
    inside = ["nsenter", "--target", str(world.pid), "--all", "--", *command.split()]
    text = subprocess.run(inside, check=True, capture_output=True, timeout=60).stdout
    return {each["ifname"]: each.get("address", "") for each in json.loads(text)}


def _line(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    process.stdout.readline()


def _say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


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
