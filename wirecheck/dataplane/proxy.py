"""The configuration of kube-proxy on one node, as far as it shapes the kernel's rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from wirecheck.addresses import IPNetwork, network
from wirecheck.api_index.service_ports import PortFacts

_VERSION = re.compile(r"v?1\.(\d+)")


class Mode(StrEnum):
    """How kube-proxy programs Services."""

    IPTABLES = "iptables"
    NFTABLES = "nftables"
    IPVS = "ipvs"


class DetectLocal(StrEnum):
    """How kube-proxy distinguishes pods' traffic from other traffic."""

    CLUSTER_CIDR = "ClusterCIDR"
    NODE_CIDR = "NodeCIDR"
    BRIDGE_INTERFACE = "BridgeInterface"
    INTERFACE_NAME_PREFIX = "InterfaceNamePrefix"


@dataclass(frozen=True, slots=True)
class Gate:
    """A feature gate: the minor versions from which it is on by default, and locked on.

    Before `known_from` the feature was always on.
    """

    default_on: int
    locked_on: int
    known_from: int = 0


GATES = {
    "LoadBalancerIPMode": Gate(30, 32),
    "TopologyAwareHints": Gate(24, 33),
    "ServiceTrafficDistribution": Gate(31, 33),
    "PreferSameTrafficDistribution": Gate(34, 35),
    "AllowServiceExternalIPs": Gate(0, 999, known_from=36),
}


OLDEST, NEWEST = 26, 37
"""The minor versions of kube-proxy whose rules are known. 1.26 is the first that always falls back
to terminating endpoints; KUBE-XLB was gone with 1.24."""

CONNTRACK_PER_CORE, CONNTRACK_MIN = 32_768, 131_072
"""Defaults of conntrack.maxPerCore and conntrack.min (pkg/proxy/apis/config/v1alpha1)."""
CONNTRACK_CAP = 1_048_576
"""From 1.36 the default is capped on machines with more than 32 CPUs."""


@dataclass(frozen=True, slots=True)
class ProxyFacts:
    """Mode, minor version and configuration of the kube-proxy that runs on a node.

    `cluster_cidrs` None means that the configuration was not seen: masquerading, which depends
    on it, is then not compared.
    """

    mode: Mode = Mode.IPTABLES
    minor: int = 34
    """Of kube-proxy itself, by its image tag: it may lag behind the API server."""
    cluster_cidrs: tuple[IPNetwork, ...] | None = None
    detect_local: DetectLocal = DetectLocal.CLUSTER_CIDR
    local_interface: str = ""
    """The bridge, or the prefix of interface names, for the two modes that use interfaces."""
    masquerade_all: bool = False
    masquerade_bit: int = 14
    node_port_addresses: tuple[str, ...] = ()
    """Ranges, or the single word `primary`; empty for the mode's default."""
    localhost_node_ports: bool = True
    feature_gates: Mapping[str, bool] = field(default_factory=dict)
    hostname: str = ""
    """`hostnameOverride`; empty for the node's name."""
    ipvs_scheduler: str = "rr"
    ipvs_exclude_cidrs: tuple[IPNetwork, ...] = ()
    conntrack_per_core: int = CONNTRACK_PER_CORE
    """0: kube-proxy does not set the kernel's limit."""
    conntrack_min: int = CONNTRACK_MIN

    @property
    def is_known(self) -> bool:
        """Whether the rules of this version are known."""
        return OLDEST <= self.minor <= NEWEST

    def conntrack_limit(self, cpus: int) -> int | None:
        """The nf_conntrack_max that it sets when it starts; None if it sets none."""
        if self.conntrack_per_core == 0:
            return None
        limit = max(self.conntrack_min, self.conntrack_per_core * cpus)
        is_default = self.conntrack_per_core == CONNTRACK_PER_CORE
        return min(limit, CONNTRACK_CAP) if is_default and self.minor >= 36 else limit

    def gate(self, name: str) -> bool:
        """Whether a feature gate is on in this version, with this configuration."""
        gate = GATES[name]
        if self.minor >= gate.locked_on or self.minor < gate.known_from:
            return True
        return self.feature_gates.get(name, self.minor >= gate.default_on)

    def external_ips_of(self, port: PortFacts) -> tuple[str, ...]:
        """The external addresses of a Service port that kube-proxy programs."""
        return port.external_ips if self.gate("AllowServiceExternalIPs") else ()

    def vips_of(self, port: PortFacts) -> tuple[str, ...]:
        """The load balancer addresses of a Service port that kube-proxy programs."""
        if not port.proxied_vips or not self.gate("LoadBalancerIPMode"):
            return port.vips
        return tuple(each for each in port.vips if each not in port.proxied_vips)


