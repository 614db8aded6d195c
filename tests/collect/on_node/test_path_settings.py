"""IPsec policies, isolated bridge ports and sysctls of pods are read as the kernel has them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable

import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from wirecheck.collect.on_node import path_settings
from wirecheck.collect.on_node.visit_state import VisitState
from wirecheck.snapshot.netns import XfrmPolicy

MakeNode = Callable[..., FakeNode]
BLOCKED = ("src", "10.244.1.0/24", "dst", "10.244.2.0/24")


def add_policies(node: FakeNode) -> None:
    try:
        node.run("ip", "xfrm", "policy", "add", *BLOCKED, "dir", "fwd", "action", "block")
    except subprocess.CalledProcessError:
        pytest.skip("the kernel has no IPsec")
    only_dns = ("proto", "udp", "dport", "53")
    web = ("ip", "netns", "exec", "web", "ip", "xfrm", "policy", "add")
    tunnel = ("tmpl", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp", "mode", "tunnel")
    node.run(*web, *BLOCKED, *only_dns, "dir", "out", "priority", "7", *tunnel)


def test_ipsec_policies_of_the_node_and_of_a_pod(fake_node: MakeNode) -> None:
    node = fake_node(web={}, cache={})
    add_policies(node)

    seen = node.visit(plan())

    ranges = {"source": "10.244.1.0/24", "destination": "10.244.2.0/24"}
    assert seen.netns("").xfrm_policies == [XfrmPolicy("fwd", "block", **ranges)]
    assert seen.netns("web").xfrm_policies == [
        XfrmPolicy("out", "allow", **ranges, priority=7, is_plain=False, has_template=True)
    ]
    assert seen.netns("cache").xfrm_policies == []
    assert not seen.document.problems


def test_a_module_that_is_not_there_is_not_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a socket for IPsec would load the module")

    monkeypatch.setattr(path_settings, "can_be_there", lambda _: False)
    monkeypatch.setattr(path_settings, "Netlink", refuse)
    visit = VisitState.__new__(VisitState)
    visit.namespaces, visit.netns = _OneNetns(), {}
    visit.document = {"namespaces": [{"inode": 1, "links": []}]}

    path_settings.read_all(visit)

    assert visit.document["namespaces"][0]["xfrm_policies"] == []


class _OneNetns:
    host = 1

    def __init__(self) -> None:
        self.descriptors = {1: 0}

    def inside(self, _: int) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()


@pytest.mark.needs("sysctl")
def test_sysctls_of_a_pods_own_interfaces(fake_node: MakeNode) -> None:
    node = fake_node(web={}, cache={})
    setting = "net.ipv4.conf.eth0.arp_ignore=8"
    node.run("ip", "netns", "exec", "web", "sysctl", "-q", "-w", setting)

    seen = node.visit(plan())

    web, cache = seen.netns("web").settings or {}, seen.netns("cache").settings or {}
    assert web["net/ipv4/conf/eth0/arp_ignore"] == "8"
    assert cache["net/ipv4/conf/eth0/arp_ignore"] == "0"
    assert set(web) == set(cache)
    assert not any("/lo/" in each for each in web)
    assert seen.netns("").settings is None
    files = seen.document.files or {}
    assert files["/proc/sys/net/ipv4/conf/cni0/arp_ignore"] == "0"


def test_isolated_ports_and_vlans_of_a_bridge(fake_node: MakeNode) -> None:
    node = fake_node(web={}, cache={})
    port = ("ip", "link", "set", "veth2", "type", "bridge_slave")
    node.run(*port, "isolated", "on", "flood", "off")

    seen = node.visit(plan())

    links = {each.name: each for each in seen.netns("").links}
    assert (links["veth2"].port_isolated, links["veth3"].port_isolated) == (True, False)
    assert (links["veth2"].port_flooded, links["veth3"].port_flooded) == (False, True)
    assert links["cni0"].vlan_filtering is False
    assert links["lo"].port_isolated is links["lo"].vlan_filtering is None


@pytest.mark.needs("nft", "iptables")
def test_rules_inside_pods(fake_node: MakeNode) -> None:
    """A table with a name that nft could read as a command is left out."""
    node = fake_node(web={}, cache={})
    inside = ("ip", "netns", "exec", "web")
    table = "{ chain i { type filter hook input priority 0; tcp dport 8080 drop; }; }"
    node.run(*inside, "nft", f"table inet guard {table}")
    node.run(
        *inside, "nft", "table ip filter { chain INPUT { type filter hook input priority 0; }; }"
    )

    seen = node.visit(plan())

    listings = seen.netns("web").listings
    assert sorted(listings) == ["iptables-nft-save", "nft-table inet guard"]
    assert '"hook": "input"' in listings["nft-table inet guard"].output
    assert "*filter" in listings["iptables-nft-save"].output
    assert seen.netns("cache").listings == {}
    assert seen.netns("").listings == {}


def test_routes_of_the_type_local(fake_node: MakeNode) -> None:
    """The kernel's own, for addresses, are not among them."""
    node = fake_node(web={})
    node.run(
        "ip", "netns", "exec", "web", "ip", "route", "add", "local", "10.9.0.0/24", "dev", "lo"
    )

    netns = node.visit(plan()).netns("web")

    assert [(each.destination, each.type) for each in netns.local_routes] == [
        ("10.9.0.0/24", "local")
    ]
    assert "local" not in {each.type for each in netns.routes}
