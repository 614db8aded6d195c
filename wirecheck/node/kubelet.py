"""The kubelet's settings for pods' resolv.conf on one node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.dns import NodeDns
from wirecheck.node.resolver import is_one_of
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.kubelet_settings import KubeletDns, kubelet_dns


@dataclass(frozen=True)
class Kubelet:
    """The settings of one node's kubelet."""

    seen: NodeSeen
    dns_of_pods: NodeDns

    @property
    def dns(self) -> KubeletDns:
        """The DNS settings.

        Raises NotApplicable where the settings cannot be found, and FactMissingError where they
        were found but not read.
        """
        found = self.seen.facts.kubelet
        if found is None:
            raise NotApplicable("no process named kubelet was found on the node")
        if found.flags.get("config-dir"):
            raise NotApplicable(
                f"the kubelet merges its settings from files in {found.flags['config-dir']}, which "
                "are not read"
            )
        if found.problem:
            raise FactMissingError(f"The kubelet's settings on {self.seen.name}: {found.problem}.")
        try:
            return kubelet_dns(found.flags, found.lines)
        except ParseError as error:
            raise FactMissingError(f"The kubelet on {self.seen.name}: {error}") from error

    @property
    def dns_deviations(self) -> Iterator[tuple[str, str, str]]:
        """(setting, expected, found) for each setting that does not point to the cluster's DNS."""
        wanted = self.seen.cluster.dns
        found = self.dns
        strangers = [
            each for each in found.servers if not is_one_of(each, self.dns_of_pods.server_addresses)
        ]
        if strangers or not found.servers:
            addresses = ", ".join(sorted(map(str, wanted.service_addresses)))
            yield "clusterDNS", addresses, ", ".join(found.servers) or "nothing"
        if found.domain != wanted.domain:
            yield "clusterDomain", wanted.domain, found.domain or "nothing"
