"""One request and its response, read by a thread of its own: a slow server cannot stall the run.

Socket timeouts apply to each read. A server that sends a byte a second, or endless `100 Continue`
responses, never exceeds them. So another thread reads, and this one stops waiting.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import urllib3

from wirecheck.collect.interruptible import next_of

CHUNK = 1 << 20
"""Bytes, also of decompressed data: a small response can decompress to any size."""
WAITING = 4
"""Chunks that are read ahead."""
GZIP = zlib.MAX_WBITS | 16


class TooLargeError(OSError):
    """The response exceeds the limit."""


@dataclass(frozen=True, slots=True)
class _Head:
    status: int
    headers: Mapping[str, str]


class _NobodyWaitsError(Exception):
    """The exchange was closed."""


class _End:
    """The response has ended."""


@dataclass
class Exchange:
    """A response whose status and headers have arrived, and whose data follows.

    Errors of the request are raised here: TimeoutError, TooLargeError, and what urllib3 raises.
    """

    request: Callable[[], urllib3.BaseHTTPResponse]
    seconds: float
    """For the request and the response together."""
    most: int
    """Bytes of data after decompression."""
    head: _Head = field(init=False)
    _end: float = field(init=False)
    _parts: queue.Queue[_Head | bytes | _End | Exception] = field(init=False)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _response: urllib3.BaseHTTPResponse | None = None

    def __post_init__(self) -> None:
        """Send the request and wait for the response's head."""
        if self.seconds <= 0:
            # What has arrived counts, however late: whether a fast server's response does would
            # depend on which thread runs first.
            raise TimeoutError("the time limit has passed")
        self._end = time.monotonic() + self.seconds
        self._parts = queue.Queue(WAITING)
        threading.Thread(target=self._run, name="request", daemon=True).start()
        try:
            head = self._next()
        except BaseException:
            self.close()
            raise
        assert isinstance(head, _Head)
        self.head = head

    def chunks(self) -> Iterator[bytes]:
        """Yield the data as it arrives."""
        size = 0
        while isinstance(part := self._next(), bytes):
            size += len(part)
            if size > self.most:
                raise TooLargeError
            yield part

    def close(self) -> None:
        """End the exchange; a thread that waits for the server ends as well."""
        self._stopped.set()
        connection = getattr(self._response, "connection", None)
        if isinstance(sock := getattr(connection, "sock", None), socket.socket):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _next(self) -> _Head | bytes | _End:
        part = next_of(self._parts, self._end)
        if isinstance(part, Exception):
            raise part
        return part

    def _run(self) -> None:
        try:
            self._response = response = self.request()
            try:
                self._put(_Head(response.status, response.headers))
                for chunk in _data(response):
                    self._put(chunk)
            finally:
                # A response that was read to its end has returned the connection to the pool.
                response.close()
            self._put(_End())
        except Exception as error:
            with contextlib.suppress(_NobodyWaitsError):
                self._put(error)

    def _put(self, part: _Head | bytes | _End | Exception) -> None:
        while not self._stopped.is_set():
            with contextlib.suppress(queue.Full):
                return self._parts.put(part, timeout=1)
        raise _NobodyWaitsError


def _data(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    """The decompressed data, in chunks of bounded size."""
    # `read` and `stream` would wait for a buffer to fill.
    raw = iter(lambda: response.read1(CHUNK, decode_content=False), b"")
    if response.headers.get("Content-Encoding", "").lower() != "gzip":
        yield from raw
        return
    inflater = zlib.decompressobj(GZIP)
    for part in raw:
        rest = part
        while rest:
            try:
                chunk = inflater.decompress(rest, CHUNK)
            except zlib.error as error:
                raise urllib3.exceptions.DecodeError(f"invalid gzip data: {error}") from None
            if chunk:
                yield chunk
            rest = inflater.unconsumed_tail
    if last := inflater.flush():
        yield last
