"""What is read of lost packets, and heard of new connections."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from tests.collect.on_node.conftest import FakeNode, plan

MakeNode = Callable[..., FakeNode]


def test_two_samples_of_the_interfaces_that_have_an_address(fake_node: MakeNode) -> None:
    document = fake_node(web={}).visit(plan(window=0.5)).document

    first, last = document.traffic
    assert last.time > first.time
    assert set(first.interfaces) == {"cni0", "lo"}  # the fake node has its own address on lo
    assert last.interfaces["cni0"].received > first.interfaces["cni0"].received
    assert not document.problems


@pytest.mark.needs("iptables")
def test_new_connections_are_counted_by_where_they_lead(fake_node: MakeNode) -> None:
    node = fake_node(web={})
    node.run("iptables-nft", "-A", "INPUT", "-m", "conntrack", "--ctstate", "NEW", "-j", "ACCEPT")
    stop = threading.Event()
    opener = threading.Thread(target=_open_connections, args=(node, stop), daemon=True)
    opener.start()
    try:
        time.sleep(0.2)
        heard = node.visit(plan(window=2.0)).document.new_connections
    finally:
        stop.set()
        opener.join()

    assert heard is not None
    assert 0 < heard.seconds <= 60
    assert heard.destinations.get("192.0.2.1:9/udp", 0) > 3
    assert heard.count >= sum(heard.destinations.values())


def _open_connections(node: FakeNode, stop: threading.Event) -> None:
    """A datagram from a new port, again and again."""
    program = (
        "import socket,sys,time\n"
        "while True:\n"
        " s=socket.socket(2,2); s.sendto(b'x',('192.0.2.1',9)); s.close(); time.sleep(0.02)\n"
    )
    words = [*node.argv("")[:-3], "python3", "-c", program]
    with subprocess.Popen(words) as sender:
        stop.wait(60)
        sender.kill()
