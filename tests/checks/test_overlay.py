"""The checks of flannel's overlay, each on a cluster where one thing is broken."""

from copy import deepcopy

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import HOST, MACS, WEB_NETNS, SmallCluster, link
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.node.overlay import NOT_ANNOUNCED
from wirecheck.snapshot.netns import Address, Fdb, Neighbour, Route

STRANGER = "0a:00:00:00:00:99"


def reported(small: SmallCluster, check: str) -> list[tuple[str, str]]:
    return [(each.subject.part, each.found) for each in small.findings(f"overlay.{check}")]


def test_a_device_with_another_mac_is_found(small):
    small.change_link(HOST, "flannel.1", mac=STRANGER)
    assert reported(small, "matches_annotations") == [
        ("VXLAN device IPv4", f"{STRANGER} at 192.0.2.1"),
    ]


def test_a_device_with_another_address_is_found(small):
    small.change_link(HOST, "flannel.1", vxlan_local="198.51.100.1")
    assert reported(small, "matches_annotations") == [
        ("VXLAN device IPv4", f"{MACS['n1']} at 198.51.100.1"),
    ]


def test_a_missing_device_is_found(small):
    links = [each for each in small.document.namespaces[0].links if each.kind != "vxlan"]
    small.change_netns(HOST, links=links)
    assert reported(small, "matches_annotations") == [("VXLAN device IPv4", "no such device")]


@pytest.mark.parametrize(
    ("neighbours", "found"),
    [
        ([], "no entry"),
        ([Neighbour(4, "10.244.1.0", STRANGER, "PERMANENT")], STRANGER),
        ([Neighbour(5, "10.244.1.0", MACS["n2"], "PERMANENT")], "no entry"),
        ([Neighbour(4, "10.244.1.0", "", "FAILED")], "no entry"),
    ],
    ids=["missing", "wrong", "on another device", "failed"],
)
def test_a_neighbour_that_does_not_lead_to_the_node_is_found(small, neighbours, found):
    small.change_netns(HOST, neighbours=neighbours)
    assert reported(small, "peers_complete") == [("neighbour 10.244.1.0", found)]


@pytest.mark.parametrize(
    ("fdb", "found"),
    [([], "no entry"), ([Fdb(4, MACS["n2"], "192.0.2.9")], "at 192.0.2.9")],
    ids=["missing", "wrong"],
)
def test_an_fdb_entry_that_does_not_lead_to_the_node_is_found(small, fdb, found):
    small.change_netns(HOST, fdb=fdb)

    assert reported(small, "peers_complete") == [(f"FDB {MACS['n2']}", found)]
    assert not reported(small, "no_stale_peers")


def test_entries_of_the_node_about_itself_do_not_stand_for_another(small):
    own = Neighbour(4, "10.244.0.0", MACS["n1"], "PERMANENT")
    small.change_netns(HOST, neighbours=[own])
    assert reported(small, "peers_complete") == [("neighbour 10.244.1.0", "no entry")]
    assert reported(small, "no_stale_peers") == [
        ("neighbour 10.244.0.0", f"{MACS['n1']} on flannel.1")
    ]


def test_a_node_that_is_reached_directly_needs_no_entries(small):
    routes = [
        Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2)
        if each.destination == "10.244.1.0/24"
        else each
        for each in small.document.namespaces[0].routes
    ]
    small.change_netns(HOST, routes=routes, neighbours=[], fdb=[])
    assert not reported(small, "peers_complete")


@pytest.mark.parametrize(
    ("mac", "place"),
    [(STRANGER, "192.0.2.7"), (MACS["n2"], "192.0.2.7")],
    ids=["of nobody", "a second place"],
)
def test_a_surplus_fdb_entry_warns(small, mac, place):
    fdb = small.document.namespaces[0].fdb
    small.change_netns(HOST, fdb=[*fdb, Fdb(4, mac, place, state="permanent")])

    (finding,) = small.findings("overlay.no_stale_peers")
    assert (finding.subject.part, finding.level) == (f"FDB {mac}", Level.WARN)


def test_a_surplus_neighbour_warns(small):
    more = Neighbour(4, "10.244.7.0", STRANGER, "PERMANENT")
    small.change_netns(HOST, neighbours=[*small.document.namespaces[0].neighbours, more])

    assert reported(small, "no_stale_peers") == [
        ("neighbour 10.244.7.0", f"{STRANGER} on flannel.1")
    ]


