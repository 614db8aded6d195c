"""The ports of a cluster's Services, by what their rules have in common; kept for a round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.endpoint_slices import FAMILIES, is_serving
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.service import cluster_ips
from wirecheck.catalogue.findings import Ref
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.paths.ends import Destination
from wirecheck.snapshot.objects.service import ServiceObject, ServicePortSpec

POD, NODE, OUTSIDE = "a pod", "a node", "outside of the cluster"


class Kind(NamedTuple):
    """What the rules for a port of a Service depend on."""

    family: int
    protocol: str
    has_affinity: bool
    is_local: bool
    """Whether each node forwards to its own endpoints only."""
    has_several: bool
    backends: frozenset[str]
    """Where its endpoints are: POD, NODE, OUTSIDE."""


@dataclass(frozen=True)
class ServiceTarget:
    """One port of a Service at one of its cluster IPs, with endpoints that serve."""

    service: ServiceObject
    to: Destination
    kind: Kind
    nodes: frozenset[str]
    """Those of its endpoints."""

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name of the Service."""
        return self.service.metadata.namespace, self.service.metadata.name

    @property
    def ref(self) -> Ref:
        """The Service."""
        meta = self.service.metadata
        return Ref("Service", meta.name, meta.namespace, uid=meta.uid)


@dataclass(frozen=True)
class ServiceKinds:
    """The ports of all Services."""

    cluster: ClusterSeen

    @classmethod
    def of(cls, cluster: ClusterSeen) -> ServiceKinds:
        """The same object for every node of the round."""
        return cluster.kept(cls, lambda: cls(cluster))

    @cached_property
    def all(self) -> Sequence[ServiceTarget]:
        """Those with a cluster IP and endpoints that serve; few endpoints first."""
        found = (each for key in self.cluster.services for each in self._targets(key))
        return sorted(found, key=lambda each: (len(each.nodes), each.key, str(each.to.address)))

    @cached_property
    def by_kind(self) -> Mapping[Kind, Sequence[ServiceTarget]]:
        """The same by kind."""
        return grouped((each.kind, each) for each in self.all)

    def _targets(self, key: tuple[str, str]) -> Iterator[ServiceTarget]:
        service = self.cluster.services[key]
        for text in cluster_ips(service):
            where = address(text)
            serving = [*self._serving(key, where.version)]
            if serving:
                for port in service.spec.ports:
                    yield self._target(service, where, port, serving)

    def _serving(self, key: tuple[str, str], family: int) -> Iterator[tuple[str, str]]:
        """The address and the node of each endpoint of a family."""
        for each in self.cluster.slices.get(key, ()):
            if FAMILIES.get(each.address_type) != family:
                continue
            for endpoint in each.endpoints or ():
                if is_serving(endpoint) and endpoint.addresses:
                    yield endpoint.addresses[0], endpoint.node_name

    def _target(
        self,
        service: ServiceObject,
        where: IPAddress,
        port: ServicePortSpec,
        serving: Sequence[tuple[str, str]],
    ) -> ServiceTarget:
        spec, meta = service.spec, service.metadata
        protocol = port.protocol.lower()
        places = frozenset(self._place(text) for text, _ in serving)
        kind = Kind(
            *(where.version, protocol, spec.session_affinity != "None"),
            *(spec.internal_traffic_policy == "Local", len(serving) > 1, places),
        )
        label = f"Service {meta.namespace}/{meta.name}"
        to = Destination(label, where, port.port, protocol)
        nodes = frozenset(name or self._node_with(text) for text, name in serving)
        return ServiceTarget(service, to, kind, nodes)

    def _place(self, text: str) -> str:
        where = address(text)
        if where in self.cluster.pod_index.by_address:
            return POD
        return NODE if self.cluster.node_index.by_any_address.get(where) else OUTSIDE

    def _node_with(self, text: str) -> str:
        return self.cluster.node_index.by_any_address.get(address(text), "")
