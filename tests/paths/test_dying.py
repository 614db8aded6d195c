"""One line is changed in a healthy cluster, and the trace names it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.changed_recordings import Document
from tests.paths.conftest import (
    CONF,
    FAR_GATEWAY,
    GATEWAY,
    NEAR_GATEWAY,
    WEB,
    Change,
    complete,
    on,
    with_rules,
)
from wirecheck.inspect.scene import Scene
from wirecheck.inspect.trace_view import TraceView
from wirecheck.model.node import Node
from wirecheck.snapshot.index import VisitRecord, VisitStatus


def dies(view: TraceView) -> tuple[str, str, str, str]:
    """Node, stage, reason and the last line of the hop at which the packet dies."""
    assert view.result == "dies", (view.result, view.reason)
    hop = view.paths[0].decisive
    assert hop is not None
    return hop.node, hop.stage, view.reason, hop.lines[-1] if hop.lines else ""


@pytest.mark.parametrize(
    ("rule", "table", "node", "stage"),
    [
        ("-A FORWARD -d 10.244.1.9/32 -j DROP", "filter", "wc-w2", "forward"),
        ("-A FORWARD -p tcp -m tcp --dport 8080 -j REJECT", "filter", "wc-w1", "forward"),
        ("-A PREROUTING -s 10.244.2.8/32 -j DROP", "mangle", "wc-w2", "prerouting"),
        ("-A PREROUTING -i flannel.1 -j DROP", "raw", "wc-w1", "prerouting"),
        ("-A INPUT -p udp -m udp --dport 8472 -j DROP", "filter", "wc-w1", "input"),
        ("-A OUTPUT -p udp -m udp --dport 8472 -j DROP", "filter", "wc-w2", "output"),
        ("-A FORWARD -m conntrack --ctstate NEW -j DROP", "filter", "wc-w1", "forward"),
    ],
)
def test_a_rule_that_drops(traced, rule: str, table: str, node: str, stage: str) -> None:
    view = traced(WEB, FAR_GATEWAY, complete, on(node, with_rules(rule, table=table)))

    died = dies(view)
    assert died[:2] == (node, stage)
    assert died[3].endswith(rule)


def test_a_rule_that_drops_answers_only(traced) -> None:
    rule = "-A FORWARD -s 10.244.1.9/32 -m conntrack --ctstate ESTABLISHED -j DROP"
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", with_rules(rule)))

    assert dies(view)[:2] == ("wc-w1", "forward")
    assert view.paths[0].there.result == "reaches"


@pytest.mark.parametrize(
    "rule",
    [
        "-A FORWARD -d 10.244.1.9/32 -p udp -j DROP",
        "-A FORWARD -d 10.244.1.99/32 -j DROP",
        "-A FORWARD -i eth0 -j DROP",
        "-A FORWARD -m conntrack --ctstate INVALID -j DROP",
        "-A FORWARD -d 10.244.1.9/32 -m mark --mark 0x1/0x1 -j DROP",
        "-A FORWARD -m limit --limit 5/min -j LOG",
    ],
)
def test_a_rule_for_other_packets_changes_nothing(traced, rule: str) -> None:
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", with_rules(rule)))

    assert view.result == "reaches"


@pytest.mark.parametrize(
    "match", ["-m limit --limit 5/min", "-m set --match-set banned src", "-m strange --with it"]
)
def test_an_unrecognised_match_that_decides(traced, match: str) -> None:
    rule = f"-A FORWARD -d 10.244.1.9/32 {match} -j DROP"
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", with_rules(rule)))

    assert view.result == "cannot be decided"
    hop = view.paths[0].decisive
    assert hop is not None
    assert hop.lines == [rule]


def test_an_unrecognised_match_that_does_not_decide(traced) -> None:
    rule = "-A PREROUTING -m strange --with it -j ACCEPT"
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", with_rules(rule, table="raw")))

    assert view.result == "reaches"


def host(change: Callable[[Document], None]) -> Callable[[Document], None]:
    """The change to the node's own netns."""
    return lambda document: change(document["namespaces"][0])


