"""Calico's VXLAN overlay: the node's own device, and its entries for the other nodes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.small_cluster import HOST, SmallCluster, api_pod, link
from tests.network.clusters.calico import calico_vxlan
from wirecheck.api_index.calico import derived_mac
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.calico_overlay import CalicoOverlay, is_in_force
from wirecheck.snapshot.netns import Fdb, Neighbour, Route

TUNNEL, GATEWAY = 4, "192.168.55.0"
MAC, OTHER_MAC = "66:00:00:00:00:02", "66:00:00:00:00:09"
NAMES = {"tunnel": "IPv4VXLANTunnelAddr", "mac": "VXLANTunnelMACAddr", "own": "IPv4Address",
         "tunnel6": "IPv6VXLANTunnelAddr", "mac6": "VXLANTunnelMACAddrV6"}  # fmt: skip


@pytest.fixture
def calico(small: SmallCluster) -> SmallCluster:
    """Calico with VXLAN; n2 announces its tunnel with the MAC."""
    calico_vxlan(small)
    announce(small, 1, tunnel=GATEWAY, mac=MAC)
    return small


def announce(small: SmallCluster, at: int, **notes: str) -> None:
    named = {f"projectcalico.org/{NAMES[each]}": text for each, text in notes.items()}
    small.api["nodes"][at]["metadata"]["annotations"] = named


def entries(
    small: SmallCluster, mac: str | None = MAC, *, fdb: list[tuple[str, str]] | None = None
) -> None:
    """The neighbour of the gateway, and the FDB: (MAC, destination)."""
    neighbours = [Neighbour(TUNNEL, GATEWAY, mac, "PERMANENT")] if mac else []
    known = [(MAC, "192.0.2.2")] if fdb is None else fdb
    small.change_netns(
        HOST,
        neighbours=neighbours,
        fdb=[Fdb(TUNNEL, each, where, state="permanent") for each, where in known],
    )


def overlay(small: SmallCluster) -> CalicoOverlay:
    found = small.node.overlay
    assert isinstance(found, CalicoOverlay)
    return found


def missing(small: SmallCluster) -> list[tuple[str, str, str]]:
    return [(e.ref.part, e.expected, e.found) for e in overlay(small).missing_entries]


def test_the_entries_for_another_node_are_complete(calico: SmallCluster) -> None:
    assert missing(calico) == []
    assert list(overlay(calico).stale_entries) == []
    assert list(overlay(calico).announcement_mismatches) == []


@pytest.mark.parametrize(("mac", "found"), [(None, "no entry"), (OTHER_MAC, OTHER_MAC)])
def test_a_neighbour_that_is_missing_or_has_another_mac_is_found(
    calico: SmallCluster, mac: str | None, found: str
) -> None:
    entries(calico, mac)

    assert missing(calico) == [(f"neighbour {GATEWAY}", f"{MAC}, the tunnel of node n2", found)]
    (mismatch,) = overlay(calico).missing_entries
    assert [each.name for each in mismatch.concerns] == ["n2"]


def test_a_gateway_of_no_known_node_needs_entries_too(calico: SmallCluster) -> None:
    announce(calico, 1)
    entries(calico, None, fdb=[])
    assert missing(calico) == [(f"neighbour {GATEWAY}", "an entry", "no entry")]

    entries(calico, OTHER_MAC, fdb=[])
    assert missing(calico) == [(f"FDB {OTHER_MAC}", "an entry", "no entry")]
    (mismatch,) = overlay(calico).missing_entries
    assert mismatch.concerns == ()

    entries(calico, OTHER_MAC, fdb=[(OTHER_MAC, "203.0.113.9")])
    assert missing(calico) == []


@pytest.mark.parametrize(
    ("fdb", "found"),
    [
        ([], "no entry"),
        ([(OTHER_MAC, "192.0.2.2")], "no entry"),
        ([(MAC, "192.0.2.9")], "at 192.0.2.9"),
        ([(MAC, "192.0.2.9"), (MAC, "192.0.2.8")], "at 192.0.2.8, 192.0.2.9"),
        ([(MAC, "192.0.2.9"), (MAC, "192.0.2.2")], ""),
    ],
)
def test_an_fdb_entry_has_to_lead_to_the_node(
    calico: SmallCluster, fdb: list[tuple[str, str]], found: str
) -> None:
    entries(calico, fdb=fdb)

    expected = (f"FDB {MAC}", "at 192.0.2.2, where node n2 is", found)
    assert missing(calico) == ([expected] if found else [])


def test_of_several_addresses_of_a_node_the_first_is_expected(calico: SmallCluster) -> None:
    for node, further in enumerate(("192.0.2.11", "192.0.2.12")):
        listed = calico.api["nodes"][node]["status"]["addresses"]
        listed.append({"type": "InternalIP", "address": further})
    entries(calico, fdb=[])
    calico.change_link(HOST, "vxlan.calico", vxlan_local="192.0.2.7")

    assert missing(calico) == [(f"FDB {MAC}", "at 192.0.2.2, where node n2 is", "no entry")]
    assert mismatches(calico) == [("a tunnel at 192.0.2.1", "at 192.0.2.7")]


def test_a_node_announces_its_address_for_the_overlay(calico: SmallCluster) -> None:
    announce(calico, 1, tunnel=GATEWAY, mac=MAC, own="198.51.100.2/24")

    assert missing(calico) == [(f"FDB {MAC}", "at 198.51.100.2, where node n2 is", "at 192.0.2.2")]


@pytest.mark.parametrize(
    "change",
    [
        {"type": "blackhole"},
        {"index": 2},
        {"gateway": ""},
    ],
    ids=["refused", "through another device", "without a gateway"],
)
def test_other_routes_need_no_entries(calico: SmallCluster, change: dict[str, Any]) -> None:
    assert calico.document
    host = calico.document.namespaces[0]
    others = [each for each in host.routes if each.gateway != GATEWAY]
    fields = {"gateway": GATEWAY, "index": TUNNEL} | change
    calico.change_netns(HOST, routes=[*others, Route(4, "192.168.55.0/26", **fields)])
    entries(calico, None, fdb=[])

    assert missing(calico) == []


def test_several_routes_to_one_gateway_need_its_entries_once(calico: SmallCluster) -> None:
    assert calico.document
    host = calico.document.namespaces[0]
    more = Route(4, "192.168.55.64/26", gateway=GATEWAY, index=TUNNEL)
    calico.change_netns(HOST, routes=[*host.routes, more])
    entries(calico, None)

    assert len(missing(calico)) == 1


@pytest.mark.parametrize("is_derived", [True, False])
def test_without_an_announced_mac_it_is_derived_if_the_own_one_is(
    calico: SmallCluster, is_derived: bool
) -> None:
    announce(calico, 1, tunnel=GATEWAY)
    if is_derived:
        calico.change_link(HOST, "vxlan.calico", mac=derived_mac("n1", 4))
    entries(calico, OTHER_MAC, fdb=[(OTHER_MAC, "192.0.2.2")])
    of_n2 = derived_mac("n2", 4)

    expected = [
        (f"neighbour {GATEWAY}", f"{of_n2}, the tunnel of node n2", OTHER_MAC),
        (f"FDB {of_n2}", "at 192.0.2.2, where node n2 is", "no entry"),
    ]
    assert missing(calico) == (expected if is_derived else [])


@pytest.mark.parametrize(
    ("nodes", "peer"),
    [(["n2"], ", the tunnel of node n2"), (["n2", "n2"], ", the tunnel of node n2"),
     (["n2", "n3"], ""), ([], "")],
)  # fmt: skip
def test_the_pods_behind_a_route_name_the_node_if_they_agree(
    calico: SmallCluster, nodes: list[str], peer: str
) -> None:
    announce(calico, 1)
    entries(calico, None)
    calico.api["nodes"].append({"metadata": {"name": "n3"}})
    for number, node in enumerate(nodes, start=1):
        pod = api_pod(f"pod-{number}", "shop", f"192.168.55.{number}")
        pod["spec"]["nodeName"] = node
        calico.api["pods"].append(pod)

    ((_, expected, _),) = missing(calico)
    assert expected == f"an entry{peer}"


def test_the_mac_of_the_neighbour_names_the_node_before_the_pods(calico: SmallCluster) -> None:
    announce(calico, 1, mac=MAC)
    entries(calico, MAC, fdb=[])

    assert missing(calico) == [(f"FDB {MAC}", "at 192.0.2.2, where node n2 is", "no entry")]


def stale(small: SmallCluster) -> list[tuple[str, str]]:
    return [(each.ref.part, each.found) for each in overlay(small).stale_entries]


@pytest.mark.parametrize(
    ("fdb", "found"),
    [
        ([(MAC, "192.0.2.2")], []),
        ([(OTHER_MAC, "192.0.2.2")], []),
        ([(OTHER_MAC, "192.0.2.9")], [(f"FDB {OTHER_MAC}", "at 192.0.2.9, on vxlan.calico")]),
        ([(MAC, "192.0.2.9")], []),
        (
            [(MAC, "192.0.2.9"), (MAC, "192.0.2.2")],
            [(f"FDB {MAC}", "at 192.0.2.9, on vxlan.calico")],
        ),
        (
            [(OTHER_MAC, "192.0.2.9"), (OTHER_MAC, "192.0.2.8")],
            [(f"FDB {OTHER_MAC}", "at 192.0.2.8, 192.0.2.9, on vxlan.calico")],
        ),
    ],
)
def test_entries_that_lead_to_no_node_are_stale(
    calico: SmallCluster, fdb: list[tuple[str, str]], found: list[tuple[str, str]]
) -> None:
    entries(calico, fdb=fdb)

    assert stale(calico) == found


def test_entries_of_other_devices_are_not_calicos(calico: SmallCluster) -> None:
    others = [Fdb(each, OTHER_MAC, "192.0.2.9", state="permanent") for each in (2, 99)]
    mine = Fdb(TUNNEL, OTHER_MAC, "192.0.2.8", state="permanent")
    calico.change_netns(HOST, fdb=[others[0], mine, others[1]])

    assert stale(calico) == [(f"FDB {OTHER_MAC}", "at 192.0.2.8, on vxlan.calico")]


def mismatches(small: SmallCluster) -> list[tuple[str, str]]:
    return [(each.expected, each.found) for each in overlay(small).announcement_mismatches]


@pytest.mark.parametrize(
    ("notes", "device", "found"),
    [
        ({}, {}, []),
        ({"mac": "66:00:00:00:00:01"}, {}, []),
        (
            {"mac": MAC},
            {},
            [(f"MAC {MAC}, to which the other nodes send", "66:00:00:00:00:01")],
        ),
        ({}, {"vxlan_local": "192.0.2.7"}, [("a tunnel at 192.0.2.1", "at 192.0.2.7")]),
        ({}, {"vxlan_local": ""}, []),
        ({"own": "192.0.2.7/24"}, {"vxlan_local": "192.0.2.7"}, []),
        ({"own": "192.0.2.7/24"}, {"vxlan_local": "192.0.2.1"}, []),
        (
            {"own": "192.0.2.7/24"},
            {"vxlan_local": "192.0.2.8"},
            [("a tunnel at 192.0.2.7", "at 192.0.2.8")],
        ),
    ],
)
def test_the_device_has_what_the_other_nodes_expect(
    calico: SmallCluster,
    notes: dict[str, str],
    device: dict[str, str],
    found: list[tuple[str, str]],
) -> None:
    announce(calico, 0, **notes)
    calico.change_link(HOST, "vxlan.calico", **device)

    assert mismatches(calico) == found


def test_both_families_have_a_tunnel_of_their_own(calico: SmallCluster) -> None:
    assert calico.document
    six = link(9, "vxlan-v6.calico", "vxlan", mac="66:00:00:00:06:01")
    links = [*calico.document.namespaces[0].links, six]
    calico.change_netns(HOST, links=links)
    assert list(overlay(calico).own) == [4]

    calico.api["nodes"][0]["status"]["addresses"].append(
        {"type": "InternalIP", "address": "2001:db8::1"}
    )
    announce(calico, 0, mac6=OTHER_MAC)
    own = overlay(calico).own
    assert {family: str(each.endpoint) for family, each in own.items()} == {
        4: "192.0.2.1",
        6: "2001:db8::1",
    }
    assert (own[4].vni, str(own[4].gateway)) == (0, "192.168.74.0")
    assert str(own[6].gateway) == "2001:db8::1"
    assert mismatches(calico) == [
        (f"MAC {OTHER_MAC}, to which the other nodes send", "66:00:00:00:06:01")
    ]


def test_without_an_address_of_the_node_there_is_no_tunnel(calico: SmallCluster) -> None:
    calico.api["nodes"][0]["status"]["addresses"] = []

    with pytest.raises(NotApplicable, match="no VXLAN device of Calico"):
        _ = overlay(calico).own


def test_calico_is_in_force_with_its_device_and_its_agent(calico: SmallCluster) -> None:
    assert is_in_force(calico.node.seen)

    calico.api["pods"][2]["metadata"]["ownerReferences"][0]["name"] = "canal"
    assert not is_in_force(calico.node.seen)


def test_calico_without_its_device_is_not_in_force(calico: SmallCluster) -> None:
    assert calico.document
    links = [e for e in calico.document.namespaces[0].links if e.name != "vxlan.calico"]
    calico.change_netns(HOST, links=links)
    assert not is_in_force(calico.node.seen)

    calico.change_document(namespaces=[])
    assert not is_in_force(calico.node.seen)
    calico.document = None
    assert not is_in_force(calico.node.seen)
