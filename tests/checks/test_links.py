"""The checks of veth pairs, each on a cluster where one thing is broken."""

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import HOST, WEB_NETNS, link
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.snapshot.netns import Address, Link, Namespace, Route
from wirecheck.snapshot.node_document import Counters, TrafficSample


def test_a_pod_with_lo_alone_is_found(small):
    small.change_netns(WEB_NETNS, links=[])

    (finding,) = small.findings("links.veth_pairs_complete")
    assert finding.expected == "an interface other than lo"


def test_a_missing_node_side_is_found(small):
    links = [each for each in small.document.namespaces[0].links if each.name != "veth12"]
    small.change_netns(HOST, links=links)

    (finding,) = small.findings("links.veth_pairs_complete")
    assert finding.expected == "interface 12 on the node as the other end"


def test_a_node_side_that_has_a_peer_in_another_netns_is_found(small):
    small.change_link(HOST, "veth12", peer_nsid=7)

    (finding,) = small.findings("links.veth_pairs_complete")
    assert finding.found == "veth12 points to interface 2 of netns 7"


@pytest.mark.parametrize(
    ("inode", "name"), [(HOST, "veth12"), (WEB_NETNS, "eth0")], ids=["node side", "pod side"]
)
def test_an_end_that_is_down_is_found(small, inode, name):
    small.change_link(inode, name, flags=["BROADCAST"])

    (finding,) = small.findings("links.up")
    assert (finding.subject.name, finding.subject.part) == ("web", name)


def test_unequal_mtu_is_found(small):
    small.change_link(HOST, "veth12", mtu=1500)

    (finding,) = small.findings("links.equal_mtu")
    assert finding.found == "1500 bytes on veth12"


def test_an_end_off_its_bridge_is_found(small):
    small.change_link(HOST, "veth12", master=None)

    (finding,) = small.findings("links.attached")
    assert finding.expected == "veth12 on bridge cni0"
    assert dict(finding.names)["device"] == "veth12"


def test_an_end_on_another_bridge_is_found(small):
    other = link(6, "docker0", "bridge")
    small.change_netns(HOST, links=[*small.document.namespaces[0].links, other])
    small.change_link(HOST, "veth12", master=6)

    (finding,) = small.findings("links.attached")
    assert finding.found == "on docker0"


def test_a_route_stands_for_the_bridge_where_there_is_none(small):
    links = [each for each in small.document.namespaces[0].links if each.kind != "bridge"]
    routes = [Route(4, f"10.244.0.{n}/32", index=index) for n, index in ((2, 11), (3, 12))]
    small.change_netns(HOST, links=links, routes=routes)
    for name in ("veth11", "veth12"):
        small.change_link(HOST, name, master=None)
    assert not small.findings("links.attached")

    small.change_netns(HOST, routes=routes[:1])
    (finding,) = small.findings("links.attached")
    assert finding.expected == "a route to the pod's address through veth12"


def test_a_datapath_without_bridge_and_routes_is_not_evaluated(small):
    owner = {"kind": "DaemonSet", "name": "cilium", "controller": True}
    small.api["pods"][2]["metadata"]["ownerReferences"] = [owner]

    with pytest.raises(NotApplicable, match="Cilium"):
        small.findings("links.attached")


def test_a_pair_with_both_ends_on_the_node_warns(small):
    pair = [link(20, "left", peer_index=21), link(21, "right", peer_index=20)]
    small.change_netns(HOST, links=[*small.document.namespaces[0].links, *pair])

    findings = small.findings("links.no_orphaned_veths")
    assert {(each.subject.part, each.level) for each in findings} == {
        ("left", Level.WARN),
        ("right", Level.WARN),
    }


def test_a_veth_into_a_netns_without_processes_warns(small):
    small.change_netns(
        HOST, links=[*small.document.namespaces[0].links, link(20, "v", peer_nsid=9)]
    )

    (finding,) = small.findings("links.no_orphaned_veths")
    assert finding.found == "in netns 9, which has no process"