def without(part: str, **fields: object) -> Callable[[Document], None]:
    def change(netns: Document) -> None:
        kept = [e for e in netns[part] if any(e.get(k) != v for k, v in fields.items())]
        assert len(kept) < len(netns[part])
        netns[part] = kept

    return change


def changed(part: str, where: dict[str, object], **fields: object) -> Callable[[Document], None]:
    def change(netns: Document) -> None:
        found = [e for e in netns[part] if all(e.get(k) == v for k, v in where.items())]
        assert found
        for each in found:
            each.update(fields)

    return change


def added(part: str, **fields: object) -> Callable[[Document], None]:
    return lambda netns: netns[part].append(fields)


def pod(address: str, change: Callable[[Document], None]) -> Callable[[Document], None]:
    """The change to the netns that has the address."""

    def inside(document: Document) -> None:
        (own,) = (
            each
            for each in document["namespaces"]
            if any(a["address"] == address for a in each.get("addresses", ()))
        )
        change(own)

    return inside


FLANNEL = {"name": "flannel.1"}
TO_W2 = {"address": "10.244.1.0"}
FAULTS: dict[str, tuple[Change, str, str, str]] = {
    "no route to the other node": (
        on("wc-w2", host(without("routes", destination="10.244.1.0/24"))),
        *("wc-w2", "neighbour on eth0", ""),
    ),
    "a blackhole route": (
        on("wc-w2", host(changed("routes", {"destination": "10.244.1.0/24"}, type="blackhole"))),
        *("wc-w2", "routing", "blackhole 10.244.1.0/24 via 10.244.1.0 dev flannel.1"),
    ),
    "a routing rule that refuses": (
        on("wc-w2", host(added("rules", family=4, priority=50, table=0, source="10.244.2.8/32",
                               action="unreachable"))),
        *("wc-w2", "routing", "unreachable by routing rule 50"),
    ),
    "no neighbour for the peer's tunnel": (
        on("wc-w2", host(without("neighbours", address="10.244.1.0"))),
        *("wc-w2", "neighbour on flannel.1", ""),
    ),
    "no FDB entry": (
        on("wc-w2", host(without("fdb", mac="3a:87:61:d8:5f:4f"))),
        *("wc-w2", "FDB of flannel.1", ""),
    ),
    "an FDB entry that leads to another node": (
        on("wc-w2", host(changed("fdb", {"mac": "3a:87:61:d8:5f:4f"},
                                 destination="172.31.250.10"))),
        *("wc-cp", "tunnel", ""),
    ),
    "the tunnel device is down": (
        on("wc-w1", host(changed("links", FLANNEL, flags=["BROADCAST"]))),
        *("wc-w1", "tunnel", ""),
    ),
    "another VNI": (
        on("wc-w1", host(changed("links", FLANNEL, vxlan_id=7))),
        *("wc-w1", "tunnel", ""),
    ),
    "a permanent wrong neighbour": (
        on("wc-w1", host(changed("neighbours", {"address": "10.244.1.9"}, state="PERMANENT",
                                 mac="02:00:00:00:00:99"))),
        *("wc-w1", "bridge cni0", ""),
    ),
    "a pod without its address": (
        on("wc-w1", pod("10.244.1.9", without("addresses", address="10.244.1.9"))),
        *("wc-w1", "forwarding", "net/ipv4/conf/eth0/forwarding = 0"),
    ),
    "a pod without a default route": (
        on("wc-w2", pod("10.244.2.8", lambda netns: netns.update(routes=[]))),
        *("wc-w2", "routing", "no route"),
    ),
    "a pod's interface is down": (
        on("wc-w1", pod("10.244.1.9", changed("links", {"name": "eth0"}, flags=["BROADCAST"]))),
        *("wc-w1", "veth pair", ""),
    ),
    "a blocked bridge port": (
        on("wc-w2", host(changed("links", {"name": "veth92562b85"}, port_state=4))),
        *("wc-w2", "bridge cni0", ""),
    ),
    "an IPsec policy that blocks": (
        on("wc-w2", host(added("xfrm_policies", direction="fwd", action="block",
                               source="10.244.2.0/24", destination="10.244.1.0/24"))),
        *("wc-w2", "forward", "block fwd 10.244.2.0/24 to 10.244.1.0/24"),
    ),
    "a filter of tc that drops everything": (
        on("wc-w1", host(added("programs", index=2, hook="tc ingress", kind="matchall",
                               name="drop"))),
        *("wc-w1", "ingress of flannel.1", "flannel.1: tc ingress: matchall filter (drop)"),
    ),
    "the pod's address on another node": (
        on("wc-w2", host(added("addresses", index=1, address="10.244.1.9", prefix=32))),
        *("wc-w2", "socket", ""),
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(traced, fault: str) -> None:
    change, *expected = FAULTS[fault]
    view = traced(WEB, FAR_GATEWAY, complete, change)
    if fault == "no route to the other node":
        # The default route takes it to a router outside of the cluster.
        assert (view.result, view.paths[0].decisive.stage) == ("cannot be decided", "device eth0")
        return
    if fault == "the pod's address on another node":
        assert view.paths[0].there.hops[-1].node == "wc-w2"
        return

    node, stage, _, line = dies(view)
    assert [node, stage, line] == expected


@pytest.mark.parametrize(
    ("name", "device", "value", "stage"),
    [
        ("forwarding", "cni0", "0", "forwarding"),
        ("rp_filter", "flannel.1", "1", ""),
    ],
)
def test_sysctls_of_devices(traced, name: str, device: str, value: str, stage: str) -> None:
    def change(document: Document) -> None:
        document["files"][CONF.format(device, name)] = value

    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", change))

    if stage:
        assert dies(view)[:2] == ("wc-w2", stage)
    else:
        assert view.result == "reaches"


def test_strict_filtering_of_packets_that_are_answered_another_way(traced) -> None:
    def change(document: Document) -> None:
        document["files"][CONF.format("flannel.1", "rp_filter")] = "1"
        route = {
            "family": 4,
            "destination": "10.244.2.8/32",
            "index": 275,
            "gateway": "172.31.250.1",
        }
        document["namespaces"][0]["routes"].append(route)

    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", change))

    assert dies(view)[:2] == ("wc-w1", "source check")


def test_ports_that_are_isolated_from_each_other(traced) -> None:
    isolated = host(changed("links", {"port_kind": "bridge"}, port_isolated=True))

    between_pods = traced(WEB, NEAR_GATEWAY, complete, on("wc-w2", isolated))
    to_the_other_node = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", isolated))

    assert dies(between_pods)[:2] == ("wc-w2", "bridge cni0")
    assert to_the_other_node.result == "reaches"


@pytest.mark.parametrize("is_known", [True, False])
def test_a_port_that_gets_no_flooded_frames(traced, is_known: bool) -> None:
    def change(document: Document) -> None:
        own = document["namespaces"][0]
        port = next(e for e in own["fdb"] if e["mac"] == "a6:69:ed:cc:5f:a2")
        next(e for e in own["links"] if e["index"] == port["index"])["port_flooded"] = False
        own["fdb"] = own["fdb"] if is_known else [e for e in own["fdb"] if e != port]

    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", change))

    assert view.result == ("reaches" if is_known else "dies")
    if not is_known:
        assert dies(view)[1].startswith("bridge cni0")


@pytest.mark.parametrize(
    ("flags", "result"), [([], "cannot be decided"), (["master", "sticky"], "dies")]
)
def test_an_entry_of_the_bridge_for_another_port(traced, flags: list[str], result: str) -> None:
    """The kernel moves an entry to where frames from the MAC come in, unless it is sticky."""

    def change(document: Document) -> None:
        own = document["namespaces"][0]
        entry = next(e for e in own["fdb"] if e["mac"] == "a6:69:ed:cc:5f:a2")
        ports = [e["index"] for e in own["links"] if e.get("port_kind") == "bridge"]
        entry["index"] = next(each for each in ports if each != entry["index"])
        entry |= {"flags": flags, "state": "static"}

    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", change))

    assert view.result == result
    assert ("moves there" in view.reason) is (result != "dies")
    if result == "dies":
        assert dies(view)[:2] == ("wc-w1", "veth pair")


@pytest.mark.parametrize(
    ("value", "result"), [("0", "dies"), ("1", "reaches"), (None, "cannot be decided")]
)
def test_packets_to_a_loopback_address(traced, value: str | None, result: str) -> None:
    rule = with_rules(
        "-A PREROUTING -d 10.244.1.9/32 -p tcp -j DNAT --to-destination 127.0.0.1:8080", table="nat"
    )

    def change(document: Document) -> None:
        document["namespaces"][0]["listeners"] = [{"address": "127.0.0.1", "port": 8080}]
        if value is not None:
            document["files"][CONF.format("all", "route_localnet")] = "0"
            document["files"][CONF.format("cni0", "route_localnet")] = value

    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", rule), on("wc-w2", change))

    assert view.result == result, view.reason
    if result != "reaches":
        assert "route_localnet" in view.reason


@pytest.mark.parametrize(
    ("chain", "source", "arrives"),
    [
        ("PREROUTING", WEB, "tcp 10.244.2.8 > 10.244.2.1:8080"),
        ("OUTPUT", "node/wc-w2", "tcp 10.244.2.0 > 127.0.0.1:8080"),
    ],
)
def test_what_is_redirected_comes_to_the_device_that_took_it_in(
    traced, chain: str, source: str, arrives: str
) -> None:
    rule = with_rules(f"-A {chain} -d 10.244.1.9/32 -p tcp -j REDIRECT", table="nat")
    view = traced(source, FAR_GATEWAY, complete, on("wc-w2", rule))

    assert view.paths[0].there.arrives_as == arrives
    assert view.result == "reaches", view.reason


def test_a_device_without_an_address_takes_nothing_that_is_redirected(traced) -> None:
    def change(document: Document) -> None:
        own = document["namespaces"][0]
        cni0 = next(e["index"] for e in own["links"] if e["name"] == "cni0")
        own["addresses"] = [
            each for each in own["addresses"] if each["index"] != cni0 or ":" in each["address"]
        ]

    rule = with_rules("-A PREROUTING -d 10.244.1.9/32 -p tcp -j REDIRECT", table="nat")
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", rule), on("wc-w2", change))

    assert dies(view)[1] == "prerouting"


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ("-A PREROUTING -s 10.244.2.8/32 -j CT --zone 7", "cannot be decided"),
        ("-A PREROUTING -s 10.244.2.8/32 -j CT --zone-orig 7", "cannot be decided"),
        ("-A PREROUTING -s 10.244.2.99/32 -j CT --zone 7", "reaches"),
    ],
)
def test_a_conntrack_zone_of_its_own(traced, rule: str, result: str) -> None:
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", with_rules(rule, table="raw")))

    assert view.result == result, view.reason
    assert ("zone" in view.reason) is (result != "reaches")


