"""An API server in this process: paged lists, watches, and whatever answer a test scripts."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import yaml

from wirecheck.collect.api.client import Api

TOKEN = "a-token-that-nobody-may-see"


@dataclass
class Answer:
    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    lines: list[Any] | None = None
    """A stream: each is sent as one line of JSON, then the connection stays open."""
    stays: bool = False


@dataclass
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    port: int
    """Of the client's side: the same for requests over one connection."""
    method: str = "GET"
    body: Any = None


class ApiServer:
    """Serves `lists` by path, after the `scripted` answers of a path are used up."""

    def __init__(self) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {
            "/api/v1/nodes": [],
            "/api/v1/pods": [],
            "/api/v1/services": [],
            "/apis/discovery.k8s.io/v1/endpointslices": [],
            "/apis/networking.k8s.io/v1/networkpolicies": [],
        }
        self.objects: dict[str, Any] = {
            "/version": {"major": "1", "gitVersion": "v1.34.4"},
            "/api/v1/namespaces/kube-system": {"metadata": {"name": "kube-system", "uid": "u-1"}},
        }
        self.scripted: dict[str, list[Answer | Callable[[Request], Answer]]] = {}
        self.watches: dict[str, list[Answer]] = {}
        self.version = 100
        self.requests: list[Request] = []
        self.released = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.http.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def script(self, path: str, *answers: Answer | Callable[[Request], Answer]) -> None:
        self.scripted.setdefault(path, []).extend(answers)

    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def answer(self, request: Request) -> Answer:
        self.requests.append(request)
        if request.query.get("watch"):
            return self.watches[request.path].pop(0)
        if self.scripted.get(request.path):
            scripted = self.scripted[request.path].pop(0)
            return scripted if isinstance(scripted, Answer) else scripted(request)
        if request.path in self.objects:
            return Answer(body=self.objects[request.path])
        if request.path in self.lists:
            return Answer(body=self.page(request))
        return status(404, "the server could not find the requested resource")

    def page(self, request: Request) -> dict[str, Any]:
        items = self.lists[request.path]
        start = int(request.query.get("continue", "0"))
        end = start + int(request.query.get("limit", len(items) + 1))
        metadata = {"resourceVersion": str(self.version)}
        if end < len(items):
            metadata["continue"] = str(end)
        return {"kind": "List", "metadata": metadata, "items": items[start:end]}


def status(code: int, message: str, **headers: str) -> Answer:
    body = {"kind": "Status", "status": "Failure", "message": message, "code": code}
    return Answer(code, body, headers)


def _handler(server: ApiServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            port = self.client_address[1]
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            query = dict(parse_qsl(parts.query))
            request = Request(parts.path, query, dict(self.headers), port, self.command, sent)
            answer = server.answer(request)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name.replace("_", "-"), value)
            if answer.lines is not None:
                self.stream(answer)
                return
            body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body)
            body = body.encode() if isinstance(body, str) else body
            if len(body) > 2000 and "gzip" in self.headers.get("Accept-Encoding", ""):
                body = gzip.compress(body, mtime=0)
                self.send_header("Content-Encoding", "gzip")
            self.send_header("Content-Length", str(len(body) + (1 if answer.stays else 0)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
            if answer.stays:
                server.released.wait(60)
                self.close_connection = True

        do_POST = do_DELETE = do_GET  # noqa: N815 - names of http.server

        def stream(self, answer: Answer) -> None:
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for line in answer.lines or ():
                data = json.dumps(line).encode() + b"\n"
                self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                self.wfile.flush()
            if answer.stays:
                server.released.wait(60)
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *args: Any) -> None:
            pass

    return Handler


@pytest.fixture
def server() -> Iterator[ApiServer]:
    server = ApiServer()
    thread = threading.Thread(target=server.http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.http.shutdown()
    server.http.server_close()
    thread.join()


@pytest.fixture
def kubeconfig(server: ApiServer, tmp_path: Path) -> Path:
    return write_kubeconfig(tmp_path / "kubeconfig", server.url)


def write_kubeconfig(path: Path, url: str, user: dict[str, Any] | None = None) -> Path:
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "clusters": [{"name": "test", "cluster": {"server": url}}],
        "users": [{"name": "test", "user": user if user is not None else {"token": TOKEN}}],
    }
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
def api(kubeconfig: Path) -> Api:
    return Api.connect(kubeconfig)
