"""The pair between a pod and its node: which end is which, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import convert

from wirecheck.addresses import address
from wirecheck.api_index.pod import Pod
from wirecheck.node.netns import Interface, Netns
from wirecheck.node.veth import Veth, orphans
from wirecheck.snapshot.netns import Address, Link, Namespace, Route
from wirecheck.snapshot.objects.pod import PodObject

NODES_ADDRESS = address("192.0.2.1")
UP = ["UP"]
NSID = 1


def api_pod(*ips: str) -> Pod:
    pod = {
        "metadata": {"name": "web", "namespace": "shop", "uid": "u"},
        "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
        "status": {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips], "phase": "Running"},
    }
    return Pod(convert(pod, PodObject))


def node_netns(
    *links: Link, addresses: Sequence[Address] = (), routes: Sequence[Route] = ()
) -> Netns:
    return Netns(
        Namespace(inode=1, links=list(links), addresses=list(addresses), routes=list(routes))
    )


def port(**fields: Any) -> Link:
    """The node's end of the pod's pair."""
    return Link(**{"index": 11, "name": "veth11", "kind": "veth", "flags": UP, **fields})


def bridge(index: int = 5, name: str = "cni0", **fields: Any) -> Link:
    return Link(index, name, kind="bridge", **fields)


def pair(
    *others: Link,
    outer: Link | None = None,
    nsid: int | None = NSID,
    inner_flags: list[str] = UP,
    ips: tuple[str, ...] = ("10.244.0.3",),
    addresses: Sequence[Address] = (),
    routes: Sequence[Route] = (),
) -> Veth:
    links = [*others, *([outer] if outer else [])]
    host = node_netns(*links, addresses=addresses, routes=routes)
    inside = Link(2, "eth0", kind="veth", flags=inner_flags)
    netns = Netns(Namespace(inode=2, nsid=nsid, links=[inside]))
    return Veth(
        api_pod(*ips),
        netns,
        netns.interfaces[0],
        next((each for each in host.interfaces if outer and each.index == outer.index), None),
        host,
    )


@pytest.mark.parametrize(
    ("back", "nsid", "expected"),
    [
        ({"peer_index": 2, "peer_nsid": 1}, 1, True),
        ({"peer_index": 3, "peer_nsid": 1}, 1, False),
        ({"peer_index": 2, "peer_nsid": 7}, 1, False),
        # Without a number on one side only the index is known.
        ({"peer_index": 2}, 1, True),
        ({"peer_index": 2, "peer_nsid": 7}, None, True),
        ({"peer_index": 3}, None, False),
        # The first netns of a node has the number 0.
        ({"peer_index": 2, "peer_nsid": 1}, 0, False),
        ({"peer_index": 2, "peer_nsid": 0}, 0, True),
        ({"peer_index": 2, "peer_nsid": 0}, 1, False),
    ],
)
def test_the_peer_of_the_nodes_end_is_the_pods_interface_in_the_pods_netns(
    back: dict[str, Any], nsid: int | None, expected: bool
) -> None:
    assert pair(outer=port(**back), nsid=nsid).points_back is expected


def test_a_pair_without_an_end_on_the_node_has_nothing_there() -> None:
    alone = pair()

    assert not alone.points_back
    assert alone.actual_peer == "no interface"
    assert [each.interface.name for each in alone.ends] == ["eth0"]
    assert alone.master is None
    assert not alone.lacks_hairpin
    assert not alone.blocked_by_bridge
    assert not alone.is_attached
    assert alone.actual_attachment == "on no bridge, and not the device of a route to the pod"
    assert alone.expected_attachment([]) == "a route to the pod's address through the node side"


def test_both_ends_are_parts_of_the_pod() -> None:
    found = [(str(each.ref), each.interface.name) for each in pair(outer=port()).ends]

    assert found == [("Pod shop/web eth0", "eth0"), ("Pod shop/web veth11", "veth11")]


@pytest.mark.parametrize(
    ("hairpin", "flags", "lacks"),
    [
        (False, [], True),
        # The kernel sends packets of a port back to it if the bridge itself takes all packets,
        # as kubenet had it: hairpinMode promiscuous-bridge.
        (False, ["PROMISC"], False),
        (True, [], False),
        (None, [], False),
    ],
)
def test_the_bridge_must_send_a_pods_packets_back(
    hairpin: bool | None, flags: list[str], lacks: bool
) -> None:
    outer = port(master=5, port_hairpin=hairpin)

    assert pair(bridge(flags=flags), outer=outer).lacks_hairpin is lacks


def test_a_port_of_a_bridge_that_is_not_there_lacks_hairpin() -> None:
    assert pair(outer=port(master=5, port_hairpin=False)).lacks_hairpin
    assert pair(outer=port(port_hairpin=False)).lacks_hairpin


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, ""),
        (0, "disabled"),
        (1, "listening"),
        (2, "learning"),
        (3, ""),
        (4, "blocking"),
        (5, ""),
    ],
)
def test_the_state_of_a_port_that_does_not_forward_is_named(state: int | None, words: str) -> None:
    assert pair(bridge(), outer=port(master=5, port_state=state)).blocked_by_bridge == words


@pytest.mark.parametrize(("inner", "outer"), [([], UP), (UP, [])])
def test_of_a_pair_that_is_down_the_port_is_not_reported(
    inner: list[str], outer: list[str]
) -> None:
    down = port(master=5, port_state=4, flags=outer)

    assert not pair(bridge(), outer=down, inner_flags=inner).blocked_by_bridge


POD_NETWORK = Address(5, "10.244.0.1", 24)
TO_POD = Route(4, "10.244.0.3/32", index=11)
TO_POD6 = Route(6, "fd00::3/128", index=11)
SWITCH = Link(6, "ovs-system", kind="openvswitch")


@pytest.mark.parametrize(
    ("others", "master", "addresses", "routes", "ways"),
    [
        ([bridge()], 5, [POD_NETWORK], [], ("bridged",)),
        ([bridge()], 5, [], [], ("bridged",)),
        # The pod's network is on another bridge than the port.
        ([bridge(), bridge(7, "docker0")], 7, [POD_NETWORK], [], ()),
        # A VRF is a master, but not a bridge.
        ([Link(5, "vrf0", kind="vrf")], 5, [], [], ()),
        ([SWITCH], 6, [], [], ("switched",)),
        ([], None, [], [TO_POD], ("routed",)),
        ([], None, [], [], ()),
        ([], None, [], [Route(4, "10.244.0.3/32", index=12)], ()),
        # The route is not used: packets that a port receives go to its bridge.
        ([bridge(), bridge(7, "docker0")], 7, [POD_NETWORK], [TO_POD], ()),
    ],
)
def test_where_the_nodes_end_is_attached(
    others: list[Link],
    master: int | None,
    addresses: list[Address],
    routes: list[Route],
    ways: tuple[str, ...],
) -> None:
    found = pair(*others, outer=port(master=master), addresses=addresses, routes=routes)

    known = {
        "bridged": found.is_bridged,
        "switched": found.is_switched,
        "routed": found.is_routed,
    }
    assert tuple(each for each, is_so in known.items() if is_so) == ways
    assert found.is_attached is bool(ways)


@pytest.mark.parametrize(
    ("routes", "expected"),
    [([TO_POD, TO_POD6], True), ([TO_POD], False), ([TO_POD6], False), ([], False)],
)
def test_a_pod_of_two_families_needs_a_route_to_each_address(
    routes: list[Route], expected: bool
) -> None:
    found = pair(outer=port(), ips=("10.244.0.3", "fd00::3"), routes=routes)

    assert found.is_routed is expected


def test_the_expected_attachment_is_the_bridge_with_the_pods_network() -> None:
    lost = pair(bridge(7, "docker0"), bridge(), outer=port(), addresses=[POD_NETWORK])

    assert lost.expected_attachment([]) == "veth11 on bridge cni0"
    assert lost.actual_attachment == "on no bridge, and not the device of a route to the pod"


def test_without_such_a_bridge_it_is_that_of_the_other_pods() -> None:
    lost = pair(outer=port())
    switched = pair(SWITCH, outer=port(master=6))
    routed = pair(outer=port(), routes=[TO_POD])
    route = "a route to the pod's address through veth11"

    assert lost.expected_attachment([lost, switched]) == "veth11 on ovs-system"
    assert lost.expected_attachment([routed, switched]) == route
    assert lost.expected_attachment([lost]) == route


def test_the_actual_attachment_is_named_or_counted() -> None:
    assert pair(bridge(7, "docker0"), outer=port(master=7)).actual_attachment == "on docker0"
    assert pair(outer=port(master=9)).actual_attachment == "on interface 9"


def test_the_peer_is_described_by_its_index_and_netns() -> None:
    described = pair(outer=port(peer_index=4, peer_nsid=7)).actual_peer

    assert described == "veth11 points to interface 4 of netns 7"


# Pairs without a pod


def orphaned(
    *links: Link,
    live: frozenset[int] = frozenset(),
    outside: frozenset[int] = frozenset(),
    addresses: Sequence[Address] = (),
    routes: Sequence[Route] = (),
) -> list[tuple[str, str]]:
    host = node_netns(*links, addresses=addresses, routes=routes)
    uplinks = frozenset({NODES_ADDRESS})
    found = orphans("n1", host, live, uplinks, outside.__contains__)
    return [(str(each.ref), each.peer) for each in found]


def both(**fields: Any) -> list[Link]:
    """A pair with both ends on the node; the fields are those of the first end."""
    return [
        Link(11, "veth11", kind="veth", peer_index=12, **fields),
        Link(12, "veth12", kind="veth", peer_index=11),
    ]


def test_a_pair_into_a_netns_without_a_process_is_orphaned() -> None:
    dead = port(peer_index=2, peer_nsid=3)
    netkit = Link(12, "nk12", kind="netkit", peer_index=2, peer_nsid=4)

    assert orphaned(dead, netkit) == [
        ("Node n1 veth11", "in netns 3, which has no process"),
        ("Node n1 nk12", "in netns 4, which has no process"),
    ]
    assert not orphaned(dead, live=frozenset({3}))
    assert not orphaned(dead, outside=frozenset({3}))
    assert not orphaned(Link(11, "eth0", peer_nsid=3))
    assert not orphaned(port(name="vethwe-bridge", peer_nsid=3))


def test_one_device_that_is_not_orphaned_does_not_end_the_search() -> None:
    own = port(index=10, name="vethwe-bridge", peer_nsid=3)
    alive, dead = port(index=12, name="veth12", peer_nsid=4), port(peer_nsid=3)

    (found,) = orphaned(own, alive, dead, live=frozenset({4}))
    assert found[0] == "Node n1 veth11"


def test_a_pair_with_both_ends_on_the_node_is_orphaned_unless_it_is_used() -> None:
    assert orphaned(*both()) == [
        ("Node n1 veth11", "veth12, also on the node"),
        ("Node n1 veth12", "veth11, also on the node"),
    ]
    assert orphaned(port(peer_index=99)) == [("Node n1 veth11", "no interface, also on the node")]
    assert orphaned(port()) == [("Node n1 veth11", "no interface, also on the node")]


@pytest.mark.parametrize("end", [11, 12])
def test_an_address_on_either_end_shows_that_the_pair_is_used(end: int) -> None:
    assert not orphaned(*both(), addresses=[Address(end, "169.254.7.1", 32)])


@pytest.mark.parametrize("end", [11, 12])
def test_a_route_by_either_end_does_so_unless_the_kernel_added_it(end: int) -> None:
    assert not orphaned(*both(), routes=[Route(4, "10.1.0.0/16", index=end, protocol=4)])
    assert len(orphaned(*both(), routes=[Route(4, "10.1.0.0/16", index=end, protocol=2)])) == 2


def test_a_pair_that_joins_a_bridge_to_a_switch_is_used() -> None:
    one, other = both(master=5)
    joined = Link(12, "veth12", kind="veth", peer_index=11, master=6)

    assert not orphaned(bridge(), SWITCH, one, joined)
    assert len(orphaned(bridge(), SWITCH, one, other)) == 2
    assert len(orphaned(bridge(), port(master=5))) == 1


UPLINK = port(index=2, name="eth0", peer_index=30, peer_nsid=0)


@pytest.mark.parametrize(
    "addresses",
    [[Address(2, "192.0.2.1", 32)], [Address(2, "198.51.100.1", 24)]],
    ids=["the node's own address", "a network"],
)
def test_the_uplink_of_a_node_in_a_container_is_not_orphaned(addresses: list[Address]) -> None:
    second = port(peer_index=31, peer_nsid=0)

    assert not orphaned(UPLINK, addresses=addresses)
    # Its peer is outside of the node, and so are other devices there.
    assert not orphaned(UPLINK, second, addresses=addresses)
    assert len(orphaned(UPLINK, second)) == 2


def test_a_single_address_of_the_plugin_ptp_does_not_make_an_uplink() -> None:
    assert len(orphaned(port(peer_nsid=3), addresses=[Address(11, "10.244.0.1", 32)])) == 1


def test_an_uplink_with_its_peer_on_the_node_says_nothing_about_others() -> None:
    uplink = port(index=2, name="eth0", peer_index=30)

    found = orphaned(uplink, *both(), addresses=[Address(2, "192.0.2.1", 24)])
    assert len(found) == 2


def test_interfaces_are_found_by_their_index() -> None:
    host = node_netns(bridge(), port(master=5))

    assert isinstance(host.at(5), Interface)
    assert host.at(None) is None
    assert host.at(9) is None