@pytest.mark.parametrize(("protocol", "result"), [("tcp", "dies"), ("udp", "cannot be decided")])
def test_a_rule_for_the_source_that_the_kernel_chooses(traced, protocol: str, result: str) -> None:
    """A connection is routed again by its source; so are datagrams of a connected socket."""

    def change(document: Document) -> None:
        own = document["namespaces"][0]
        rule = {"family": 4, "priority": 5, "table": 0, "source": "10.244.2.0/24"}
        rule |= {"action": "blackhole"}
        own["rules"] = [rule, *own["rules"]]

    view = traced(
        "node/wc-w2", FAR_GATEWAY, complete, on("wc-w2", change), protocol=protocol, port="8080"
    )

    assert view.result == result, view.reason


def test_masquerading_takes_the_address_in_the_network_of_the_next_hop(traced) -> None:
    def change(document: Document) -> None:
        own = document["namespaces"][0]
        eth0 = next(e for e in own["links"] if e["name"] == "eth0")["index"]
        own["addresses"].append({"index": eth0, "address": "192.0.2.7", "prefix": 24})
        default = next(e for e in own["routes"] if e["destination"] == "default")
        default["gateway"] = "192.0.2.1"

    view = traced(WEB, "203.0.113.9:443", complete, on("wc-w2", change))

    assert "as tcp 192.0.2.7 > 203.0.113.9:443" in view.reason


