"""Settings of kube-proxy and of the kubelet, whatever they hold: values, or one kind of error."""

from __future__ import annotations

import contextlib
import random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.garbling import ODD, garbled
from wirecheck.dataplane.proxy import ProxyFacts, proxy_facts
from wirecheck.parse.errors import ParseError
from wirecheck.parse.kubelet_settings import kubelet_dns

OF_CONFIG_MAP = {
    "mode": "nftables",
    "clusterCIDR": "10.244.0.0/16,fd00:10:244::/48",
    "detectLocalMode": "BridgeInterface",
    "detectLocal": {"bridgeInterface": "cni0", "interfaceNamePrefix": "veth"},
    "nodePortAddresses": ["10.0.0.0/8"],
    "iptables": {"masqueradeBit": 14, "masqueradeAll": True, "localhostNodePorts": False},
    "nftables": {"masqueradeBit": 14, "masqueradeAll": True},
    "ipvs": {"scheduler": "rr", "excludeCIDRs": ["10.1.0.0/16"]},
    "conntrack": {"maxPerCore": 0, "min": 131072},
    "featureGates": {"LoadBalancerIPMode": False},
    "hostnameOverride": "n1",
}
OF_CONFIGZ = {
    "kubeproxy.config.k8s.io": {
        **OF_CONFIG_MAP,
        "DetectLocal": {"ClusterCIDRs": ["10.244.0.0/16"], "BridgeInterface": ""},
        "Linux": {"MasqueradeAll": True, "Conntrack": {"MaxPerCore": None, "Min": None}},
    }
}
KUBELET = ["clusterDNS:", "- 10.96.0.10", "clusterDomain: cluster.local"]


@pytest.mark.parametrize("config", [OF_CONFIG_MAP, OF_CONFIGZ])
def test_as_it_is_it_is_read(config: dict[str, object]) -> None:
    assert isinstance(proxy_facts(config, "v1.34.4"), ProxyFacts)


@pytest.mark.parametrize("config", [OF_CONFIG_MAP, OF_CONFIGZ])
@given(seed=st.integers(0, 2**32))
def test_kube_proxys_configuration(config: dict[str, object], seed: int) -> None:
    chance = random.Random(seed)
    odd = garbled(config, chance, chance.randint(1, 4))
    with contextlib.suppress(ValueError):
        assert isinstance(proxy_facts(odd, "v1.34.4"), ProxyFacts)


@given(odd=st.sampled_from(ODD), name=st.sampled_from(["clusterDNS", "clusterDomain"]))
def test_the_kubelets_settings(odd: object, name: str) -> None:
    for lines in ([f"{name}: {odd}"], yaml.safe_dump({name: str(odd)}).split("\n"), [str(odd)]):
        with contextlib.suppress(ParseError):
            kubelet_dns({}, lines)


@given(lines=st.lists(st.text()))
def test_any_lines_as_the_kubelets_settings(lines: list[str]) -> None:
    with contextlib.suppress(ParseError):
        kubelet_dns({}, [*KUBELET, *lines])