def test_the_number_of_orphans_that_is_borne_can_be_raised(small):
    small.change_netns(
        HOST, links=[*small.document.namespaces[0].links, link(20, "v", peer_nsid=9)]
    )
    small.thresholds["links.orphans"] = 1

    assert not small.findings("links.no_orphaned_veths")


def test_a_port_without_hairpin_warns(small):
    small.change_link(HOST, "veth12", port_hairpin=False)

    (finding,) = small.findings("links.hairpin")
    assert (finding.subject.name, finding.level) == ("web", Level.WARN)


def test_a_promiscuous_bridge_needs_no_hairpin(small):
    small.change_link(HOST, "veth12", port_hairpin=False)
    small.change_link(HOST, "cni0", flags=["UP", "PROMISC"])
    assert not small.findings("links.hairpin")


@pytest.mark.parametrize(
    ("state", "text"), [(4, "blocking"), (2, "learning"), (1, "listening"), (0, "disabled")]
)
def test_a_port_that_does_not_forward_is_found(small, state, text):
    small.change_link(HOST, "veth12", port_state=state)

    (finding,) = small.findings("links.bridge_ports_forwarding")
    assert dict(finding.names)["bridge"] == "cni0"
    assert finding.found == f"it is {text}"


def test_a_port_that_is_down_is_left_to_its_own_check(small):
    small.change_link(HOST, "veth12", port_state=0, flags=[])
    assert not small.findings("links.bridge_ports_forwarding")


@pytest.mark.parametrize(
    ("ports", "level"), [(900, None), (901, Level.WARN), (1010, Level.WARN), (1011, Level.FAIL)]
)
def test_a_bridge_that_fills_up_is_found(small, ports, level):
    more = [link(100 + n, f"v{n}", master=5, peer_nsid=1) for n in range(ports - 2)]
    small.change_netns(HOST, links=[*small.document.namespaces[0].links, *more])

    findings = small.findings("links.bridge_port_capacity")
    assert [(e.subject.part, e.level) for e in findings] == ([("cni0", level)] if level else [])


def deserted(number: int, mounted: str = "/run/netns/cni-00000000-0000-0000-0000-{:012}"):
    return Namespace(inode=500 + number, mounted=mounted.format(number))


@pytest.mark.parametrize(
    "mounted",
    [
        "/run/netns/cni-00000000-0000-0000-0000-{:012}",
        "/var/run/netns/00000000-0000-0000-0000-{:012}",
        "/run/docker/netns/{:012}",
    ],
)
def test_namespaces_that_are_left_of_pods_are_found(small, mounted):
    own = small.document.namespaces
    small.change_document(namespaces=[*own, *(deserted(n, mounted) for n in range(5))])
    assert not small.findings("links.no_leaked_netns")

    small.change_document(namespaces=[*own, *(deserted(n, mounted) for n in range(6))])
    findings = small.findings("links.no_leaked_netns")
    assert [each.level for each in findings] == [Level.WARN] * 6


def test_namespaces_of_others_and_those_with_a_process_are_ignored(small):
    own = small.document.namespaces
    others = [deserted(n, "/run/netns/vpn-{}") for n in range(9)]
    living = [replace(deserted(n), inode=700 + n, processes=1) for n in range(9)]
    small.change_document(namespaces=[*own, *others, *living])

    assert not small.findings("links.no_leaked_netns")


def losing(small, **counters):
    now = Counters(**{"received": 3000, "sent": 3000, **counters})
    before = TrafficSample(1.0, 3, {"ens3": Counters(received=1000, sent=1000)})
    small.change_document(traffic=[before, TrafficSample(3.0, 3, {"ens3": now})])
    return [(each.subject.part, each.found) for each in small.findings("links.no_packet_drops")]


