"""The traps between the API and a node: what random Services on a real kube-proxy cover too."""

import pytest

from tests.dataplane import small
from tests.dataplane.small import WEB, endpoint, expected, facts, service, slice_of
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.proxy import DetectLocal, Mode, minor_version, proxy_facts
from wirecheck.dataplane.table import Client, Frontend, Masquerade, ServiceTable, Verdict
from wirecheck.snapshot.objects.endpoint_slice import EndpointHints, HintZone
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.service import (
    LoadBalancerIngress,
    LoadBalancerStatus,
    ServiceObject,
    ServicePortSpec,
    ServiceStatus,
)

NODE_PORT = Frontend(4, "", "tcp", 30080)
PORTS = [ServicePortSpec(port=80, name="http", node_port=30080)]


def backends(
    table: ServiceTable, frontend: Frontend = WEB, client: Client = Client.POD
) -> list[str]:
    return [str(each) for each in table.handling(frontend, client).backends]


def test_endpoints_are_joined_by_the_ports_name_not_by_its_number() -> None:
    table = expected(
        [service()],
        [
            slice_of(endpoint("10.244.1.2"), port=8080),
            slice_of(endpoint("10.244.1.3"), port=9090),
            slice_of(endpoint("10.244.1.4"), port=80, name="other"),
        ],
    )
    assert backends(table) == ["10.244.1.2:8080", "10.244.1.3:9090"]


def test_an_unnamed_port_is_joined_to_the_empty_name() -> None:
    table = expected(
        [service(ports=[ServicePortSpec(port=80)])], [slice_of(endpoint("10.244.1.2"), name="")]
    )
    assert backends(table) == ["10.244.1.2:8080"]


@pytest.mark.parametrize(
    "changes",
    [
        {"cluster_ip": "None", "cluster_ips": ["None"]},
        {"cluster_ip": "", "cluster_ips": []},
        {"type": "ExternalName", "external_name": "www.example.test"},
    ],
)
def test_services_that_are_nobodys(changes: dict) -> None:
    assert not expected([service(**changes)], []).entries


def test_services_of_another_proxy() -> None:
    label = {"service.kubernetes.io/service-proxy-name": ""}
    other = ServiceObject(Metadata(name="web", namespace="shop", labels=label), service().spec)
    assert not expected([other], []).entries


@pytest.mark.parametrize(
    "label", ["service.kubernetes.io/headless", "service.kubernetes.io/service-proxy-name"]
)
def test_slices_that_are_not_for_kube_proxy(label: str) -> None:
    table = expected([service()], [slice_of(endpoint("10.244.1.2"), labels={label: ""})])
    assert table.handling(WEB, Client.POD).verdict is Verdict.REJECT


def test_terminating_endpoints_serve_only_where_none_is_ready() -> None:
    ending = endpoint("10.244.1.2", ready=False, serving=True, terminating=True)
    gone = endpoint("10.244.1.3", ready=False, serving=False, terminating=True)
    assert backends(expected([service()], [slice_of(ending, gone)])) == ["10.244.1.2:8080"]
    ready = endpoint("10.244.1.4")
    assert backends(expected([service()], [slice_of(ending, gone, ready)])) == ["10.244.1.4:8080"]


def test_all_endpoints_are_known_whatever_their_condition() -> None:
    unready = endpoint("10.244.1.2", ready=False)
    (entry,) = expected([service()], [slice_of(unready)]).entries.values()
    assert entry.known == {Backend("10.244.1.2", 8080)}
    assert entry.owner is not None
    assert str(entry.owner) == "shop/web:http"


def hinted(address: str, zone: str = "", node: str = "") -> object:
    hints = EndpointHints(
        for_zones=[HintZone(zone)] if zone else None, for_nodes=[HintZone(node)] if node else None
    )
    return endpoint(address, hints=hints)


