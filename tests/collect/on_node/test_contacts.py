"""TCP connections on a node made of namespaces."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator

import msgspec
import pytest

from tests.collect.on_node.conftest import DNS, FakeNode, plan
from wirecheck.collect.on_node.contacts import MOST_UNSERVED, Replies, unserved
from wirecheck.collect.plan.contacts import ContactPlan
from wirecheck.collect.plan.planned_contact import PlannedContact
from wirecheck.snapshot.attempts import Contact

MESSAGE = base64.b64encode(bytes(300)).decode()


def test_what_listens_is_reached_and_what_does_not_is_told(
    fake_node: Callable[..., FakeNode],
) -> None:
    node = fake_node(web={})
    # Nobody has the address: its packets wait for a neighbour until the time is over.
    node.run("ip", "route", "add", "203.0.113.0/24", "dev", "cni0")
    asked = [
        PlannedContact("", "node", DNS, 53),
        PlannedContact("", "node", DNS, 9),
        PlannedContact(node.uids["web"], "api", DNS, 53, times=3),
        PlannedContact("", "api", "203.0.113.9", 53),
        PlannedContact("00000000-0000-4000-8000-ffffffffffff", "api", DNS, 53),
    ]
    contacts = ContactPlan(MESSAGE, asked, 0.5)

    seen = node.visit(msgspec.structs.replace(plan(), contacts=contacts)).document

    assert seen.problems == []
    assert seen.contacts is not None
    made, closed, several, cut = seen.contacts
    assert (made.tries, made.made, made.error) == (1, 1, "")
    assert (closed.tries, closed.made, closed.error) == (2, 0, "refused")
    assert (several.tries, several.made, several.inode) == (3, 3, node.inodes["web"])
    assert (cut.tries, cut.made, cut.error) == (2, 0, "timeout")


def test_nothing_is_connected_to_where_nothing_was_asked(
    fake_node: Callable[..., FakeNode],
) -> None:
    assert fake_node(web={}).visit(plan()).document.contacts is None


@pytest.mark.parametrize("size", [1, 2, 3, 301, 302, 303, 1000])
def test_replies_are_counted_however_they_are_cut(size: int) -> None:
    stream = (b"\x01\x2c" + bytes(300)) * 3 + b"\x01"
    replies = Replies()

    for start in range(0, len(stream), size):
        replies.add(stream[start : start + size])

    assert (replies.count, replies.bytes) == (3, len(stream))


SERVER = """
import socket, sys
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
listener.listen(5)
print("ready", flush=True)
while True:
    client, _ = listener.accept()
    is_asked = client.recv(1000) == b"GET /healthz HTTP/1.0\\r\\n\\r\\n"
    for part in sys.argv[2].split("|") if is_asked else ():
        client.sendall(part.encode().decode("unicode_escape").encode())
    client.close()
"""
UNHEALTHY = (
    r"HTTP/1.1 503 Service Unavailable\r\nX-Secret: t0k3n\r\n|\r\n"
    r'{"service":{"namespace":"shop","name":"web"},|"localEndpoints":0}'
)


@pytest.fixture
def answering(fake_node: Callable[..., FakeNode]) -> Iterator[Callable[[str], Contact]]:
    """Asks a server on the node's loopback, which answers with the text, by HTTP."""
    servers = []

    def ask(answer: str) -> Contact:
        node = fake_node(web={})
        # Without the node's pid namespace: then nsenter is the server, and can be ended.
        inside = ["nsenter", "--target", str(node.pid), "--net", "--"]
        command = [*inside, sys.executable, "-c", SERVER, "30093", answer]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        servers.append(server)
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"
        request = base64.b64encode(b"GET /healthz HTTP/1.0\r\n\r\n").decode()
        asked = [PlannedContact("", "health check", "127.0.0.1", 30093, http=True)]
        contacts = ContactPlan(MESSAGE, asked, 0.5, request)
        seen = node.visit(msgspec.structs.replace(plan(), contacts=contacts)).document
        assert seen.problems == []
        assert seen.contacts is not None
        (contact,) = seen.contacts
        return contact

    yield ask
    for server in servers:
        server.kill()
        server.communicate()


