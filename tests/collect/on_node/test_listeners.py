"""Listening sockets are read in every netns, both ways, and nothing is sent."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from wirecheck.collect.on_node import listeners
from wirecheck.snapshot.netns import Listener

MakeNode = Callable[..., FakeNode]
SOCKETS = [
    ("0.0.0.0", 8080),
    ("0.0.0.0", 8080),
    ("127.0.0.1", 9000),
    ("::", 8443, True),
    ("::", 9090, False),
]


def here(read_by_files: bool) -> dict[str, object]:
    own = Path("/proc/self/ns/net").stat().st_ino
    sockets = listeners._by_files(own, [os.getpid()]) if read_by_files else listeners._by_netlink()
    return listeners._described(sockets)


def test_each_netns_has_its_own_sockets(fake_node: MakeNode) -> None:
    node = fake_node(web={"listen": SOCKETS}, quiet={})

    seen = node.visit(plan())

    found = {(each.address, each.port) for each in seen.netns("web").listeners or ()}
    assert found == {("0.0.0.0", 8080), ("127.0.0.1", 9000), ("::", 8443), ("::", 9090)}
    assert seen.netns("quiet").listeners == []
    assert Listener("10.96.0.10", 53) in (seen.netns("").listeners or ())
    assert seen.netns("web").filters == []
    assert seen.netns("").filters is None
    assert not seen.document.problems


@pytest.mark.needs("iptables")
def test_packet_filter_tables_of_a_pod_are_named(fake_node: MakeNode) -> None:
    node = fake_node(web={}, cache={})
    node.run("ip", "netns", "exec", "web", "iptables-nft", "-t", "nat", "-N", "MESH")

    seen = node.visit(plan())

    assert seen.netns("web").filters == ["ip nat"]
    assert seen.netns("cache").filters == []


@pytest.fixture
def opened() -> Iterator[list[socket.socket]]:
    """Sockets of this process: (IPv6 only, both families, IPv4, an accepted connection)."""
    only, both = (socket.socket(socket.AF_INET6) for _ in range(2))
    only.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    four = socket.socket()
    for each, where in ((only, "::"), (both, "::"), (four, "127.0.0.1")):
        each.bind((where, 0))
        each.listen()
    client = socket.create_connection(four.getsockname())
    kept = [only, both, four, client]
    yield kept
    for each in kept:
        each.close()


def readings() -> Iterator[tuple[list[dict[str, object]], list[dict[str, object]]]]:
    """Both ways, one after the other: other programs of this machine open and close sockets too."""
    for _ in range(200):
        by_netlink, by_files = here(False)["listeners"], here(True)["listeners"]
        assert isinstance(by_netlink, list)
        assert isinstance(by_files, list)
        yield by_netlink, by_files
    raise AssertionError(f"by netlink {by_netlink}, by files {by_files}")


def is_alike(by_netlink: list[dict[str, object]], by_files: list[dict[str, object]]) -> bool:
    return [{k: v for k, v in each.items() if k != "v6only"} for each in by_netlink] == by_files


@pytest.mark.skipif(not listeners.can_be_asked(), reason="tcp_diag is not loaded")
def test_both_ways_find_the_same_sockets(opened: list[socket.socket]) -> None:
    by_netlink, _ = next(pair for pair in readings() if is_alike(*pair))

    known = {each["port"]: each.get("v6only") for each in by_netlink}
    only, both, four, client = (each.getsockname()[1] for each in opened)
    assert (known[only], known[both], known[four]) == (True, False, None)
    assert client not in known


def test_proc_does_not_say_which_sockets_are_ipv6_only(opened: list[socket.socket]) -> None:
    ports = {each["port"]: each for each in here(True)["listeners"]}  # type: ignore[attr-defined]

    assert ports[opened[0].getsockname()[1]] == {
        "address": "::",
        "port": opened[0].getsockname()[1],
    }
    assert opened[3].getsockname()[1] not in ports


def test_many_sockets_are_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "MOST_SOCKETS", 3)

    found = listeners._described(iter([("0.0.0.0", n, None) for n in range(9)]))

    assert found["listeners_cut"]
    assert len(found["listeners"]) == 3


def test_one_socket_in_many_copies_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "MOST_LINES", 5)

    found = listeners._described(iter([("0.0.0.0", 80, None)] * 9))

    assert found == {"listeners": [{"address": "0.0.0.0", "port": 80}], "listeners_cut": True}


def test_a_netns_whose_processes_ended_has_no_sockets_rather_than_none() -> None:
    assert listeners._described(listeners._by_files(1, [os.getpid()])) == {}


def test_proc_is_read_up_to_the_first_connection(tmp_path: Path) -> None:
    file = tmp_path / "tcp"
    file.write_text(
        "  sl  local_address rem_address   st\n"
        "   0: 0100007F:1F90 00000000:0000 0A\n"
        "   1: 0300F40A:0050 0900F40A:1F91 03\n"
        "   2: 00000000:0050 00000000:0000 0A\n"
        "   3: 0300F40A:0050 0900F40A:1F90 01\n"
        "   4: broken\n"
    )

    assert [port for _, port in listeners._lines(str(file))] == [8080, 80]
    assert list(listeners._lines(str(tmp_path / "tcp6"))) == []