@pytest.mark.parametrize(
    ("version", "annotations", "chosen"),
    [
        ("1.29.6", {}, ["10.244.1.2:8080", "10.244.1.3:8080"]),
        ("1.29.6", {"service.kubernetes.io/topology-mode": "Auto"}, ["10.244.1.2:8080"]),
        ("1.29.6", {"service.kubernetes.io/topology-aware-hints": "auto"}, ["10.244.1.2:8080"]),
        (
            "1.29.6",
            {"service.kubernetes.io/topology-mode": "Disabled"},
            ["10.244.1.2:8080", "10.244.1.3:8080"],
        ),
        ("1.30.0", {}, ["10.244.1.2:8080", "10.244.1.3:8080"]),
        ("1.31.0", {}, ["10.244.1.2:8080"]),
        ("1.37.0", {"service.kubernetes.io/topology-mode": "Disabled"}, ["10.244.1.2:8080"]),
    ],
)
def test_zone_hints_by_version(version: str, annotations: dict, chosen: list[str]) -> None:
    web = ServiceObject(
        Metadata(name="web", namespace="shop", annotations=annotations), service().spec
    )
    slices = [slice_of(hinted("10.244.1.2", zone="a"), hinted("10.244.1.3", zone="b"))]
    assert backends(expected([web], slices, facts(version))) == chosen


def test_one_endpoint_without_a_hint_switches_hints_off() -> None:
    slices = [slice_of(hinted("10.244.1.2", zone="a"), endpoint("10.244.1.3"))]
    assert len(backends(expected([service()], slices))) == 2
    slices = [slice_of(hinted("10.244.1.2", zone="b"), hinted("10.244.1.3", zone="c"))]
    assert len(backends(expected([service()], slices))) == 2


@pytest.mark.parametrize(
    ("version", "config", "number"),
    [
        ("1.33.0", {}, 2),
        ("1.33.0", {"featureGates": {"PreferSameTrafficDistribution": True}}, 1),
        ("1.34.0", {}, 1),
        ("1.34.0", {"featureGates": {"PreferSameTrafficDistribution": False}}, 2),
        ("1.35.0", {"featureGates": {"PreferSameTrafficDistribution": False}}, 1),
    ],
)
def test_node_hints_by_version_and_gate(version: str, config: dict, number: int) -> None:
    slices = [slice_of(hinted("10.244.1.2", node="here"), hinted("10.244.1.3", node="there"))]
    assert len(backends(expected([service()], slices, facts(version, **config)))) == number


def test_external_policy_local_without_a_local_endpoint() -> None:
    web = service(type="NodePort", ports=PORTS, external_traffic_policy="Local")
    table = expected([web], [slice_of(endpoint("10.244.2.2", "there"))])
    assert table.handling(NODE_PORT, Client.OUTSIDE).verdict is Verdict.DROP
    assert backends(table, NODE_PORT, Client.POD) == ["10.244.2.2:8080"]
    assert table.handling(NODE_PORT, Client.POD).masquerade is Masquerade.NEVER
    assert table.handling(NODE_PORT, Client.NODE).masquerade is Masquerade.ALWAYS
    assert table.handling(WEB, Client.OUTSIDE).verdict is Verdict.FORWARD


def test_internal_policy_local_is_about_the_cluster_ip_alone() -> None:
    web = service(type="NodePort", ports=PORTS, internal_traffic_policy="Local")
    table = expected([web], [slice_of(endpoint("10.244.2.2", "there"))])
    assert table.handling(WEB, Client.POD).verdict is Verdict.DROP
    assert backends(table, NODE_PORT, Client.OUTSIDE) == ["10.244.2.2:8080"]


def test_the_name_that_kube_proxy_was_given_decides_what_is_local() -> None:
    web = service(internal_traffic_policy="Local")
    slices = [slice_of(endpoint("10.244.1.2", "alias"))]
    assert expected([web], slices).handling(WEB, Client.POD).verdict is Verdict.DROP
    table = expected([web], slices, facts(hostnameOverride="alias"))
    assert backends(table) == ["10.244.1.2:8080"]
    assert table.local_backends == {Backend("10.244.1.2", 8080)}


