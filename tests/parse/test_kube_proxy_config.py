import pytest

from wirecheck.parse.errors import ParseError
from wirecheck.parse.kube_proxy_config import conntrack_limit, parse_kube_proxy_config

KUBEADM = """
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clusterCIDR: 10.244.0.0/16
conntrack:
  maxPerCore: 0
  min: null
iptables:
  masqueradeAll: false
mode: nftables
nodePortAddresses: null
"""


def test_the_fields_that_count_are_read():
    config = parse_kube_proxy_config(KUBEADM)

    assert (config.configured_mode, config.cluster_cidr) == ("nftables", "10.244.0.0/16")
    assert config.node_port_addresses is None


def test_an_empty_mode_means_iptables():
    assert (
        parse_kube_proxy_config("kind: KubeProxyConfiguration\nmode: ''").configured_mode
        == "iptables"
    )


@pytest.mark.parametrize(
    ("conntrack", "limit"),
    [
        ("{}", 131_072),
        ("{maxPerCore: 100000}", 200_000),
        ("{maxPerCore: 0}", None),
        ("{maxPerCore: 1, min: 10}", 10),
    ],
)
def test_the_limit_follows_kube_proxys_rule(conntrack, limit):
    config = parse_kube_proxy_config(f"kind: KubeProxyConfiguration\nconntrack: {conntrack}")

    assert conntrack_limit(config, cpus=2) == limit


@pytest.mark.parametrize(
    "text", ["", "[]", "kind: Other", "kind: [", "kind: KubeProxyConfiguration\nmode: 7"]
)
def test_anything_else_is_refused(text):
    with pytest.raises(ParseError, match=r"config\.conf"):
        parse_kube_proxy_config(text)
