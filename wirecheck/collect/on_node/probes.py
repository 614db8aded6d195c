"""Sends DNS queries from many network namespaces at once: one loop waits for all responses.

Queries come as bytes and responses are returned as bytes; they are interpreted elsewhere.
"""

import base64
import errno
import heapq
import os
import resource
import selectors
import socket
import struct
import time
from typing import Any, Dict, List, NamedTuple, Tuple

from wirecheck.collect.on_node.deadline import Deadline
from wirecheck.collect.on_node.namespaces import Namespaces

PAUSE = 0.5
"""Seconds before the next attempt if the last one was refused immediately."""

BURST = 0.01
MOST_OPEN = 500
SPARE_DESCRIPTORS = 64
RESERVE = 2.0
"""Seconds reserved for the stages after the probes."""

WORDS = {
    errno.ECONNREFUSED: "refused",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
    errno.ETIMEDOUT: "timeout",
}

Limits = NamedTuple("Limits", [("rate", float), ("timeout", float)])


class Probe:
    """One query to one server from one netns; each attempt has its own socket and source port.

    Over UDP there may be a second query from the same socket, sent before the first response,
    as glibc's resolver sends A and AAAA queries. Then an attempt needs both responses.
    """

    def __init__(
        self, inode: int, asked: Dict[str, Any], questions: List[bytes], tries: int
    ) -> None:
        self.record: Dict[str, Any] = {"inode": inode, **asked, "tries": []}
        self.record.pop("times", None)
        self.inode = inode
        self.server = asked["server"]
        self.is_tcp = asked["transport"] == "tcp"
        self.most_tries = tries
        self._questions = [each[2:] for each in questions]
        self._wires: List[bytes] = []
        self._answers: Dict[bytes, bytes] = {}
        self._received = b""
        self.began = 0.0
        self.socket: Any = None

    def begin(self, now: float) -> int:
        """Open the socket, in the netns that the process is in, and return what to wait for."""
        self.began = now
        first = struct.unpack(">H", os.urandom(2))[0]
        self._wires = [
            struct.pack(">H", (first + place) % 65536) + question
            for place, question in enumerate(self._questions)
        ]
        self._answers = {}
        self._received = b""
        family = socket.AF_INET6 if ":" in self.server else socket.AF_INET
        self.socket = socket.socket(
            family, socket.SOCK_STREAM if self.is_tcp else socket.SOCK_DGRAM
        )
        self.socket.setblocking(False)
        if not self.is_tcp:
            # A connected socket only receives from this server, and gets ICMP errors.
            self.socket.connect((self.server, self.record["port"]))
            for wire in self._wires:
                self.socket.send(wire)
            return selectors.EVENT_READ
        code = self.socket.connect_ex((self.server, self.record["port"]))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        return selectors.EVENT_WRITE

    def send(self) -> None:
        """The TCP connection is made, or has failed: send the query."""
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        wire = self._wires[0]
        self.socket.send(struct.pack(">H", len(wire)) + wire)

    def receive(self) -> bool:
        """Read what has arrived; return whether every query has its complete response."""
        data = self.socket.recv(65535)
        if self.is_tcp:
            return self._receive_stream(data)
        # Any other id belongs to a late response, or to a forged one.
        if any(data[:2] == wire[:2] for wire in self._wires):
            self._answers[data[:2]] = data
        return len(self._answers) == len(self._wires)

    def _receive_stream(self, data: bytes) -> bool:
        if not data:
            raise OSError(errno.ECONNRESET, "closed without an answer")
        self._received += data
        if len(self._received) < 2:
            return False
        size = struct.unpack_from(">H", self._received)[0]
        if len(self._received) < 2 + size:
            return False
        self._answers[self._wires[0][:2]] = self._received[2 : 2 + size]
        return True

    def end(self, now: float, error: str = "") -> None:
        """Close the attempt and store its result: every response, or the error."""
        attempt: Dict[str, Any] = {"seconds": round(now - self.began, 6)}
        if error:
            came = " after 1 of 2 answers" if self._answers else ""
            attempt["error"] = error + came
        else:
            texts = [
                base64.b64encode(self._answers[wire[:2]]).decode("ascii") for wire in self._wires
            ]
            attempt["answer"] = texts[0]
            if len(texts) > 1:
                attempt["second"] = texts[1]
        self.record["tries"].append(attempt)
        if self.socket is not None:
            self.socket.close()
            self.socket = None


