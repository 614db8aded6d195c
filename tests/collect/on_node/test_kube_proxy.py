"""kube-proxy's endpoints, as a server on loopback plays them."""

import http.server
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from wirecheck.collect.on_node import kube_proxy

CONFIGURATION = {
    "kubeproxy.config.k8s.io": {
        "Mode": "iptables",
        "DetectLocal": {"ClusterCIDRs": ["10.244.0.0/16"]},
        "ClientConnection": {"Kubeconfig": "/secret/place"},
    }
}
BODIES = {
    "/healthz": "{}",
    "/livez": "{}",
    "/proxyMode": "iptables",
    "/configz": json.dumps(CONFIGURATION),
    "/metrics": "kubeproxy_sync_x_total 1\nprocess_start_seconds 5\nkubeproxy_sync_bucket{a} 1\n",
}


class Endpoint(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = BODIES[self.path].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def ask(monkeypatch: pytest.MonkeyPatch, port: int, seconds: float = 30.0) -> dict:
    endpoints = {name: (port, path) for name, (_, path) in kube_proxy.ENDPOINTS.items()}
    monkeypatch.setattr(kube_proxy, "ENDPOINTS", endpoints)
    monkeypatch.setattr(kube_proxy, "SECONDS", seconds)
    return kube_proxy.ask_all()


def test_only_what_is_allowed_leaves_the_node(monkeypatch, port):
    answers = ask(monkeypatch, port)

    assert answers["proxyMode"] == {"status": 200, "body": "iptables"}
    assert answers["metrics"]["body"] == "kubeproxy_sync_x_total 1\n"
    # /configz shows kube-proxy's internal form, with capitalised names.
    (kept,) = json.loads(answers["configz"]["body"]).values()
    assert set(kept) == {"Mode", "DetectLocal"}


def test_a_port_that_hangs_is_asked_once(monkeypatch):
    connections = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connections.append(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        answers = ask(monkeypatch, listener.getsockname()[1], seconds=0.2)

    assert {answer["error"] for answer in answers.values()} == {"timed out"}
    assert len(connections) == 1


def test_a_port_that_refuses_is_said(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free = listener.getsockname()[1]

    assert {each["error"] for each in ask(monkeypatch, free).values()} == {"refused"}