def test_two_chains_of_one_priority_that_translate(traced) -> None:
    """Both variants of iptables have the rules: the node does not show which was loaded last."""

    def change(document: Document) -> None:
        commands = document["commands"]
        found = dict(commands["iptables-nft-save"])
        found["output"] = found["output"].replace("iptables-nft", "iptables-legacy")
        commands["iptables-legacy-save"] = found

    view = traced(WEB, GATEWAY, complete, on("wc-w2", change))

    assert view.result == "cannot be decided"
    assert "two chains of the same priority" in view.reason


def test_one_isolated_port_and_an_ordinary_one_exchange_frames(traced) -> None:
    isolated = host(changed("links", {"name": "veth92562b85"}, port_isolated=True))

    assert traced(WEB, NEAR_GATEWAY, complete, on("wc-w2", isolated)).result == "reaches"


def test_a_pod_that_answers_no_arp(traced) -> None:
    def ignore(netns: Document) -> None:
        netns["settings"]["net/ipv4/conf/eth0/arp_ignore"] = "8"

    def forget(document: Document) -> None:
        own = document["namespaces"][0]
        own["neighbours"] = [e for e in own["neighbours"] if e["address"] != "10.244.1.9"]

    view = traced(
        WEB, FAR_GATEWAY, complete, on("wc-w1", forget), on("wc-w1", pod("10.244.1.9", ignore))
    )

    assert dies(view)[:2] == ("wc-w1", "neighbour on cni0")


