"""The checks of settings, each on a cluster where one thing is broken."""

from dataclasses import replace

import msgspec
import pytest

from tests.checks.small_cluster import SmallCluster
from tests.network.clusters.aws_vpc import aws_vpc
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.model.fingerprint import Fingerprint, fingerprint_of
from wirecheck.snapshot.netns import Address, Link, Route, Rule
from wirecheck.snapshot.node_settings import SysctlFile

CONF = "/proc/sys/net/ipv4/conf"


def drifts(small: SmallCluster, **nodes: dict[str, str]) -> list[tuple[str, str, str]]:
    (check,) = [each for each in load() if each.id == "settings.uniform_in_pool"]
    fingerprints = {name: Fingerprint(settings=settings) for name, settings in nodes.items()}
    found = check.findings(replace(small.cluster, fingerprints=fingerprints))
    return [(each.subject.part, each.expected, each.found) for each in found]


def add_node(small: SmallCluster, name: str, **labels: str) -> None:
    small.api["nodes"].append({"metadata": {"name": name, "labels": labels}})


def test_the_node_that_differs_from_most_is_named(small):
    add_node(small, "n3")
    kernels = {"n1": {"kernel": "6.1.4"}, "n2": {"kernel": "6.1.4"}, "n3": {"kernel": "6.1.0"}}

    assert drifts(small, **kernels) == [
        ("workers: kernel", "6.1.4 on all nodes", "n3: 6.1.0; n1, n2: 6.1.4")
    ]


def test_two_nodes_that_differ_are_reported_without_a_majority(small):
    assert drifts(small, n1={"kernel": "6.1.4"}, n2={"kernel": "6.1.0"}) == [
        ("workers: kernel", "the same on all nodes", "n2: 6.1.0; n1: 6.1.4")
    ]


def test_nodes_of_different_pools_may_differ(small):
    add_node(small, "blue", **{"karpenter.sh/nodepool": "blue"})
    add_node(small, "cp", **{"node-role.kubernetes.io/control-plane": ""})

    assert not drifts(small, n1={"kernel": "1"}, blue={"kernel": "2"}, cp={"kernel": "3"})


def test_what_only_one_node_has_is_not_compared(small):
    assert not drifts(small, n1={"MTU of ens3": "1500"}, n2={"MTU of eth0": "9000"})


def test_one_node_alone_is_not_compared(small):
    with pytest.raises(NotApplicable, match="two nodes"):
        drifts(small, n1={"kernel": "6.1.4"})


def test_what_follows_from_a_nodes_size_is_none_of_its_settings(small):
    small.change_file("/sys/module/nf_conntrack/parameters/hashsize", "65536")
    settings = fingerprint_of(small.node).settings

    assert settings["net.ipv4.conf.ens3.rp_filter"] == "0"
    assert settings["MTU of pods' interfaces"] == "1450"
    assert settings["variant of iptables"] == "nft"
    assert not [name for name in settings if "nf_conntrack_max" in name or "hashsize" in name]
    assert "kernel.osrelease" not in settings
    assert "net.ipv4.ip_forward" not in settings, "nodes.ip_forward judges it"


def strict(small: SmallCluster, name: str, value: str = "1") -> None:
    small.change_file(f"{CONF}/{name}/rp_filter", value)


def way_over_the_wire(small: SmallCluster) -> None:
    """n1 answers the pods of n2 by its own device, and n2 sends by the overlay."""
    routes = small.document.namespaces[0].routes[:-1]
    small.change_netns(1, routes=[*routes, Route(4, "10.244.1.0/24", gateway="192.0.2.2", index=2)])


@pytest.mark.parametrize("name", ["all", "flannel.1"])
def test_packets_that_are_answered_by_another_interface_are_dropped(small, name):
    way_over_the_wire(small)
    assert not small.findings("settings.rp_filter")

    strict(small, name)
    (finding,) = small.findings("settings.rp_filter")
    assert finding.subject.part == "rp_filter of flannel.1"
    assert (finding.level, finding.key) == (Level.FAIL, "packets of the pods of n2")
    assert "through ens3" in finding.found


def test_loose_filtering_drops_nothing(small):
    way_over_the_wire(small)
    strict(small, "all", "2")
    strict(small, "flannel.1")

    assert not small.findings("settings.rp_filter")


def test_strict_filtering_is_harmless_where_both_ways_are_one(small):
    strict(small, "all")
    assert not small.findings("settings.rp_filter")


def test_another_nodes_packets_are_dropped_where_the_way_to_it_leaves_elsewhere(small):
    routes = small.document.namespaces[0].routes
    small.change_netns(1, routes=[*routes, Route(4, "192.0.2.2/32", index=5)])
    strict(small, "ens3")

    (finding,) = small.findings("settings.rp_filter")
    assert finding.key == "packets of node n2"


