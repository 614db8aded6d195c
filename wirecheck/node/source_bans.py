"""Third-party rules of one node that refuse clients of Services by their source."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_addresses import internal_addresses, valid_addresses
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.clients import difference, intersection, intervals, ranges
from wirecheck.dataplane.iptables import reader as iptables_reader
from wirecheck.dataplane.nftables.tables import NamedTable, stages_of, with_tables
from wirecheck.dataplane.rules.bans import MOST_PACKETS, Ban, bans_of
from wirecheck.dataplane.rules.forwarded_packet import ANY_PORT
from wirecheck.dataplane.rules.ruleset import packet_to
from wirecheck.dataplane.rules.steps import Packet
from wirecheck.dataplane.table import Frontend
from wirecheck.network.registry import PLUGINS
from wirecheck.node.iptables import Iptables
from wirecheck.node.nftables import other_tables
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.routing import EVERYTHING
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.objects.service import ServiceObject

MOST_LISTED = 20
"""Rules of one chain that are listed one by one: block lists have thousands."""

MOST_NAMED = 4

MOST_FORWARDED = 50
"""Endpoints of Services for which rules of chain FORWARD are tried."""

OF_POLICIES = tuple(
    {
        *("KUBE-POD-FW-", "KUBE-NWPLCY-", "AZURE-NPM", "WEAVE-NPC"),
        *(
            prefix + chain
            for plugin in PLUGINS
            for chain, _ in plugin.filter_chains
            for prefix in ("", plugin.nftables_filter[1])
        ),
    }
)
"""How chains begin in which plugins enforce policies, in table filter and in their own tables."""


@dataclass(frozen=True)
class SourceBan:
    """A ban, and the addresses of the cluster that it refuses for certain."""

    ban: Ban
    cut: tuple[str, ...]
    """Ranges of other nodes and of pods; empty if there are none."""
    further: int = 0
    """The number of further rules of its chain that are not listed."""

    @property
    def found(self) -> str:
        """`-A PREROUTING -s 198.51.100.7/32 -j DROP`, and what it cuts off."""
        more = f" and {self.further:,} more rules of the chain" if self.further else ""
        cut = f", which refuses {', '.join(self.cut[:MOST_NAMED])} of the cluster"
        return f"{self.ban.rule}{more}{cut if self.cut else ''}"


@dataclass(frozen=True)
class _Destinations:
    """Where the Services of a cluster are reached, on any of its nodes."""

    services: Iterable[ServiceObject]

    @cached_property
    def node_ports(self) -> Sequence[tuple[str, int]]:
        """Protocol and port, sorted."""
        ports = (port for service in self.services for port in service.spec.ports)
        return sorted({(each.protocol.lower(), each.node_port) for each in ports if each.node_port})

    @cached_property
    def to_cluster_ips(self) -> Mapping[int, Sequence[Packet]]:
        """Packets to the ports of all cluster IPs, by family."""
        found: dict[int, list[Packet]] = {}
        for service in self.services:
            for port in service.spec.ports:
                for each in valid_addresses(service.spec.cluster_ips):
                    where = Frontend(each.version, str(each), port.protocol.lower(), port.port)
                    packet = packet_to(where, None, is_local=False)
                    found.setdefault(each.version, []).append(packet)
        return found


@dataclass(frozen=True)
class SourceBans:
    """The bans in the iptables rules of both families and variants, and in nftables tables."""

    seen: NodeSeen
    iptables: Iptables
    routes: NodeRoutes

    @cached_property
    def all(self) -> tuple[SourceBan, ...]:
        """Each rule once; those that cut off the cluster first.

        Raises NotApplicable if the node has no iptables rules.
        """
        found = [*self._of_family(4), *self._of_family(6)]
        texts = (self.iptables.rules, self.iptables.legacy)
        if not (self._tables or any(each for of in texts for each in of.values())):
            raise NotApplicable("the node has no iptables rules")
        cutting: list[SourceBan] = []
        others: list[Ban] = []
        for ban in found:
            if ban.is_forwarded and (self._is_of_whole_range(ban) or self._is_of_policy(ban)):
                continue
            cut = self._cut(ban)
            if cut and not self.iptables.may_lack_conditions(ban.family, ban.rules):
                cutting.append(SourceBan(ban, cut))
            elif cut or ban.is_for_services:
                others.append(ban)
        return (*cutting, *_listed(others))

    def _of_family(self, family: int) -> Iterator[Ban]:
        cache = self.seen.cluster.readers
        texts = (self.iptables.rules.get(family), self.iptables.legacy.get(family))
        try:
            dumps = [cache.texts.iptables(each) for each in texts if each]
        except ParseError as error:
            raise FactMissingError(f"{self.seen.name}: {error}") from error
        chains, tables = cache.rules.chains, self._tables
        ruleset = iptables_reader.ruleset_in(family, dumps, cache)
        ruleset = with_tables(ruleset, family, tables, chains)
        ruleset = replace(
            ruleset,
            to_node=(*ruleset.to_node, *stages_of("input", family, tables, chains)),
            through_node=(*ruleset.through_node, *stages_of("forward", family, tables, chains)),
        )
        yield from bans_of(
            ruleset,
            self._packets(family),
            self._between_nodes(family),
            self._forwarded(family),
            OF_POLICIES,
        )

    @cached_property
    def _tables(self) -> tuple[NamedTable, ...]:
        return tuple(other_tables(self.seen))

    def _packets(self, family: int) -> Sequence[Packet]:
        """Packets to cluster IPs and node ports of one family."""
        cluster = self.seen.cluster
        known = cluster.kept(_Destinations, lambda: _Destinations(cluster.services.values()))
        own = self._own(family)
        first = known.node_ports[: MOST_PACKETS // 2] if own else ()
        local = (Frontend(family, "", protocol, port) for protocol, port in first)
        local_packets = [packet_to(each, own, is_local=True) for each in local]
        return [*local_packets, *known.to_cluster_ips.get(family, ())]

    def _forwarded(self, family: int) -> Sequence[Packet]:
        """Packets that the node forwards to its pods: to endpoints of Services, and to any port."""
        pods = [pod for pod in self.seen.pods if pod.has_own_netns]
        addresses = {each for pod in pods for each in pod.addresses if each.version == family}
        if not addresses:
            return []
        known = self.seen.cluster.service_index.backends_by_node.get(self.seen.name, ())
        ends = [(min(addresses, key=int), ANY_PORT)]
        ends += [
            (where, e.port) for e in sorted(known) if (where := address(e.address)) in addresses
        ]
        return [
            packet_to(Frontend(family, "", protocol, port), where, is_local=False)
            for where, port in ends[:MOST_FORWARDED]
            for protocol in ("tcp", "udp")
        ]

    def _is_of_whole_range(self, ban: Ban) -> bool:
        """Whether it refuses all pods of a node: firewall.forwards_pods tries their packets."""
        ranges_ = self.seen.cluster.known_ranges
        wide = (n for n in ranges_ if n.version == ban.family and n.num_addresses > 1)
        return any(not difference(intervals([each]), ban.spans) for each in wide)

    def _is_of_policy(self, ban: Ban) -> bool:
        """Whether it is of pods of the node that policies select: their engine wrote it."""
        pods = (EVERYTHING[ban.family][low] for low, high in ban.spans if low == high)
        restricted = all(map(self._restricted.__contains__, pods))
        return bool(ban.spans) and all(low == high for low, high in ban.spans) and restricted

    @cached_property
    def _restricted(self) -> frozenset[IPAddress]:
        policies = self.seen.cluster.pod_index.policies
        pods = (p for p in self.seen.pods if p.restricted_by or policies.selecting(p.object))
        return frozenset(each for pod in pods for each in pod.addresses)

    def _between_nodes(self, family: int) -> Sequence[Packet]:
        """What other nodes send here, whatever the Services are.

        Packets to no port in particular stand for a whole protocol: for the kubelet, probes and
        pods on the host network. Those to a VXLAN port carry the packets of pods.
        """
        own = self._own(family)
        if own is None:
            return []
        links = self.seen.host.record.links
        overlays = {each.vxlan_port for each in links if each.vxlan_port}
        ports = [("tcp", ANY_PORT), ("udp", ANY_PORT), *(("udp", each) for each in overlays)]
        frontends = (Frontend(family, "", protocol, port) for protocol, port in ports)
        return [packet_to(each, own, is_local=True) for each in frontends]

    def _own(self, family: int) -> IPAddress | None:
        own = (each for each in internal_addresses(self.seen.object) if each.version == family)
        return next(own, None)

    def _cut(self, ban: Ban) -> tuple[str, ...]:
        """The cluster's addresses that no packet of reaches this node, for certain.

        In chain INPUT these are the other nodes: what they send to this one is for its kubelet,
        its overlay and its node ports. Pods do not need the node's own sockets. In chain FORWARD
        an overlay hides the addresses of nodes, and what pods send is not a ban's subject.
        """
        if ban.is_forwarded or not (ban.is_open or ban.breaks):
            return ()
        cluster = self.seen.cluster
        spans = cluster.known_spans if ban.before_dnat else cluster.node_spans
        hit = intersection(ban.spans, spans[ban.family])
        if not hit:
            return ()
        known = cluster.known_ranges if ban.before_dnat else cluster.node_ranges
        single = (n for n in known if n.version == ban.family and n.num_addresses == 1)
        hit = difference(hit, intervals(n for n in single if self._is_unused(n.network_address)))
        if ban.interfaces:
            hit = tuple(span for span in hit if self._comes_in(ban, span))
        return ranges(hit, ban.family)

    def _is_unused(self, address: IPAddress) -> bool:
        """Whether no other node sends from it: the node's own, and ExternalIPs of others."""
        nodes = self.seen.cluster.node_index
        is_external = address in nodes.by_any_address and address not in nodes.by_address
        is_own = address in self.seen.addresses or address in self.seen.host.addresses
        return is_own or is_external

    def _comes_in(self, ban: Ban, span: tuple[int, int]) -> bool:
        """Whether the node's route to the first of these addresses is by the ban's interface."""
        address = EVERYTHING[ban.family][span[0]]
        routing = self.routes.routing
        route = routing.route_to(address)
        device = routing.device_of(route) if route else None
        if device is None:
            return False
        return all(each.names_device(device.name) is not each.negated for each in ban.interfaces)


def _listed(bans: list[Ban]) -> Iterator[SourceBan]:
    """The first rules of each chain one by one, and one that stands for the others."""
    by_chain: dict[str, list[Ban]] = {}
    for each in bans:
        by_chain.setdefault(" ".join(each.rule.split(" ")[:2]), []).append(each)
    for of in by_chain.values():
        listed, further = of[:MOST_LISTED], of[MOST_LISTED:]
        yield from (SourceBan(each, ()) for each in listed)
        if further:
            yield SourceBan(further[0], (), len(further) - 1)
