"""What the API says of the cluster in one round, indexed as the parts of a node need it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

from wirecheck.addresses import IPAddress, address, addresses, contains, network
from wirecheck.api_index.cluster_dns import cluster_dns
from wirecheck.api_index.dns_names import ServiceNames
from wirecheck.api_index.endpoint_slices import (
    SlicesByService,
    endpoint_addresses,
    slices_by_service,
)
from wirecheck.api_index.endpoints import (
    Endpoint,
    MissingEndpoint,
    endpoints_of,
    missing_endpoints_of,
)
from wirecheck.api_index.helper_pods import helpers_of, is_helper, without_helpers
from wirecheck.api_index.host_ports import host_ports
from wirecheck.api_index.network_policy import egress_policy_of
from wirecheck.api_index.node_ports import HealthCheck, NodePort, health_checks, node_ports
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.pod_ranges import PodRange, pod_ranges_of
from wirecheck.api_index.service import cluster_ips, service_key
from wirecheck.api_index.service_blocks import ServiceBlock, blocks_of
from wirecheck.api_index.services import ServiceIndex, index_services
from wirecheck.api_index.vteps import AnnouncedEntries, Vtep, vteps_of
from wirecheck.catalogue.findings import Ref
from wirecheck.catalogue.registry import Threshold
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.network.plugin import AddressSource, CniPlugin
from wirecheck.network.registry import forwards_by_setting, plugin_of
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

PortKey = tuple[int, int]
"""Family and number of a port."""


@dataclass(frozen=True)
class Dns:
    """The cluster's DNS: its domain, Service addresses and replicas."""

    domain: str
    service_addresses: frozenset[IPAddress]
    replicas: tuple[Pod, ...]
    backend_addresses: frozenset[IPAddress]
    """Addresses that serve DNS, by the EndpointSlices, terminating ones included."""

    @property
    def probe_name(self) -> str:
        """The name that every cluster has, and that every pod is asked to resolve."""
        return f"kubernetes.default.svc.{self.domain}"


