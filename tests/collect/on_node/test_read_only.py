"""A visit changes nothing on a node; and whatever would be changed is noticed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.readonly import node_state
from testbed.readonly.comparison import State, differences
from tests.collect.on_node.conftest import FakeNode, plan


def state_of(node: FakeNode) -> State:
    # As text: the node has a /tmp and a /root of its own, which may hide the checkout.
    program = Path(node_state.__file__).read_text()
    found: State = json.loads(node.run("python3", "-c", program))
    return found


def settled(node: FakeNode) -> State:
    """A new link's address is looked at for duplicates first."""
    deadline = time.monotonic() + 60
    before: State = {}
    while (now := state_of(node)) != before:
        assert time.monotonic() < deadline, "it never settles"
        before = now
        time.sleep(3)
    return before


@pytest.mark.needs("iptables", "sysctl")
def test_a_visit_leaves_a_node_as_it_was_and_each_disturbance_shows(
    fake_node: Callable[..., FakeNode],
) -> None:
    node = fake_node(web={}, cache={})
    node.run("mount", "-t", "tmpfs", "none", "/root")
    node.run("mount", "-t", "tmpfs", "none", "/tmp")
    node.run("iptables-nft", "-t", "nat", "-N", "KUBE-SERVICES")
    before = {"n": settled(node)}

    node.visit(plan())

    assert differences(before, {"n": state_of(node)}) == set()
    node.run("touch", "/run/left-behind")
    node.run("iptables-nft", "-t", "nat", "-N", "LEFT-BEHIND")
    node.run("ip", "netns", "exec", "web", "ip", "link", "set", "eth0", "mtu", "1400")
    node.run("ip", "route", "add", "blackhole", "203.0.113.0/24")
    node.run("ip", "neighbour", "add", "10.244.0.99", "lladdr", "02:00:00:00:00:09", "dev", "cni0")
    node.run("sysctl", "-qw", "net.ipv4.conf.cni0.arp_ignore=1")
    node.run("sh", "-c", "sleep 86399 </dev/null >/dev/null 2>&1 &")
    found = differences(before, {"n": state_of(node)})
    sections = {each.section for each in found}
    assert sections >= {
        "files",
        "filter rules",
        "links",
        "routes",
        "permanent neighbours",
        "sysctls",
        "processes",
    }
