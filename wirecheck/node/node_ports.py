"""Connections to ports of nodes: node ports, host ports and health check ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from wirecheck.addresses import IPNetwork, address, contains, network
from wirecheck.api_index.host_ports import host_ports
from wirecheck.api_index.node_ports import HealthCheck, NodePort
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.reach import NodeReach, Reached
from wirecheck.node.seen import NodeSeen
from wirecheck.node.service_proxy import ServiceProxy

Port = TypeVar("Port", NodePort, HealthCheck)

CLOSED_BY_CONFIGURATION = "kube-proxy's nodePortAddresses"
REFUSED_BY_PODS = "pods that refuse connections themselves"
HAS_ENDPOINT, HAS_NONE = 200, 503
DROPPING = frozenset({"iptables", "nftables"})
"""Modes that drop connections to a node port with policy Local without a local endpoint."""


@dataclass(frozen=True)
class Health:
    """A node's answer at a health check port of a load balancer."""

    reached: Reached
    has_endpoint: bool
    """Whether the node has a Ready endpoint of the Service."""

    @property
    def expected(self) -> str:
        if self.has_endpoint:
            return f"HTTP {HAS_ENDPOINT}: the node has endpoints"
        return f"HTTP {HAS_NONE}: the node has no endpoint"

    @property
    def problem(self) -> str:
        """The wrong answer; empty if it is correct. Raises FactMissingError without an answer."""
        if problem := self.reached.problem:
            return problem
        contact = self.reached.contact
        if contact.status == (HAS_ENDPOINT if self.has_endpoint else HAS_NONE):
            return ""
        counted = "" if contact.endpoints is None else f", {contact.endpoints} endpoints"
        return f"HTTP {contact.status}{counted}"


@dataclass(frozen=True)
class NodePorts:
    """Ports of this node and of others, as seen by connections from this node."""

    seen: NodeSeen
    reach: NodeReach
    service_proxy: ServiceProxy

    @property
    def open_node_ports(self) -> Iterator[tuple[Reached, str]]:
        """Node ports at nodes that must forward, and why a failure may be legitimate."""
        for reached, port, node in self._contacted:
            if port.is_open_at(node):
                yield reached, reached.restricted_by or self._legitimate_cause(reached, port)

    @property
    def closed_node_ports(self) -> Iterator[Reached]:
        """Node ports of Services with policy Local, at nodes without an endpoint.

        In IPVS mode kube-proxy forwards connections of the node's pods to all endpoints where it
        has no local one. Raises NotApplicable where there are no such node ports, and where
        kube-proxy treats this node's connections as those of pods.
        """
        own = self.seen.addresses
        # kube-proxy forwards connections from its clusterCIDR to all endpoints.
        ranges = self.service_proxy.kube_proxy.facts.cluster_cidrs or ()
        if any(contains(ranges, each) for each in own):
            raise NotApplicable("kube-proxy treats this node's own connections as those of pods")
        modes = self.seen.cluster.proxy_modes
        found = [
            each
            for each, port, at in self._contacted
            if not port.is_open_at(at) and modes.get(at) in DROPPING
        ]
        if not found:
            raise NotApplicable(
                "every node that was checked has an endpoint of each Service, or its kube-proxy is "
                "in IPVS mode or does not report its mode"
            )
        yield from found

    @property
    def _contacted(self) -> Iterator[tuple[Reached, NodePort, str]]:
        return self._connections_to("node port", self.seen.cluster.destinations.node_ports)

    def _connections_to(
        self, purpose: str, known: Mapping[tuple[int, int], Port]
    ) -> Iterator[tuple[Reached, Port, str]]:
        """Yield each connection of a purpose, with its port and its node."""
        for reached in self.reach.of(purpose):
            if reached.is_answered_here:
                continue
            where = address(reached.contact.address)
            port = known.get((where.version, reached.contact.port))
            node = self.seen.cluster.node_index.by_address.get(where)
            if port is None or node is None:
                raise FactMissingError(f"The API has no Service or node for {reached.ref.part}.")
            yield reached, port, node

    def _legitimate_cause(self, reached: Reached, port: NodePort) -> str:
        where = address(reached.contact.address)
        ranges = [each for each in self._open_ranges if each.version == where.version]
        if ranges and not contains(ranges, where):
            return CLOSED_BY_CONFIGURATION
        return self._refusal_of_pods(reached, {(each.address, each.port) for each in port.backends})

    @cached_property
    def _open_ranges(self) -> list[IPNetwork]:
        """kube-proxy's nodePortAddresses; empty for all addresses, or if unknown."""
        try:
            wanted = self.service_proxy.kube_proxy.facts.node_port_addresses
        except (FactMissingError, NotApplicable):
            return []
        return [network(each) for each in wanted if each != "primary"]

    def _refusal_of_pods(self, reached: Reached, backends: set[tuple[str, int]]) -> str:
        """Return why a refusal is legitimate: nothing listens in the pods behind the port."""
        if not reached.is_refused:
            return ""
        asked = [
            each
            for each in self.seen.facts.contacts or ()
            if each.purpose == "backend" and (each.address, each.port) in backends
        ]
        return REFUSED_BY_PODS if asked and all(each.error == "refused" for each in asked) else ""

    @property
    def host_ports(self) -> Iterator[tuple[Reached, str]]:
        """Host ports of pods, and why a failure may be legitimate."""
        for reached in self.reach.of("host port"):
            if reached.is_answered_here:
                continue
            where, port = address(reached.contact.address), reached.contact.port
            pod = self.seen.cluster.destinations.pods_at_host_ports.get((where, port))
            behind = {
                (each.pod_address, each.pod_port)
                for each in (host_ports(pod.object) if pod else ())
                if each.port == port
            }
            yield reached, reached.restricted_by or self._refusal_of_pods(reached, behind)

    @property
    def health(self) -> Iterator[Health]:
        """The answers of nodes to the health checks of load balancers."""
        checks = self.seen.cluster.destinations.health_checks
        for reached, check, node in self._connections_to("health check", checks):
            yield Health(reached, node in check.nodes)
