"""A reverse proxy in front of the real API server, which answers some requests itself."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import ssl
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What the proxy does with a request instead of passing it on as it is."""

    status: int = 0
    """Answer with this status; 0 asks the real server."""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    """Send the half of the real answer, and close the connection."""
    do: Callable[[], None] | None = None
    """Do this before the real server is asked."""


Rule = Callable[[str, int], Fault | None]
"""The path with its query, how often it was asked for (from 1) → the fault, or None."""


class ApiProxy:
    """Passes GET requests on with the administrator's credentials; remembers them."""

    def __init__(self, kubeconfig: Path, rule: Rule) -> None:
        self._rule = rule
        self._context, self._host = _credentials(kubeconfig)
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.http.server_port}"

    def fault(self, target: str) -> Fault | None:
        """What is to happen to a request; requests are counted by their path."""
        path = urlsplit(target).path + ("?watch" if "watch=true" in target else "")
        with self._lock:
            count = self._counts[path] = self._counts.get(path, 0) + 1
        return self._rule(path, count)

    def ask(self, target: str, accepted: str) -> http.client.HTTPResponse:
        """The real server's answer."""
        connection = http.client.HTTPSConnection(
            self._host, context=self._context, timeout=DEADLINE
        )
        headers = {"Accept": "application/json", "Accept-Encoding": accepted}
        connection.request("GET", target, headers=headers)
        return connection.getresponse()


@contextmanager
def serving(kubeconfig: Path, rule: Rule) -> Iterator[Path]:
    """The proxy while it serves: yields a kubeconfig that points to it."""
    proxy = ApiProxy(kubeconfig, rule)
    thread = threading.Thread(target=proxy.http.serve_forever, daemon=True)
    thread.start()
    with tempfile.TemporaryDirectory(prefix="wirecheck-proxy-") as folder:
        file = Path(folder) / "kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "proxy",
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
            "clusters": [{"name": "proxy", "cluster": {"server": proxy.url}}],
            "users": [{"name": "proxy", "user": {}}],
        }
        file.write_text(yaml.safe_dump(content))
        try:
            yield file
        finally:
            proxy.http.shutdown()
            proxy.http.server_close()


def _credentials(kubeconfig: Path) -> tuple[ssl.SSLContext, str]:
    config = yaml.safe_load(kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    context = ssl.create_default_context(cadata=authority)
    with tempfile.TemporaryDirectory(prefix="wirecheck-proxy-") as folder:
        pair = Path(folder) / "pair.pem"
        pair.touch(0o600)
        pair.write_bytes(
            base64.b64decode(user["client-certificate-data"])
            + b"\n"
            + base64.b64decode(user["client-key-data"])
        )
        context.load_cert_chain(pair)
    return context, urlsplit(cluster["server"]).netloc


def _handler(proxy: ApiProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fault = proxy.fault(self.path) or Fault()
            if fault.do:
                fault.do()
            if fault.status:
                self._refuse(fault)
                return
            try:
                answer = proxy.ask(self.path, self.headers.get("Accept-Encoding", ""))
            except OSError:
                # As a load balancer does whose only server is away.
                self.close_connection = True
                return
            with contextlib.suppress(ConnectionError):  # a watch is left in its middle
                self._pass_on(answer, cut=fault.cut)

        def _refuse(self, fault: Fault) -> None:
            body = json.dumps({"kind": "Status", "message": "as the test demands"}).encode()
            self.send_response(fault.status)
            for name, value in {**fault.headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _pass_on(self, answer: http.client.HTTPResponse, *, cut: bool) -> None:
            self.send_response(answer.status)
            for name in ("Content-Type", "Content-Encoding"):
                if value := answer.getheader(name):
                    self.send_header(name, value)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            while chunk := answer.read1(1 << 16):
                if cut:
                    # The length promises more than what comes.
                    self.wfile.write(b"%x\r\n" % len(chunk) + chunk[: len(chunk) // 2])
                    self.close_connection = True
                    return
                self.wfile.write(b"%x\r\n" % len(chunk) + chunk + b"\r\n")
                self.wfile.flush()
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: Any) -> None:
            pass

    return Handler
