"""The ends of the connections that one node forwards for its pods.

Pods of other nodes and addresses outside stand in groups that neither the policies nor the rules of
the node tell apart, so the work grows with the groups.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from itertools import islice

from wirecheck.addresses import IPAddress, IPNetwork
from wirecheck.api_index.grouping import grouped
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.node.outside import OUTSIDE
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.routing import REFUSING
from wirecheck.node.seen import NodeSeen
from wirecheck.policy.cluster_pods import ClusterPods, PodAddress
from wirecheck.policy.ends import End, joined
from wirecheck.policy.enforcer import Enforcer, Told
from wirecheck.policy.peers import Outside

MOST_ADDRESSES = 2_000
"""Addresses of nobody that are tried: one of each range, and those that were left in sets."""


def _of_group(group: Sequence[PodAddress], device: str, told: object) -> End:
    first = group[0]
    pods = tuple(each.pod for each in group)
    return End(first.address, first.of, pods, device, told=told)


@dataclass(frozen=True)
class NodeEnds:
    """The ends of connections of one node's pods."""

    seen: NodeSeen
    namespaces: PodNamespaces
    routes: NodeRoutes
    enforcer: Enforcer

    @cached_property
    def _pods(self) -> ClusterPods:
        return ClusterPods.of(self.seen.cluster)

    def local(self, family: int) -> tuple[End, ...]:
        """The pods of the node, each by itself."""
        found = self._pods.by_node.get((self.seen.name, family), ())
        return tuple(map(self._of_pod, found))

    def _of_pod(self, each: PodAddress) -> End:
        device, is_bridge = self.devices.get(each.pod.object.metadata.uid, ("", False))
        return End(each.address, each.of, (each.pod,), device, True, is_bridge)

    @cached_property
    def devices(self) -> dict[str, tuple[str, bool]]:
        """The node's device for each pod, by uid, and whether it is a bridge."""
        found: dict[str, tuple[str, bool]] = {}
        try:
            for veth in self.namespaces.veths:
                device = veth.master or veth.outer
                if device is not None:
                    uid = veth.pod.object.metadata.uid
                    found[uid] = (device.name, veth.master is not None)
        except FactMissingError:
            # Rules for the devices of pods whose netns is not known are then inconclusive.
            pass
        return found

    def remote(self, family: int) -> tuple[End, ...]:
        """The pods of other nodes, in groups."""
        told = self.enforcer.told(family)
        ends = []
        for (node, version), pods in self._pods.by_node.items():
            if version != family or node == self.seen.name:
                continue
            device = self._device_to(pods[0].address)
            if device is None:
                continue  # Without a route nothing is forwarded; checks of routes report that.
            groups = grouped(((each.of, told.of(each.address)), each) for each in pods)
            ends += [_of_group(of, device, key[1]) for key, of in groups.items()]
        alike = grouped(((each.peer, each.device, each.told), each) for each in ends)
        return tuple(map(joined, alike.values()))

    def outside(self, family: int) -> tuple[End, ...]:
        """Addresses outside the cluster: one for each range that rules or policies distinguish."""
        told = self.enforcer.told(family)
        blocks = self._pods.expected.vocabulary.block_map
        found: dict[object, End] = {}
        for address, is_named in islice(self._of_nobody(family, told), MOST_ADDRESSES):
            covered_by = blocks.covering([address])
            key = covered_by, told.of(address)
            device = self._device_to(address)
            if key not in found and device is not None:
                is_left = not self._is_unused(address)
                peer = Outside(covered_by)
                found[key] = End(
                    address, peer, (), device, is_left=is_left, is_named=is_named, told=key[1]
                )
        return tuple(found.values())

    def _of_nobody(self, family: int, told: Told) -> Iterator[tuple[IPAddress, bool]]:
        """Addresses of no pod, node or Service, each with whether policies name it.

        First those of ipBlocks, then of ranges in rules, then those that were left in sets.
        """
        blocks = self._pods.expected.vocabulary.block_map.blocks
        yield OUTSIDE[family], True
        of_blocks = [(range_, True) for block in blocks for range_ in block.ranges]
        for range_, is_named in (*of_blocks, *((each, False) for each in told.ranges)):
            address = self._unused_in(range_) if range_.version == family else None
            if address is not None:
                yield address, is_named
        for address in told.members:
            if address not in self._pods.assigned:
                yield address, False

    def _unused_in(self, range_: IPNetwork) -> IPAddress | None:
        """An address of the range that belongs to no pod, node or Service."""
        first, last = int(range_.network_address), int(range_.broadcast_address)
        of = IPv4Address if range_.version == 4 else IPv6Address
        for number in dict.fromkeys(
            (first + 1, last - 1, first + (last - first) // 2, first, last)
        ):
            if first <= number <= last and self._is_unused(of(number)):
                return of(number)
        return None

    def _is_unused(self, address: IPAddress) -> bool:
        is_special = address.is_loopback or address.is_multicast or address.is_unspecified
        spans = self.seen.cluster.known_spans.get(address.version, ())
        at = bisect_right(spans, (int(address), 1 << 129)) - 1
        is_known = at >= 0 and int(address) <= spans[at][1]
        return not (is_special or address.is_link_local or is_known)

    def _device_to(self, address: IPAddress) -> str | None:
        """The device of the route; empty if it has several, None without one where that matters."""
        if not self.enforcer.needs_routes:
            return ""
        routing = self.routes.routing
        route = routing.route_to(address)
        if route is None or route.type in REFUSING:
            return None
        device = routing.device_of(route)
        return device.name if device else ""