def test_what_the_kernel_learnt_by_itself_is_left_alone(small):
    more = Neighbour(4, "10.244.7.0", STRANGER, "STALE")
    small.change_netns(HOST, neighbours=[*small.document.namespaces[0].neighbours, more])
    assert not reported(small, "no_stale_peers")


def test_an_overlay_that_is_too_large_for_its_wire_is_found(small):
    small.change_link(HOST, "flannel.1", mtu=1500)
    (finding,) = small.findings("overlay.mtu")
    assert finding.expected == "at most 1450 bytes: ens3 has MTU 1500"


def test_a_pod_that_is_too_large_for_the_overlay_is_found(small):
    small.change_link(WEB_NETNS, "eth0", mtu=1500)
    (finding,) = small.findings("overlay.mtu")
    assert (finding.subject.name, finding.found) == ("web", "1500 bytes")


def test_other_backends_are_skipped(small):
    notes = small.api["nodes"][0]["metadata"]["annotations"]
    notes["flannel.alpha.coreos.com/backend-type"] = "host-gw"
    with pytest.raises(NotApplicable, match="VXLAN"):
        small.findings("overlay.matches_annotations")


@pytest.mark.parametrize(
    "odd",
    [
        {"backend-data": '{"VNI":1}'},
        {"backend-data": "{"},
        {"backend-data": '{"VNI":"x","VtepMAC":1}'},
        {"public-ip": "<nil>"},
    ],
)
def test_an_announcement_that_is_not_understood_is_its_nodes_matter(small, odd):
    notes = small.api["nodes"][1]["metadata"]["annotations"]
    notes |= {f"flannel.alpha.coreos.com/{key}": value for key, value in odd.items()}
    (unread,) = small.findings("overlay.peers_complete")
    stale = small.findings("overlay.no_stale_peers")

    assert unread.inconclusive == "nodes whose annotations of flannel cannot be parsed"
    assert {each.inconclusive for each in stale} == {NOT_ANNOUNCED}
    assert not small.findings("nodes.unique_identity")

    own = small.api["nodes"][0]["metadata"]["annotations"]
    own |= {f"flannel.alpha.coreos.com/{key}": value for key, value in odd.items()}
    with pytest.raises(FactMissingError, match="of node n1 cannot be parsed"):
        small.findings("overlay.peers_complete")


@pytest.mark.parametrize("spec", [{}, {"podCIDR": "10.244.1.0/99", "podCIDRs": ["10.244.1.0/99"]}])
def test_entries_for_a_node_that_announces_nothing_are_not_known_to_be_stale(small, spec):
    small.api["nodes"][1]["spec"] = spec

    found = small.findings("overlay.no_stale_peers")
    assert [each.inconclusive for each in found] == [NOT_ANNOUNCED, NOT_ANNOUNCED]

    del small.api["nodes"][1]
    assert [each.inconclusive for each in small.findings("overlay.no_stale_peers")] == ["", ""]


def test_pods_of_two_families_may_be_as_large_as_the_wider_overlay_takes(small):
    for number, node in enumerate(small.api["nodes"], start=1):
        node["metadata"]["annotations"] |= {
            "flannel.alpha.coreos.com/backend-v6-data": '{"VNI":1,"VtepMAC":"0a:00:00:00:01:01"}',
            "flannel.alpha.coreos.com/public-ipv6": f"2001:db8::{number}",
        }
        node["spec"]["podCIDRs"].append(f"fd00:{number}::/64")
    own = small.document.namespaces[0]
    narrower = replace(link(6, "flannel-v6.1", "vxlan"), mtu=1430)
    addresses = [*own.addresses, Address(2, "2001:db8::1", 64)]
    small.change_netns(1, links=[*own.links, narrower], addresses=addresses)
    assert not small.findings("overlay.mtu")

    small.change_link(WEB_NETNS, "eth0", mtu=1451)
    (finding,) = small.findings("overlay.mtu")
    assert finding.expected == "at most 1450 bytes on eth0"


FLANNEL = "flannel.alpha.coreos.com/"
OUTSIDE = {"n1": "203.0.113.11", "n2": "203.0.113.12"}