class Loop:
    """Sends probes at a bounded rate and waits for all of them together."""

    def __init__(self, namespaces: Namespaces, limits: Limits, deadline: Deadline) -> None:
        self._namespaces = namespaces
        self._limits = limits
        self._deadline = deadline
        self._selector = selectors.DefaultSelector()
        self._waiting: List[Tuple[float, int, Probe]] = []
        self._open: Dict[int, Probe] = {}
        self._next_slot = 0.0
        self._sequence = 0
        # Open namespaces use descriptors too. A socket that cannot be created is not a lost query.
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        room = limit - len(namespaces.descriptors) - SPARE_DESCRIPTORS
        self._most_open = max(1, min(MOST_OPEN, room))

    def run(self, probes: List[Probe]) -> None:
        """Run until each probe has its response or no attempts left, or the time has passed."""
        for probe in probes:
            self._put(0.0, probe)
        while (self._waiting or self._open) and self._deadline.left() > RESERVE:
            self._send_what_is_due()
            for key, _ in self._selector.select(self._pause()):
                self._advance(key.data)
            self._expire()
        for probe in self._open.values():
            probe.socket.close()
        self._selector.close()

    def _put(self, when: float, probe: Probe) -> None:
        self._sequence += 1
        heapq.heappush(self._waiting, (when, self._sequence, probe))

    def _send_what_is_due(self) -> None:
        while self._waiting and len(self._open) < self._most_open:
            now = time.monotonic()
            if self._waiting[0][0] > now or self._next_slot > now:
                return
            probe = heapq.heappop(self._waiting)[2]
            self._next_slot = max(self._next_slot, now - BURST) + 1 / self._limits.rate
            try:
                with self._namespaces.inside(probe.inode):
                    events = probe.begin(now)
            except OSError as error:
                self._failed(probe, error)
                continue
            self._open[probe.socket.fileno()] = probe
            self._selector.register(probe.socket, events, probe)

    def _pause(self) -> float:
        if not self._waiting and not self._open:
            return 0.0
        now = time.monotonic()
        moments = [now + self._deadline.left() - RESERVE]
        if self._waiting and len(self._open) < self._most_open:
            moments.append(max(self._waiting[0][0], self._next_slot))
        moments.extend(probe.began + self._limits.timeout for probe in self._open.values())
        return max(0.0, min(moments) - now)

    def _advance(self, probe: Probe) -> None:
        try:
            if self._selector.get_key(probe.socket).events & selectors.EVENT_WRITE:
                probe.send()
                self._selector.modify(probe.socket, selectors.EVENT_READ, probe)
                return
            is_whole = probe.receive()
        except BlockingIOError:
            return
        except OSError as error:
            self._release(probe)
            self._failed(probe, error)
            return
        if is_whole:
            self._release(probe)
            probe.end(time.monotonic())

    def _expire(self) -> None:
        now = time.monotonic()
        for probe in list(self._open.values()):
            if now - probe.began >= self._limits.timeout:
                self._release(probe)
                probe.end(now, error="timeout")
                self._again(now, probe)

    def _release(self, probe: Probe) -> None:
        self._selector.unregister(probe.socket)
        del self._open[probe.socket.fileno()]

    def _failed(self, probe: Probe, error: OSError) -> None:
        now = time.monotonic()
        words = WORDS.get(error.errno or 0) or error.strerror or "failed"
        probe.end(now, error=words)
        self._again(now + PAUSE, probe)

    def _again(self, when: float, probe: Probe) -> None:
        if len(probe.record["tries"]) < probe.most_tries:
            self._put(when, probe)
