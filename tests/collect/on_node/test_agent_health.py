"""The health endpoints of agents, as servers on loopback play them."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from wirecheck.collect.on_node import agent_health, kube_proxy
from wirecheck.collect.on_node.stages import ask_agents
from wirecheck.collect.on_node.visit_state import VisitState


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers as Cilium's: briefly only if the request has the header."""

    def do_GET(self) -> None:
        is_brief = self.headers.get("brief") == "true"
        self.send_response(200 if is_brief else 503)
        self.end_headers()
        self.wfile.write(b"ok" if is_brief else b"no connection to the API server\n" * 1000)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        number: int = unused.getsockname()[1]
        return number


def test_each_agent_is_asked_and_absent_ones_are_left_out(
    monkeypatch: pytest.MonkeyPatch, port: int, free_port: int
) -> None:
    endpoints = {
        "cilium": (port, "/healthz", "brief: true"),
        "calico": (port, "/readiness", ""),
        "kube-router": (free_port, "/healthz", ""),
    }
    monkeypatch.setattr(agent_health, "ENDPOINTS", endpoints)
    monkeypatch.setattr(kube_proxy, "SECONDS", 30.0)

    answers = agent_health.ask_all()

    assert answers.keys() == {"cilium", "calico"}
    assert answers["cilium"] == {"status": 200, "body": "ok"}
    assert answers["calico"]["status"] == 503
    assert len(answers["calico"]["body"]) == agent_health.MOST_CHARACTERS


@pytest.mark.parametrize(("listening", "asked"), [(None, 2), ({9879}, 1), ({22}, 0), (set(), 0)])
def test_nothing_is_sent_where_nothing_listens(
    monkeypatch: pytest.MonkeyPatch, listening: set[int] | None, asked: int
) -> None:
    sent: list[int] = []

    def ask(port: int, *_: str) -> dict[str, str]:
        sent.append(port)
        return {"error": "refused"}

    monkeypatch.setattr(agent_health, "ask", ask)
    endpoints = {"9879/healthz": (9879, "/healthz", ""), "9099/readiness": (9099, "/readiness", "")}
    monkeypatch.setattr(agent_health, "ENDPOINTS", endpoints)

    assert agent_health.ask_all(listening) == {}
    assert len(sent) == asked


@pytest.mark.parametrize(
    ("namespaces", "listening"),
    [
        ([{"listeners": [{"address": "127.0.0.1", "port": 9879}]}], {9879}),
        ([{"listeners": []}], set()),
        ([{"listeners": [], "listeners_cut": True}], None),
        ([{}], None),
        ([], None),
    ],
)
def test_the_stage_knows_where_something_listens(
    monkeypatch: pytest.MonkeyPatch, namespaces: list[Any], listening: set[int] | None
) -> None:
    given: list[object] = []
    monkeypatch.setattr(agent_health, "ask_all", lambda ports: given.append(ports) or {})
    # A real one would set signal handlers.
    visit = SimpleNamespace(document={"namespaces": namespaces})

    ask_agents(cast(VisitState, visit))

    assert given == [listening]
    assert visit.document["agents"] == {}


def test_an_agent_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stopped process: the kernel accepts connections for it."""
    monkeypatch.setattr(kube_proxy, "SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as hung:
        endpoint = (hung.getsockname()[1], "/healthz", "")
        monkeypatch.setattr(agent_health, "ENDPOINTS", {"cilium": endpoint})

        assert agent_health.ask_all() == {"cilium": {"error": "timed out"}}
