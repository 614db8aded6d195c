"""What a version and a configuration of kube-proxy mean for the rules."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.addresses import network
from wirecheck.dataplane.proxy import GATES, DetectLocal, Mode, ProxyFacts, proxy_facts


def on_in(name: str, **gates: bool) -> list[int]:
    """The minor versions from 1.22 to 1.38 in which a feature is on."""
    return [
        each for each in range(22, 39) if ProxyFacts(minor=each, feature_gates=gates).gate(name)
    ]


def since(minor: int) -> list[int]:
    return list(range(minor, 39))


@pytest.mark.parametrize(
    ("name", "default_on", "locked_on"),
    [
        ("LoadBalancerIPMode", 30, 32),
        ("TopologyAwareHints", 24, 33),
        ("ServiceTrafficDistribution", 31, 33),
        ("PreferSameTrafficDistribution", 34, 35),
    ],
)
def test_a_feature_can_be_switched_until_it_is_locked(name: str, default_on: int, locked_on: int):
    assert on_in(name) == since(default_on)
    assert on_in(name, **{name: False}) == since(locked_on)
    assert on_in(name, **{name: True}) == since(22)


def test_external_ips_can_be_switched_off_from_1_36():
    name = "AllowServiceExternalIPs"

    assert on_in(name) == since(22)
    assert on_in(name, **{name: False}) == list(range(22, 36))


def test_every_gate_is_on_if_the_version_is_newer_than_all():
    assert all(ProxyFacts(minor=37).gate(each) for each in GATES)


def test_the_versions_whose_rules_are_known():
    assert [each for each in range(22, 40) if ProxyFacts(minor=each).is_known] == [*range(26, 38)]


@pytest.mark.parametrize(
    ("minor", "config", "cpus", "limit"),
    [
        (34, {}, 2, 131_072),
        (34, {}, 4, 131_072),
        (34, {}, 5, 163_840),
        (34, {}, 64, 2_097_152),
        (36, {}, 32, 1_048_576),
        (36, {}, 33, 1_048_576),
        (36, {}, 64, 1_048_576),
        (35, {}, 33, 1_081_344),
        (36, {"maxPerCore": 40_000}, 64, 2_560_000),
        (34, {"maxPerCore": 1_000}, 4, 131_072),
        (34, {"maxPerCore": 1_000, "min": 0}, 4, 4_000),
        (34, {"min": 1_000_000}, 4, 1_000_000),
        (34, {"maxPerCore": 0}, 4, None),
        (34, {"maxPerCore": None, "min": None}, 4, 131_072),
    ],
)
def test_the_conntrack_limit_follows_from_the_cpus(
    minor: int, config: dict[str, Any], cpus: int, limit: int | None
):
    facts = proxy_facts({"conntrack": config}, f"v1.{minor}.0")

    assert facts.conntrack_limit(cpus) == limit


def test_defaults_are_those_of_kube_proxy():
    facts = proxy_facts({}, "v1.34.4")

    assert facts == ProxyFacts(cluster_cidrs=())
    assert (facts.mode, facts.masquerade_bit, facts.masquerade_all) == (Mode.IPTABLES, 14, False)
    assert (facts.localhost_node_ports, facts.ipvs_scheduler) == (True, "rr")
    assert (facts.detect_local, facts.local_interface) == (DetectLocal.CLUSTER_CIDR, "")
    assert proxy_facts(None, "v1.34.4", "ipvs") == ProxyFacts(mode=Mode.IPVS)
    assert proxy_facts(None, "v1.34.4").cluster_cidrs is None


def test_each_setting_is_read_from_both_forms_of_the_configuration():
    of_config_map = {
        "mode": "ipvs",
        "clusterCIDR": "10.244.0.0/16, fd00::/48",
        "conntrack": {"maxPerCore": 7},
        "iptables": {"masqueradeAll": True, "masqueradeBit": 0, "localhostNodePorts": False},
        "nftables": {"masqueradeBit": 9},
        "ipvs": {"scheduler": "sh", "excludeCIDRs": ["10.9.0.0/16"]},
        "nodePortAddresses": ["primary"],
        "featureGates": {"TopologyAwareHints": False, "Other": True},
        "hostnameOverride": "node-1",
    }
    of_configz = {
        "kubeproxy.config.k8s.io": {
            "Mode": "ipvs",
            "DetectLocal": {"ClusterCIDRs": ["10.244.0.0/16", "fd00::/48"]},
            "Linux": {"Conntrack": {"MaxPerCore": 7}, "MasqueradeAll": True},
            "IPTables": {"MasqueradeBit": 0, "LocalhostNodePorts": False},
            "IPVS": {"Scheduler": "sh", "ExcludeCIDRs": ["10.9.0.0/16"]},
            "NodePortAddresses": ["primary"],
            "FeatureGates": {"TopologyAwareHints": False},
            "HostnameOverride": "node-1",
        }
    }
    wanted = ProxyFacts(
        mode=Mode.IPVS,
        cluster_cidrs=(network("10.244.0.0/16"), network("fd00::/48")),
        masquerade_all=True,
        masquerade_bit=0,
        node_port_addresses=("primary",),
        localhost_node_ports=False,
        feature_gates={"TopologyAwareHints": False},
        hostname="node-1",
        ipvs_scheduler="sh",
        ipvs_exclude_cidrs=(network("10.9.0.0/16"),),
        conntrack_per_core=7,
    )
    assert proxy_facts(of_config_map, "v1.34.4") == wanted
    assert proxy_facts(of_configz, "v1.34.4") == wanted


def test_each_mode_has_its_masquerade_settings_and_ipvs_those_of_iptables():
    config = {"iptables": {"masqueradeBit": 3}, "nftables": {"masqueradeBit": 4}}
    bits = {mode: proxy_facts(config, "v1.34.4", mode).masquerade_bit for mode in Mode}

    assert bits == {Mode.IPTABLES: 3, Mode.IPVS: 3, Mode.NFTABLES: 4}


def test_the_answer_of_kube_proxy_takes_precedence_over_its_configuration():
    assert proxy_facts({"mode": "ipvs"}, "v1.34.4", "iptables").mode is Mode.IPTABLES
    assert proxy_facts({"mode": "ipvs"}, "v1.34.4").mode is Mode.IPVS
    assert proxy_facts({"mode": ""}, "v1.34.4").mode is Mode.IPTABLES


def test_the_interface_of_pods_belongs_to_its_way_of_detection():
    detect = {"bridgeInterface": "cni0", "interfaceNamePrefix": "veth"}
    found = {
        way: proxy_facts({"detectLocalMode": way, "detectLocal": detect}, "v1.34.4").local_interface
        for way in DetectLocal
    }
    assert found == {
        DetectLocal.CLUSTER_CIDR: "",
        DetectLocal.NODE_CIDR: "",
        DetectLocal.BRIDGE_INTERFACE: "cni0",
        DetectLocal.INTERFACE_NAME_PREFIX: "veth",
    }


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"mode": "userspace"}, "userspace"),
        ({"clusterCIDR": "x"}, "'x' does not appear to be"),
        ({"clusterCIDR": 1}, "its configuration is not valid"),
        ({"iptables": [1]}, "its configuration is not valid"),
    ],
)
def test_what_kube_proxy_would_refuse_is_an_error(config: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        proxy_facts(config, "v1.34.4")
