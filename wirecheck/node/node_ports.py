"""Ports of nodes that were connected to: whom they are for, and where they are to answer."""

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
SILENT = "pods that refuse connections themselves"
HAS_ENDPOINT, HAS_NONE = 200, 503
DROPPING = frozenset({"iptables", "nftables"})
"""Modes in which connections to a node port with policy Local end where no endpoint is local."""


@dataclass(frozen=True)
class Health:
    """What a node told at a load balancer's health check port."""

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
        """What it told instead; empty where it is right. Raises where it was not asked."""
        if problem := self.reached.problem:
            return problem
        contact = self.reached.contact
        if contact.status == (HAS_ENDPOINT if self.has_endpoint else HAS_NONE):
            return ""
        counted = "" if contact.endpoints is None else f", {contact.endpoints} endpoints"
        return f"HTTP {contact.status}{counted}"


@dataclass(frozen=True)
class NodePorts:
    """Ports of this node and of others, as connections from this node met them."""

    seen: NodeSeen
    reach: NodeReach
    service_proxy: ServiceProxy

    @property
    def open_node_ports(self) -> Iterator[tuple[Reached, str]]:
        """Node ports at nodes that are to forward, and why a failure may be right all the same."""
        for reached, port, node in self._asked:
            if port.is_open_at(node):
                yield reached, reached.restricted_by or self._excuse(reached, port)

    @property
    def closed_node_ports(self) -> Iterator[Reached]:
        """Node ports of Services with policy Local, at nodes without an endpoint.

        In IPVS mode kube-proxy takes all endpoints where it has no local one, for the node's pods.
        Raises NotApplicable where there are none, and where this node counts as a pod.
        """
        own = self.seen.addresses
        # Connections of pods get to all endpoints: kube-proxy goes by the range that it was told.
        ranges = self.service_proxy.kube_proxy.facts.cluster_cidrs or ()
        if any(contains(ranges, each) for each in own):
            raise NotApplicable("kube-proxy takes this node's own connections for those of pods")
        modes = self.seen.cluster.proxy_modes
        found = [
            each
            for each, port, at in self._asked
            if not port.is_open_at(at) and modes.get(at) in DROPPING
        ]
        if not found:
            raise NotApplicable(
                "every node that was asked has an endpoint of each Service, or a kube-proxy that "
                "is in IPVS mode or does not tell its mode"
            )
        yield from found

    @property
    def _asked(self) -> Iterator[tuple[Reached, NodePort, str]]:
        return self._made_to("node port", self.seen.cluster.destinations.node_ports)

    def _made_to(
        self, purpose: str, known: Mapping[tuple[int, int], Port]
    ) -> Iterator[tuple[Reached, Port, str]]:
        """Each connection of a purpose, with the port and the node that it was made to."""
        for reached in self.reach.of(purpose):
            where = address(reached.contact.address)
            port = known.get((where.version, reached.contact.port))
            node = self.seen.cluster.node_index.by_address.get(where)
            if port is None or node is None:
                raise FactMissingError(f"The API shows no Service or node for {reached.ref.part}.")
            yield reached, port, node

    def _excuse(self, reached: Reached, port: NodePort) -> str:
        where = address(reached.contact.address)
        ranges = [each for each in self._open_ranges if each.version == where.version]
        if ranges and not contains(ranges, where):
            return CLOSED_BY_CONFIGURATION
        return self._silence(reached, {(each.address, each.port) for each in port.backends})

    @cached_property
    def _open_ranges(self) -> list[IPNetwork]:
        """Where kube-proxy was told to open node ports; empty for everywhere, or if not known."""
        try:
            wanted = self.service_proxy.kube_proxy.facts.node_port_addresses
        except (FactMissingError, NotApplicable):
            return []
        return [network(each) for each in wanted if each != "primary"]

    def _silence(self, reached: Reached, backends: set[tuple[str, int]]) -> str:
        """A port of a node is refused also where nothing listens in the pod behind it."""
        if not reached.is_refused:
            return ""
        asked = [
            each
            for each in self.seen.facts.contacts or ()
            if each.purpose == "backend" and (each.address, each.port) in backends
        ]
        return SILENT if asked and all(each.error == "refused" for each in asked) else ""

    @property
    def host_ports(self) -> Iterator[tuple[Reached, str]]:
        """Host ports of pods, and why a failure may be right all the same."""
        for reached in self.reach.of("host port"):
            where, port = address(reached.contact.address), reached.contact.port
            pod = self.seen.cluster.destinations.pods_at_host_ports.get((where, port))
            behind = {
                (each.pod_address, each.pod_port)
                for each in (host_ports(pod.object) if pod else ())
                if each.port == port
            }
            yield reached, reached.restricted_by or self._silence(reached, behind)

    @property
    def health(self) -> Iterator[Health]:
        """What nodes tell load balancers."""
        checks = self.seen.cluster.destinations.health_checks
        for reached, check, node in self._made_to("health check", checks):
            yield Health(reached, node in check.nodes)