class TestBehindNat:
    """flannel announces the address outside, and its device has the inner one."""

    @staticmethod
    def announce(small: SmallCluster, *, external: bool = True) -> None:
        for node in small.api["nodes"]:
            outside = OUTSIDE[node["metadata"]["name"]]
            node["metadata"]["annotations"][f"{FLANNEL}public-ip"] = outside
            if external:
                listed = node["status"]["addresses"]
                listed.append({"type": "ExternalIP", "address": outside})
        small.change_netns(HOST, fdb=[Fdb(4, MACS["n2"], OUTSIDE["n2"], state="permanent")])

    def test_is_right_where_the_node_has_that_external_address(self, small):
        self.announce(small)

        for check in ("matches_annotations", "peers_complete", "no_stale_peers", "mtu"):
            assert not reported(small, check)

    def test_is_right_where_an_administrator_set_it(self, small):
        self.announce(small, external=False)
        notes = small.api["nodes"][0]["metadata"]["annotations"]
        notes[f"{FLANNEL}public-ip-overwrite"] = OUTSIDE["n1"]

        assert not reported(small, "matches_annotations")

    def test_is_right_where_another_interface_has_it(self, small):
        """k3s with --flannel-iface and --flannel-external-ip on a node with two networks."""
        self.announce(small, external=False)
        host = small.document.namespaces[0]
        links = [*host.links, replace(link(9, "eth1", ""), mtu=1500)]
        small.change_netns(
            HOST, links=links, addresses=[*host.addresses, Address(9, OUTSIDE["n1"], 24)]
        )

        assert not reported(small, "matches_annotations")

    def test_an_address_that_nothing_shows_as_the_nodes_is_inconclusive(self, small):
        self.announce(small, external=False)

        (finding,) = small.findings("overlay.matches_annotations")
        assert "behind NAT" in finding.inconclusive

    def test_an_address_of_another_node_is_found(self, small):
        self.announce(small)
        notes = small.api["nodes"][0]["metadata"]["annotations"]
        notes[f"{FLANNEL}public-ip"] = OUTSIDE["n2"]

        (finding,) = small.findings("overlay.matches_annotations")
        assert not finding.inconclusive

    def test_a_device_whose_own_address_is_gone_is_found(self, small):
        self.announce(small)
        small.change_link(HOST, "flannel.1", vxlan_local="192.0.2.77")

        assert reported(small, "matches_annotations") == [
            ("VXLAN device IPv4", f"{MACS['n1']} at 192.0.2.77")
        ]

    @pytest.mark.parametrize("local", ["192.0.2.1", ""], ids=["bound", "not bound"])
    def test_the_mtu_is_compared_with_the_device_below(self, small, local):
        self.announce(small)
        small.change_link(HOST, "flannel.1", mtu=1500, vxlan_local=local)

        (finding,) = small.findings("overlay.mtu")
        assert finding.expected == "at most 1450 bytes: ens3 has MTU 1500"

    def test_without_a_route_to_the_others_the_device_below_is_unknown(self, small):
        self.announce(small)
        small.change_link(HOST, "flannel.1", mtu=1500, vxlan_local="")
        kept = [e for e in small.document.namespaces[0].routes if e.destination != "default"]
        small.change_netns(HOST, routes=kept)

        findings = small.findings("overlay.mtu")
        assert [bool(each.inconclusive) for each in findings] == [True]


@pytest.mark.parametrize("daemonset", ["cilium", "calico-node", "kube-ovn-cni", "weave-net"])
def test_annotations_outlast_flannel(small, daemonset):
    owner = {"kind": "DaemonSet", "name": daemonset, "controller": True}
    small.api["pods"][2]["metadata"]["ownerReferences"] = [owner]
    small.change_netns(
        HOST, links=[e for e in small.document.namespaces[0].links if e.name != "flannel.1"]
    )

    with pytest.raises(NotApplicable, match="connects the nodes"):
        small.findings("overlay.matches_annotations")


def test_flannel_beside_calico_still_joins_the_nodes(small):
    policies = deepcopy(small.api["pods"][2])
    policies["metadata"]["ownerReferences"] = [
        {"kind": "DaemonSet", "name": "calico-node", "controller": True}
    ]
    small.api["pods"].append(policies)
    small.change_link(HOST, "flannel.1", mac=STRANGER, flags=[])

    assert len(small.findings("overlay.matches_annotations")) == 1
    assert len(small.findings("cni.devices_up")) == 1


MAC6 = {"n1": "0a:00:00:00:01:01", "n2": "0a:00:00:00:01:02"}


