"""Servers that send slowly, without end or too much: the run stops waiting within its limits."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.collect.conftest import write_kubeconfig
from wirecheck.collect.api import connection
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.api.exchange import Exchange
from wirecheck.collect.api.resources import NODES

VERSION = b'{"gitVersion": "v1.34.4"}'
WELL = (
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(VERSION) + VERSION
)
LIMIT = 0.4

Sends = Callable[[socket.socket, threading.Event], None]


@contextmanager
def served(sends: Sends) -> Iterator[str]:
    """A server that answers /version, and everything else by `sends`."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while not over.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(peer,), daemon=True).start()

    def answer(peer: socket.socket) -> None:
        with peer:
            try:
                asked = peer.recv(65536)
                if b"/version" in asked:
                    peer.sendall(WELL)
                else:
                    sends(peer, over)
            except OSError:
                pass

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.close()


def endless(head: bytes, part: bytes) -> Sends:
    """Send the head, then the same part again and again."""

    def sends(peer: socket.socket, over: threading.Event) -> None:
        peer.sendall(head)
        while not over.wait(0.05):
            peer.sendall(part)

    return sends


BODY = endless(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n{", b" ")
ENDLESS = {
    "continues": endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "status line": endless(b"HTTP/1.1 ", b"2"),
    "headers": endless(b"HTTP/1.1 200 OK\r\nX: ", b"y"),
    "body": BODY,
    "chunk size": endless(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"0"),
    "silence": endless(b"", b""),
}


def limited(monkeypatch: pytest.MonkeyPatch, folder: Path, url: str) -> Api:
    api = Api.connect(write_kubeconfig(folder / "config", url))
    monkeypatch.setattr(connection, "ANSWER_SECONDS", LIMIT)
    return api


@pytest.mark.parametrize("sends", ENDLESS.values(), ids=ENDLESS)
def test_a_server_that_never_finishes_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sends: Sends
) -> None:
    with served(sends) as url:
        api = limited(monkeypatch, tmp_path, url)
        began = time.monotonic()
        with pytest.raises(ApiError, match="did not finish the list of nodes in time"):
            api.objects(NODES)
    assert time.monotonic() - began < LIMIT + 60


def test_a_request_whose_time_is_over_is_not_sent() -> None:
    sent: list[str] = []

    def request() -> Any:
        sent.append("request")

    with pytest.raises(TimeoutError):
        Exchange(request, seconds=-1.0, most=10)
    assert sent == []


def test_the_thread_that_waited_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with served(BODY) as url:
        api = limited(monkeypatch, tmp_path, url)
        with pytest.raises(ApiError):
            api.objects(NODES)
        ending = [each for each in threading.enumerate() if each.name == "request"]
        for each in ending:
            each.join(5)
    assert not any(each.is_alive() for each in ending)


def with_head(data: bytes) -> bytes:
    return (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
    ) + data


def test_data_that_decompresses_to_any_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = with_head(gzip.compress(b" " * (64 << 20)))
    monkeypatch.setattr(connection, "LARGEST", 4 << 20)
    with served(lambda peer, _: peer.sendall(bomb)) as url:
        api = Api.connect(write_kubeconfig(tmp_path / "config", url))
        with pytest.raises(ApiError, match="sent more than 4 MiB for the list of nodes"):
            api.objects(NODES)


def test_broken_compression_is_an_error(tmp_path: Path) -> None:
    broken = with_head(b"\x1f\x8b no gzip at all")
    with served(lambda peer, _: peer.sendall(broken)) as url:
        api = Api.connect(write_kubeconfig(tmp_path / "config", url))
        with pytest.raises(ApiError):
            api.objects(NODES)