def two_networks(small: SmallCluster, *routes: Route) -> None:
    """A private network behind a router on eth1; the default route stays on ens3."""
    for node, own in zip(small.api["nodes"], ("10.0.0.2", "10.0.0.3"), strict=True):
        listed = [("ExternalIP", node["status"]["addresses"][0]["address"]), ("InternalIP", own)]
        node["status"]["addresses"] = [{"type": t, "address": a} for t, a in listed]
    host = small.document.namespaces[0]
    small.change_netns(
        1,
        links=[*host.links, Link(7, "eth1", flags=["UP"], mtu=1450)],
        addresses=[*host.addresses, Address(7, "10.0.0.2", 32)],
        routes=[*host.routes, *routes],
    )
    strict(small, "eth1")
    strict(small, "ens3")


PRIVATE = Route(4, "10.0.0.0/16", gateway="10.0.0.1", index=7)


def test_packets_of_a_node_behind_a_router_arrive_at_the_internal_address(small):
    two_networks(small, PRIVATE)
    assert not small.findings("settings.rp_filter")


def test_the_device_that_lost_its_route_is_found_alone(small):
    two_networks(small)

    (finding,) = small.findings("settings.rp_filter")
    assert finding.subject.part == "rp_filter of eth1"
    assert finding.found.endswith("through ens3")


def test_a_rule_for_the_source_of_the_answers_counts(small):
    """The kernel looks the reverse path up from the address that the packet was sent to."""
    table = Route(4, "default", gateway="10.0.0.1", index=7, table=100)
    two_networks(small, table)
    local, main = Rule(4, 0, 255), Rule(4, 32766, 254)
    small.change_netns(1, rules=[local, Rule(4, 100, 100, source="10.0.0.2/32"), main])
    assert not small.findings("settings.rp_filter")

    small.change_netns(1, rules=[local, Rule(4, 100, 100, source="192.0.2.1/32"), main])
    assert len(small.findings("settings.rp_filter")) == 1


def test_a_route_with_two_hops_leads_back_through_both(small):
    hops = [{"gateway": "192.0.2.254", "index": "2"}, {"gateway": "10.0.0.1", "index": "7"}]
    two_networks(small, Route(4, "10.0.0.0/16", hops=hops))
    assert not small.findings("settings.rp_filter")


def test_a_node_behind_a_router_may_send_to_any_of_several_networks(small):
    two_networks(small, Route(4, "10.7.0.0/16", index=5))
    host = small.api["nodes"][0]["status"]["addresses"]
    host[0]["type"] = "InternalIP"
    small.api["nodes"][1]["status"]["addresses"] = [{"type": "InternalIP", "address": "10.7.0.3"}]

    findings = small.findings("settings.rp_filter")
    assert {each.subject.part for each in findings} == {"rp_filter of ens3", "rp_filter of eth1"}
    assert all(each.inconclusive for each in findings)


def test_no_packet_arrives_on_the_dummy_device_that_has_the_nodes_address(small):
    """Hosts that announce their address by BGP have it on a device without a wire."""
    two_networks(small, Route(4, "10.0.0.3/32", gateway="192.0.2.254", index=2))
    host = small.document.namespaces[0]
    links = [replace_kind(each, "dummy") if each.name == "eth1" else each for each in host.links]
    small.change_netns(1, links=links)

    assert not small.findings("settings.rp_filter")


def replace_kind(device: Link, kind: str) -> Link:
    return msgspec.structs.replace(device, kind=kind)


def test_nodes_with_external_addresses_only_are_evaluated(small):
    for node in small.api["nodes"]:
        node["status"]["addresses"][0]["type"] = "ExternalIP"
    routes = small.document.namespaces[0].routes
    small.change_netns(1, routes=[*routes, Route(4, "192.0.2.2/32", index=5)])
    strict(small, "ens3")

    (finding,) = small.findings("settings.rp_filter")
    assert finding.key == "packets of node n2"


def test_a_value_that_was_not_read_never_passes(small):
    way_over_the_wire(small)
    small.change_file(f"{CONF}/flannel.1/rp_filter", None)
    with pytest.raises(FactMissingError, match="rp_filter"):
        small.findings("settings.rp_filter")


def at_boot(small: SmallCluster, *files: SysctlFile) -> list[tuple[str, str]]:
    small.change_document(boot_settings=list(files))
    found = small.findings("settings.persistent")
    assert all(each.level is Level.WARN for each in found)
    return [(each.subject.part, each.found) for each in found]