def two_families(small: SmallCluster) -> None:
    """Both nodes have a second tunnel for IPv6, with its entries for the other node."""
    for number, (node, mac) in enumerate(zip(small.api["nodes"], MAC6.values(), strict=True), 1):
        node["metadata"]["annotations"] |= {
            f"{FLANNEL}backend-v6-data": f'{{"VNI":1,"VtepMAC":"{mac}"}}',
            f"{FLANNEL}public-ipv6": f"2001:db8::{number}",
        }
        node["spec"]["podCIDRs"].append(f"fd00:0:0:{number}::/64")
    host = small.document.namespaces[0]
    second = link(6, "flannel-v6.1", "vxlan", mac=MAC6["n1"], vxlan_local="2001:db8::1")
    small.change_netns(
        HOST,
        links=[*host.links, replace(second, mtu=1430)],
        addresses=[*host.addresses, Address(2, "2001:db8::1", 64)],
        routes=[
            *host.routes,
            Route(6, "fd00:0:0:2::/64", gateway="fd00:0:0:2::", index=6, onlink=True),
        ],
        neighbours=[*host.neighbours, Neighbour(6, "fd00:0:0:2::", MAC6["n2"], "PERMANENT")],
        fdb=[*host.fdb, Fdb(6, MAC6["n2"], "2001:db8::2", state="permanent")],
    )


class TestTwoFamilies:
    @pytest.fixture(autouse=True)
    def _both(self, small):
        two_families(small)

    def test_are_right_as_flannel_sets_them_up(self, small):
        for check in ("matches_annotations", "peers_complete", "no_stale_peers", "mtu"):
            assert not reported(small, check)

    def test_a_missing_entry_of_the_second_family_is_found(self, small):
        host = small.document.namespaces[0]
        small.change_netns(HOST, neighbours=host.neighbours[:1], fdb=host.fdb[:1])

        assert reported(small, "peers_complete") == [
            ("neighbour fd00:0:0:2::", "no entry"),
            (f"FDB {MAC6['n2']}", "no entry"),
        ]

    def test_a_missing_device_of_one_family_hides_nothing_of_the_other(self, small):
        host = small.document.namespaces[0]
        links = [each for each in host.links if each.name != "flannel.1"]
        small.change_netns(HOST, links=links, neighbours=host.neighbours[:1], fdb=host.fdb[:1])

        assert reported(small, "matches_annotations") == [("VXLAN device IPv4", "no such device")]
        assert [part for part, _ in reported(small, "peers_complete")] == [
            "neighbour fd00:0:0:2::",
            f"FDB {MAC6['n2']}",
        ]

    def test_stale_entries_are_named_by_their_device(self, small):
        host = small.document.namespaces[0]
        small.change_netns(
            HOST,
            neighbours=[*host.neighbours, Neighbour(6, "fd00:0:0:9::", STRANGER, "PERMANENT")],
            fdb=[*host.fdb, Fdb(6, STRANGER, "2001:db8::9"), Fdb(4, MAC6["n2"], "192.0.2.9")],
        )

        assert reported(small, "no_stale_peers") == [
            (f"FDB {STRANGER}", "at 2001:db8::9, on flannel-v6.1"),
            ("neighbour fd00:0:0:9::", f"{STRANGER} on flannel-v6.1"),
        ]

    def test_entries_of_other_devices_are_left_alone(self, small):
        host = small.document.namespaces[0]
        small.change_netns(
            HOST,
            neighbours=[*host.neighbours, Neighbour(2, "192.0.2.77", STRANGER, "PERMANENT")],
            fdb=[*host.fdb, Fdb(5, STRANGER, "192.0.2.9")],
        )

        assert not reported(small, "no_stale_peers")
        assert not reported(small, "peers_complete")

    @pytest.mark.parametrize(("mtu", "is_right"), [(1430, True), (1431, False)])
    def test_the_header_of_ipv6_is_longer(self, small, mtu, is_right):
        small.change_link(HOST, "flannel-v6.1", mtu=mtu)

        found = small.findings("overlay.mtu")
        assert [each.expected for each in found] == (
            [] if is_right else ["at most 1430 bytes: ens3 has MTU 1500"]
        )


def test_without_a_device_no_pod_is_too_large_for_it(small):
    links = [each for each in small.document.namespaces[0].links if each.kind != "vxlan"]
    small.change_netns(HOST, links=links)

    assert not small.findings("overlay.mtu")