def test_a_pod_that_was_not_seen_may_have_the_address(traced) -> None:
    """The netns of a pod cannot be entered: it is not known whether it answers."""

    def hide(document: Document) -> None:
        own = document["namespaces"]
        own[0]["neighbours"] = [e for e in own[0]["neighbours"] if e["address"] != "10.244.1.9"]
        hidden = next(e for e in own if any(a["address"] == "10.244.1.9" for a in e["addresses"]))
        own.remove(hidden)

    view = traced(WEB, "10.244.1.9:8080", complete, on("wc-w1", hide))

    assert view.result == "cannot be decided"
    assert "was not seen" in view.reason


def forgotten(where: str) -> Callable[[Document], None]:
    """The node asks again who has the address."""

    def change(document: Document) -> None:
        own = document["namespaces"][0]
        own["neighbours"] = [e for e in own["neighbours"] if e["address"] != where]

    return change


def other_way(netns: Document) -> None:
    """The pod sends to its node's bridge by a device that does not exist otherwise."""
    netns["links"].append({"index": 9, "name": "eth1", "kind": "dummy", "flags": ["UP"]})
    netns["routes"].append({"family": 4, "destination": "10.244.1.1/32", "index": 9})


def with_setting(name: str, value: str) -> Callable[[Document], None]:
    def change(netns: Document) -> None:
        netns["settings"][f"net/ipv4/conf/eth0/{name}"] = value

    return change


@pytest.mark.parametrize(
    ("name", "value", "is_other_way", "line"),
    [
        ("arp_ignore", "1", False, None),
        ("arp_filter", "1", False, None),
        ("arp_filter", "1", True, "net/ipv4/conf/eth0/arp_filter = 1"),
        ("arp_ignore", "8", True, "net/ipv4/conf/eth0/arp_ignore = 8"),
        ("rp_filter", "1", True, None),
    ],
)
def test_settings_for_arp(traced, name: str, value: str, is_other_way: bool, line) -> None:
    target = [pod("10.244.1.9", with_setting(name, value))]
    target += [pod("10.244.1.9", other_way)] if is_other_way else []
    changes = [on("wc-w1", each) for each in (forgotten("10.244.1.9"), *target)]
    view = traced(WEB, FAR_GATEWAY, complete, *changes)

    if not is_other_way:
        assert view.result == "reaches"
    else:
        hop = view.paths[0].decisive
        assert (view.result, hop.node, hop.stage) == ("dies", "wc-w1", "neighbour on cni0")
        assert ("rp_filter" in view.reason) if line is None else (hop.lines[-1] == line)


