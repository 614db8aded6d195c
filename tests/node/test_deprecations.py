"""What announced changes take away: versions, and the nodes that they concern."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import HOST, SmallCluster
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.deprecations import Deprecations, numbers
from wirecheck.snapshot.netns import Address
from wirecheck.snapshot.node_document import Command, Host, HttpAnswer, NewConnections


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5.10.0-28-amd64", (5, 10, 0)),
        (" 6.1", (6, 1)),
        ("7", (7,)),
        ("1.0.9 (Old Doc Yak)", (1, 0, 9)),
        ("v1.2", ()),
        ("", ()),
    ],
)
def test_the_leading_numbers_of_a_version_are_read(text: str, expected: tuple[int, ...]) -> None:
    assert numbers(text) == expected


def configure(
    small: SmallCluster, mode: str, version: str = "v1.36.2", *, actual: str = ""
) -> Deprecations:
    """kube-proxy's ConfigMap, its version, and the mode that it reports."""
    meta = {"name": "kube-proxy", "namespace": "kube-system"}
    small.api["configMaps"] = [{"metadata": meta, "data": {"config.conf": f"mode: {mode!r}\n"}}]
    small.api["nodes"][0]["status"]["nodeInfo"]["kubeletVersion"] = version
    assert small.document
    http = {"proxyMode": HttpAnswer(200, actual or mode or "iptables")}
    small.change_document(http={**(small.document.http or {}), **http})
    return small.node.deprecations


@pytest.mark.parametrize(
    ("version", "target", "is_found"),
    [
        ("v1.39.9", "", True),
        ("v1.40.0", "", False),
        ("v1.41.0", "", False),
        ("v1.36.2", "1.39", False),
        ("v1.36.2", "1.40", True),
        ("v1.36.2", "1.41", True),
    ],
)
def test_a_change_counts_between_the_version_before_it_and_the_target(
    small: SmallCluster, version: str, target: str, is_found: bool
) -> None:
    small.upgrade_target = target
    found = configure(small, "", version)

    if is_found:
        assert [each.change.first for each in found.default_mode] == ["Kubernetes 1.40"]
    else:
        with pytest.raises(NotApplicable):
            list(found.default_mode)


@pytest.mark.parametrize(
    ("version", "first"), [("v1.39.0", "1.40"), ("v1.40.0", "1.43"), ("v1.42.0", "1.43")]
)
def test_ipvs_is_first_off_by_default_and_then_removed(
    small: SmallCluster, version: str, first: str
) -> None:
    (found,) = configure(small, "ipvs", version).ipvs_mode
    assert found.change.first == f"Kubernetes {first}"
    with pytest.raises(NotApplicable):
        list(configure(small, "ipvs", "v1.43.0").ipvs_mode)


@pytest.mark.parametrize(
    ("kernel", "is_found"),
    [("5.12.19", True), ("5.13.0", False), ("5.13", False), ("4.19.0", True), ("6.0", False)],
)
def test_nftables_mode_needs_a_kernel_of_its_version(
    small: SmallCluster, kernel: str, is_found: bool
) -> None:
    small.change_document(host=Host("n1", kernel=kernel))

    assert bool(list(configure(small, "nftables").kernel)) is is_found


def test_a_kernel_without_a_known_version_is_no_pass(small: SmallCluster) -> None:
    for kernel, error in (("", NotApplicable), ("5", FactMissingError)):
        small.change_document(host=Host("n1", kernel=kernel))
        with pytest.raises(error):
            list(configure(small, "nftables").kernel)


