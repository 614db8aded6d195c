"""The CNI plugins of one node: their configuration, their binaries, the addresses they gave out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, address, contains
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles

YOUNG = 300.0
"""Seconds for which a reservation may be ahead of its pod, or a deletion behind."""

RESERVED = 3
"""Addresses of a range that no pod gets: the network's, the gateway's and the last."""


@dataclass(frozen=True)
class Reservation:
    """An address that host-local holds for a sandbox."""

    network: str
    address: str
    age_minutes: float


@dataclass(frozen=True)
class Token:
    """How long the token in a plugin's kubeconfig is still valid."""

    file: str
    minutes_left: float


@dataclass(frozen=True)
class Cni:
    """What the runtime of a node goes by when it wires a pod."""

    seen: NodeSeen

    @cached_property
    def files(self) -> CniFiles:
        """Raises NotApplicable for documents of programs that did not read it yet."""
        facts = self.seen.facts
        if facts.cni is not None:
            return facts.cni
        if problem := next((each for each in facts.problems if each.startswith("CNI files")), ""):
            raise FactMissingError(f"{self.seen.name}: {problem}")
        raise NotApplicable("an older wirecheck looked at the node, which did not read CNI files")

    @property
    def configurations(self) -> list[CniConfiguration]:
        """In the order of their names: the runtime takes the first that it understands."""
        found = self.files.configurations
        if found is None:
            raise NotApplicable("there is no /etc/cni/net.d: the runtime's is elsewhere")
        return found

    @property
    def tokens(self) -> list[Token]:
        """Of the kubeconfigs that the plugins have. Raises NotApplicable where none has one."""
        found = self.files.tokens
        if not found:
            raise NotApplicable("no CNI plugin has a kubeconfig whose token ends")
        return [Token(each.file, (each.expires - self.seen.facts.finished) / 60) for each in found]

    @property
    def missing_binaries(self) -> Iterator[tuple[CniConfiguration, str]]:
        """Plugins of the configuration in force whose program is not there."""
        present = self.files.binaries
        if present is None:
            raise NotApplicable("there is no /opt/cni/bin: the runtime's is elsewhere")
        for each in self.configurations[:1]:
            for plugin in dict.fromkeys([*each.plugins, *each.ipam]):
                if plugin not in present:
                    yield each, plugin

    @property
    def _reservations(self) -> list[Reservation]:
        found = self.files.reservations
        if found is None:
            raise NotApplicable("host-local gives out no addresses here")
        return [Reservation(e.network, e.address.replace("_", ":"), e.age / 60) for e in found]

    @property
    def leaked_addresses(self) -> Iterator[Reservation]:
        """Addresses that are held, though no netns of the node has them, and no pod ought to."""
        carried = {
            each.address for netns in self.seen.facts.namespaces for each in netns.addresses
        } | {str(each) for pod in self.seen.pods for each in pod.addresses}
        for each in self._reservations:
            if each.address not in carried and each.age_minutes * 60 > YOUNG:
                yield each

    @property
    def pools(self) -> Iterator[tuple[IPNetwork, int, int]]:
        """(range, addresses in use, addresses that there are) of each of the node's ranges."""
        held: list[IPAddress] = [address(each.address) for each in self._reservations]
        for range_ in self.seen.pod_ranges:
            used = sum(contains([range_], each) for each in held)
            yield range_, used, range_.num_addresses - RESERVED

    @property
    def agents(self) -> tuple[str, list[Pod]]:
        """The name of the CNI plugin, and the pods of its DaemonSet on the node."""
        cluster = self.seen.cluster
        workloads = cluster.cni.workloads
        if not workloads:
            raise NotApplicable("no DaemonSet of a known CNI plugin is in the cluster")
        return cluster.cni.name, [pod for pod in self.seen.pods if pod.ref.workload in workloads]
