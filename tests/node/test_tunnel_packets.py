"""A filter that refuses what other nodes send through tunnels cuts off the pods of the node."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.checks.small_cluster import FILTER, HOST, SmallCluster, api_pod
from tests.network.all_clusters import CLUSTERS
from wirecheck.catalogue.findings import Finding, NotApplicable
from wirecheck.snapshot.netns import Address, Link, Route

CHECK = "firewall.forwards_pods"
USUAL = (
    "-A INPUT -i lo -j ACCEPT",
    "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A INPUT -p tcp -m multiport --dports 22,6443,10250 -j ACCEPT",
)
REST = "-A INPUT -j REJECT --reject-with icmp-host-prohibited"


@pytest.fixture
def small() -> SmallCluster:
    cluster = SmallCluster()
    cluster.change_link(HOST, "flannel.1", vxlan_id=1, vxlan_port=8472)
    return cluster


def put(small: SmallCluster, *rules: str, policy: str = "ACCEPT") -> None:
    """Rules in front of the others of chain INPUT."""
    text = FILTER.replace(":INPUT ACCEPT", f":INPUT {policy}")
    first = "".join(f"{each}\n" for each in rules)
    small.change_output("iptables-nft-save", text.replace("-A INPUT -j", f"{first}-A INPUT -j", 1))


def found(small: SmallCluster) -> list[tuple[str, str]]:
    return [(each.subject.part, each.evidence[0]) for each in small.findings(CHECK)]


def test_a_rule_that_refuses_the_rest_is_found(small: SmallCluster) -> None:
    put(small, *USUAL, REST)

    assert found(small) == [("INPUT of flannel.1", REST)]
    (finding,) = small.findings(CHECK)
    assert finding.expected == "the node accepts UDP port 8472 from other nodes"
    assert finding.found == "udp from 192.0.2.2 to 192.0.2.1 port 8472 is dropped"


def test_a_policy_is_found(small: SmallCluster) -> None:
    put(small, *USUAL, policy="DROP")

    assert found(small) == [("INPUT of flannel.1", "policy DROP of INPUT: no rule accepts it")]


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -p udp -m udp --dport 8472 -j ACCEPT",
        "-A INPUT -p udp -m multiport --dports 8472,51820 -j ACCEPT",
        "-A INPUT -s 192.0.2.0/24 -j ACCEPT",
        "-A INPUT -i ens3 -j ACCEPT",
        "-A INPUT -m set --match-set nodes src -j ACCEPT",
        "-A INPUT -p udp -m limit --limit 100/sec -j ACCEPT",
        "-A INPUT -m addrtype --dst-type LOCAL -j ACCEPT",
    ],
)
def test_packets_that_a_rule_accepts_or_may_accept_are_none(small: SmallCluster, rule: str) -> None:
    put(small, rule, *USUAL, REST)

    assert found(small) == []


def test_what_concerns_other_devices_ports_or_states_is_none(small: SmallCluster) -> None:
    put(
        small,
        "-A INPUT -i eth9 -j DROP",
        "-A INPUT -p udp -m udp --dport 4789 -j DROP",
        "-A INPUT -m conntrack --ctstate INVALID -j DROP",
        "-A INPUT ! -s 192.0.2.0/24 -p udp -j DROP",
    )

    assert found(small) == []


def test_a_ban_of_nodes_is_reported_as_such(small: SmallCluster) -> None:
    put(small, "-A INPUT -s 192.0.2.0/24 -j DROP")

    assert found(small) == []
    assert small.findings("firewall.source_bans")


def test_one_of_several_addresses_is_enough(small: SmallCluster) -> None:
    """Behind NAT a node's packets come from its ExternalIP, or from its InternalIP."""
    addresses = small.api["nodes"][1]["status"]["addresses"]
    addresses.append({"type": "ExternalIP", "address": "203.0.113.2"})
    put(small, "-A INPUT -s 203.0.113.0/24 -j ACCEPT", *USUAL, REST)

    assert found(small) == []


def test_a_device_without_a_route_carries_nothing(small: SmallCluster) -> None:
    """With DirectRouting, flannel creates the device and routes past it."""
    put(small, *USUAL, REST)
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(HOST, routes=[each for each in host.routes if each.index != 4])

    assert not [each for each in small.findings(CHECK) if "INPUT" in each.subject.part]