def balanced(*ingress: LoadBalancerIngress, **changes: object) -> ServiceObject:
    return ServiceObject(
        Metadata(name="web", namespace="shop"),
        service(type="LoadBalancer", external_traffic_policy="Cluster", **changes).spec,
        ServiceStatus(LoadBalancerStatus(list(ingress))),
    )


@pytest.mark.parametrize(("version", "number"), [("1.29.6", 3), ("1.30.0", 2), ("1.37.0", 2)])
def test_load_balancers_that_come_back_through_proxies(version: str, number: int) -> None:
    web = balanced(
        LoadBalancerIngress(ip="198.51.100.1"),
        LoadBalancerIngress(ip="198.51.100.2", ip_mode="Proxy"),
        LoadBalancerIngress(hostname="lb.example.test"),
    )
    table = expected([web], [slice_of(endpoint("10.244.1.2"))], facts(version))
    assert len(table.entries) == number


def test_source_ranges_hold_for_pods_and_not_for_node_ports() -> None:
    vip = Frontend(4, "198.51.100.1", "tcp", 80)
    web = balanced(
        LoadBalancerIngress(ip=vip.address),
        load_balancer_source_ranges=["203.0.113.0/24", " 10.244.1.0/25", "2001:db8::/32"],
        ports=PORTS,
    )
    table = expected([web], [slice_of(endpoint("10.244.1.2"))])
    assert table.handling(vip, Client.OUTSIDE).allowed == ("203.0.113.0/24",)
    assert table.handling(vip, Client.POD).allowed == ("10.244.1.0/25",)
    assert table.handling(vip, Client.NODE).verdict is Verdict.DROP
    assert table.handling(NODE_PORT, Client.OUTSIDE).allowed is None


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("1.32.2", Verdict.REJECT), ("1.33.13", None), ("1.34.0", Verdict.DROP)],
)
def test_what_the_node_sends_without_endpoints_meets_ranges_first_since_1_34(
    version: str, verdict: Verdict | None
) -> None:
    """In nftables mode. Of 1.33 both are known, so the node is not compared there."""
    vip = Frontend(4, "198.51.100.1", "tcp", 80)
    limits = ["203.0.113.0/24"]
    web = balanced(LoadBalancerIngress(ip=vip.address), load_balancer_source_ranges=limits)
    handlings = expected([web], [], facts(version, mode="nftables")).entries[vip].handlings

    node = handlings.get(Client.NODE)
    assert (node and node.verdict) is verdict
    assert handlings[Client.OUTSIDE].verdict is Verdict.REJECT
    assert handlings[Client.OUTSIDE].allowed == ("203.0.113.0/24",)


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("1.32.2", Verdict.DROP), ("1.33.13", None), ("1.34.0", Verdict.FORWARD)],
)
def test_policy_local_spares_what_the_node_sends_since_1_34(
    version: str, verdict: Verdict | None
) -> None:
    """In nftables mode, without a local endpoint. Of 1.33 both are known."""
    vip = Frontend(4, "198.51.100.1", "tcp", 80)
    web = service(external_ips=[vip.address], external_traffic_policy="Local")
    slices = [slice_of(endpoint("10.244.2.2", "there"))]
    handlings = expected([web], slices, facts(version, mode="nftables")).entries[vip].handlings

    node = handlings.get(Client.NODE)
    assert (node and node.verdict) is verdict
    assert handlings[Client.OUTSIDE].verdict is Verdict.DROP
    assert handlings[Client.POD].verdict is Verdict.FORWARD


