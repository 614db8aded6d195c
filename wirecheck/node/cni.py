"""The CNI plugins of one node: configuration, binaries, and addresses that they assigned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, address, contains
from wirecheck.api_index.node_kinds import kind_of, why_left_out
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.network.registry import PLUGINS
from wirecheck.node.daemon_placement import Placement, placement
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles

YOUNG = 300.0
"""Seconds by which a reservation may precede its pod, or outlast it."""

RESERVED = 3
"""Addresses of a range that no pod gets: the network, the gateway and the broadcast address."""


@dataclass(frozen=True)
class Reservation:
    """An address that host-local reserves for a sandbox."""

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
    """The CNI files of one node, which the container runtime uses to set up pods."""

    seen: NodeSeen

    @cached_property
    def files(self) -> CniFiles:
        """Raises NotApplicable for documents of older versions, which did not read them."""
        return self.seen.required(
            self.seen.facts.cni,
            Fact.CNI_FILES,
            "an older version of wirecheck visited the node; it did not read the CNI files",
        )

    @property
    def configurations(self) -> list[CniConfiguration]:
        """In the order of their names: the runtime uses the first valid one."""
        found = self.files.configurations
        if found is None:
            raise NotApplicable("/etc/cni/net.d does not exist: the runtime uses another directory")
        return found

    @property
    def tokens(self) -> list[Token]:
        """The tokens in the plugins' kubeconfigs. Raises NotApplicable where none has one."""
        found = self.files.tokens
        if not found:
            raise NotApplicable("no CNI plugin has a kubeconfig with a token that expires")
        return [Token(each.file, (each.expires - self.seen.facts.finished) / 60) for each in found]

    @property
    def missing_binaries(self) -> Iterator[tuple[CniConfiguration, str]]:
        """Plugins of the configuration in force whose binary does not exist."""
        present = self.files.binaries
        if present is None:
            raise NotApplicable("/opt/cni/bin does not exist: the runtime uses another directory")
        for each in self.configurations[:1]:
            for plugin in dict.fromkeys([*each.plugins, *each.ipam]):
                if plugin not in present:
                    yield each, plugin

    @property
    def _reservations(self) -> list[Reservation]:
        found = self.files.reservations
        if found is None:
            raise NotApplicable("host-local does not assign addresses on this node")
        return [Reservation(e.network, e.address.replace("_", ":"), e.age / 60) for e in found]

    @property
    def leaked_addresses(self) -> Iterator[Reservation]:
        """Addresses that are reserved, though no netns and no pod of the node has them."""
        used = {
            each.address for netns in self.seen.facts.namespaces for each in netns.addresses
        } | {str(each) for pod in self.seen.pods for each in pod.addresses}
        for each in self._reservations:
            if each.address not in used and each.age_minutes * 60 > YOUNG:
                yield each

    @property
    def pools(self) -> Iterator[tuple[IPNetwork, int, int]]:
        """(range, reserved addresses, usable addresses) of each of the node's ranges."""
        reserved: list[IPAddress] = [address(each.address) for each in self._reservations]
        for range_ in self.seen.pod_ranges:
            count = sum(contains([range_], each) for each in reserved)
            yield range_, count, range_.num_addresses - RESERVED

    @property
    def agents(self) -> tuple[str, list[Pod]]:
        """The name of the CNI plugin, and the pods of its DaemonSet on the node.

        Some nodes of a cluster can have another plugin, such as Cilium beside the AWS VPC CNI.
        Raises NotApplicable if no known plugin has a DaemonSet, or if it leaves the node out.
        """
        cluster = self.seen.cluster
        if not cluster.cni.workloads:
            raise NotApplicable("no DaemonSet of a known CNI plugin is in the cluster")
        if not kind_of(self.seen.object).has_machine:
            raise NotApplicable(why_left_out(self.seen.object))
        for plugin in (cluster.cni, *PLUGINS):
            pods = [pod for pod in self.seen.pods if pod.ref.workload in plugin.workloads]
            if pods:
                return plugin.name, pods
        if self._agent_placement.left_out:
            raise NotApplicable(self._agent_placement.left_out)
        return cluster.cni.name, []

    @property
    def why_agent_is_unknown(self) -> str:
        """Why it is unknown whether an agent must run on the node; empty if one must."""
        return self._agent_placement.unknown

    @cached_property
    def _agent_placement(self) -> Placement:
        workloads = self.seen.cluster.cni.workloads
        return placement(self.seen, lambda name: f"DaemonSet/{name}" in workloads)
