"""What kube-proxy on one node knows about its clients, for one family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, contains, network
from wirecheck.api_index.node_addresses import pod_ranges
from wirecheck.dataplane.clients import Clients, Intervals, difference, intersection, intervals
from wirecheck.dataplane.proxy import DetectLocal, Mode, ProxyFacts
from wirecheck.dataplane.table import Client, Handling, Masquerade
from wirecheck.snapshot.objects.node import NodeObject

ZONE_LABEL = "topology.kubernetes.io/zone"


@dataclass(frozen=True)
class ProxyView:
    """The clients of one family, and which of them kube-proxy takes for pods."""

    family: int
    facts: ProxyFacts
    hostname: str
    """The name by which kube-proxy knows endpoints of its own node."""
    zone: str
    kinds: Mapping[Client, Intervals]
    node_address: IPAddress | None
    local_addresses: frozenset[str]
    pod_ranges: tuple[IPNetwork, ...]
    further_addresses: tuple[IPAddress, ...] = ()
    """The addresses at which node ports are compared, in addition to the node's first one."""
    stride: int = 1
    """One of so many node ports is compared there."""
    apart_on_localhost: frozenset[int] = frozenset()
    """Node ports that are compared on localhost in any case."""

    @cached_property
    def is_pod(self) -> Mapping[Client, bool | None]:
        """Whether kube-proxy takes a kind of client for pods; None if that is not known."""
        return {client: self._is_pod(client, spans) for client, spans in self.kinds.items()}

    def _is_pod(self, client: Client, spans: Intervals) -> bool | None:
        facts = self.facts
        if facts.cluster_cidrs is None:
            return None
        if facts.detect_local in (DetectLocal.BRIDGE_INTERFACE, DetectLocal.INTERFACE_NAME_PREFIX):
            return client is Client.POD if facts.local_interface else False
        by_cluster = facts.detect_local is DetectLocal.CLUSTER_CIDR
        detected = self._first(facts.cluster_cidrs if by_cluster else self.pod_ranges)
        if not difference(spans, detected):
            return True
        return None if intersection(spans, detected) else False

    def _first(self, ranges: Iterable[IPNetwork]) -> Intervals:
        """kube-proxy takes the first range of each family, and no other."""
        return intervals([each for each in ranges if each.version == self.family][:1])

    @cached_property
    def detects_pods(self) -> bool | None:
        """Whether kube-proxy can detect pods at all; None if its configuration was not seen."""
        facts = self.facts
        if facts.cluster_cidrs is None:
            return None
        if facts.detect_local is DetectLocal.CLUSTER_CIDR:
            return bool(self._first(facts.cluster_cidrs))
        if facts.detect_local is DetectLocal.NODE_CIDR:
            return bool(self._first(self.pod_ranges))
        return bool(facts.local_interface)

    @cached_property
    def masquerade_to_cluster_ip(self) -> Mapping[Client, Masquerade]:
        """Connections to a ClusterIP that do not come from pods are masqueraded."""
        if self.facts.masquerade_all:
            return dict.fromkeys(self.kinds, Masquerade.ALWAYS)
        if self.detects_pods is False:
            return dict.fromkeys(self.kinds, Masquerade.NEVER)
        by_pod = {True: Masquerade.NEVER, False: Masquerade.ALWAYS, None: Masquerade.UNKNOWN}
        return {client: by_pod[is_pod] for client, is_pod in self.is_pod.items()}

    @cached_property
    def accepts_node_ports(self) -> bool:
        """Whether node ports are open on the node's first address."""
        return self.node_address is None or self.accepts_at(self.node_address)

    def accepts_at(self, own: IPAddress) -> bool:
        """Whether node ports are open on an address of the node."""
        if own.is_loopback and not self.facts.localhost_node_ports:
            return False
        wanted = self.facts.node_port_addresses
        if "primary" in wanted:
            return own == self.node_address
        if not wanted:
            # nftables mode took all addresses in its first version only.
            is_any = not self.is_nftables or self.facts.minor <= 29
            return is_any or own == self.node_address
        own_family = [each for each in map(network, wanted) if each.version == self.family]
        return not own_family or contains(own_family, own)

    def compared_at(self, node_port: int) -> tuple[IPAddress, ...]:
        """The further addresses where a node port is compared."""
        if node_port % self.stride == 0:
            return self.further_addresses
        if node_port not in self.apart_on_localhost:
            return self._compared_for_all
        loopback = tuple(each for each in self.further_addresses if each.is_loopback)
        return self._compared_for_all + loopback

    @cached_property
    def _compared_for_all(self) -> tuple[IPAddress, ...]:
        """One open address, if node ports are not open on the node's first one."""
        open_ones = [
            each
            for each in self.further_addresses
            if self.accepts_at(each) and not each.is_loopback
        ]
        return () if self.accepts_node_ports else tuple(open_ones[:1])

    def only_at(
        self, own: IPAddress, handlings: Mapping[Client, Handling]
    ) -> Mapping[Client, Handling]:
        """The handlings of the clients that are compared at one of the further addresses.

        What the node sends to one of its addresses comes from that same address. Nobody else can
        connect to localhost, and an address in a pod range is taken for a pod's.
        """
        if own.is_loopback:
            return {each: of for each, of in handlings.items() if each is Client.NODE}
        if contains((*self.pod_ranges, *(self.facts.cluster_cidrs or ())), own):
            return {each: of for each, of in handlings.items() if each is not Client.NODE}
        return handlings

    @cached_property
    def key(self) -> tuple[object, ...]:
        """Equal for nodes where the same endpoints have the same entries, except for node ports."""
        facts = self.facts
        return (
            self.family,
            facts.mode,
            facts.minor,
            self.accepts_node_ports,
            tuple(self.is_pod.items()),
            tuple(self.masquerade_to_cluster_ip.items()),
        )

    @property
    def is_nftables(self) -> bool:
        return self.facts.mode is Mode.NFTABLES


MOST_FURTHER = 256
"""Comparisons of node ports at further addresses, for all of these together."""


def _stride(facts: ProxyFacts, clients: Clients, node_ports: int) -> int:
    """One of how many node ports is compared at each further address.

    The rules of a node port are the same for all addresses, so that many addresses need no more
    comparisons than one. IPVS has a virtual server for each address, and each is compared.
    """
    if facts.mode is Mode.IPVS:
        return 1
    addresses = sum(map(len, clients.further_addresses.values()))
    return max(1, -(-addresses * node_ports // MOST_FURTHER))


def proxy_views_of(
    node: NodeObject, facts: ProxyFacts, clients: Clients, node_ports: int = 0
) -> Mapping[int, ProxyView]:
    """The views of a node by family; `node_ports` is the number of node ports."""
    return {
        family: ProxyView(
            family=family,
            facts=facts,
            hostname=facts.hostname or node.metadata.name,
            zone=node.metadata.labels.get(ZONE_LABEL, ""),
            kinds=clients.of(family),
            node_address=clients.node_addresses.get(family),
            local_addresses=clients.local_addresses,
            pod_ranges=pod_ranges(node),
            further_addresses=clients.further_addresses.get(family, ()),
            stride=_stride(facts, clients, node_ports),
            apart_on_localhost=clients.apart_on_localhost,
        )
        for family in (4, 6)
    }
