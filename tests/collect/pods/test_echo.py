"""What a helper pod runs, as it is run there: its text, on a Python that knows nothing else."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from wirecheck.collect.on_node.contacts import Contact
from wirecheck.collect.pods import echo, helper_manifest
from wirecheck.collect.pods.helper_manifest import helper_pod
from wirecheck.inventory.file import HelperPods

MESSAGE = bytes(range(250)) * 16
COUNT = 17


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def helper(port: int) -> Iterator[subprocess.Popen[bytes]]:
    (container,) = helper_pod(HelperPods(image="i"), "n", "p", "r", 1)["spec"]["containers"]
    python, *words, _ = container["command"]
    assert python == "python3"
    process = subprocess.Popen([sys.executable, *words, str(port)])
    end = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < end
            assert process.poll() is None
            time.sleep(0.02)
    yield process
    process.kill()
    process.wait()


def exchanged(address: str, port: int) -> Contact:
    """What a node does with it, through to its end."""
    asked = {"source": "", "purpose": "helper", "address": address, "port": port}
    contact = Contact(1, {**asked, "messages": COUNT}, MESSAGE)
    contact.begin()
    end = time.monotonic() + 60
    while True:
        try:
            if contact.advance():
                break
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                raise
        assert time.monotonic() < end
        time.sleep(0.001)
    contact.end()
    return contact


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.usefixtures("helper")
def test_all_that_a_node_sends_comes_back(port: int, address: str) -> None:
    record = exchanged(address, port).record

    size = COUNT * (len(MESSAGE) + 2)
    assert size > 64 * 1024
    assert (record["made"], record["replies"]) == (1, COUNT)
    assert record["sent"] == record["received"] == size


@pytest.mark.usefixtures("helper")
def test_bytes_come_back_as_they_were_sent(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(MESSAGE)
        client.shutdown(socket.SHUT_WR)
        came = b"".join(iter(lambda: client.recv(65536), b""))

    assert came == MESSAGE


@pytest.mark.usefixtures("helper")
def test_nothing_comes_back_beyond_the_bound_of_a_connection(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        for _ in range(echo.MOST_BYTES // 65536):
            client.sendall(bytes(65536))
            left = 65536
            while left:
                left -= len(client.recv(left))
        try:
            client.sendall(b"x")
            came = client.recv(1)
        except ConnectionError:
            came = b""

    assert came == b""


@pytest.mark.usefixtures("helper")
def test_connections_beyond_the_bound_are_closed_at_once(port: int) -> None:
    clients = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(64)]
    for client in clients:
        client.sendall(b"1")
        assert client.recv(1) == b"1"

    with socket.create_connection(("127.0.0.1", port), 30) as further:
        assert further.recv(1) == b""
    clients[0].close()
    end = time.monotonic() + 60
    while True:
        with socket.create_connection(("127.0.0.1", port), 30) as again:
            again.sendall(b"2")
            try:
                if again.recv(1) == b"2":
                    break
            except ConnectionError:
                pass
        assert time.monotonic() < end
    for client in clients[1:]:
        client.close()


def test_it_ends_when_it_is_asked_to(helper: subprocess.Popen[bytes]) -> None:
    helper.send_signal(signal.SIGTERM)

    assert helper.wait(60) == 0


def test_the_probe_tells_whether_it_listens(
    helper: subprocess.Popen[bytes], port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    listens = helper_manifest.IT_LISTENS.replace(str(helper_manifest.PORT), str(port))
    probe = [sys.executable, "-I", "-S", "-c", listens]
    assert subprocess.run(probe, check=False).returncode == 0
    helper.kill()
    helper.wait()
    assert subprocess.run(probe, check=False, stderr=subprocess.DEVNULL).returncode != 0
