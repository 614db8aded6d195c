"""What the parts of a node need to know about the cluster in one round.

A thin composition of the indexes of `api_index` and the record of the CNI plugin.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar, cast

from wirecheck.addresses import IPNetwork, contains, network
from wirecheck.api_index.calico_blocks import AddressBlocks
from wirecheck.api_index.cilium_endpoints import PodAddresses
from wirecheck.api_index.cilium_services import CiliumPort, cilium_ports
from wirecheck.api_index.cluster_dns import ClusterDns, cluster_dns
from wirecheck.api_index.destinations import Destinations
from wirecheck.api_index.dns import Dns, dns_of
from wirecheck.api_index.dns_names import ServiceNames
from wirecheck.api_index.endpoint_ports import EndpointPort, tcp_ports_by_node
from wirecheck.api_index.endpoint_slices import SlicesByService, slices_by_service
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.helper_pods import helpers_of
from wirecheck.api_index.node_addresses import pod_ranges
from wirecheck.api_index.node_kinds import kind_of, why_left_out
from wirecheck.api_index.nodes import NodeIndex
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.pod_blocks import PodBlock, pod_blocks_of
from wirecheck.api_index.pods import PodIndex
from wirecheck.api_index.readable import readable
from wirecheck.api_index.service import ServiceKey, cluster_ips, service_key
from wirecheck.api_index.service_addresses import ServiceAddresses
from wirecheck.api_index.service_blocks import ServiceBlock, blocks_of
from wirecheck.api_index.services import ServiceIndex, index_services
from wirecheck.api_index.udp_services import UdpServices
from wirecheck.catalogue.findings import FactMissingError, Ref
from wirecheck.catalogue.registry import Threshold
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import Intervals, intervals
from wirecheck.dataplane.proxy import minor_version
from wirecheck.network.plugin import AddressSource, CniPlugin
from wirecheck.network.plugins.flannel import PLUGIN as FLANNEL
from wirecheck.network.registry import plugin_of, plugins_of, replaces_kube_proxy
from wirecheck.snapshot.api_objects import OTHER_LABELS, ApiObjects
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

Kept = TypeVar("Kept")

REPLACES, TOPOLOGY = "kube-proxy-replacement", "enable-service-topology"
SOCKETS_OF_HOST = "bpf-lb-sock-hostns-only"
"""Keys of Cilium's ConfigMap."""