def test_the_vxlan_of_other_programs_does_not_count(small: SmallCluster) -> None:
    put(small, *USUAL, "-A INPUT -p udp -m udp --dport 4790 -j DROP")
    assert small.document
    host = small.document.namespaces[0]
    own = Link(40, "vxlan40", flags=["UP"], mtu=1450, kind="vxlan", vxlan_id=40, vxlan_port=4790)
    small.change_netns(HOST, links=[*host.links, own])

    assert found(small) == []


def test_programs_send_to_ciliums_device_without_a_route(small: SmallCluster) -> None:
    CLUSTERS["Cilium"](small)
    there = api_pod("there", "shop", "10.0.1.9")
    there["spec"]["nodeName"] = "n2"
    small.api["pods"].append(there)
    small.change_link(HOST, "cilium_vxlan", vxlan_port=8472)
    text = small.document.commands["iptables-nft-save"].output
    small.change_output("iptables-nft-save", text.replace("-A INPUT -j", f"{REST}\n-A INPUT -j", 1))

    parts = [each.subject.part for each in small.findings(CHECK)]
    assert "INPUT of cilium_vxlan" in parts


@pytest.mark.parametrize(("kind", "is_found"), [("wireguard", False), ("dummy", True)])
def test_what_comes_out_of_wireguard_comes_in_by_another_device(
    small: SmallCluster, kind: str, is_found: bool
) -> None:
    put(small, "-A INPUT -i wg0 -j ACCEPT", *USUAL, REST)
    assert small.document
    host = small.document.namespaces[0]
    encrypted = Link(40, "wg0", flags=["UP"], mtu=1420, kind=kind)
    small.change_netns(HOST, links=[*host.links, encrypted])

    assert bool(found(small)) is is_found


def tunnel(small: SmallCluster, daemonset: str, name: str, kind: str, *, routed: bool) -> None:
    """Make it the device by which the node reaches the pods of the others."""
    assert small.document
    host = small.document.namespaces[0]
    links = [each for each in host.links if each.name != "flannel.1"]
    addresses = [each for each in host.addresses if each.index != 4]
    route = Route(4, "10.244.1.0/24", index=40)
    small.change_netns(
        HOST,
        links=[*links, Link(40, name, flags=["UP"], mtu=1420, kind=kind)],
        routes=[*(each for each in host.routes if each.index != 4), *([route] if routed else [])],
        addresses=[*addresses, Address(40, "10.244.0.64", 32)],
    )
    notes = small.api["nodes"][0]["metadata"]["annotations"]
    notes["flannel.alpha.coreos.com/backend-type"] = "wireguard"
    notes["projectcalico.org/IPv4IPIPTunnelAddr"] = "10.244.0.64"
    if daemonset:
        (agent,) = (each for each in small.api["pods"] if each["metadata"]["name"] == "flannel")
        agent["metadata"]["ownerReferences"][0]["name"] = daemonset


TUNNELS = [
    ("", "flannel-wg", "wireguard", "udp", 51820),
    ("calico-node", "wireguard.cali", "wireguard", "udp", 51820),
    ("calico-node", "tunl0", "ipip", "ipencap", None),
    ("cilium", "cilium_wg0", "wireguard", "udp", 51871),
    ("cilium", "cilium_geneve", "geneve", "udp", 6081),
    ("ovnkube-node", "genev_sys_6081", "geneve", "udp", 6081),
    ("kube-ovn-cni", "genev_sys_6081", "geneve", "udp", 6081),
    ("antrea-agent", "genev_sys_6081", "geneve", "udp", 6081),
]


def on_arrival(small: SmallCluster, name: str) -> list[Finding]:
    """What is found before packets of single pods, of which the cluster has too few."""
    found = []
    with suppress(NotApplicable):
        found += (e for e in small.check(CHECK) if e.subject.part == f"INPUT of {name}")
    return found


@pytest.mark.parametrize("known", TUNNELS, ids=lambda each: f"{each[0]} {each[1]}")
def test_every_kind_of_tunnel_has_to_be_let_in(
    small: SmallCluster, known: tuple[str, str, str, str, int | None]
) -> None:
    daemonset, name, kind, protocol, port = known
    tunnel(small, daemonset, name, kind, routed=name in ("flannel-wg", "wireguard.cali", "tunl0"))
    put(small, *USUAL, REST)

    (finding,) = on_arrival(small, name)
    at = f" port {port}" if port else ""
    assert finding.found == f"{protocol} from 192.0.2.2 to 192.0.2.1{at} is dropped"
    what = f"UDP port {port}" if port else "protocol 4 (IPIP)"
    assert finding.expected == f"the node accepts {what} from other nodes"
    assert not finding.inconclusive
    allowed = f"-p udp -m udp --dport {port}" if port else "-p ipencap"
    put(small, f"-A INPUT {allowed} -j ACCEPT", *USUAL, REST)

    assert on_arrival(small, name) == []