@pytest.mark.parametrize(
    ("answer", "status", "endpoints"),
    [
        (UNHEALTHY, 503, 0),
        (r'HTTP/1.0 200 OK\r\n\r\n{"localEndpoints": 12, "serviceProxyHealthy":true}', 200, 12),
        (r"HTTP/1.1 200 OK\r\n\r\nok", 200, None),
        ("HTTP/1.1 200 OK\\r\\n\\r\\n" + "x" * 20_000, 200, None),
    ],
    ids=["in pieces", "healthy", "of another server", "long"],
)
def test_of_an_http_answer_the_status_and_the_endpoints_are_kept(
    answering: Callable[[str], Contact], answer: str, status: int, endpoints: int | None
) -> None:
    contact = answering(answer)

    assert (contact.made, contact.error) == (1, "")
    assert (contact.status, contact.endpoints) == (status, endpoints)
    assert "t0k3n" not in repr(contact)


@pytest.mark.parametrize("answer", ["", "SSH-2.0-OpenSSH_9.2", "HTTP/1.1 20"])
def test_an_answer_that_is_no_http_is_told(
    answering: Callable[[str], Contact], answer: str
) -> None:
    contact = answering(answer)

    assert (contact.made, contact.tries, contact.error) == (0, 2, "no HTTP answer")
    assert (contact.status, contact.endpoints) == (None, None)


def test_what_does_not_answer_is_tried_as_often_as_planned(
    fake_node: Callable[..., FakeNode],
) -> None:
    asked = [
        PlannedContact("", "node port", DNS, 9, attempts=1),
        PlannedContact("", "node port", DNS, 9, attempts=4),
    ]
    contacts = ContactPlan(MESSAGE, asked, 0.5)

    seen = fake_node(web={}).visit(msgspec.structs.replace(plan(), contacts=contacts)).document

    assert seen.contacts is not None
    assert [(each.tries, each.made) for each in seen.contacts] == [(1, 0), (4, 0)]


WEB = {"addresses": [{"address": "10.244.0.3"}, {"address": "fd00::3"}]}


@pytest.mark.parametrize(
    ("listeners", "found"),
    [
        ([("0.0.0.0", 80)], []),
        ([("::", 80)], []),
        ([("127.0.0.1", 80), ("10.244.0.3", 81)], ["10.244.0.3", "fd00::3"]),
        ([("10.244.0.3", 80), ("fd00::3", 80)], []),
        ([], ["10.244.0.3", "fd00::3"]),
    ],
)
def test_where_nothing_listens_a_connection_is_tried(
    listeners: list[tuple[str, int]], found: list[str]
) -> None:
    record = {**WEB, "listeners": [{"address": e, "port": port} for e, port in listeners]}
    serving = [["10.244.0.3", 80], ["fd00::3", 80], ["10.244.0.9", 80]]

    tried = unserved(serving, [record])
    assert [each["address"] for each in tried] == found
    assert all((each["source"], each["purpose"]) == ("", "unserved") for each in tried)


def test_few_connections_are_tried_and_none_without_sockets() -> None:
    record = {"addresses": [{"address": "10.244.0.3"}], "listeners": []}
    serving = [["10.244.0.3", port] for port in range(1, 100)]

    assert len(unserved(serving, [record])) == MOST_UNSERVED
    assert unserved(serving, [WEB]) == []


def test_an_endpoint_without_a_socket_refuses_the_connection(
    fake_node: Callable[..., FakeNode],
) -> None:
    node = fake_node(web={})
    address = "10.244.0.2"
    contacts = ContactPlan(MESSAGE, [], 0.5, serving=[(address, 8080)])

    seen = node.visit(msgspec.structs.replace(plan(), contacts=contacts)).document

    (tried,) = seen.contacts or ()
    assert (tried.purpose, tried.address, tried.port) == ("unserved", address, 8080)
    assert (tried.tries, tried.error) == (1, "refused")