@pytest.mark.parametrize(
    ("nft", "mode", "proxy", "found"),
    [
        ("1.0.0", "nftables", "v1.36.0", ["Kubernetes 1.40"]),
        ("1.0.1", "nftables", "v1.36.0", []),
        ("1.1.2", "nftables", "v1.36.0", []),
        ("1.1.3", "nftables", "v1.36.0", ["nftables 1.1.3"]),
        ("1.2", "nftables", "v1.36.0", ["nftables 1.1.3"]),
        ("1.1.3", "nftables", "v1.37.0", []),
        ("1.1.3", "nftables", "v1.38.0", []),
        ("1.1.3", "iptables", "v1.36.0", []),
    ],
)
def test_an_nft_is_harmed_by_its_version_and_kube_proxys(
    small: SmallCluster, nft: str, mode: str, proxy: str, found: list[str]
) -> None:
    assert small.document
    record = Command(["nft"], status=0, output=f"nftables v{nft} (Name)\n")
    small.change_document(commands={**small.document.commands, "nft-version": record})

    assert [each.change.first for each in configure(small, mode, proxy).nft] == found


NODE_PORTS = "kubeproxy_iptables_localhost_nodeports_accepted_packets_total"


def open_ports(small: SmallCluster) -> None:
    """A Service with node port 30443, and another address on the node."""
    small.api["services"][0]["spec"]["ports"][0] |= {"nodePort": 30443}
    assert small.document
    host = small.document.namespaces[0]
    extra = [Address(2, "198.51.100.7", 24), Address(2, "fd00::7", 64)]
    small.change_netns(HOST, addresses=[*host.addresses, *extra])


def connect(small: SmallCluster, *destinations: str) -> list[str]:
    """The findings if clients connected to these during the visit."""
    counted = dict.fromkeys(destinations, 3)
    small.change_document(
        new_connections=NewConnections(2.0, 9, destinations=counted),
        http={"metrics": HttpAnswer(200, f"{NODE_PORTS} 0\n")},
    )
    return [each.found for each in configure(small, "").node_ports]


@pytest.mark.parametrize(
    ("destination", "is_found"),
    [
        ("198.51.100.7:30443/tcp", True),
        ("[fd00::7]:30443/tcp", True),
        ("198.51.100.7:30443/udp", False),
        ("198.51.100.7:30444/tcp", False),
        ("192.0.2.1:30443/tcp", False),
        ("203.0.113.1:30443/tcp", False),
    ],
)
def test_only_node_ports_on_secondary_addresses_of_the_node_count(
    small: SmallCluster, destination: str, is_found: bool
) -> None:
    open_ports(small)

    expected = [f"new connections to {destination} (3)"] if is_found else []
    assert connect(small, destination) == expected


@pytest.mark.parametrize(
    ("metrics", "found"),
    [
        (f"{NODE_PORTS} 12\n", ["12 packets to node ports on localhost"]),
        (f'{NODE_PORTS}{{ip_family="IPv4"}} 1.2e+03\n{NODE_PORTS}{{ip_family="IPv6"}} 34\n',
         ["1,234 packets to node ports on localhost"]),
        (f"{NODE_PORTS} 0\n", []),
    ],
)  # fmt: skip
def test_packets_on_localhost_are_added_over_the_families(
    small: SmallCluster, metrics: str, found: list[str]
) -> None:
    open_ports(small)
    small.change_document(http={"metrics": HttpAnswer(200, metrics)})

    assert [each.found for each in configure(small, "").node_ports] == found


def test_without_counters_and_connections_the_use_is_unknown(small: SmallCluster) -> None:
    open_ports(small)

    with pytest.raises(NotApplicable, match="does not count packets"):
        list(configure(small, "").node_ports)


def legacy(small: SmallCluster, system: str, mode: str, *, actual: str = "") -> list[str]:
    small.change_document(host=Host("n1", os=system))
    return [each.found for each in configure(small, mode, actual=actual).legacy_iptables]


@pytest.mark.parametrize(
    ("system", "mode", "number"),
    [
        ("Red Hat Enterprise Linux 10.0 (Coughlan)", "iptables", 1),
        ("Rocky Linux 10.1", "ipvs", 1),
        ("AlmaLinux 12", "iptables", 1),
        ("Rocky Linux 10.1", "nftables", 0),
        ("Rocky Linux 9.4", "iptables", 0),
        ("Debian GNU/Linux 12 (bookworm)", "iptables", 0),
    ],
)
def test_systems_without_legacy_iptables_concern_modes_that_use_iptables(
    small: SmallCluster, system: str, mode: str, number: int
) -> None:
    assert len(legacy(small, system, mode)) == number


