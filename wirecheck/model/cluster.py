"""One cluster in one round: the API's indexes, and what checks compare between its nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.api_index.calico_blocks import OddBlock
from wirecheck.api_index.cluster_dns import cluster_dns
from wirecheck.api_index.coredns import CoreDns
from wirecheck.api_index.endpoints import (
    CONTROLLER,
    MANAGED_BY,
    Endpoint,
    MissingEndpoint,
    endpoints_of,
    missing_endpoints_of,
)
from wirecheck.api_index.felix_configuration import NoRefresh, refreshes_off
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.node_kinds import kind_of
from wirecheck.api_index.node_ref import node_ref
from wirecheck.api_index.odd_fields import OddFieldSeen, odd_fields
from wirecheck.api_index.other_slices import Known, WrongAddress, wrong_addresses
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.readable import readable
from wirecheck.api_index.selectors import SelectorMismatch, selector_mismatches
from wirecheck.api_index.service import cluster_ips, selects
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.model.dns_seen import DnsSeen, other_domains, why_unused
from wirecheck.model.doubled_addresses import DoubledAddress, doubled_addresses
from wirecheck.model.fingerprint import Disagreement, Fingerprint, disagreements
from wirecheck.model.identity import Shared, shared_identities
from wirecheck.model.pools import Drift, drifts
from wirecheck.model.unlike_egress import UnlikeEgress, unlike_egress
from wirecheck.model.unlike_policies import Unenforced, UnlikeNodes, unenforced, unlike_nodes
from wirecheck.model.unlike_tunnels import UnlikeTunnel, unlike_tunnels
from wirecheck.node.cluster_seen import ClusterSeen


@dataclass(frozen=True)
class Cluster(ClusterSeen):
    """What checks about the cluster see."""

    fingerprints: Mapping[str, Fingerprint] = field(default_factory=dict)
    """Of every node that was visited, by name: what checks compare between nodes."""
    dns_seen: Mapping[str, DnsSeen] = field(default_factory=dict)
    """Of every node that was visited, by name: its kubelet's domain and its pods' servers."""

    @property
    def odd_fields(self) -> Iterator[OddFieldSeen]:
        """Fields of API objects that were left out, or that Kubernetes reads as something else."""
        return odd_fields(readable(self.api).odd)

    @property
    def coredns(self) -> CoreDns:
        """How CoreDNS is set up."""
        return CoreDns(self.api, self.dns.replicas)

    @property
    def shared_addresses(self) -> Iterator[tuple[IPAddress, list[Pod]]]:
        """Addresses that several pods have, other than pods of nodes without a machine."""
        for address, pods in self.pod_index.by_address.items():
            if len(pods) > 1:
                nodes = [(pod, self.nodes.get(pod.node_name)) for pod in pods]
                real = [pod for pod, node in nodes if node is None or kind_of(node).has_machine]
                if len(real) > 1:
                    yield address, real

    @property
    def dns_replicas(self) -> tuple[Pod, ...]:
        """The DNS replicas; without a usual DNS Service those of the one that kubelets hand out."""
        if self.dns.service_addresses:
            return self.dns.replicas
        servers = {text for each in self.dns_seen.values() for text in each.handed_out}
        found = [each for each in self.api.services if servers & {*cluster_ips(each)}]
        running = (pod for pod in self.pods if pod.is_running)
        return tuple(pod for pod in running if any(selects(each, pod.object) for each in found))

    @property
    def why_dns_services_unused(self) -> str:
        """Why no pod uses the DNS Services; empty if one may."""
        return why_unused(self.dns_seen)

    @property
    def other_domains(self) -> Iterator[tuple[str, str, list[str]]]:
        """(usual domain, domain, nodes) for each domain that only fewer kubelets have.

        Nothing if the Corefile shows the domain, with which each kubelet's is compared.
        """
        return iter(()) if self.dns.zones else other_domains(self.dns_seen)

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of all Services that name a pod."""
        pods = {(pod.namespace, pod.name): pod for pod in self.pods}
        return tuple(endpoints_of(self.services, self.slices, pods))

    @property
    def missing_endpoints(self) -> Iterator[MissingEndpoint]:
        """Ready pods that a Service selects, and that are not among its endpoints."""
        return missing_endpoints_of(self.api.services, self.endpoints, self.pods)

    @property
    def shared_identities(self) -> Iterator[Shared]:
        """Identities that several nodes have, and that must be unique."""
        return shared_identities(self.nodes, joined_by_flannel=self.joins_nodes_by_flannel)

    @property
    def selector_mismatches(self) -> Iterator[SelectorMismatch]:
        """Services that select no pod, although pods with nearly those labels run."""
        return selector_mismatches(
            self.api.services, self.pods, self.api.daemon_sets, cluster_dns(self.api)
        )

    @property
    def wrong_addresses(self) -> Iterator[WrongAddress]:
        """Addresses in slices of other managers that are certainly no endpoints.

        Raises NotApplicable if no slice has another manager.
        """
        managers = {each.metadata.labels.get(MANAGED_BY) for each in self.api.endpoint_slices}
        if not managers - {CONTROLLER}:
            raise NotApplicable("all EndpointSlices are those of kube-controller-manager")
        ranges = [each.range for each in self.node_index.pod_ranges]
        running = ((each, pod) for pod in self.pods if pod.is_running for each in pod.addresses)
        known = Known(
            self.node_index.by_address,
            grouped(running),
            ranges if self.follows_node_ranges(self.cni) else (),
        )
        return wrong_addresses(self.services, self.slices, known)

    @property
    def odd_blocks(self) -> Iterator[OddBlock]:
        """Blocks of Calico of which it is unclear which node they belong to.

        Raises NotApplicable if none were read.
        """
        if not self.address_blocks.blocks:
            raise NotApplicable("no IPAMBlocks of Calico were read")
        return self.address_blocks.odd(self.nodes)

    @property
    def refreshes_off(self) -> Iterator[NoRefresh]:
        """What felix does not repair. Raises NotApplicable without a FelixConfiguration."""
        if not self.api.felix_configurations:
            raise NotApplicable("no FelixConfiguration of Calico was read")
        return refreshes_off(self.api.felix_configurations)

    @property
    def disagreements(self) -> Iterator[Disagreement]:
        """Service ports that nodes handle differently.

        Raises NotApplicable where the rules of fewer than two nodes are known.
        """
        unknown = [each.unknown for each in self.fingerprints.values() if each.unknown]
        known = len(self.fingerprints) - len(unknown)
        if known < 2:
            why = f": {unknown[0]}" if unknown else ""
            raise NotApplicable(f"{known} node's rules were compared, which takes two{why}")
        return disagreements(self.fingerprints)

    @property
    def pods_elsewhere(self) -> Iterator[tuple[Ref, str]]:
        """Nodes whose pods' connections to Services were not compared, and why."""
        for name, each in self.fingerprints.items():
            if each.pods_elsewhere:
                yield node_ref(self.nodes[name]), each.pods_elsewhere

    @property
    def doubled_addresses(self) -> Iterator[DoubledAddress]:
        """Addresses on several nodes that only one node may have at a time.

        Raises NotApplicable where the addresses of fewer than two nodes are known.
        """
        bound = [each.bound for each in self.fingerprints.values() if each.bound]
        if len(bound) < 2:
            raise NotApplicable(f"{len(bound)} node's addresses were compared, which takes two")
        return doubled_addresses(bound)

    @property
    def unlike_egress(self) -> Iterator[UnlikeEgress]:
        """Nodes that do not masquerade pods of the plugin's pools, although others do.

        Raises NotApplicable where the nodes themselves show whether they have to.
        """
        seen = {name: each.pools_masqueraded for name, each in self.fingerprints.items()}
        if sum(map(bool, seen.values())) < 2:
            raise NotApplicable("fewer than two nodes have pods of pools that were not read")
        return unlike_egress({node_ref(self.nodes[name]): each for name, each in seen.items()})

    @property
    def unlike_tunnels(self) -> Iterator[UnlikeTunnel]:
        """VXLAN devices that cannot talk to those of other nodes.

        Raises NotApplicable where fewer than two nodes have one.
        """
        seen = {name: each.tunnels for name, each in self.fingerprints.items() if each.tunnels}
        if len(seen) < 2:
            raise NotApplicable("fewer than two nodes have a VXLAN device of the CNI plugin")
        return unlike_tunnels({node_ref(self.nodes[name]): each for name, each in seen.items()})

    @property
    def unenforced_policies(self) -> Iterator[Unenforced]:
        """NetworkPolicies without effect. Raises NotApplicable if none deny anything."""
        seen = {name: each.policies for name, each in self.fingerprints.items()}
        return unenforced(self.ref, self.nodes, seen)

    @property
    def policies_in_effect(self) -> int:
        """How many NetworkPolicies take effect, each counted on every node."""
        return sum(len(each.policies.in_effect) for each in self.fingerprints.values())

    @property
    def unlike_policies(self) -> Iterator[UnlikeNodes]:
        """Connections that the API leaves undefined and that nodes treat differently.

        Raises NotApplicable if no two nodes have any of them.
        """
        return unlike_nodes(self.ref, {n: each.policies for n, each in self.fingerprints.items()})

    @property
    def drifts(self) -> Iterator[Drift]:
        """What differs between nodes of one pool."""
        return drifts(self.nodes, {name: each.settings for name, each in self.fingerprints.items()})