@dataclass(frozen=True)
class ClusterSeen:
    """The API objects of one round, indexed, and the snapshot's settings."""

    api: ApiObjects
    index: SnapshotIndex
    round: RoundRecord
    readers: ReaderCache = field(
        default_factory=ReaderCache, compare=False, repr=False, kw_only=True
    )
    """The cache of rule readers from one node to the next."""

    def __post_init__(self) -> None:
        """Bring the API objects into the form that everything else relies on."""
        object.__setattr__(self, "api", readable(self.api))

    @property
    def ref(self) -> Ref:
        """The kubeconfig's name for the cluster."""
        return Ref("Cluster", self.index.cluster.context or "cluster")

    def part(self, part: str) -> Ref:
        """Return the reference to something in the cluster that is not an API object."""
        return replace(self.ref, part=part)

    def threshold(self, threshold: Threshold) -> float:
        """Return the number that the inventory sets, or the default."""
        return self.index.thresholds.get(threshold.name, threshold.default)

    @property
    def upgrade_target(self) -> int | None:
        """The minor version that an upgrade is planned to; None if none was named.

        Raises FactMissingError if a snapshot names something else.
        """
        try:
            return minor_version(text) if (text := self.index.upgrade_target) else None
        except ValueError as error:
            raise FactMissingError(f"The snapshot's upgrade_target is invalid: {error}.") from error

    def kept(self, kind: type[Kept], make: Callable[[], Kept]) -> Kept:
        """Return what a package above keeps of its kind for all nodes of the round.

        `make` makes it for the first node that needs it.
        """
        if kind not in self._kept:
            self._kept[kind] = make()
        return cast(Kept, self._kept[kind])

    @cached_property
    def places(self) -> Mapping[str, int]:
        """The place of each node in the order of names."""
        return {name: number for number, name in enumerate(sorted(self.nodes))}

    @cached_property
    def _kept(self) -> dict[type, object]:
        return {}

    # The round.

    @cached_property
    def changed(self) -> frozenset[tuple[str, str, str]]:
        """(kind, namespace, name) of the objects that changed during the round."""
        return frozenset(self.changed_fields)

    @cached_property
    def changed_fields(self) -> Mapping[tuple[str, str, str], frozenset[str]]:
        """What changed of each of them: names of fields, `added`, `deleted` …"""
        return {
            (each.kind, each.namespace, each.name): frozenset(filter(None, each.what.split(", ")))
            for each in self.round.changes
            if each.what != OTHER_LABELS
        }

    @cached_property
    def proxy_modes(self) -> Mapping[str, str]:
        """The mode that kube-proxy reported, by node.

        Rounds after the first visit only some nodes, so the modes of all rounds count.
        """
        return {
            name: visit.proxy_mode
            for each in (*self.index.looks, self.round)
            for name, visit in each.visits.items()
            if visit.proxy_mode
        }

    def visit_to(self, name: str) -> VisitRecord | None:
        """Return the round's visit to a node; None if it has none.

        Nobody had to reach a node whose kind is left out, so a failed visit counts as skipped.
        """
        visit, node = self.round.visits.get(name), self.nodes.get(name)
        why = why_left_out(node) if node else ""
        if visit is None or visit.status.reached or not why:
            return visit
        return VisitRecord(VisitStatus.SKIPPED, reason=f"{why}: only its API objects are checked.")

    @cached_property
    def helpers_of_the_run(self) -> Mapping[str, PodObject]:
        """The Ready helper pods that this run created, by node."""
        return helpers_of(self.api, self.index.helper_pods)

    # Nodes and pods.

    @cached_property
    def nodes(self) -> Mapping[str, NodeObject]:
        """The nodes by name."""
        return {node.metadata.name: node for node in self.api.nodes}

    @cached_property
    def node_index(self) -> NodeIndex:
        """Addresses, pod ranges and tunnel endpoints of the nodes."""
        return NodeIndex(self.nodes)

    @cached_property
    def known_ranges(self) -> tuple[IPNetwork, ...]:
        """The addresses of all nodes and pods, and the nodes' pod ranges; invalid ones left out."""
        texts = [
            *(each.address for node in self.api.nodes for each in node.status.addresses),
            *(
                each
                for node in self.api.nodes
                for each in (node.spec.pod_cidr, *node.spec.pod_cidrs)
            ),
            *(each.ip for pod in self.api.pods for each in pod.status.pod_ips),
        ]
        return tuple(found for each in dict.fromkeys(texts) if (found := _network(each)))

    @cached_property
    def machines(self) -> frozenset[str]:
        """The names of the nodes that are machines, real or virtual."""
        return frozenset(name for name, each in self.nodes.items() if kind_of(each).has_machine)

    @cached_property
    def known_spans(self) -> Mapping[int, Intervals]:
        """The same addresses by family (4, 6), as intervals."""
        return _spans(self.known_ranges)

    @cached_property
    def node_ranges(self) -> tuple[IPNetwork, ...]:
        """The addresses at which the cluster reaches its nodes, each as a range."""
        return tuple(network(str(where)) for where, _ in self.node_index.node_ips)

    @cached_property
    def node_spans(self) -> Mapping[int, Intervals]:
        """The same addresses by family (4, 6), as intervals."""
        return _spans(self.node_ranges)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The cluster's own pods: all except the helper pods of the run."""
        return self.pod_index.own

    @cached_property
    def pod_names(self) -> frozenset[tuple[str, str]]:
        """(namespace, name) of the cluster's own pods."""
        return frozenset((pod.namespace, pod.name) for pod in self.pods)

    @cached_property
    def pod_index(self) -> PodIndex:
        """The pods by node and by address."""
        return PodIndex(self.api, self.index.helper_pods)

    @cached_property
    def pod_blocks(self) -> tuple[PodBlock, ...]:
        """The addresses of running pods in small blocks."""
        return pod_blocks_of(self.pod_index.by_address)

    @cached_property
    def address_blocks(self) -> AddressBlocks:
        """The address blocks of Calico."""
        return AddressBlocks.of(self.api.ipam_blocks, self.api.block_affinities)

    # Services.

    @cached_property
    def services(self) -> Mapping[ServiceKey, ServiceObject]:
        """The Services by (namespace, name)."""
        return {service_key(service): service for service in self.api.services}

    @cached_property
    def families_of_services(self) -> frozenset[int]:
        """The address families (4, 6) of the Services' cluster IPs."""
        every = (text for service in self.services.values() for text in cluster_ips(service))
        return frozenset(6 if ":" in text else 4 for text in every)

    @cached_property
    def slices(self) -> SlicesByService:
        """The EndpointSlices by Service."""
        return slices_by_service(self.api.endpoint_slices)

    @cached_property
    def tcp_ports_by_node(self) -> Mapping[str, tuple[EndpointPort, ...]]:
        """The TCP ports of Services at their Ready pods, by node."""
        pods = {(pod.namespace, pod.name): pod for pod in self.pods}
        return tcp_ports_by_node(self.services, self.slices, pods)

    @cached_property
    def service_blocks(self) -> tuple[ServiceBlock, ...]:
        """The Services' cluster IPs in blocks: every node needs a route to each."""
        return blocks_of(self.api.services)

    @cached_property
    def service_index(self) -> ServiceIndex:
        """Services and endpoints as the comparison of the dataplane needs them."""
        return index_services(self.services.values(), self.slices)

    @cached_property
    def cilium_ports(self) -> tuple[CiliumPort, ...]:
        """The same as Cilium reads them; `service_index` names Services that are invalid."""
        return cilium_ports(self.services.values(), self.slices, [])

    @cached_property
    def pod_addresses(self) -> PodAddresses:
        """The addresses of the cluster's pods, with their identities in Cilium."""
        return PodAddresses(self.pods, self.api.cilium_endpoints, self.pod_index.helpers)

    @cached_property
    def follows_topology(self) -> bool | None:
        """Whether Cilium follows traffic distribution; None if its settings were not read."""
        if not self._cilium_settings:
            return None
        return any(each.get(TOPOLOGY) == "true" for each in self._cilium_settings)

    @property
    def translates_sockets_of_host_only(self) -> bool:
        """Whether Cilium translates pods' packets at their devices, not their sockets."""
        return any(each.get(SOCKETS_OF_HOST) == "true" for each in self._cilium_settings)

    @cached_property
    def _cilium_settings(self) -> list[Mapping[str, str]]:
        return [each.data for each in self.api.config_maps if REPLACES in each.data]

    @cached_property
    def destinations(self) -> Destinations:
        """The objects behind the addresses and ports that nodes connect to."""
        return Destinations(self.node_index, self.pod_index, self.services, self.slices)

    @cached_property
    def dns(self) -> Dns:
        """The cluster's DNS."""
        return dns_of(self.api, self.pods, self.slices)

    @cached_property
    def cluster_dns(self) -> ClusterDns:
        """The cluster's DNS as API objects, with the ports of its replicas."""
        return cluster_dns(self.api)

    @cached_property
    def names(self) -> ServiceNames:
        """The DNS records that the Services imply."""
        return ServiceNames(self.dns.domain, self.services, self.slices)

    @cached_property
    def service_addresses(self) -> ServiceAddresses:
        """The Services by each of their addresses."""
        return ServiceAddresses(self.api.services)

    @cached_property
    def udp_services(self) -> UdpServices:
        """The UDP ports of Services, with their endpoints."""
        return UdpServices(self.api.services, self.slices)

    # The network.

    @cached_property
    def cni_agents(self) -> tuple[CniPlugin, ...]:
        """The CNI plugins whose agents run as a DaemonSet, by precedence."""
        return plugins_of(self.pod_index.daemonsets)

    @cached_property
    def cni(self) -> CniPlugin:
        """The CNI plugin as far as its DaemonSet shows it. `NodeSeen.cni` knows more."""
        return plugin_of(self.pod_index.daemonsets)

    @cached_property
    def joins_nodes_by_flannel(self) -> bool:
        """Whether flannel joins the nodes. Its annotations outlast it, and so do its devices.

        k3s runs flannel without a DaemonSet.
        """
        if not self.cni_agents:
            return self.has_pods_in_node_ranges
        return any(set(each.own_devices) & set(FLANNEL.own_devices) for each in self.cni_agents)

    @cached_property
    def unread_policies(self) -> str:
        """Whose policies may exist and were not looked for; empty if they are known.

        Recordings of older versions have NetworkPolicies only.
        """
        enforcing = (each for each in self.cni_agents if each.own_policies)
        plugin = None if self.api.policy_kinds else next(enforcing, None)
        return f"policies of {plugin}'s own kinds, which were not read" if plugin else ""

    def follows_node_ranges(self, plugin: CniPlugin) -> bool:
        """Return whether pods' addresses come from spec.podCIDRs of their nodes.

        With an unknown plugin they do only if every pod follows them: Kubernetes allocates the
        ranges for plugins with pools of their own, too, and some pods have such an address by
        chance.
        """
        if plugin.addresses is AddressSource.UNKNOWN:
            return self._following[0] > 0 and self._following[1] == 0
        return plugin.addresses is AddressSource.NODE_RANGE

    @property
    def has_pods_in_node_ranges(self) -> bool:
        """Whether a pod has an address of its node's spec.podCIDRs."""
        return self._following[0] > 0

    @cached_property
    def _following(self) -> tuple[int, int]:
        """How many addresses of running pods are in the ranges of their nodes, and how many not."""
        ranges = grouped((e.node.metadata.name, e.range) for e in self.node_index.pod_ranges)
        left_out = {name for name, node in self.nodes.items() if why_left_out(node)}
        within = [
            contains(ranges.get(pod.node_name, ()), each)
            for pod in self.pods
            if pod.is_running
            and not pod.on_host_network
            # Pods of virtual nodes have addresses of their providers.
            and pod.node_name not in left_out
            for each in pod.addresses
        ]
        return within.count(True), within.count(False)

    @cached_property
    def _nodes_by_use_of_ranges(self) -> Mapping[bool, frozenset[str]]:
        """The nodes with a pod outside of (False) and inside of (True) the node's range."""
        ranges = {name: pod_ranges(node) for name, node in self.nodes.items()}
        uses = {
            (contains(ranges.get(pod.node_name, ()), each), pod.node_name)
            for pod in self.pods
            if pod.has_own_netns
            for each in pod.addresses
        }
        return {
            side: frozenset(name for is_in, name in uses if is_in is side) for side in (False, True)
        }

    def uses_node_ranges_except(self, name: str) -> bool:
        """Whether all pods of all other nodes have addresses from the ranges of their nodes."""
        outside, inside = (self._nodes_by_use_of_ranges[side] for side in (False, True))
        is_known = self.cni.addresses is AddressSource.NODE_RANGE or bool(inside - {name})
        return is_known and outside <= {name}

    @cached_property
    def proxy_configuration(self) -> str:
        """The text of kube-proxy's config.conf; empty where no ConfigMap has one."""
        texts = (each.data.get("config.conf", "") for each in self.api.config_maps)
        return next(filter(None, texts), "")

    @cached_property
    def proxy_replacement(self) -> str:
        """The plugin that forwards Services in kube-proxy's place; empty if kube-proxy does."""
        settings = [each for config_map in self.api.config_maps for each in config_map.data.items()]
        return replaces_kube_proxy(self.cni, settings)


def _spans(known: Sequence[IPNetwork]) -> Mapping[int, Intervals]:
    return {of: intervals(each for each in known if each.version == of) for of in (4, 6)}


def _network(text: str) -> IPNetwork | None:
    try:
        return network(text)
    except ValueError:
        return None
