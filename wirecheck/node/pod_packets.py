"""Packets of pods that a node must forward, as examples for its packet filter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, IPNetwork, contains, network
from wirecheck.api_index.network_policy import ingress_policy_of
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.node.outside import CLIENTS
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.objects.service import ServiceObject

MOST_PEERS = 8
"""Rules for pods name their whole network, not one node: a few nodes represent all."""


@dataclass(frozen=True)
class PodPackets:
    """Packets of the pods of one node."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def between_pods(self) -> Iterator[tuple[str, ForwardedPacket]]:
        """From pods here to pods of other nodes, and back."""
        try:
            routes = self.routes.peer_routes
        except NotApplicable:
            yield from self._packets_of_single_pods
            return
        for way in routes[:MOST_PEERS]:
            own = _sample(self._own(way.range.version))
            there, device = _sample(way.range), way.device.name if way.device else ""
            bridge = self._bridge(own)
            peer = way.node.metadata.name
            yield f"to pods of {peer}", _direct(own, there, bridge, device)
            yield f"from pods of {peer}", _direct(there, own, device, bridge)

    @property
    def _packets_of_single_pods(self) -> Iterator[tuple[str, ForwardedPacket]]:
        """The same where nodes have no ranges: a pod stands for all pods of its node.

        The device of a pod is left open: the plugin's rules for it are the pod's policies.
        """
        by_node = self.seen.cluster.pod_index.by_node
        own = self._unrestricted(by_node.get(self.seen.name, ()))
        names = sorted(name for name in self.seen.cluster.nodes if name != self.seen.name)
        others = {name: self._unrestricted(by_node.get(name, ())) for name in names}
        shared = [(n, v) for n, known in others.items() for v in sorted(known) if v in own]
        if not shared:
            raise NotApplicable(
                "no pods of this node and of another one are known that no policy restricts"
            )
        for peer, version in shared[:MOST_PEERS]:
            here, there = own[version], others[peer][version]
            route = self.routes.routing.route_to(there)
            device = self.routes.routing.device_of(route) if route else None
            name = device.name if device else ""
            yield f"to pods of {peer}", _direct(here, there, self._bridge(here), name)
            yield f"from pods of {peer}", _direct(there, here, name, self._bridge(here))

    def _unrestricted(self, pods: Iterable[Pod]) -> Mapping[int, IPAddress]:
        """An address of each family, of the first pod that no policy selects."""
        api = self.seen.cluster.api
        found: dict[int, IPAddress] = {}
        for pod in sorted(pods, key=lambda each: (each.namespace, each.name)):
            policy = ingress_policy_of(
                pod.object, api.network_policies, rules_read=api.policy_rules_read
            )
            is_free = not (pod.restricted_by or policy)
            if pod.has_own_netns and is_free:
                for each in sorted(pod.addresses, key=str):
                    found.setdefault(each.version, each)
        return found

    @property
    def from_outside(self) -> Iterator[ForwardedPacket]:
        """From clients outside the cluster to a pod here, if any Service lets them in.

        Such a packet was translated before, and may have kube-proxy's mark.
        """
        if not any(map(_is_open, self.seen.cluster.services.values())):
            return
        routing = self.routes.routing
        for client in CLIENTS:
            pod = self._pods_address(client)
            route = routing.route_to(client)
            device = routing.device_of(route) if route else None
            if pod is not None and device is not None:
                way = (device.name, self._bridge(pod))
                yield ForwardedPacket(client, pod, *way, is_marked=True)

    @property
    def to_dns(self) -> Iterator[tuple[str, ForwardedPacket]]:
        """From pods here to each DNS replica.

        Raises NotApplicable if no replica is known that the node forwards queries of pods to.
        """
        found = tuple(self._to_replicas)
        if not found:
            raise NotApplicable(
                "no pod of the node and no DNS replica with its own network namespace are known"
            )
        return iter(found)

    @property
    def _to_replicas(self) -> Iterator[tuple[str, ForwardedPacket]]:
        routing = self.routes.routing
        for replica in self.seen.cluster.dns.replicas:
            if replica.on_host_network:
                continue
            for where in sorted(replica.addresses, key=str):
                source = self._pods_address(where)
                if source is None:
                    continue
                route = routing.route_to(where)
                device = routing.device_of(route) if route else None
                for protocol in ("udp", "tcp"):
                    yield (
                        f"DNS over {protocol.upper()}",
                        ForwardedPacket(
                            source,
                            where,
                            self._bridge(source),
                            device.name if device else "",
                            protocol,
                            53,
                        ),
                    )

    def _pods_address(self, peer: IPAddress) -> IPAddress | None:
        """An address of a pod here in the peer's family, but not the peer's own address."""
        if self.seen.assigns_from_pod_cidrs:
            found = [_sample(each) for each in self.seen.pod_ranges]
        else:
            pods = (pod for pod in self.seen.pods if pod.has_own_netns)
            found = [each for pod in pods for each in sorted(pod.addresses - {peer}, key=str)]
        return next((each for each in found if each.version == peer.version), None)

    def _own(self, family: int) -> IPNetwork:
        return next(each for each in self.seen.pod_ranges if each.version == family)

    def _bridge(self, address: IPAddress) -> str:
        """The bridge in the network of a pod's address; empty if pods are not on a bridge."""
        for each in self.seen.host.interfaces:
            if each.is_bridge and contains(each.networks, address):
                return each.name
        return ""


def _is_open(service: ServiceObject) -> bool:
    """Whether clients outside the cluster may reach the Service."""
    spec = service.spec
    return bool(spec.external_ips) or any(each.node_port for each in spec.ports)


def _sample(range_: IPNetwork) -> IPAddress:
    """An address of the range that hardly any pod has: rules for single pods do not count."""
    return network(str(range_)).broadcast_address - 1


def _direct(source: IPAddress, destination: IPAddress, iif: str, oif: str) -> ForwardedPacket:
    """A packet to a pod's own address, not to a Service."""
    return ForwardedPacket(source, destination, iif, oif, is_direct=True)