def minor_version(version: str) -> int:
    """The minor version of `v1.34.4` or of an image tag; raises ValueError if there is none."""
    found = _VERSION.search(version)
    if not found:
        raise ValueError(f"{version!r} is not a kube-proxy version")
    return int(found[1])


def proxy_facts(config: Mapping[str, Any] | None, version: str, mode: str = "") -> ProxyFacts:
    """The facts from kube-proxy's configuration and a version such as `v1.34.4`.

    `config` is the decoded object: the v1alpha1 one of the ConfigMap's `config.conf`, or what
    /configz shows, which is kube-proxy's internal form with other names; None if it was not
    seen. `mode`, if given, is the answer of /proxyMode, and takes precedence. Raises ValueError
    for what kube-proxy would refuse.
    """
    minor = minor_version(version)
    if config is None:
        return ProxyFacts(mode=Mode(mode or "iptables"), minor=minor)
    try:
        return _facts(_lower(config), minor, mode)
    except (AttributeError, TypeError, OverflowError) as error:
        # For example a list instead of a text.
        raise ValueError(f"its configuration is not valid: {error}") from error


def _facts(config: Mapping[str, Any], minor: int, mode: str) -> ProxyFacts:
    """The facts from a configuration with lower-case keys."""
    config = config.get("kubeproxy.config.k8s.io", config)
    iptables, nftables, ipvs, linux, detect = (
        config.get(name) or {} for name in ("iptables", "nftables", "ipvs", "linux", "detectlocal")
    )
    actual_mode = Mode(mode or config.get("mode") or "iptables")
    # Each mode has its own masquerade settings; IPVS shares those of iptables.
    section = nftables if actual_mode is Mode.NFTABLES else iptables
    detect_local = DetectLocal(config.get("detectlocalmode") or "ClusterCIDR")
    interfaces = {
        DetectLocal.BRIDGE_INTERFACE: detect.get("bridgeinterface") or "",
        DetectLocal.INTERFACE_NAME_PREFIX: detect.get("interfacenameprefix") or "",
    }
    cluster_cidrs = detect.get("clustercidrs") or (config.get("clustercidr") or "").split(",")
    localhost, bit = iptables.get("localhostnodeports"), section.get("masqueradebit")
    # /configz shows it under `Linux`, the ConfigMap at the top; null is the default.
    conntrack = linux.get("conntrack") or config.get("conntrack") or {}
    per_core, least = conntrack.get("maxpercore"), conntrack.get("min")
    return ProxyFacts(
        mode=actual_mode,
        minor=minor,
        cluster_cidrs=_networks(cluster_cidrs),
        detect_local=detect_local,
        local_interface=str(interfaces.get(detect_local, "")),
        masquerade_all=bool(section.get("masqueradeall") or linux.get("masqueradeall")),
        masquerade_bit=14 if bit is None else int(bit),
        node_port_addresses=tuple(config.get("nodeportaddresses") or ()),
        localhost_node_ports=True if localhost is None else bool(localhost),
        feature_gates=_gates(config.get("featuregates") or {}),
        hostname=str(config.get("hostnameoverride") or ""),
        ipvs_scheduler=str(ipvs.get("scheduler") or "rr"),
        ipvs_exclude_cidrs=_networks(ipvs.get("excludecidrs") or ()),
        conntrack_per_core=CONNTRACK_PER_CORE if per_core is None else int(per_core),
        conntrack_min=CONNTRACK_MIN if least is None else int(least),
    )


def _lower(value: Any) -> Any:
    """The same with lower-case keys: the case of most keys differs between the two forms."""
    if isinstance(value, Mapping):
        return {str(key).lower(): _lower(each) for key, each in value.items()}
    return value


def _gates(lowered: Mapping[str, bool]) -> dict[str, bool]:
    names = {name.lower(): name for name in GATES}
    return {names[key]: bool(value) for key, value in lowered.items() if key in names}


def _networks(texts: Iterable[str]) -> tuple[IPNetwork, ...]:
    return tuple(network(text.strip()) for text in texts if text.strip())
