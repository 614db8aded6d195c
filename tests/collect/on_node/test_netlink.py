"""Messages as kernels send them, and as they might: longer, unknown, cut off."""

from __future__ import annotations

import errno
import os
import socket
import struct

import pytest

from wirecheck.collect.on_node import rtnetlink
from wirecheck.collect.on_node.netlink import (
    DONE,
    DUMP_INTERRUPTED,
    ERROR,
    HEADER,
    Netlink,
    attribute,
    attributes,
    messages,
)


def message(kind: int, payload: bytes, flags: int = 0, sequence: int = 1) -> bytes:
    return HEADER.pack(HEADER.size + len(payload), kind, flags, sequence, 0) + payload


class Kernel:
    """Answers each request with the next of its replies."""

    def __init__(self, *replies: list[bytes]) -> None:
        self.replies = list(replies)
        self.pending: list[bytes] = []

    def send(self, _: bytes) -> None:
        self.pending = self.replies.pop(0)

    def recv(self, _: int) -> bytes:
        return self.pending.pop(0)


def netlink(*replies: list[bytes]) -> Netlink:
    made = Netlink()
    made.close()
    made._socket = Kernel(*replies)  # type: ignore[assignment]
    return made


def test_a_dump_comes_in_several_parts() -> None:
    first = message(16, b"aaaa") + message(16, b"bbbb")
    last = message(16, b"cccc") + message(DONE, b"\0\0\0\0")

    assert netlink([first, last]).dump(18, b"") == [b"aaaa", b"bbbb", b"cccc"]


def test_a_dump_that_was_interrupted_is_asked_for_again() -> None:
    torn = message(16, b"torn", DUMP_INTERRUPTED) + message(DONE, b"\0\0\0\0")
    whole = message(16, b"good", sequence=2) + message(DONE, b"\0\0\0\0", sequence=2)

    assert netlink([torn], [whole]).dump(18, b"") == [b"good"]


def test_a_table_that_never_stands_still_is_taken_as_it_is() -> None:
    replies = [
        [message(16, b"torn", DUMP_INTERRUPTED, n) + message(DONE, b"\0\0\0\0", 0, n)]
        for n in range(1, 6)
    ]

    assert netlink(*replies).dump(18, b"") == [b"torn"]


def test_an_error_of_the_kernel_is_raised() -> None:
    refused = message(ERROR, struct.pack("=i", -errno.EPERM))

    with pytest.raises(PermissionError):
        netlink([refused]).dump(18, b"")


@pytest.mark.parametrize("cut", [1, 5])
def test_what_was_cut_off_is_not_taken(cut: int) -> None:
    whole = attribute(3, b"eth0\0") + attribute(4, b"\0\0\0\0")

    with pytest.raises(OSError, match="cut off"):
        attributes(whole[:-cut] if cut < 4 else whole[: len(whole) - 8 - cut])
    with pytest.raises(OSError, match="cut off"):
        list(messages(message(16, b"12345678")[:-cut]))


def test_attributes_are_found_by_type_whatever_else_there_is() -> None:
    data = attribute(3 | 0x8000, b"eth0\0") + attribute(999, b"news") + attribute(4, b"\1\0\0\0")

    assert attributes(data) == {3: b"eth0\0", 999: b"news", 4: b"\1\0\0\0"}


def route(kind: int, *parts: bytes, flags: int = 0, family: int = socket.AF_INET) -> bytes:
    return rtnetlink.ROUTE.pack(family, 16, 0, 0, 254, 4, 0, kind, flags) + b"".join(parts)


def test_a_route_of_a_kind_not_known_keeps_its_number() -> None:
    record = rtnetlink._route(route(77, attribute(1, bytes([10, 9, 0, 0]))))

    assert record
    assert (record["type"], record["destination"]) == ("77", "10.9.0.0/16")


@pytest.mark.parametrize("kind", [2, 3, 4, 5])
def test_the_kernels_own_routes_are_left_out(kind: int) -> None:
    assert rtnetlink._route(route(kind)) is None


def test_a_gateway_of_the_other_family() -> None:
    via = struct.pack("=H", socket.AF_INET6) + socket.inet_pton(socket.AF_INET6, "fe80::1")

    record = rtnetlink._route(route(1, attribute(18, via)))

    assert record
    assert (record["gateway"], record["destination"]) == ("fe80::1", "default")


def test_answers_for_other_families_are_left_out() -> None:
    # Asked for a family that it lacks (IPv6 switched off), the kernel answers for all it has.
    done = message(DONE, b"\0\0\0\0")
    v4 = message(24, route(1))
    both = [[v4 + done], [message(24, route(1), 0, 2) + message(DONE, b"\0\0\0\0", 0, 2)]]

    assert len(rtnetlink.routes(netlink(*both))) == 1


def test_a_link_of_a_kind_not_known() -> None:
    info = attribute(18, attribute(1, b"newkind\0") + attribute(2, os.urandom(8)))
    payload = rtnetlink.LINK.pack(0, 1, 7, 0x1 | 1 << 30, 0)
    payload += attribute(3, b"new\xff0\0") + attribute(16, b"\x2a") + info

    record = rtnetlink._link(payload)

    assert (record["name"], record["kind"]) == ("new\N{REPLACEMENT CHARACTER}0", "newkind")
    assert (record["flags"], record["operstate"]) == (["UP"], "42")
