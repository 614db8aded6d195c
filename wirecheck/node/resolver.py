"""A pod's resolv.conf, compared with the one that the kubelet writes for it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wirecheck.addresses import address
from wirecheck.api_index.pod import Pod
from wirecheck.node.dns_servers import DnsServers, Standing
from wirecheck.parse.resolv_conf import ResolvConf

MOST_NAMESERVERS = 3
"""The kubelet truncates the list to this number, as glibc does (MAXNS)."""

MOST_SEARCHES = 6
LONGEST_SEARCH = 256
"""The least limits of any kubelet: before 1.28 it truncated a longer search path to them."""

OWN_FILE = frozenset({"/etc", "/etc/resolv.conf"})
CLUSTER_POLICIES = ("ClusterFirst", "ClusterFirstWithHostNet")


@dataclass(frozen=True)
class Deviation:
    """A setting of a resolv.conf that is not as the kubelet writes it."""

    expected: str
    found: str
    unsure: str = ""
    """Why it may be right nevertheless; empty if it is wrong."""


def mounts_own_file(pod: Pod) -> bool:
    """Whether a container of the pod mounts a volume over its resolv.conf."""
    spec = pod.object.spec
    return any(
        posixpath.normpath(mount.mount_path) in OWN_FILE
        for container in (*spec.containers, *spec.init_containers)
        for mount in container.volume_mounts
    )


@dataclass(frozen=True)
class Resolver:
    """A pod's resolv.conf, and what its dnsPolicy and dnsConfig imply."""

    pod: Pod
    file: ResolvConf
    domains: tuple[str, ...]
    """The domains that its search path may have; empty if the cluster's domain is unknown."""
    servers: DnsServers
    mounts_known: bool
    """Whether the API shows what the pod mounts."""

    @property
    def deviations(self) -> Iterator[Deviation]:
        """Each setting that is not as the kubelet writes it.

        With policy Default, a pod inherits the node's settings. Then only the settings of the
        pod's own dnsConfig are evaluated.
        """
        yield from self._servers()
        yield from self._searches()

    def _servers(self) -> Iterator[Deviation]:
        found = self.file.nameservers
        own = _unique(map(_plain, self.pod.dns_config.nameservers))
        if self.pod.dns_policy == "None":
            if _unique(map(_plain, found)) != own[:MOST_NAMESERVERS]:
                yield self._deviation("nameserver", own, found)
            return
        if self.pod.dns_policy in CLUSTER_POLICIES:
            standing = self.servers.standing(found[0]) if found else Standing.WRONG
            if standing is not Standing.RIGHT:
                expected = ", ".join(sorted(map(str, self.servers.services)))
                unsure = self._why_unsure
                if standing is Standing.UNKNOWN:
                    unsure = f"nothing on the node shows what serves DNS at {found[0]}"
                yield Deviation(
                    f"nameserver {expected or 'of the cluster'} first",
                    _listed("nameserver", found),
                    unsure,
                )
        if len(found) < MOST_NAMESERVERS:
            yield from self._missing("nameserver", own, _unique(map(_plain, found)))

    def _searches(self) -> Iterator[Deviation]:
        found = tuple(each.lower() for each in self.file.searches)
        own = _unique(each.lower().rstrip(".") or "." for each in self.pod.dns_config.searches)
        is_full = len(found) >= MOST_SEARCHES or len(" ".join((*found, *own))) > LONGEST_SEARCH
        if self.pod.dns_policy == "None":
            if _unique(found) != own and not (is_full and own[: len(found)] == found):
                yield self._deviation("search", own, found)
            return
        if self.pod.dns_policy in CLUSTER_POLICIES and self.domains:
            paths = [
                (f"{self.pod.namespace}.svc.{domain}", f"svc.{domain}", domain)
                for domain in self.domains
            ]
            if found[:3] not in paths:
                yield Deviation(
                    f"{_listed('search', paths[0])} first",
                    _listed("search", self.file.searches),
                    self._why_unsure,
                )
        if not is_full:
            yield from self._missing("search", own, found)

    @property
    def _why_unsure(self) -> str:
        """Why the file may be the pod's own; empty if it is the kubelet's.

        Where mounts are unknown, a file without a trace of the kubelet's settings may be mounted.
        The kubelet writes a loopback address for no pod.
        """
        if self.mounts_known:
            return ""
        has_cluster_path = any("svc" in each.split(".")[:2] for each in self.file.searches)
        has_server = any(
            self.servers.standing(each) is Standing.RIGHT for each in self.file.nameservers
        )
        is_local = any(_is_loopback(each) for each in self.file.nameservers[:1])
        if is_local or (self.servers.handed_out and not (has_cluster_path or has_server)):
            return "the pod may mount a resolv.conf of its own, which the snapshot does not show"
        return ""

    def _missing(
        self, keyword: str, wanted: Sequence[str], found: Sequence[str]
    ) -> Iterator[Deviation]:
        missing = [each for each in wanted if each not in found]
        if missing:
            yield self._deviation(keyword, missing, found)

    def _deviation(self, keyword: str, wanted: Sequence[str], found: Sequence[str]) -> Deviation:
        return Deviation(_listed(keyword, wanted), _listed(keyword, found), self._why_unsure)


def _unique(words: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
    """The words in order; the kubelet writes one that is named twice only once."""
    return tuple(dict.fromkeys(words))


def _plain(text: str) -> str:
    """The usual form of an address, so that two ways to write one compare equal."""
    try:
        return str(address(text))
    except ValueError:
        return text


def _is_loopback(text: str) -> bool:
    try:
        return address(text).is_loopback
    except ValueError:
        return False


def _listed(keyword: str, values: Sequence[str]) -> str:
    return f"{keyword} {' '.join(values)}" if values else f"no {keyword}"
