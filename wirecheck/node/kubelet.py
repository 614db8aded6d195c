"""The kubelet's settings on one node, as far as pods get their resolv.conf from them."""

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
    """What the kubelet of one node goes by."""

    seen: NodeSeen
    dns_of_pods: NodeDns

    @property
    def dns(self) -> KubeletDns:
        """Raises NotApplicable where they are not to be had, FactMissingError where unread."""
        found = self.seen.facts.kubelet
        if found is None:
            raise NotApplicable("no process called kubelet was found, or it was not looked for")
        if found.flags.get("config-dir"):
            raise NotApplicable(
                f"the kubelet's settings are spread over files in {found.flags['config-dir']}"
            )
        if found.problem:
            raise FactMissingError(f"The kubelet's settings on {self.seen.name}: {found.problem}.")
        try:
            return kubelet_dns(found.flags, found.lines)
        except ParseError as error:
            raise FactMissingError(f"The kubelet on {self.seen.name}: {error}") from error

    @property
    def dns_deviations(self) -> Iterator[tuple[str, str, str]]:
        """(setting, expected, found) for each one that does not lead pods to the cluster's DNS."""
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