@pytest.mark.parametrize("version", ["1.32.2", "1.33.13", "1.34.0"])
def test_a_node_without_an_address_of_the_family_is_not_compared_there(version: str) -> None:
    vip = Frontend(6, "2001:db8:1::1", "tcp", 80)
    web = balanced(
        LoadBalancerIngress(ip=vip.address),
        load_balancer_source_ranges=["2001:db8:2::/48"],
        cluster_ip="fd00:96::20",
        cluster_ips=["fd00:96::20"],
        ip_families=["IPv6"],
    )
    handlings = expected([web], [], facts(version, mode="nftables")).entries[vip].handlings
    assert handlings.keys() == {Client.OUTSIDE}


def test_a_backend_that_slices_place_on_several_nodes_is_local_to_none() -> None:
    """Whether connections to itself must be masqueraded on a node cannot be told then."""
    contradicting = [
        slice_of(endpoint("10.244.1.2", "here"), endpoint("10.244.1.3", "here")),
        slice_of(endpoint("10.244.1.2", "there"), endpoint("10.244.2.3", "there")),
    ]
    here, there = (
        expected([service()], contradicting, facts(hostnameOverride=node)).local_backends
        for node in ("here", "there")
    )
    assert here == {Backend("10.244.1.3", 8080)}
    assert there == {Backend("10.244.2.3", 8080)}


def test_a_range_that_holds_everything_is_none() -> None:
    vip = Frontend(4, "198.51.100.1", "tcp", 80)
    web = balanced(LoadBalancerIngress(ip=vip.address), load_balancer_source_ranges=["0.0.0.0/0"])
    table = expected([web], [slice_of(endpoint("10.244.1.2"))])
    assert table.handling(vip, Client.OUTSIDE).allowed is None


def test_health_check_ports_are_of_load_balancers_with_policy_local() -> None:
    web = service(
        type="LoadBalancer", external_traffic_policy="Local", health_check_node_port=32000
    )
    assert expected([web], []).health_check_ports == {(4, 32000)}
    plain = service(type="LoadBalancer", health_check_node_port=32000)
    assert not expected([plain], []).health_check_ports


def test_a_service_with_what_is_no_address_is_said_and_left_out() -> None:
    broken = service(external_ips=["not-an-address"])
    table = expected([broken], [])
    assert not table.entries
    (problem,) = table.problems
    assert "shop/web" in problem


def test_without_a_configuration_masquerading_is_not_compared() -> None:
    table = expected([service()], [slice_of(endpoint("10.244.1.2"))], proxy_facts(None, "v1.34.4"))
    assert table.handling(WEB, Client.OUTSIDE).masquerade is Masquerade.UNKNOWN


@pytest.mark.parametrize(
    ("config", "masqueraded"),
    [
        ({}, Masquerade.ALWAYS),
        ({"clusterCIDR": ""}, Masquerade.NEVER),
        ({"clusterCIDR": "fd00:244::/56"}, Masquerade.NEVER),
        ({"clusterCIDR": "", "iptables": {"masqueradeAll": True}}, Masquerade.ALWAYS),
        ({"detectLocalMode": "NodeCIDR"}, Masquerade.ALWAYS),
        ({"detectLocalMode": "BridgeInterface"}, Masquerade.NEVER),
        (
            {
                "detectLocalMode": "BridgeInterface",
                "detectLocal": {"bridgeInterface": "cni0"},
            },
            Masquerade.ALWAYS,
        ),
    ],
)
def test_a_proxy_that_cannot_detect_pods_masquerades_nobody_to_the_cluster_ip(
    config: dict, masqueraded: Masquerade
) -> None:
    """It has no range or device of pods in this family, so all clients may be pods."""
    table = expected([service()], [slice_of(endpoint("10.244.1.2"))], facts(**config))
    assert table.handling(WEB, Client.OUTSIDE).masquerade is masqueraded


def test_two_services_with_one_address() -> None:
    web = service(external_ips=["198.51.100.1"])
    other = ServiceObject(Metadata(name="other", namespace="shop"), web.spec)
    table = expected([web, other], [])
    shared = Frontend(4, "198.51.100.1", "tcp", 80)
    assert [entry.owner.service for entry in table.contested[shared] if entry.owner] == [
        "web",
        "other",
    ]


