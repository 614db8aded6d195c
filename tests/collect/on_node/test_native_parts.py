"""What iptables does not list of its own tables is read by netlink."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.collect.on_node.conftest import FakeNode, plan

MakeNode = Callable[..., FakeNode]


@pytest.mark.needs("iptables", "nft")
def test_native_parts_of_the_tables_of_iptables(fake_node: MakeNode) -> None:
    node = fake_node()
    node.run("iptables-nft", "-t", "nat", "-N", "KUBE-SERVICES")
    node.run("iptables-nft", "-t", "nat", "-A", "PREROUTING", "-j", "KUBE-SERVICES")
    node.run("nft", "add chain ip nat early { type nat hook prerouting priority -110; }")
    node.run("nft", "add set ip nat banned { type ipv4_addr; }")
    node.run("nft", "add table ip other")
    node.run("nft", "add set ip other allowed { type ipv4_addr; }")

    native = node.visit(plan()).document.commands["nft-native"]
    assert native.status == 0
    lines = native.output.splitlines()
    assert {"chain ip nat PREROUTING", "chain ip nat early", "set ip nat banned"} <= {*lines}
    assert not [each for each in lines if "KUBE-SERVICES" in each or "other" in each]