def test_who_is_asked_learns_the_askers_address(traced) -> None:
    """The pod answers its node's question, and needs none for the answer."""

    def silent(document: Document) -> None:
        document["files"][CONF.format("cni0", "arp_ignore")] = "8"

    def knows_nobody(netns: Document) -> None:
        netns["neighbours"] = []

    forgets = on("wc-w1", forgotten("10.244.1.9")), on("wc-w1", pod("10.244.1.9", knows_nobody))
    silenced = on("wc-w1", silent)

    assert traced(WEB, FAR_GATEWAY, complete, *forgets, silenced).result == "reaches"
    assert traced(FAR_GATEWAY, WEB, complete, *forgets, silenced).result == "dies"


def test_a_permanent_entry_is_not_learned_again(traced) -> None:
    """The node asks for the pod and the pod learns from it, but keeps its own wrong entry."""

    def wrong(netns: Document) -> None:
        netns["neighbours"] = [{"index": 2, "address": "10.244.1.1", "state": "PERMANENT",
                                "mac": "02:00:00:00:00:99"}]  # fmt: skip
        netns["neighbours"][0]["index"] = next(
            each["index"] for each in netns["links"] if each["name"] == "eth0"
        )

    changes = on("wc-w1", forgotten("10.244.1.9")), on("wc-w1", pod("10.244.1.9", wrong))
    view = traced(WEB, FAR_GATEWAY, complete, *changes)

    assert (view.result, view.paths[0].there.result) == ("dies", "reaches")


@pytest.mark.parametrize(("to", "result"), [(GATEWAY, "cannot be decided"), (FAR_GATEWAY, "dies")])
def test_a_wrong_mac_of_the_gateway(traced, to: str, result: str) -> None:
    """With bridge-nf-call rules translate the frame first, and it gets the right MAC."""

    def wrong(netns: Document) -> None:
        index = next(each["index"] for each in netns["links"] if each["name"] == "eth0")
        entry = {"index": index, "address": "10.244.2.1", "mac": "02:00:00:00:00:99"}
        kept = [each for each in netns["neighbours"] if each["address"] != "10.244.2.1"]
        netns["neighbours"] = [*kept, {**entry, "state": "PERMANENT"}]

    view = traced(WEB, to, complete, on("wc-w2", pod("10.244.2.8", wrong)))

    assert view.result == result
    assert "02:00:00:00:00:99" in view.reason


def test_a_connection_is_routed_again_once_its_source_is_chosen(traced) -> None:
    refused = added("rules", family=4, priority=3, table=0, source="10.244.2.1/32",
                    action="blackhole")  # fmt: skip
    view = traced("node/wc-w2", NEAR_GATEWAY, complete, on("wc-w2", host(refused)))

    assert dies(view)[:2] == ("wc-w2", "routing")


def test_another_node_that_has_the_pods_address_takes_its_packets(traced) -> None:
    address = host(added("addresses", index=1, address="10.244.1.9", prefix=32))
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", address))

    assert dies(view) == (
        "wc-w2",
        "socket",
        "the node on wc-w2 has the address 10.244.1.9 and takes the packet of "
        "pod shop/gateway-58bcb6f5dc-dnhn6",
        "10.244.1.9 dev lo",
    )


def test_a_route_of_the_type_local_takes_packets_of_a_pod(traced) -> None:
    route = {"family": 4, "destination": "10.244.1.8/30", "table": 255, "type": "local"}
    local = host(lambda netns: netns.update(local_routes=[{**route, "index": 1}]))
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", local))

    assert dies(view)[:2] == ("wc-w2", "socket")
    assert dies(view)[3].startswith("local 10.244.1.8/30")


@pytest.mark.parametrize("is_on", [True, False])
def test_a_pod_reaches_itself_through_a_service_with_hairpin_mode(traced, is_on: bool) -> None:
    """The translated frame stays in the bridge, and leaves by the port at which it came in."""
    ports = host(changed("links", {"port_kind": "bridge"}, port_hairpin=is_on))
    view = traced(NEAR_GATEWAY, GATEWAY, complete, on("wc-w2", ports))

    assert view.result == ("reaches" if is_on else "dies")
    if not is_on:
        assert dies(view)[1] == "bridge cni0"
        assert "where it came in" in view.reason
        assert [each.result for each in view.paths] == ["dies", "reaches"]


