"""The program of a helper pod: it echoes what it receives, within limits.

Its text is handed to any Python from 3.6 on (`python3 -c TEXT PORT`): it stands alone.
"""

import signal
import socket
import socketserver
import sys
import threading
from typing import Any

MOST_CONNECTIONS = 64
MOST_BYTES = 1 << 20
"""Of one connection."""
SILENCE = 20.0
"""Seconds without a byte after which a connection is closed."""


class Echo(socketserver.BaseRequestHandler):
    """One connection."""

    def handle(self) -> None:
        """Echo until the client closes the connection."""
        self.request.settimeout(SILENCE)
        left = MOST_BYTES
        try:
            while left > 0:
                data = self.request.recv(min(left, 1 << 16))
                if not data:
                    return
                self.request.sendall(data)
                left -= len(data)
        except OSError:
            pass  # the client is gone or silent


class Server(socketserver.ThreadingTCPServer):
    """A bounded number of connections; further ones are closed at once."""

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, family: int, address: str, port: int) -> None:
        self.address_family = family
        self._places = threading.BoundedSemaphore(MOST_CONNECTIONS)
        socketserver.ThreadingTCPServer.__init__(self, (address, port), Echo)

    def server_bind(self) -> None:
        """Listen on IPv4 as well if the socket is IPv6."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.ThreadingTCPServer.server_bind(self)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Accept a connection if the limit allows it."""
        if self._places.acquire(blocking=False):
            socketserver.ThreadingTCPServer.process_request(self, request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection, in a thread of its own."""
        try:
            socketserver.ThreadingTCPServer.process_request_thread(self, request, client_address)
        finally:
            self._places.release()


def server(port: int) -> Server:
    """A server for both families, or for IPv4 if the kernel has no IPv6."""
    try:
        return Server(socket.AF_INET6, "::", port)
    except OSError:
        return Server(socket.AF_INET, "0.0.0.0", port)


def main() -> None:
    """Serve until a signal."""
    # The kernel discards signals to process 1 that it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    threading.stack_size(1 << 18)
    server(int(sys.argv[1])).serve_forever()


if __name__ == "__main__":
    main()
