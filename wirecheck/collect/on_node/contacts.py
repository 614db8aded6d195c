"""TCP connections from the node and from pods: opened and closed, or used for a few messages.

A connection sends only what the plan contains. Only the size of a response is kept; of a
response to the plan's HTTP request also its status and one number.
"""

import base64
import errno
import os
import re
import selectors
import socket
import struct
import time
from typing import Any, Dict, Iterable, List

from wirecheck.collect.on_node.deadline import Deadline
from wirecheck.collect.on_node.namespaces import Namespaces
from wirecheck.collect.on_node.probes import WORDS

MOST_AT_ONCE = 32
RESERVE = 2.0
"""Seconds reserved for the stages after this one."""
LONGEST_ANSWER = 8192
MOST_UNSERVED = 8
STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})\b")
ENDPOINTS = re.compile(rb'"localEndpoints":\s*(\d{1,6})\b')


class Replies:
    """Counts the messages of a stream, each preceded by its length; keeps none of them."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self._begun = b""

    def add(self, data: bytes) -> None:
        """Count what has arrived."""
        self.bytes += len(data)
        self._begun += data
        place = 0
        while place + 2 <= len(self._begun):
            end = place + 2 + struct.unpack_from(">H", self._begun, place)[0]
            if end > len(self._begun):
                break
            place = end
            self.count += 1
        self._begun = self._begun[place:]


class HttpAnswer:
    """The response to an HTTP request; only its status and number of endpoints are kept."""

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> None:
        """Add what has arrived."""
        self._data = (self._data + data)[:LONGEST_ANSWER]

    def is_over(self, data: bytes) -> bool:
        """Whether everything relevant has arrived."""
        return not data or len(self._data) >= LONGEST_ANSWER

    def facts(self) -> Dict[str, int]:
        """`status` and `endpoints`, if the response contains them."""
        found = {}
        for name, pattern in (("status", STATUS.match), ("endpoints", ENDPOINTS.search)):
            match = pattern(self._data)
            if match:
                found[name] = int(match.group(1))
        return found


class Contact:
    """One connection from one netns to one address; if it fails, it is retried as planned."""

    def __init__(
        self, inode: int, asked: Dict[str, Any], message: bytes, request: bytes = b""
    ) -> None:
        self.inode = inode
        self.record: Dict[str, Any] = {"inode": inode, "tries": 0, "made": 0, **asked}
        self._most_failures = self.record.pop("attempts", 2)
        self._request = request if self.record.pop("http", False) else b""
        self._answer = HttpAnswer()
        self._count = asked.get("messages", 0)
        self._payload = (struct.pack(">H", len(message)) + message) * self._count or self._request
        self._unsent = memoryview(b"")
        self._received = Replies()
        self.began = 0.0
        self.socket: Any = None

    def begin(self) -> None:
        """Start to connect, from the netns that the process is in."""
        self.began = time.monotonic()
        self._unsent = memoryview(self._payload)
        self._received = Replies()
        self._answer = HttpAnswer()
        address = self.record["address"]
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.setblocking(False)
        code = self.socket.connect_ex((address, self.record["port"]))
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))

    def advance(self) -> bool:
        """Continue when the socket is writable or readable; return whether it is finished."""
        code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, os.strerror(code))
        if self._unsent:
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                pass
        if not self._payload:
            return True
        try:
            data = self.socket.recv(65536)
        except BlockingIOError:
            return False
        if self._request:
            return self._take_in(data)
        if not data:
            raise OSError(errno.ECONNRESET, "closed before all replies arrived")
        self._received.add(data)
        return bool(self._received.count >= self._count)

    def _take_in(self, data: bytes) -> bool:
        """Read more of an HTTP response; return whether it is finished."""
        self._answer.add(data)
        if not self._answer.is_over(data):
            return False
        if "status" not in self._answer.facts():
            raise OSError(errno.EPROTO, "no HTTP answer")
        return True

    def events(self) -> int:
        """What to wait for next."""
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)

    def end(self, error: str = "") -> None:
        """Close the connection and note how it ended."""
        record = self.record
        record["tries"] += 1
        record["made"] += not error
        record["seconds"] = round(time.monotonic() - self.began, 6)
        if error:
            record["error"] = error
        if self._count:
            record["sent"] = len(self._payload) - len(self._unsent)
            record["received"] = self._received.bytes
            record["replies"] = self._received.count
        if self._request and not error:
            record.update(self._answer.facts())
        if self.socket is not None:
            self.socket.close()
            self.socket = None

    def is_over(self) -> bool:
        """Whether it was attempted as often as planned, or failed too often."""
        failed = self.record["tries"] - self.record["made"]
        times = self.record.get("times", 1)
        # Repeated connections are counted: kube-proxy chooses a backend for each of them.
        if times > 1:
            return bool(self.record["tries"] >= times)
        return bool(self.record["made"] or failed >= self._most_failures)


class Contacts:
    """Makes all contacts concurrently, a bounded number at a time."""

    def __init__(self, namespaces: Namespaces, timeout: float, deadline: Deadline) -> None:
        self._namespaces = namespaces
        self._timeout = timeout
        self._deadline = deadline
        self._selector = selectors.DefaultSelector()
        self._open: List[Contact] = []
        self._waiting: List[Contact] = []

    def run(self, contacts: List[Contact]) -> None:
        """Run until each contact has ended, or the time has passed."""
        self._waiting = list(reversed(contacts))
        while (self._waiting or self._open) and self._deadline.left() > RESERVE:
            while self._waiting and len(self._open) < MOST_AT_ONCE:
                self._begin(self._waiting.pop())
            for key, _ in self._selector.select(0.05 if self._open else 0):
                self._advance(key.data)
            now = time.monotonic()
            for each in [c for c in self._open if now - c.began >= self._timeout]:
                self._end(each, "timeout")
        for each in self._open:
            each.socket.close()
        self._selector.close()

    def _begin(self, contact: Contact) -> None:
        try:
            with self._namespaces.inside(contact.inode):
                contact.begin()
        except OSError as error:
            contact.end(_words(error))
            self._again(contact)
            return
        self._open.append(contact)
        self._selector.register(contact.socket, selectors.EVENT_WRITE, contact)

    def _advance(self, contact: Contact) -> None:
        try:
            if contact.advance():
                self._end(contact, "")
            else:
                self._selector.modify(contact.socket, contact.events(), contact)
        except OSError as error:
            self._end(contact, _words(error))

    def _end(self, contact: Contact, error: str) -> None:
        self._selector.unregister(contact.socket)
        self._open.remove(contact)
        contact.end(error)
        self._again(contact)

    def _again(self, contact: Contact) -> None:
        if not contact.is_over():
            self._waiting.insert(0, contact)


def _words(error: OSError) -> str:
    return WORDS.get(error.errno or 0) or error.strerror or "failed"


def unserved(
    serving: Iterable[List[Any]], namespaces: Iterable[Dict[str, Any]]
) -> List[Dict[str, Any]]:
    """Connections to the first of these endpoints at whose port nothing listens."""
    found = []
    for record in namespaces:
        own = {each["address"] for each in record.get("addresses", ())}
        listening = {(each["address"], each["port"]) for each in record.get("listeners", ())}
        for address, port in serving if "listeners" in record else ():
            served = {(each, port) for each in (address, "::", "0.0.0.0")}
            if address in own and not served & listening:
                place = {"address": address, "port": port, "attempts": 1}
                found.append(dict(place, source="", purpose="unserved"))
    return found[:MOST_UNSERVED]


def message_of(plan: Dict[str, Any]) -> bytes:
    """What is sent over connections that carry messages."""
    return base64.b64decode(plan["message"])


def request_of(plan: Dict[str, Any]) -> bytes:
    """The request that is sent over HTTP connections."""
    return base64.b64decode(plan.get("request", ""))
