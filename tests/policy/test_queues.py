"""Queues to programs in rules as iptables and nft print them, and who listens to them."""

import json

import pytest

from wirecheck.dataplane.nftables.text import expression_text
from wirecheck.policy.queues import Queue, queue_of, unheard

LISTENERS = """\
  100   4711     0 2 65531     0     0        7  1
    0  20813     3 2 65531     0     0       93  1
"""
"""As the kernel prints it: number, netlink port of the program, waiting packets …"""


def nft(queue):
    """A rule as its reader writes it."""
    return f"chain forward: ct state new {expression_text({'queue': queue})}"


@pytest.mark.parametrize(
    ("rule", "first", "last", "is_bypassed"),
    [
        ("-A FORWARD -j NFQUEUE --queue-num 100 --queue-bypass", 100, 100, True),
        ("-A FORWARD -j NFQUEUE --queue-num 100", 100, 100, False),
        ("-A FORWARD -j NFQUEUE --queue-balance 0:3 --queue-bypass", 0, 3, True),
        ("-A FORWARD -j NFQUEUE", 0, 0, False),
        (nft({"num": 100, "flags": ["bypass"]}), 100, 100, True),
        (nft({"num": 101, "flags": "bypass"}), 101, 101, True),
        (nft({"num": {"range": [4, 7]}, "flags": ["fanout"]}), 4, 7, False),
        (nft(None), 0, 0, False),
    ],
)
def test_queues_of_rules(rule, first, last, is_bypassed):
    assert queue_of(rule) == Queue(first, last, is_bypassed, rule)


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -j TPROXY --on-port 100",
        "-A FORWARD -j NFQUEUE --queue-balance 3:0",
        "-A FORWARD -j NFQUEUE --queue-balance 0:70000",
        nft({"num": {"symhash": {"mod": 2}}}),
        nft(json.loads("1" * 300)),
    ],
)
def test_rules_without_a_queue_that_can_be_read(rule):
    assert queue_of(rule) is None


@pytest.mark.parametrize(
    ("first", "last", "is_heard"), [(100, 100, True), (0, 0, True), (0, 1, False), (4, 4, False)]
)
def test_every_queue_needs_a_program(first, last, is_heard):
    queue = Queue(first, last, False, "")
    assert list(unheard([queue], LISTENERS)) == ([] if is_heard else [queue])


@pytest.mark.parametrize("text", ["", "\n\n", "x 1", "9" * 5000, "100100 1"])
def test_texts_that_name_no_queue(text):
    queue = Queue(100, 100, False, "")
    assert list(unheard([queue], text)) == [queue]


def test_names():
    assert Queue(100, 100, False, "").name == "queue 100"
    assert Queue(0, 3, False, "").name == "queues 0 to 3"
