"""A pod's resolv.conf, compared with the one that the kubelet writes for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.pod import Pod
from wirecheck.parse.resolv_conf import ResolvConf

MOST_NAMESERVERS = 3
"""The kubelet truncates the list to this number, as glibc does (MAXNS)."""


@dataclass(frozen=True)
class Resolver:
    """A pod's resolv.conf, and what its dnsPolicy and dnsConfig imply."""

    pod: Pod
    file: ResolvConf
    domain: str
    dns_addresses: frozenset[IPAddress]
    """The addresses of the DNS Services."""
    local_addresses: frozenset[IPAddress] = frozenset()
    """The addresses of the node's own DNS cache, if there is one."""

    @property
    def deviations(self) -> Iterator[tuple[str, str]]:
        """(expected, found) for each setting that is not as the kubelet writes it.

        With policy Default, a pod inherits the node's settings. Then only the settings of the
        pod's own dnsConfig are evaluated.
        """
        yield from self._servers()
        yield from self._searches()

    def _servers(self) -> Iterator[tuple[str, str]]:
        found = self.file.nameservers
        own = tuple(self.pod.dns_config.nameservers)
        match self.pod.dns_policy:
            case "None":
                if found != own[:MOST_NAMESERVERS]:
                    yield _listed("nameserver", own), _listed("nameserver", found)
            case "ClusterFirst" | "ClusterFirstWithHostNet":
                allowed = self.dns_addresses | self.local_addresses
                if not any(is_one_of(server, allowed) for server in found[:1]):
                    expected = f"nameserver {', '.join(sorted(map(str, self.dns_addresses)))} first"
                    yield expected, _listed("nameserver", found)
                yield from _missing("nameserver", own, found, full=len(found) >= MOST_NAMESERVERS)
            case _:
                yield from _missing("nameserver", own, found, full=len(found) >= MOST_NAMESERVERS)

    def _searches(self) -> Iterator[tuple[str, str]]:
        found = self.file.searches
        own = tuple(self.pod.dns_config.searches)
        match self.pod.dns_policy:
            case "None":
                if found != own:
                    yield _listed("search", own), _listed("search", found)
            case "ClusterFirst" | "ClusterFirstWithHostNet":
                path = (
                    f"{self.pod.namespace}.svc.{self.domain}",
                    f"svc.{self.domain}",
                    self.domain,
                )
                if found[:3] != path:
                    yield f"{_listed('search', path)} first", _listed("search", found)
                yield from _missing("search", own, found)
            case _:
                yield from _missing("search", own, found)


def _missing(
    keyword: str, wanted: tuple[str, ...], found: tuple[str, ...], *, full: bool = False
) -> Iterator[tuple[str, str]]:
    missing = [each for each in wanted if each.rstrip(".") not in found]
    if missing and not full:
        yield _listed(keyword, missing), _listed(keyword, found)


def _listed(keyword: str, values: tuple[str, ...] | list[str]) -> str:
    return f"{keyword} {' '.join(values)}" if values else f"no {keyword}"


def is_one_of(text: str, allowed: frozenset[IPAddress]) -> bool:
    """Return whether the text is one of the addresses."""
    try:
        return address(text) in allowed
    except ValueError:
        return False
