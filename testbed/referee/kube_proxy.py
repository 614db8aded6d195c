"""The kube-proxy that is the referee: its versions, and the configurations that are tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wirecheck.dataplane.proxy import GATES

NODE = "here"
CLUSTER_RANGES = "10.244.0.0/16,fd00:10:244::/48"

NFTABLES_WITHOUT_GATE = 31
"""The first minor version that has nftables mode without being asked for it."""
NFTABLES_WITH_CONTESTS = 33
NFTABLES_WITH_PREFIXES = 33
PRIMARY_NODE_PORTS = 31
"""The first minor version in which `nodePortAddresses` may be that word."""

PORTS_WITHOUT_NUMBER = 31
"""The first minor version that goes on where a slice has a port without a number among others.

Earlier ones ended with a nil pointer when they sorted the slice's ports by number.
"""

Config = Mapping[str, Any]

CONFIGS: Mapping[str, Mapping[str, Config]] = {
    "iptables": {
        "cluster range": {"clusterCIDR": CLUSTER_RANGES},
        "node range": {"clusterCIDR": CLUSTER_RANGES, "detectLocalMode": "NodeCIDR"},
        "bridge": {
            "clusterCIDR": CLUSTER_RANGES,
            "detectLocalMode": "BridgeInterface",
            "detectLocal": {"bridgeInterface": "cni0"},
        },
        "no range": {},
        "masquerade all": {
            "clusterCIDR": CLUSTER_RANGES,
            "iptables": {"masqueradeAll": True, "masqueradeBit": 9},
        },
        "other node ports": {
            "clusterCIDR": CLUSTER_RANGES,
            "nodePortAddresses": ["10.9.9.0/24", "fd00:99::/64"],
        },
        "no localhost": {
            "clusterCIDR": CLUSTER_RANGES,
            "iptables": {"localhostNodePorts": False},
        },
        "node ports of one family": {
            "clusterCIDR": CLUSTER_RANGES,
            "nodePortAddresses": ["10.9.9.0/24"],
        },
        "primary node ports": {"clusterCIDR": CLUSTER_RANGES, "nodePortAddresses": ["primary"]},
        "other gates": {"clusterCIDR": CLUSTER_RANGES},
    },
    "nftables": {
        "cluster range": {"clusterCIDR": CLUSTER_RANGES},
        "interface prefix": {
            "clusterCIDR": CLUSTER_RANGES,
            "detectLocalMode": "InterfaceNamePrefix",
            "detectLocal": {"interfaceNamePrefix": "veth"},
        },
        "node range": {"clusterCIDR": CLUSTER_RANGES, "detectLocalMode": "NodeCIDR"},
        "no range": {},
        "masquerade all": {
            "clusterCIDR": CLUSTER_RANGES,
            "nftables": {"masqueradeAll": True, "masqueradeBit": 9},
        },
        "all node ports": {
            "clusterCIDR": CLUSTER_RANGES,
            "nodePortAddresses": ["0.0.0.0/0", "::/0"],
        },
        "other node ports": {
            "clusterCIDR": CLUSTER_RANGES,
            "nodePortAddresses": ["10.9.9.0/24", "fd00:99::/64"],
        },
        "node ports of one family": {
            "clusterCIDR": CLUSTER_RANGES,
            "nodePortAddresses": ["fd00:99::/64"],
        },
        "other gates": {"clusterCIDR": CLUSTER_RANGES},
    },
    "ipvs": {
        "cluster range": {"clusterCIDR": CLUSTER_RANGES},
        "no range": {},
        "primary node ports": {"clusterCIDR": CLUSTER_RANGES, "nodePortAddresses": ["primary"]},
        "masquerade all": {"clusterCIDR": CLUSTER_RANGES, "iptables": {"masqueradeAll": True}},
        "other node ports": {
            "clusterCIDR": CLUSTER_RANGES,
            "nodePortAddresses": ["10.9.9.0/24", "fd00:99::/64"],
        },
    },
}
"""By mode and name: what shapes the rules besides the objects."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One kube-proxy: its version, mode and the name of its configuration."""

    version: str
    mode: str
    config: str

    @property
    def bears_contests(self) -> bool:
        """Whether it goes on where several Services claim one address.

        Earlier ones in nftables mode did not: one element with two values ended every sync.
        """
        return self.mode != "nftables" or minor(self.version) >= NFTABLES_WITH_CONTESTS

    @property
    def bears_ports_without_number(self) -> bool:
        """Whether it goes on where a slice has one beside other ports."""
        return minor(self.version) >= PORTS_WITHOUT_NUMBER

    def __str__(self) -> str:
        return f"{self.version} {self.mode} ({self.config})"


def configs(mode: str, version: str) -> list[str]:
    """The configurations that a version can have."""
    # Until 1.32 nftables mode looked for an interface whose name is the prefix and a star.
    left_out = set()
    if mode == "nftables" and minor(version) < NFTABLES_WITH_PREFIXES:
        left_out.add("interface prefix")
    if minor(version) < PRIMARY_NODE_PORTS:
        left_out.add("primary node ports")
    if not gates(version):
        left_out.add("other gates")
    return [each for each in CONFIGS[mode] if each not in left_out]


def gates(version: str) -> dict[str, bool]:
    """The feature gates of a version that can be set, set to what they are not by default."""
    at = minor(version)
    return {
        name: at < each.default_on
        for name, each in GATES.items()
        if each.known_from <= at < each.locked_on and _is_known(name, at)
    }


def _is_known(name: str, at: int) -> bool:
    """Whether that version has heard of the gate, so that it starts with it."""
    return at >= {"ServiceTrafficDistribution": 30, "PreferSameTrafficDistribution": 33}.get(
        name, 0
    )


def settings(of: Contestant, kubeconfig: Path) -> str:
    """The text of a kube-proxy's configuration."""
    document = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": of.mode,
        "hostnameOverride": NODE,
        # The size of the connection table is the whole machine's.
        "conntrack": {"maxPerCore": 0},
        # IPVS is synchronised as a whole each time, by one program for each entry of a set.
        "ipvs": {"minSyncPeriod": "2s", "syncPeriod": "900s"},
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        **CONFIGS[of.mode][of.config],
    }
    set_gates = gates(of.version) if of.config == "other gates" else {}
    if of.mode == "nftables" and minor(of.version) < NFTABLES_WITHOUT_GATE:
        set_gates["NFTablesProxyMode"] = True
    if set_gates:
        document["featureGates"] = set_gates
    return yaml.safe_dump(document)


def minor(version: str) -> int:
    """34 of 1.34.4."""
    return int(version.split(".")[1])