@pytest.mark.parametrize(
    "line", ["net.ipv4.ip_forward=0", "net/ipv4/ip_forward = 0", "-net.ipv4.conf.all.forwarding=0"]
)
def test_a_file_that_switches_forwarding_off_is_found(small, line):
    assert at_boot(small, SysctlFile("/etc/sysctl.d/50-hard.conf", [line])) == [
        ("net.ipv4.ip_forward", "0, by /etc/sysctl.d/50-hard.conf")
    ]


def test_the_last_file_wins(small):
    off = SysctlFile("/usr/lib/sysctl.d/50-a.conf", ["net.ipv4.ip_forward=0"])
    on = SysctlFile("/etc/sysctl.d/90-b.conf", ["net.ipv4.ip_forward=1"])

    assert not at_boot(small, off, on)
    assert len(at_boot(small, on, off)) == 1


def test_a_name_wins_against_a_pattern_and_can_be_excluded_from_it(small):
    pattern = "net.ipv4.conf.*.rp_filter=1"
    every = {part for part, _ in at_boot(small, SysctlFile("a", [pattern]))}
    assert every == {"net.ipv4.conf.all.rp_filter", "net.ipv4.conf.default.rp_filter"}

    lines = ["net.ipv4.conf.default.rp_filter=2", pattern, "-net.ipv4.conf.all.rp_filter"]
    assert not at_boot(small, SysctlFile("a", lines))


def test_what_is_wrong_already_is_found_elsewhere(small):
    small.change_file("/proc/sys/net/ipv4/ip_forward", "0")
    assert not at_boot(small, SysctlFile("a", ["net.ipv4.ip_forward=1"]))


def test_a_lower_limit_of_conntrack_counts_where_kube_proxy_does_not_set_it(small):
    lower = SysctlFile("a", ["net.netfilter.nf_conntrack_max = 1000"])
    assert at_boot(small, lower) == [("net.netfilter.nf_conntrack_max", "1000, by a")]

    assert not at_boot(small, SysctlFile("a", ["net.netfilter.nf_conntrack_max = 900000"]))


def test_documents_without_it_are_skipped(small):
    small.change_document(boot_settings=None)
    with pytest.raises(NotApplicable, match="older"):
        small.findings("settings.persistent")

    small.change_document(problems=["Settings at the next boot: OSError: no."])
    with pytest.raises(FactMissingError, match="no"):
        small.findings("settings.persistent")


class TestNodePortsOfAws:
    """The pods of a second network card answer through it: the first one must filter loosely."""

    @staticmethod
    def with_node_port(small: SmallCluster, value: str) -> None:
        aws_vpc(small)
        small.api["services"][1]["spec"]["ports"][0]["nodePort"] = 30053
        strict(small, "ens3", value)

    @pytest.mark.parametrize("value", ["0", "2"])
    def test_loose_filtering_is_right(self, small, value):
        self.with_node_port(small, value)
        assert not small.findings("settings.rp_filter")

    def test_strict_filtering_is_found(self, small):
        self.with_node_port(small, "1")

        (finding,) = small.findings("settings.rp_filter")
        assert finding.subject.part == "rp_filter of ens3"
        assert finding.key == "packets of clients of node ports"
        assert finding.found.endswith("through ens4")

    def test_strict_filtering_is_right_without_node_ports(self, small):
        aws_vpc(small)
        strict(small, "ens3")
        assert not small.findings("settings.rp_filter")


def test_of_two_networks_with_the_sender_the_narrower_one_counts(small):
    """The answers leave by the interface of the wider network."""
    two_networks(small, Route(4, "10.0.0.3/32", index=7))
    listed = [{"type": "InternalIP", "address": each} for each in ("192.0.2.1", "10.0.0.2")]
    small.api["nodes"][0]["status"]["addresses"] = listed
    host = small.document.namespaces[0]
    wide, narrow = Address(7, "10.0.0.2", 8), Address(2, "192.0.2.1", 32)
    others = [each for each in host.addresses if each.index not in (2, 7)]
    small.change_netns(1, addresses=[*others, wide, narrow, Address(2, "10.0.0.9", 24)])
    assert not small.findings("settings.rp_filter")

    listed.append({"type": "InternalIP", "address": "10.0.0.9"})
    (finding,) = small.findings("settings.rp_filter")
    assert finding.subject.part == "rp_filter of ens3"
    assert finding.found.endswith("through eth1")


def test_a_tunnel_of_another_kind_that_an_earlier_backend_left_is_not_the_peers(small):
    host = small.document.namespaces[0]
    left = Link(3, "flannel-wg", flags=["UP"], kind="wireguard")
    small.change_netns(1, links=[left, *host.links])
    for name in ("flannel-wg", "flannel.1"):
        strict(small, name)

    assert not small.findings("settings.rp_filter")
