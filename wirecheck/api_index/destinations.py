"""What is behind an address or a port that a node connects to, by the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, address, addresses
from wirecheck.api_index.endpoint_slices import SlicesByService, endpoint_addresses
from wirecheck.api_index.host_ports import host_ports
from wirecheck.api_index.node_ports import HealthCheck, NodePort, health_checks, node_ports
from wirecheck.api_index.nodes import NodeIndex
from wirecheck.api_index.pod import Pod
from wirecheck.api_index.pods import PodIndex
from wirecheck.api_index.service import ServiceKey, cluster_ips
from wirecheck.snapshot.objects.service import ServiceObject

PortKey = tuple[int, int]
"""Family and number of a port."""


@dataclass(frozen=True)
class Destinations:
    """The addresses and ports of Services, pods and nodes."""

    nodes: NodeIndex
    pods: PodIndex
    services: Mapping[ServiceKey, ServiceObject]
    slices: SlicesByService

    @cached_property
    def services_by_address(self) -> Mapping[IPAddress, ServiceKey]:
        """Services, by each of their cluster IPs."""
        return {
            each: key
            for key, service in self.services.items()
            for each in addresses(cluster_ips(service))
        }

    @cached_property
    def pods_behind(self) -> Mapping[ServiceKey, tuple[Pod, ...]]:
        """The pods that have the addresses of a Service's endpoints."""
        return {
            key: tuple(
                pod
                for text in endpoint_addresses(slices)
                for pod in self.pods.by_address.get(address(text), ())[:1]
            )
            for key, slices in self.slices.items()
        }

    @cached_property
    def api_servers(self) -> frozenset[IPAddress]:
        """The addresses of the endpoints of Service default/kubernetes."""
        return addresses(endpoint_addresses(self.slices.get(("default", "kubernetes"), ())))

    @cached_property
    def node_ports(self) -> Mapping[PortKey, NodePort]:
        """TCP node ports of Services that have endpoints, by (family, number)."""
        found = node_ports(self.services.values(), self.slices)
        return {(each.family, each.port): each for each in found}

    @cached_property
    def health_checks(self) -> Mapping[PortKey, HealthCheck]:
        """The ports where load balancers check a node's health, by (family, number)."""
        found = health_checks(self.services.values(), self.slices)
        return {(each.family, each.port): each for each in found}

    @cached_property
    def pods_at_host_ports(self) -> Mapping[tuple[IPAddress, int], Pod]:
        """Pods with a TCP host port, by (address of the node, port)."""
        return {
            (address(text), port.port): pod
            for pod in self.pods.own
            if pod.is_running and pod.node_name in self.nodes.by_name
            for port in host_ports(pod.object)
            if port.protocol == "tcp"
            for text in port.open_at(self.nodes.by_name[pod.node_name])
        }
