"""The kubelet's settings for pods' resolv.conf on one node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.node.dns import NodeDns
from wirecheck.node.dns_servers import Standing
from wirecheck.node.kubelet_dns import required_kubelet_dns
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.kubelet_settings import KubeletDns


@dataclass(frozen=True)
class DnsDeviation:
    """A setting that is not the cluster's, or may not be."""

    setting: str
    expected: str
    found: str
    unsure: str = ""
    """Why it may be right nevertheless; empty if it is wrong."""


@dataclass(frozen=True)
class Kubelet:
    """The settings of one node's kubelet."""

    seen: NodeSeen
    dns_of_pods: NodeDns

    @property
    def dns(self) -> KubeletDns:
        """The DNS settings. Raises as `required_kubelet_dns` does."""
        return required_kubelet_dns(self.seen)

    @property
    def dns_deviations(self) -> Iterator[DnsDeviation]:
        """The settings that do not point to the cluster's DNS."""
        found, servers = self.dns, self.dns_of_pods.servers
        standings = {each: servers.standing(each) for each in found.servers}
        named = ", ".join(found.servers) or "nothing"
        expected = ", ".join(sorted(map(str, servers.services))) or "a DNS server of the cluster"
        if not found.servers or Standing.WRONG in standings.values():
            yield DnsDeviation("clusterDNS", expected, named)
        elif Standing.UNKNOWN in standings.values():
            unsure = f"nothing on the node shows what serves DNS at {named}"
            yield DnsDeviation("clusterDNS", expected, named, unsure)
        domain, unsure = self.dns_of_pods.domain.kubelet_verdict()
        if domain:
            yield DnsDeviation("clusterDomain", domain, found.domain or "nothing", unsure)
