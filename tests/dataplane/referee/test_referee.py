"""A real kube-proxy programs random Services, and what is read must be what is expected.

Needs root, iptables and nft, and binaries: WIRECHECK_KUBE_PROXY="1.34.4=/path/to/kube-proxy,…".
Without them only what was recorded from such runs is judged.
"""

import gzip
import json
import os
from pathlib import Path

import pytest

from tests.dataplane.referee.judged import judged
from tests.dataplane.referee.kube_proxy import KubeProxy
from tests.dataplane.referee.random_services import RandomServices

BINARIES = dict(
    each.split("=", 1) for each in os.environ.get("WIRECHECK_KUBE_PROXY", "").split(",") if each
)
RECORDED = sorted((Path(__file__).parents[2] / "recorded" / "random-services").glob("*.json.gz"))
CIDRS = "10.244.0.0/16,fd00:10:244::/48"
CONFIGS = {
    "iptables": {"mode": "iptables", "clusterCIDR": CIDRS},
    "iptables-node-cidr": {
        "mode": "iptables",
        "clusterCIDR": CIDRS,
        "detectLocalMode": "NodeCIDR",
    },
    "iptables-bridge": {
        "mode": "iptables",
        "clusterCIDR": CIDRS,
        "detectLocalMode": "BridgeInterface",
        "detectLocal": {"bridgeInterface": "cni0"},
    },
    "iptables-no-detector": {"mode": "iptables"},
    "iptables-masquerade-all": {
        "mode": "iptables",
        "clusterCIDR": CIDRS,
        "iptables": {"masqueradeAll": True, "masqueradeBit": 9},
    },
    "iptables-other-node-ports": {
        "mode": "iptables",
        "clusterCIDR": CIDRS,
        "nodePortAddresses": ["10.9.9.0/24", "fd00:99::/64"],
    },
    "nftables": {"mode": "nftables", "clusterCIDR": CIDRS},
    "nftables-prefix": {
        "mode": "nftables",
        "clusterCIDR": CIDRS,
        "detectLocalMode": "InterfaceNamePrefix",
        "detectLocal": {"interfaceNamePrefix": "veth"},
    },
    "nftables-masquerade-all": {
        "mode": "nftables",
        "clusterCIDR": CIDRS,
        "nftables": {"masqueradeAll": True, "masqueradeBit": 9},
    },
    "nftables-all-node-ports": {
        "mode": "nftables",
        "clusterCIDR": CIDRS,
        "nodePortAddresses": ["0.0.0.0/0", "::/0"],
    },
}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.name)
def test_a_recorded_run_has_no_difference(path: Path) -> None:
    run = json.loads(gzip.decompress(path.read_bytes()))
    found = judged(run["objects"], run["config"], run["version"], run["dumps"])
    assert found.compared > 150
    assert not found.items


@pytest.mark.skipif(not BINARIES, reason="WIRECHECK_KUBE_PROXY names no kube-proxy")
@pytest.mark.parametrize("seed", range(int(os.environ.get("WIRECHECK_REFEREE_SEEDS", "3"))))
@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("version", BINARIES or ["none"])
def test_a_run_has_no_difference(version: str, config: str, seed: int) -> None:
    objects = RandomServices(seed).objects()
    dumps = KubeProxy(BINARIES[version], objects, CONFIGS[config]).programmed()
    found = judged(objects, CONFIGS[config], version, dumps)
    assert found.compared > 150
    assert not found.items