@pytest.mark.parametrize(
    ("rule", "is_doubted"),
    [
        ("-p udp -m udp --dport 7777 -j ACCEPT", True),
        ("-p udp -m multiport --dports 500,4500,41641 -j ACCEPT", True),
        ("-p udp -m udp --dport 30000:32767 -j ACCEPT", False),
        ("-d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT", False),
        ("-p tcp -m tcp --dport 7777 -j ACCEPT", False),
        ("-p udp -m udp --dport 7777 -j DROP", False),
    ],
)
def test_wireguard_may_have_another_port_that_the_node_accepts(
    small: SmallCluster, rule: str, is_doubted: bool
) -> None:
    tunnel(small, "", "flannel-wg", "wireguard", routed=True)
    put(small, f"-A INPUT {rule}", *USUAL, REST)

    (finding,) = on_arrival(small, "flannel-wg")
    assert bool(finding.inconclusive) is is_doubted


def test_ciliums_port_of_wireguard_is_always_the_same(small: SmallCluster) -> None:
    tunnel(small, "cilium", "cilium_wg0", "wireguard", routed=False)
    put(small, "-A INPUT -p udp -m udp --dport 7777 -j ACCEPT", *USUAL, REST)

    (finding,) = on_arrival(small, "cilium_wg0")
    assert not finding.inconclusive


def test_an_idle_ipip_device_needs_nothing(small: SmallCluster) -> None:
    tunnel(small, "calico-node", "tunl0", "ipip", routed=False)
    put(small, *USUAL, REST)

    assert on_arrival(small, "tunl0") == []


def put_output(small: SmallCluster, *rules: str, policy: str = "ACCEPT") -> None:
    """Rules in front of the others of chain OUTPUT."""
    text = FILTER.replace(":OUTPUT ACCEPT", f":OUTPUT {policy}")
    assert policy in text
    first = "".join(f"{each}\n" for each in rules)
    small.change_output(
        "iptables-nft-save", text.replace("-A OUTPUT -j", f"{first}-A OUTPUT -j", 1)
    )


ALLOWED = (
    "-A OUTPUT -o lo -j ACCEPT",
    "-A OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A OUTPUT -p tcp -m multiport --dports 53,80,443,6443,10250 -j ACCEPT",
    "-A OUTPUT -p udp -m multiport --dports 53,123 -j ACCEPT",
)


def test_what_the_node_sends_has_to_be_let_out(small: SmallCluster) -> None:
    """csf and hand-made firewalls list the ports that a server may connect to."""
    put_output(small, *ALLOWED, "-A OUTPUT -j DROP")

    assert found(small) == [("OUTPUT of flannel.1", "-A OUTPUT -j DROP")]
    (finding,) = small.findings(CHECK)
    assert finding.expected == "the node sends to UDP port 8472 of other nodes"
    assert finding.found == "udp from 192.0.2.1 to 192.0.2.2 port 8472 is dropped"


def test_a_policy_of_output_is_found(small: SmallCluster) -> None:
    put_output(small, *ALLOWED, policy="DROP")

    assert found(small) == [("OUTPUT of flannel.1", "policy DROP of OUTPUT: no rule accepts it")]


@pytest.mark.parametrize(
    "rule",
    [
        "-A OUTPUT -p udp -m udp --dport 8472 -j ACCEPT",
        "-A OUTPUT -d 192.0.2.0/24 -j ACCEPT",
        "-A OUTPUT -o ens3 -j ACCEPT",
        "-A OUTPUT -m addrtype --src-type LOCAL -j ACCEPT",
        "-A OUTPUT -m owner --uid-owner 0 -j ACCEPT",
        "-A OUTPUT -m set --match-set nodes dst -j ACCEPT",
    ],
)
def test_what_a_rule_lets_out_or_may_let_out_is_none(small: SmallCluster, rule: str) -> None:
    put_output(small, rule, *ALLOWED, "-A OUTPUT -j DROP")

    assert found(small) == []


def test_drops_of_single_users_do_not_concern_the_kernels_packets(small: SmallCluster) -> None:
    put_output(small, "-A OUTPUT -m owner --uid-owner 0 -j DROP", "-A OUTPUT -p tcp -j DROP")

    assert found(small) == []