def test_a_system_without_legacy_iptables_needs_none_where_cilium_forwards_services(
    small: SmallCluster,
) -> None:
    meta = {"name": "cilium-config", "namespace": "kube-system"}
    data = {"kube-proxy-replacement": "true"}
    small.api["configMaps"] = [{"metadata": meta, "data": data}]
    small.change_document(host=Host("n1", os="Rocky Linux 10.1"))

    assert list(small.node.deprecations.legacy_iptables) == []


@pytest.mark.parametrize(("family", "tool"), [(4, "iptables"), (6, "ip6tables")])
def test_legacy_rules_are_found_by_family(small: SmallCluster, family: int, tool: str) -> None:
    rules = "*filter\n:FORWARD ACCEPT [0:0]\n" + "-A FORWARD -j ACCEPT\n" * 7 + "COMMIT\n"
    small.change_output(f"{tool}-legacy-save", rules)

    (found,) = configure(small, "iptables").legacy_iptables
    assert (found.ref.part, found.found, len(found.evidence)) == (f"{tool}-legacy", "7 rules", 5)


HOST_PORT = "-A CNI-DN-1 -p tcp -m tcp --dport 8088 -j DNAT --to-destination 10.244.0.3:8080"


def with_rules(small: SmallCluster, *rules: str, command: str = "iptables-nft-save") -> None:
    chains = "".join(f":{rule.split()[1]} - [0:0]\n" for rule in rules)
    text = "".join(f"{rule}\n" for rule in rules)
    small.change_output(command, f"*nat\n:PREROUTING ACCEPT [0:0]\n{chains}{text}COMMIT\n")


@pytest.mark.parametrize(
    ("rule", "is_found"),
    [
        (HOST_PORT, True),
        (HOST_PORT.replace("CNI-DN-1", "KUBE-HP-ABC"), True),
        (HOST_PORT.replace("CNI-DN-1", "KUBE-SEP-ABC"), False),
        ("-A CNI-DN-1 -p tcp -j ACCEPT", False),
    ],
)
def test_rules_for_host_ports_concern_nodes_with_such_pods(
    small: SmallCluster, rule: str, is_found: bool
) -> None:
    ports = [{"containerPort": 8080, "hostPort": 8088}]
    small.api["pods"][1]["spec"]["containers"][0]["ports"] = ports
    with_rules(small, rule)
    found = list(configure(small, "").host_ports)
    assert bool(found) is is_found
    assert not found or "shop/web 8088/tcp" in found[0].found.lower()

    small.api["pods"][1]["status"]["phase"] = "Succeeded"
    with pytest.raises(NotApplicable, match="no pod of the node has a host port"):
        list(configure(small, "").host_ports)


@pytest.mark.parametrize("command", ["iptables-nft-save", "ip6tables-nft-save"])
def test_rules_of_calico_are_found_in_either_family(small: SmallCluster, command: str) -> None:
    rule = "-A cali-PREROUTING -j cali-fip-dnat"
    with_rules(small, rule, command=command)

    assert [each.evidence for each in configure(small, "").cni_plugin] == [(rule,)]


@pytest.mark.parametrize(
    ("mode", "actual", "is_concerned"),
    [
        ("iptables", "", False),
        ("", "iptables", True),
        ("ipvs", "", True),
        ("nftables", "", True),
        ("iptables", "nftables", True),
    ],
)
def test_a_configured_iptables_mode_stays(
    small: SmallCluster, mode: str, actual: str, is_concerned: bool
) -> None:
    with_rules(small, "-A cali-PREROUTING -j cali-fip-dnat")
    found = configure(small, mode, actual=actual)

    if is_concerned:
        assert list(found.cni_plugin)
    else:
        with pytest.raises(NotApplicable, match="iptables mode, which stays"):
            list(found.cni_plugin)