class TestProxyFacts:
    """Both forms in which kube-proxy's configuration is shown."""

    def test_the_config_map_and_configz_say_the_same(self) -> None:
        written = {
            "mode": "nftables",
            "clusterCIDR": "10.244.0.0/16,fd00:10::/56",
            "detectLocalMode": "BridgeInterface",
            "detectLocal": {"bridgeInterface": "cni0"},
            "nftables": {"masqueradeAll": True, "masqueradeBit": 9},
            "iptables": {"localhostNodePorts": False},
            "nodePortAddresses": ["primary"],
            "featureGates": {"LoadBalancerIPMode": False, "SomethingElse": True},
            "hostnameOverride": "alias",
            "ipvs": {"scheduler": "wrr", "excludeCIDRs": ["10.97.0.0/16"]},
        }
        shown = {
            "kubeproxy.config.k8s.io": {
                "Mode": "nftables",
                "DetectLocalMode": "BridgeInterface",
                "DetectLocal": {
                    "BridgeInterface": "cni0",
                    "ClusterCIDRs": ["10.244.0.0/16", "fd00:10::/56"],
                },
                "Linux": {"MasqueradeAll": True},
                "NFTables": {"MasqueradeBit": 9},
                "IPTables": {"MasqueradeBit": 14, "LocalhostNodePorts": False},
                "NodePortAddresses": ["primary"],
                "FeatureGates": {"LoadBalancerIPMode": False, "SomethingElse": True},
                "HostnameOverride": "alias",
                "IPVS": {"Scheduler": "wrr", "ExcludeCIDRs": ["10.97.0.0/16"]},
            }
        }
        assert proxy_facts(written, "v1.34.4") == proxy_facts(shown, "v1.34.4")
        found = proxy_facts(written, "v1.34.4")
        assert (found.mode, found.minor) == (Mode.NFTABLES, 34)
        assert (found.detect_local, found.local_interface) == (
            DetectLocal.BRIDGE_INTERFACE,
            "cni0",
        )
        assert (found.masquerade_all, found.masquerade_bit) == (True, 9)
        assert (found.ipvs_scheduler, list(map(str, found.ipvs_exclude_cidrs))) == (
            "wrr",
            ["10.97.0.0/16"],
        )
        assert (found.localhost_node_ports, found.hostname) == (False, "alias")
        assert found.feature_gates == {"LoadBalancerIPMode": False}

    def test_what_it_says_at_its_endpoint_wins(self) -> None:
        assert proxy_facts({"mode": "ipvs"}, "v1.34.4", "iptables").mode is Mode.IPTABLES

    def test_defaults(self) -> None:
        found = proxy_facts({}, "v1.29.0-eks-1234")
        assert (found.mode, found.minor, found.cluster_cidrs) == (Mode.IPTABLES, 29, ())
        assert (found.ipvs_scheduler, found.masquerade_bit) == ("rr", 14)
        assert (found.masquerade_all, found.localhost_node_ports) == (False, True)

    @pytest.mark.parametrize(
        ("config", "version"), [({"mode": "userspace"}, "v1.34.4"), ({}, "latest")]
    )
    def test_what_is_not_understood(self, config: dict, version: str) -> None:
        with pytest.raises(ValueError, match=r"userspace|latest"):
            proxy_facts(config, version)

    def test_versions(self) -> None:
        assert minor_version("registry.example.test/kube-proxy:v1.31.2-gke.5") == 31


def test_nodes_share_what_is_the_same_for_them() -> None:
    api = small.ApiObjects(services=[service()], endpoint_slices=[slice_of(endpoint("10.244.1.2"))])
    index = small.index_of(api)
    used = facts()
    first, second = (
        small.expected_table(index, small.NODE, used, small.clients()) for _ in range(2)
    )
    assert first.entries[WEB] is second.entries[WEB]
