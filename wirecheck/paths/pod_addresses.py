"""The addresses of a cluster's pods in order, and which of them a node's rules tell apart."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from wirecheck.addresses import IPAddress, IPNetwork
from wirecheck.api_index.node_addresses import node_ips, pod_ranges
from wirecheck.api_index.node_kinds import why_left_out
from wirecheck.api_index.pod import Pod
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.paths.named_prefixes import Span


@dataclass(frozen=True)
class PeerNode:
    """What other nodes know of a node by its API object."""

    name: str
    addresses: tuple[IPAddress, ...]
    ranges: tuple[IPNetwork, ...]
    place: int
    """In the order of names."""

    @cached_property
    def texts(self) -> frozenset[str]:
        """Its addresses, and the first one of each range, where flannel's tunnel ends."""
        first = (str(each.network_address) for each in self.ranges)
        return frozenset((*map(str, self.addresses), *first))


class Section(NamedTuple):
    """Neighbouring addresses of pods of one node, which no prefix tells apart."""

    peer: PeerNode
    family: int
    pods: Sequence[tuple[IPAddress, Pod]]
    inside: frozenset[Span]
    """The spans of rules that they are in, without those that all pods are in."""


NOWHERE: frozenset[Span] = frozenset()


@dataclass(frozen=True)
class PodAddresses:
    """The addresses of running pods with a network of their own; kept for a round."""

    cluster: ClusterSeen

    @classmethod
    def of(cls, cluster: ClusterSeen) -> PodAddresses:
        """The same object for every node of the round."""
        return cluster.kept(cls, lambda: cls(cluster))

    @cached_property
    def peers(self) -> Mapping[str, PeerNode]:
        """The nodes that were visited and belong to the cluster's network, by name."""
        cluster = self.cluster
        return {
            name: PeerNode(name, node_ips(node), pod_ranges(node), cluster.places[name])
            for name, node in cluster.nodes.items()
            if not why_left_out(node) and (visit := cluster.visit_to(name)) and visit.status.reached
        }

    @cached_property
    def ranges(self) -> frozenset[str]:
        """The ranges of single nodes, as routes have them."""
        return frozenset(str(each) for peer in self.peers.values() for each in peer.ranges)

    @cached_property
    def _known(self) -> Mapping[int, Sequence[tuple[IPAddress, Pod]]]:
        """By family, in order. What several pods have is reported by pods.unique_ips."""
        found: dict[int, list[tuple[IPAddress, Pod]]] = {4: [], 6: []}
        for where, pods in self.cluster.pod_index.by_address.items():
            if len(pods) == 1 and pods[0].has_own_netns and pods[0].node_name in self.peers:
                found[where.version].append((where, pods[0]))
        return {family: sorted(each, key=_number) for family, each in found.items()}

    @cached_property
    def _numbers(self) -> Mapping[int, Sequence[int]]:
        return {family: [*map(_number, each)] for family, each in self._known.items()}

    @cached_property
    def _starts(self) -> Mapping[int, frozenset[int]]:
        """By family, the places at which the addresses of another node begin."""
        return {
            family: frozenset(
                at
                for at, (_, pod) in enumerate(each)
                if at == 0 or each[at - 1][1].node_name != pod.node_name
            )
            for family, each in self._known.items()
        }

    def sections(self, routed: Collection[Span], filtered: Collection[Span]) -> Iterator[Section]:
        """All addresses, cut where one of the spans begins or ends."""
        for family, known in self._known.items():
            rules = self._slices(family, filtered)
            cuts = set(self._starts[family])
            cuts.update(*self._slices(family, routed), *rules)
            edges = sorted(cuts | {len(known)})
            inside = _covering(edges, rules)
            for start, end in pairwise(edges):
                found = frozenset(inside[start]) if start in inside else NOWHERE
                peer = self.peers[known[start][1].node_name]
                yield Section(peer, family, known[start:end], found)

    def _slices(
        self, family: int, spans: Collection[Span]
    ) -> Mapping[tuple[int, int], Sequence[Span]]:
        """The spans by the places of the first address in them, and of the first one behind."""
        numbers, found = self._numbers[family], dict[tuple[int, int], list[Span]]()
        for each in spans:
            if each.family == family:
                start, end = bisect_left(numbers, each.first), bisect_right(numbers, each.last)
                if start < end and end - start < len(numbers):
                    found.setdefault((start, end), []).append(each)
        return found


def _covering(
    edges: Sequence[int], slices: Mapping[tuple[int, int], Sequence[Span]]
) -> Mapping[int, Sequence[Span]]:
    """By the start of a section, the spans that it is in."""
    found: dict[int, list[Span]] = {}
    for (start, end), spans in slices.items():
        for at in edges[bisect_left(edges, start) : bisect_left(edges, end)]:
            found.setdefault(at, []).extend(spans)
    return found


def _number(each: tuple[IPAddress, Pod]) -> int:
    return int(each[0])