@pytest.mark.parametrize(
    ("counter", "where"),
    [
        ("receive_dropped", "incoming"),
        ("receive_errors", "incoming"),
        ("send_dropped", "outgoing"),
        ("send_errors", "outgoing"),
    ],
)
def test_a_device_that_loses_packets_is_found(small, counter, where):
    assert not losing(small, **{counter: 9})
    assert losing(small, **{counter: 20}) == [(f"ens3, {where}", "20 of 2,020 packets")]


def test_what_a_tunnel_knows_no_way_for_is_not_lost_on_the_wire(small):
    before = TrafficSample(1.0, 3, {"flannel.1": Counters(received=1000, sent=1000)})
    now = TrafficSample(3.0, 3, {"flannel.1": Counters(received=3000, sent=3000, send_dropped=20)})
    small.change_document(traffic=[before, now])
    assert not small.findings("links.no_packet_drops")


def test_a_queue_of_a_cpu_without_room_is_found(small):
    before, after = small.document.traffic
    small.change_document(traffic=[before, replace(after, softnet_dropped=53)])
    (finding,) = small.findings("links.no_packet_drops")
    assert (finding.subject.part, finding.level) == ("queues of the CPUs", Level.WARN)


def test_a_device_that_was_made_anew_is_not_compared(small):
    assert not losing(small, received=5, receive_dropped=900)


def test_counters_that_were_not_read_are_reported(small):
    small.change_document(traffic=[])
    with pytest.raises(NotApplicable, match="not read twice"):
        small.findings("links.no_packet_drops")
    small.change_document(problems=["Traffic: OSError: no."])
    with pytest.raises(FactMissingError):
        small.findings("links.no_packet_drops")


def orphans(small) -> list[str]:
    return [each.subject.part for each in small.findings("links.no_orphaned_veths")]


def give_links(small, *more, addresses=()) -> None:
    host = small.document.namespaces[0]
    small.change_netns(HOST, links=[*host.links, *more], addresses=[*host.addresses, *addresses])


def test_a_pair_that_joins_a_bridge_to_a_switch_is_no_orphan(small):
    switch = Link(30, "lbr0", flags=["UP"], mtu=1450, kind="bridge")
    one, other = link(31, "vx1", peer_index=32, master=5), link(32, "vx2", peer_index=31)
    give_links(small, switch, one, replace(other, master=30))
    assert orphans(small) == []

    # Docker stopped between attaching one end and moving the other into the container.
    small.change_link(HOST, "vx2", master=None)
    assert orphans(small) == ["vx1", "vx2"]


@pytest.mark.parametrize(
    ("one", "other", "masters"),
    [
        ("bpfin.cali", "bpfout.cali", (None, None)),
        ("vethwe-bridge", "vethwe-pcap", (5, None)),
    ],
    ids=["Calico with eBPF", "Weave Net without its fast datapath"],
)
def test_a_pair_of_the_plugins_own_is_no_orphan(small, one, other, masters):
    ends = link(31, one, peer_index=32), link(32, other, peer_index=31)
    give_links(small, *(replace(e, master=m) for e, m in zip(ends, masters, strict=True)))

    assert orphans(small) == []


@pytest.mark.parametrize(
    ("protocol", "found"), [(3, []), (2, ["in0", "out0"])], ids=["of a program", "of the kernel"]
)
def test_a_pair_that_a_route_goes_into_is_no_orphan(small, protocol, found):
    give_links(small, link(31, "in0", peer_index=32), link(32, "out0", peer_index=31))
    routes = small.document.namespaces[0].routes
    way = Route(4, "169.254.1.1/32", index=31, scope="link", protocol=protocol)
    small.change_netns(HOST, routes=[*routes, way])

    assert orphans(small) == found