@dataclass(frozen=True)
class ClusterSeen:
    """The API's side of one round: what the parts of a node need to know about the cluster."""

    api: ApiObjects
    index: SnapshotIndex
    round: RoundRecord
    readers: ReaderCache = field(
        default_factory=ReaderCache, compare=False, repr=False, kw_only=True
    )
    """What readers of rules keep from one node to the next."""

    @property
    def ref(self) -> Ref:
        """The kubeconfig's name for the cluster."""
        return Ref("Cluster", self.index.cluster.context or "cluster")

    def part(self, part: str) -> Ref:
        """The name of something in the cluster."""
        return replace(self.ref, part=part)

    def threshold(self, threshold: Threshold) -> float:
        """The inventory's number, or the default."""
        return self.index.thresholds.get(threshold.name, threshold.default)

    @cached_property
    def changed(self) -> frozenset[tuple[str, str, str]]:
        """(kind, namespace, name) of what changed while it was looked at."""
        return frozenset((each.kind, each.namespace, each.name) for each in self.round.changes)

    @cached_property
    def proxy_modes(self) -> Mapping[str, str]:
        """In which mode kube-proxy said that it runs, by node; looks after the first visit few."""
        return {
            name: visit.proxy_mode
            for each_round in (*self.index.looks, self.round)
            for name, visit in each_round.visits.items()
            if visit.proxy_mode
        }

    @cached_property
    def nodes(self) -> Mapping[str, NodeObject]:
        return {node.metadata.name: node for node in self.api.nodes}

    @cached_property
    def nodes_by_address(self) -> Mapping[IPAddress, str]:
        """Names of nodes, by each InternalIP."""
        return dict(self.internal_addresses)

    @cached_property
    def internal_addresses(self) -> tuple[tuple[IPAddress, str], ...]:
        """Each InternalIP with the name of its node, in the order of the nodes."""
        listed = {
            name: addresses(a.address for a in node.status.addresses if a.type == "InternalIP")
            for name, node in self.nodes.items()
        }
        return tuple((a, name) for name, own in listed.items() for a in sorted(own, key=str))

    @cached_property
    def vteps(self) -> Mapping[str, tuple[Vtep, ...]]:
        """What each node announces of its end of flannel's overlay; every node asks for all."""
        return {name: tuple(vteps_of(node)) for name, node in self.nodes.items()}

    @cached_property
    def announced(self) -> Mapping[int, AnnouncedEntries]:
        """All that the nodes announce of the overlay, by family."""
        families = _grouped((each.family, each) for own in self.vteps.values() for each in own)
        return {family: AnnouncedEntries.by(vteps) for family, vteps in families.items()}

    @cached_property
    def pod_ranges(self) -> tuple[PodRange, ...]:
        """Every node's ranges of pod addresses; every node asks for those of all others."""
        return tuple(pod_ranges_of(self.api.nodes))

    @cached_property
    def service_blocks(self) -> tuple[ServiceBlock, ...]:
        """The Services' own addresses, which every node must have a route to."""
        return blocks_of(self.api.services)

    @cached_property
    def services_by_address(self) -> Mapping[IPAddress, tuple[str, str]]:
        """(namespace, name) of Services, by each of their own addresses."""
        return {
            each: key
            for key, service in self.services.items()
            for each in addresses(cluster_ips(service))
        }

    @cached_property
    def workloads(self) -> frozenset[str]:
        """What made the cluster's pods, such as `DaemonSet/kube-proxy`."""
        return frozenset(pod.ref.workload for pod in self.pods)

    @cached_property
    def pods(self) -> tuple[Pod, ...]:
        """The cluster's own: helper pods are looked at by nothing but what they are made for."""
        return tuple(map(self._pod, without_helpers(self.api.pods)))

    @cached_property
    def helper_pods(self) -> tuple[Pod, ...]:
        """Those of all runs."""
        return tuple(map(self._pod, filter(is_helper, self.api.pods)))

    @cached_property
    def helper_pods_by_node(self) -> Mapping[str, tuple[Pod, ...]]:
        grouped = _grouped((pod.node_name, pod) for pod in self.helper_pods)
        return {name: tuple(pods) for name, pods in grouped.items()}

    def _pod(self, pod: PodObject) -> Pod:
        return Pod(pod, restricted_by=egress_policy_of(pod, self.api.network_policies))

    @cached_property
    def pods_by_node(self) -> Mapping[str, tuple[Pod, ...]]:
        grouped = _grouped((pod.node_name, pod) for pod in self.pods)
        return {name: tuple(pods) for name, pods in grouped.items()}

    @cached_property
    def pods_by_address(self) -> Mapping[IPAddress, tuple[Pod, ...]]:
        """Pods that have a netns of their own, by address."""
        grouped = _grouped(
            (each, pod)
            for pod in self.pods
            if pod.is_running and not pod.on_host_network
            for each in pod.addresses
        )
        return {each: tuple(pods) for each, pods in grouped.items()}

    @cached_property
    def helpers_of_the_run(self) -> Mapping[str, PodObject]:
        """By node, the helper pods that this run made, and that are Ready."""
        record = self.index.helper_pods
        return helpers_of(self.api, record.run) if record else {}

    @cached_property
    def helpers_by_address(self) -> Mapping[IPAddress, tuple[Pod, ...]]:
        """Helper pods, by address."""
        found = _grouped((each, pod) for pod in self.helper_pods for each in pod.addresses)
        return {each: tuple(pods) for each, pods in found.items()}

    @cached_property
    def services(self) -> Mapping[tuple[str, str], ServiceObject]:
        """By (namespace, name)."""
        return {service_key(service): service for service in self.api.services}

    @cached_property
    def slices(self) -> SlicesByService:
        """EndpointSlices by (namespace, name) of their Service."""
        return slices_by_service(self.api.endpoint_slices)

    @cached_property
    def node_ports(self) -> Mapping[PortKey, NodePort]:
        """TCP node ports that lead somewhere, by (family, number)."""
        return {
            (each.family, each.port): each for each in node_ports(self.api.services, self.slices)
        }

    @cached_property
    def health_checks(self) -> Mapping[PortKey, HealthCheck]:
        """Ports at which load balancers ask nodes, by (family, number)."""
        return {
            (each.family, each.port): each for each in health_checks(self.api.services, self.slices)
        }

    @cached_property
    def pods_at_host_ports(self) -> Mapping[tuple[IPAddress, int], Pod]:
        """By address of the node and TCP port."""
        return {
            (address(text), port.port): pod
            for pod in self.pods
            if pod.is_running and pod.node_name in self.nodes
            for port in host_ports(pod.object)
            if port.protocol == "tcp"
            for text in port.open_at(self.nodes[pod.node_name])
        }

    @cached_property
    def pods_behind(self) -> Mapping[tuple[str, str], tuple[Pod, ...]]:
        """Pods at the addresses of a Service's endpoints, by its (namespace, name)."""
        return {
            key: tuple(
                pod
                for text in endpoint_addresses(slices)
                for pod in self.pods_by_address.get(address(text), ())[:1]
            )
            for key, slices in self.slices.items()
        }

    @cached_property
    def api_servers(self) -> frozenset[IPAddress]:
        """The addresses behind the API's Service."""
        return addresses(endpoint_addresses(self.slices.get(("default", "kubernetes"), ())))

    @cached_property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The endpoints of all Services that name a pod."""
        pods = {(pod.namespace, pod.name): pod for pod in self.pods}
        return tuple(endpoints_of(self.services, self.slices, pods))

    @property
    def missing_endpoints(self) -> Iterator[MissingEndpoint]:
        """Ready pods that a Service selects, and that are none of its endpoints."""
        return missing_endpoints_of(self.api.services, self.endpoints, self.pods)

    @cached_property
    def names(self) -> ServiceNames:
        return ServiceNames(self.dns.domain, self.services, self.slices)

    @cached_property
    def dns(self) -> Dns:
        """The cluster's DNS, found by its Service."""
        known = cluster_dns(self.api)
        replicas = {pod.metadata.uid for pod in known.replicas}
        return Dns(
            domain=known.domain,
            service_addresses=addresses(known.addresses),
            replicas=tuple(pod for pod in self.pods if pod.ref.uid in replicas),
            backend_addresses=addresses(
                text
                for service in known.services
                for text in endpoint_addresses(self.slices.get(service_key(service), ()))
            ),
        )

    @cached_property
    def proxy_configuration(self) -> str:
        """The text of kube-proxy's config.conf; empty where no ConfigMap of that name holds one."""
        texts = (each.data.get("config.conf", "") for each in self.api.config_maps)
        return next(filter(None, texts), "")

    @cached_property
    def proxy_replacement(self) -> str:
        """What forwards Services in kube-proxy's place; empty where kube-proxy does."""
        settings = [each for config_map in self.api.config_maps for each in config_map.data.items()]
        if plugin := forwards_by_setting(settings):
            return plugin.name
        return self.cni.name if self.cni.services.always else ""

    @cached_property
    def service_index(self) -> ServiceIndex:
        """Services and their endpoints, as the dataplane's comparison wants them."""
        return index_services(self.api)

    @cached_property
    def follows_node_ranges(self) -> bool:
        """Whether pods' addresses come from spec.podCIDRs of their nodes.

        A plugin that is not known is taken to have pools of its own if it puts no pod at all
        into its node's range.
        """
        if self.cni.addresses is not AddressSource.UNKNOWN:
            return self.cni.addresses is AddressSource.NODE_RANGE
        ranges = {name: node.spec.pod_cidrs for name, node in self.nodes.items()}
        return any(
            contains(map(network, ranges.get(pod.node_name, ())), each)
            for pod in self.pods
            if not pod.on_host_network
            for each in pod.addresses
        )

    @cached_property
    def cni(self) -> CniPlugin:
        """The CNI plugin, recognised by the DaemonSet of its agent."""
        owners = {
            owner.name
            for pod in self.api.pods
            for owner in pod.metadata.owner_references
            if owner.kind == "DaemonSet"
        }
        return plugin_of(owners)


Key = TypeVar("Key")
Value = TypeVar("Value")


def _grouped(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    groups: dict[Key, list[Value]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