@pytest.mark.parametrize("calls", ["0", "1"])
def test_isolated_ports_and_a_service_on_the_node(traced, calls: str) -> None:
    """Without bridge-nf-call the packet is routed, but its answer goes from port to port."""

    def change(document: Document) -> None:
        document["files"]["/proc/sys/net/bridge/bridge-nf-call-iptables"] = calls
        for each in document["namespaces"][0]["links"]:
            if each.get("port_kind") == "bridge":
                each["port_isolated"] = True

    view = traced(WEB, GATEWAY, complete, on("wc-w2", change))

    reasons = [each.reason for each in view.paths if each.result == "dies"]
    assert len(reasons) == 1
    assert "are isolated from each other" in reasons[0]


def test_a_node_that_was_not_visited(traced, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Scene.node

    def node(scene: Scene, name: str) -> Node:
        found = known(scene, name)
        if name != "wc-w1":
            return found
        visit = VisitRecord(VisitStatus.UNREACHABLE, reason="wc-w1 refuses the connection.")
        return Node(scene.cluster, found.seen.object, visit, None)

    monkeypatch.setattr(Scene, "node", node)
    view = traced(WEB, "10.244.1.9:8080", complete)

    assert view.result == "cannot be decided"
    assert view.reason == "node wc-w1 was not seen: wc-w1 refuses the connection."


def test_a_device_that_answers_for_others(traced) -> None:
    def change(document: Document) -> None:
        own = document["namespaces"][0]
        own["neighbours"] = [e for e in own["neighbours"] if e["address"] != "10.244.1.9"]

    def answers_for_others(netns: Document) -> None:
        netns["settings"]["net/ipv4/conf/eth0/proxy_arp"] = "1"
        netns["addresses"] = [e for e in netns["addresses"] if e["address"] != "10.244.1.9"]

    changes = on("wc-w1", change), on("wc-w1", pod("10.244.1.9", answers_for_others))
    view = traced(WEB, "10.244.1.9:8080", complete, *changes)

    assert view.result == "cannot be decided"
    assert "proxy_arp" in view.reason


def test_a_branch_of_a_service_that_dies(traced) -> None:
    rule = "-A FORWARD -d 10.244.1.9/32 -j DROP"
    view = traced(WEB, GATEWAY, complete, on("wc-w2", with_rules(rule)))

    assert view.result == "dies"
    assert [(each.result, each.share) for each in view.paths] == [("dies", 0.5), ("reaches", 0.5)]


def test_a_service_without_nat(traced) -> None:
    rule = "-A PREROUTING -d 10.96.120.245/32 -j CT --notrack"
    view = traced(WEB, GATEWAY, complete, on("wc-w2", with_rules(rule, table="raw")))

    hops = [each.text for path in view.paths for each in path.there.hops]
    assert "exempt from connection tracking" in hops
    assert view.result == "cannot be decided"


def test_an_answer_that_is_not_translated_back(traced) -> None:
    """Without bridge-nf-call, answers between two ports of a bridge pass conntrack by."""

    def turn_off(document: Document) -> None:
        document["files"]["/proc/sys/net/bridge/bridge-nf-call-iptables"] = "0"

    view = traced(WEB, GATEWAY, complete, on("wc-w2", turn_off))

    assert dies(view)[1:3] == (
        "socket",
        "the answer comes from 10.244.2.12 port 8080, and 10.96.120.245:80 was asked",
    )
    assert [each.result for each in view.paths] == ["dies", "reaches"]


@pytest.mark.parametrize(("ttl", "result"), [(1, "dies"), (2, "reaches")])
def test_a_rule_that_sets_the_ttl(traced, ttl: int, result: str) -> None:
    rule = f"-A PREROUTING -s 10.244.2.8/32 -j TTL --ttl-set {ttl}"
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", with_rules(rule, table="mangle")))

    assert view.result == result
    if result == "dies":
        assert dies(view)[1:] == ("forwarding", "its TTL has run out", rule)


def test_a_rule_that_may_set_the_ttl(traced) -> None:
    rule = "-A PREROUTING -m limit --limit 5/min -j TTL --ttl-set 1"
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", with_rules(rule, table="mangle")))

    assert (view.result, view.paths[0].decisive.lines) == ("cannot be decided", [rule])


def test_a_pod_reaches_itself_through_a_service(traced) -> None:
    """Its packets come back to it from the node's address, and its answers to the Service's."""
    view = traced("pod/shop/gateway-58bcb6f5dc-j6wsv", GATEWAY, complete)

    own = next(each for each in view.paths if "10.244.2.12:8080" in each.there.arrives_as)
    assert own.there.arrives_as == "tcp 10.244.2.1 > 10.244.2.12:8080"
    assert (own.result, own.back.arrives_as) == (
        "reaches",
        "tcp 10.96.120.245:80 > 10.244.2.12",
    )


@pytest.mark.parametrize(
    ("part", "entry"),
    [
        ("neighbours", {"index": 3, "address": "nowhere", "state": "STALE", "mac": "x"}),
        ("routes", {"family": 4, "destination": "nowhere/99", "index": 3}),
        ("rules", {"family": 4, "priority": 1, "table": 254, "source": "nowhere"}),
        ("xfrm_policies", {"direction": "fwd", "action": "block", "source": "x",
                           "destination": "y"}),
        ("addresses", {"index": 3, "address": "nowhere", "prefix": 24}),
    ],
)  # fmt: skip
def test_what_a_node_invents_decides_nothing(traced, part: str, entry: Document) -> None:
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", host(added(part, **entry))))

    assert view.result == "cannot be decided"


def test_nobody_listens(traced) -> None:
    view = traced(WEB, FAR_GATEWAY, complete, port="81")

    assert dies(view)[1:3] == ("socket", "no process listens on port 81: the connection is refused")


def test_routes_in_a_circle_end(traced) -> None:
    def back(document: Document) -> None:
        own = document["namespaces"][0]
        own["routes"] = [e for e in own["routes"] if e["destination"] != "10.244.1.0/24"]
        own["routes"].append(
            {"family": 4, "destination": "10.244.1.0/24", "gateway": "10.244.2.0", "index": 2}
        )

    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", back))

    assert view.result == "cannot be decided"
    assert view.reason == "it does not end after 200 hops"


def test_every_backend_meets_the_later_tables_of_a_hook(traced) -> None:
    """Table nat chooses a backend at OUTPUT, before table filter meets the packets to each."""
    rule = "-A OUTPUT -p tcp -m tcp --dport 8080 -j DROP"
    view = traced("node/wc-w2", GATEWAY, complete, on("wc-w2", with_rules(rule)))

    assert [(each.result, each.decisive.lines[-1:]) for each in view.paths] == [
        ("dies", [f"filter: {rule}"])
    ] * 2


@pytest.mark.parametrize(("chain", "table", "result"), [
    ("PREROUTING", "mangle", "dies"),
    ("OUTPUT", "mangle", "reaches"),
])  # fmt: skip
def test_a_mark_of_the_outer_packet_stays_on_the_inner_one(
    traced, chain: str, table: str, result: str
) -> None:
    """The mark is set on what comes in by the tunnel's port; a routing rule asks for it."""
    mark = f"-A {chain} -p udp -m udp --dport 8472 -j MARK --set-xmark 0x77/0xffffffff"

    def change(document: Document) -> None:
        with_rules(mark, table=table)(document)
        own = document["namespaces"][0]
        rule = {"family": 4, "priority": 5, "table": 0, "mark": "0x77", "action": "blackhole"}
        own["rules"] = [*own["rules"][:1], rule, *own["rules"][1:]]

    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w1", change), one_way=True)

    assert view.result == result, view.reason


@pytest.mark.parametrize(("kind", "result"), [("veth", "dies"), ("", "cannot be decided")])
def test_the_receiving_node_has_a_smaller_mtu(traced, kind: str, result: str) -> None:
    small = host(changed("links", {"name": "eth0"}, mtu=1000, kind=kind))
    view = traced(
        WEB, FAR_GATEWAY, complete, on("wc-w1", small), protocol="udp", port="8080", size=1200
    )

    assert view.result == result, view.reason
    assert "MTU of eth0" in view.reason
