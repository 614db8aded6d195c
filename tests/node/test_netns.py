"""What the record of one netns shows: kinds of interfaces, their addresses, virtual machines."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.addresses import address, network
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.node.netns import Netns
from wirecheck.snapshot.netns import Address, Link, Namespace, Route


def netns(*links: Link, **fields: Any) -> Netns:
    return Netns(Namespace(inode=1, links=list(links), **fields))


def test_interfaces_have_their_own_addresses_and_lo_is_none() -> None:
    found = netns(
        Link(1, "lo", flags=["LOOPBACK", "UP"]),
        Link(2, "eth0"),
        Link(3, "eth1"),
        addresses=[
            Address(1, "127.0.0.1", 8),
            Address(2, "192.0.2.1", 24),
            Address(2, "fd00::1", 64),
            Address(3, "198.51.100.1", 32),
        ],
    )

    first, second = found.interfaces
    assert first.addresses == {address("192.0.2.1"), address("fd00::1")}
    assert first.networks == {network("192.0.2.0/24"), network("fd00::/64")}
    assert (second.name, second.addresses) == ("eth1", {address("198.51.100.1")})
    assert found.addresses == first.addresses | second.addresses
    assert found.primary == first
    assert found.by_index == {2: first, 3: second}
    assert (found.at(3), found.at(1), found.at(None)) == (second, None, None)
    assert netns(Link(3, "eth1")).primary is None


def test_a_netns_that_was_not_read_says_so() -> None:
    with pytest.raises(FactMissingError, match="it was deleted"):
        _ = netns(error="it was deleted").interfaces


@pytest.mark.parametrize(
    ("link", "kinds"),
    [
        (Link(2, "veth1", kind="veth"), {"paired"}),
        (Link(2, "nk1", kind="netkit"), {"paired"}),
        (Link(2, "cni0", kind="bridge"), {"bridge"}),
        (Link(2, "ovs-system", kind="openvswitch"), {"switch"}),
        (Link(2, "flannel.1", kind="vxlan"), {"tunnel"}),
        (Link(2, "tunl0", kind="ipip"), {"tunnel"}),
        (Link(2, "tap0", kind="tun"), {"tunnel", "tap"}),
        (Link(2, "vnet3", kind="tun"), {"tunnel", "tap"}),
        (Link(2, "tun0", kind="tun"), {"tunnel"}),
        (Link(2, "tap0"), set()),
        (Link(2, "eth0", flags=["UP", "LOWER_UP"]), {"up"}),
        (Link(2, "eth0", flags=["LOWER_UP"]), set()),
    ],
)
def test_the_kind_of_an_interface(link: Link, kinds: set[str]) -> None:
    (only,) = netns(link).interfaces

    known = {
        "paired": only.is_paired,
        "bridge": only.is_bridge,
        "switch": only.is_open_vswitch,
        "tunnel": only.is_tunnel,
        "tap": only.is_tap,
        "up": only.is_up,
    }
    assert {kind for kind, is_so in known.items() if is_so} == kinds


def tap(name: str = "tap0", master: int | None = None) -> Link:
    return Link(7, name, kind="tun", master=master)


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([], False),
        ([tap()], False),
        ([tap("tap0_kata")], True),
        ([Link(7, "x_kata", kind="veth")], False),
        ([Link(7, "m", kind="macvtap")], True),
        ([Link(7, "m", kind="ipvtap")], True),
        ([Link(7, "k6t-eth0", kind="bridge")], True),
        ([Link(7, "k6t-eth0", kind="dummy")], False),
        ([Link(7, "br0", kind="bridge")], False),
    ],
)
def test_a_virtual_machine_in_a_pod_shows(links: list[Link], expected: bool) -> None:
    assert netns(Link(2, "eth0", kind="veth"), *links).has_virtual_machine is expected


@pytest.mark.parametrize(
    ("pods", "of_tap", "expected"),
    [
        ({"name": "eth0", "master": 5}, 5, True),
        ({"name": "eth0-nic", "master": 5}, 5, True),
        ({"name": "eth1", "master": 5}, 5, False),
        ({"name": "eth0", "master": 6}, 5, False),
        ({"name": "eth0"}, None, False),
    ],
)
def test_a_tap_on_the_bridge_of_the_pods_interface_is_that_of_a_machine(
    pods: dict[str, Any], of_tap: int | None, expected: bool
) -> None:
    found = netns(Link(5, "br0", kind="bridge"), Link(2, kind="veth", **pods), tap(master=of_tap))

    assert found.has_virtual_machine is expected


def test_the_ports_of_each_bridge_are_counted() -> None:
    found = netns(
        Link(5, "cni0", kind="bridge"),
        Link(6, "docker0", kind="bridge"),
        Link(7, "vrf0", kind="vrf"),
        Link(11, "veth1", master=5),
        Link(12, "veth2", master=5),
        Link(13, "veth3", master=7),
        Link(14, "veth4"),
    )

    assert found.bridges == {"cni0": 2, "docker0": 0}
    one, other = found.by_index[11], found.by_index[14]
    assert found.master_of(one) == found.by_index[5]
    assert found.master_of(other) is None


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ({"kind": "veth", "peer_nsid": 0, "master": 5}, True),
        ({"kind": "veth", "master": 5}, False),
        ({"kind": "internal", "peer_nsid": 0, "master": 5}, False),
        ({"kind": "veth", "peer_nsid": 0, "master": 6}, False),
        ({"kind": "veth", "peer_nsid": 0}, False),
    ],
)
def test_a_pair_into_another_netns_on_a_switch(port: dict[str, Any], expected: bool) -> None:
    links = [Link(5, "ovs-system", kind="openvswitch"), Link(6, "cni0", kind="bridge")]

    assert netns(*links, Link(11, "p", **port)).has_pairs_on_open_vswitch is expected


def test_routes_to_single_addresses_and_routes_that_programs_added() -> None:
    found = netns(
        routes=[
            Route(4, "10.244.0.3/32", index=11, protocol=3),
            Route(4, "10.244.0.3/32", index=12, protocol=2),
            Route(6, "fd00::3/128", index=13, protocol=2),
            Route(4, "10.244.1.0/24", index=14, protocol=3),
            Route(4, "default", index=15, protocol=3),
            Route(4, "10.244.0.4/32", type="blackhole", protocol=3),
        ]
    )

    assert found.host_routes == {
        address("10.244.0.3"): {11, 12},
        address("fd00::3"): {13},
    }
    assert found.devices_of_routes == {11, 14, 15}
