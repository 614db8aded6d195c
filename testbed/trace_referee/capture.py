"""Packet capture in one netns around a connection: what came in by its devices, and what left."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

from testbed.trace_referee.world import World

PORTS = (80, 8080, 9090)
REQUEST, ANSWER = "request", "answer"
PROGRAM = """
import json, select, socket, struct, sys
taps = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
print("ready", flush=True)
found = set()
while True:
    ready, _, _ = select.select([taps, sys.stdin], [], [])
    if taps not in ready:
        break
    data, (device, kind, direction, *_) = taps.recvfrom(256)
    if device == "cni0":
        continue  # What a bridge sends by itself still has to leave by a port.
    if kind == 0x0800:
        protocol, start = data[23], 14 + (data[14] & 15) * 4
    elif kind == 0x86DD:
        protocol, start = data[20], 54
    else:
        continue
    if protocol in (6, 17) and len(data) >= start + 4:
        source, target = struct.unpack_from("!HH", data, start)
        found.add((source, target, direction == 4))
print(json.dumps(sorted(found)))
"""


@dataclass
class Captured:
    """The packets that devices of the netns took in, and sent."""

    came_in: set[str] = field(default_factory=set)
    """`request`, `answer`."""
    left: set[str] = field(default_factory=set)

    @property
    def has_ended_here(self) -> bool:
        """Whether a packet came in, and did not go on."""
        return bool(self.came_in - self.left)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was seen at all."""
        return not self.came_in and not self.left


@contextlib.contextmanager
def captured(world: World, pod: str) -> Iterator[Captured]:
    """What is captured during the block; it is there after the block."""
    enter = ["ip", "netns", "exec", pod] if pod else []
    inside = ["nsenter", "--target", str(world.pid), "--all", "--", *enter]
    process = subprocess.Popen(
        [*inside, sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    found = Captured()
    yield found
    text, _ = process.communicate("")
    add(found, json.loads(text or "[]"))


def add(to: Captured, packets: list[tuple[int, int, bool]]) -> None:
    """Add packets: source port, destination port, and whether a device sent it."""
    for source, target, is_sent in packets:
        side = to.left if is_sent else to.came_in
        if target in PORTS:
            side.add(REQUEST)
        elif source in PORTS:
            side.add(ANSWER)
