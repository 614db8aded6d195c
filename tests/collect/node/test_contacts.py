"""TCP connections on a node made of namespaces."""

from __future__ import annotations

import base64
from collections.abc import Callable

import msgspec
import pytest

from tests.collect.node.conftest import DNS, FakeNode, plan
from wirecheck.collect.contact_plan import Asked, ContactPlan
from wirecheck.collect.on_node.contacts import Replies

MESSAGE = base64.b64encode(bytes(300)).decode()


def test_what_listens_is_reached_and_what_does_not_is_told(
    fake_node: Callable[..., FakeNode],
) -> None:
    node = fake_node(web={})
    # Nobody has the address: its packets wait for a neighbour until the time is over.
    node.run("ip", "route", "add", "203.0.113.0/24", "dev", "cni0")
    asked = [
        Asked("", "node", DNS, 53),
        Asked("", "node", DNS, 9),
        Asked(node.uids["web"], "api", DNS, 53, times=3),
        Asked("", "api", "203.0.113.9", 53),
        Asked("00000000-0000-4000-8000-ffffffffffff", "api", DNS, 53),
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
