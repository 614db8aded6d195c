"""kube-proxy's configuration file (KubeProxyConfiguration v1alpha1), as far as it shapes a node."""

from __future__ import annotations

import msgspec
import yaml
from msgspec import Struct, field

from wirecheck.parse.errors import ParseError


class Conntrack(Struct, frozen=True, rename="camel"):
    """`conntrack`: null means kube-proxy's default, 0 means to leave the kernel's alone."""

    max_per_core: int | None = None
    min: int | None = None


class IPTables(Struct, frozen=True, rename="camel"):
    """`iptables`: how traffic is masqueraded."""

    masquerade_all: bool = False
    masquerade_bit: int | None = None
    localhost_node_ports: bool | None = None


class DetectLocal(Struct, frozen=True, rename="camel"):
    """`detectLocal`: what tells a pod's packets from others."""

    bridge_interface: str = ""
    interface_name_prefix: str = ""


class KubeProxyConfig(Struct, frozen=True, rename="camel"):
    """The fields that decide what the kernel must look like; all others are left out."""

    mode: str = ""
    cluster_cidr: str = field(default="", name="clusterCIDR")
    detect_local_mode: str = ""
    detect_local: DetectLocal = DetectLocal()
    node_port_addresses: list[str] | None = None
    feature_gates: dict[str, bool] | None = None
    conntrack: Conntrack = Conntrack()
    iptables: IPTables = IPTables()
    nftables: IPTables = IPTables()

    @property
    def configured_mode(self) -> str:
        """iptables, ipvs or nftables; empty means iptables on Linux."""
        return self.mode or "iptables"


MAX_PER_CORE = 32_768
MIN = 131_072
"""Defaults of conntrack.maxPerCore and conntrack.min (pkg/proxy/apis/config/v1alpha1)."""


def conntrack_limit(config: KubeProxyConfig, cpus: int) -> int | None:
    """The nf_conntrack_max that kube-proxy sets at its start; None where it sets none."""
    per_core = config.conntrack.max_per_core
    per_core = MAX_PER_CORE if per_core is None else per_core
    if per_core == 0:
        return None
    least = config.conntrack.min
    return max(MIN if least is None else least, per_core * cpus)


def parse_kube_proxy_config(text: str) -> KubeProxyConfig:
    """Read the YAML of `config.conf`; raises ParseError where it is none, or of another version."""
    try:
        content = yaml.safe_load(text)
        if not isinstance(content, dict) or content.get("kind") != "KubeProxyConfiguration":
            raise ParseError("kube-proxy's config.conf is no KubeProxyConfiguration.")
        present = {name: value for name, value in content.items() if value is not None}
        return msgspec.convert(present, KubeProxyConfig)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise ParseError(f"kube-proxy's config.conf is not understood: {error}") from error