@pytest.mark.parametrize(
    ("networks", "found"),
    [([("172.19.0.3", 16)], []), ([("10.244.0.1", 32)], ["eth1"]), ([], ["eth1"])],
    ids=["a network", "the gateway that ptp gives each pair", "none"],
)
def test_an_uplink_of_a_node_that_is_a_container_is_no_orphan(small, networks, found):
    own = [Address(50, address, length) for address, length in networks]
    give_links(small, link(50, "eth1", peer_index=701, peer_nsid=0), addresses=own)

    assert orphans(small) == found


def test_devices_into_the_netns_of_an_uplink_are_uplinks(small):
    small.change_link(HOST, "ens3", kind="veth", peer_index=700, peer_nsid=0)
    give_links(
        small,
        link(50, "eth1", peer_index=701, peer_nsid=0),
        link(51, "left", peer_index=2, peer_nsid=9),
    )

    assert orphans(small) == ["left"]


SWITCH = Link(3, "ovs-system", flags=[], mtu=1500, kind="openvswitch")


def use_open_vswitch(small, *pods: str) -> None:
    """Turns pods' pairs into ports of a switch, of a plugin that nothing is known about."""
    small.api["pods"].pop(2)
    for node in small.api["nodes"]:
        node["metadata"]["annotations"] = {}
    host = small.document.namespaces[0]
    kept = [each for each in host.links if each.name not in ("cni0", "flannel.1")]
    on = {f"veth{11 + ['dns', 'web'].index(pod)}" for pod in pods}
    ports = [replace(each, master=3 if each.name in on else None) for each in kept]
    small.change_netns(
        HOST, links=[SWITCH, *ports], routes=[each for each in host.routes if each.index == 2]
    )


def test_ports_of_open_vswitch_need_no_bridge(small):
    use_open_vswitch(small, "dns", "web")

    with pytest.raises(NotApplicable, match="Open vSwitch forwards to pods"):
        small.findings("links.attached")
    with pytest.raises(NotApplicable, match="no pod of this node is on a bridge"):
        small.findings("nodes.bridge_nf_call")


def test_a_pod_whose_port_left_the_switch_is_found(small):
    use_open_vswitch(small, "dns")

    (finding,) = small.findings("links.attached")
    assert (finding.subject.name, finding.expected) == ("web", "veth12 on ovs-system")


def test_pods_that_are_neither_bridged_nor_routed_may_be_reached_in_another_way(small):
    use_open_vswitch(small)

    with pytest.raises(NotApplicable, match="an unknown CNI plugin delivers to pods in another"):
        small.findings("links.attached")


def test_a_bridge_without_its_pods_is_found_with_a_plugin_that_bridges(small):
    small.change_link(HOST, "veth11", master=None)
    small.change_link(HOST, "veth12", master=None)

    assert [each.expected for each in small.findings("links.attached")] == [
        "veth11 on bridge cni0",
        "veth12 on bridge cni0",
    ]


def test_of_an_unknown_plugin_one_pod_without_a_route_is_found(small):
    use_open_vswitch(small)
    host = small.document.namespaces[0]
    small.change_netns(HOST, routes=[*host.routes, Route(4, "10.244.0.2/32", index=11)])

    (finding,) = small.findings("links.attached")
    assert finding.expected == "a route to the pod's address through veth12"


def test_no_remedy_moves_a_device_to_a_bridge():
    (check,) = [each for each in load() if each.id == "links.attached"]

    assert "master" not in check.remedy


def test_a_link_between_two_containers_that_are_nodes_is_no_orphan(small):
    give_links(
        small,
        link(50, "eth1", peer_index=3, peer_nsid=7),
        link(51, "left", peer_index=2, peer_nsid=9),
    )
    leaked = Namespace(9, nsid=9, mounted="/run/netns/cni-left")
    small.change_document(namespaces=[*small.document.namespaces, leaked])
    assert orphans(small) == ["eth1", "left"]

    small.change_document(host=replace(small.document.host, virtualised="container"))
    assert orphans(small) == ["left"]
