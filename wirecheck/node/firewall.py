"""The firewall of one node: what it does to packets of pods, and who else writes rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, contains, network
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.iptables import Iptables
from wirecheck.node.packet_filter import Filter, Packet, Refusal
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.iptables_once import iptables_dump

MOST_PEERS = 8
"""Rules about pods name their whole network, not one node: a few nodes stand for all."""

ANCHORS = {
    "KUBE-FORWARD": ("FORWARD",),
    "KUBE-FIREWALL": ("INPUT", "OUTPUT"),
}
"""Chains of kube-proxy and the kubelet in table filter, and where they have to be called."""

OTHERS = {"ufw-before-forward": "ufw", "FORWARD_direct": "firewalld", "FWD_public": "firewalld"}
VARIANTS = ("nft", "legacy")


@dataclass(frozen=True)
class Dropped:
    """A packet of pods that the node's filter certainly ends, and the rule that does."""

    what: str
    packet: Packet
    refusal: Refusal


@dataclass(frozen=True)
class Firewall:
    """Rules of one node, of both families and variants."""

    seen: NodeSeen
    iptables: Iptables
    routes: NodeRoutes

    @cached_property
    def filters(self) -> Mapping[tuple[int, str], Filter]:
        """Table filter by family and variant, where it has rules or a policy."""
        texts = {"nft": self.iptables.rules, "legacy": self.iptables.legacy}
        found = {}
        for variant in VARIANTS:
            for family, text in texts[variant].items():
                try:
                    dump = iptables_dump(text)
                except ParseError as error:
                    raise FactMissingError(f"{self.seen.name}: {error}") from error
                if "filter" in dump.tables:
                    found[family, variant] = Filter(dump)
        if not found:
            raise NotApplicable("the node has no iptables rules in table filter")
        return found

    def dropped(self, packets: Iterator[tuple[str, Packet]]) -> Iterator[Dropped]:
        """The packets that do not get through FORWARD, each told once."""
        for what, packet in packets:
            for variant in VARIANTS:
                filter_ = self.filters.get((packet.source.version, variant))
                refusal = filter_.refuses("FORWARD", packet) if filter_ else None
                if refusal:
                    yield Dropped(what, packet, refusal)
                    break

    @property
    def pod_packets(self) -> Iterator[tuple[str, Packet]]:
        """From pods here to pods of other nodes, and back."""
        for way in self.routes.peer_routes[:MOST_PEERS]:
            own = _sample(self._own(way.range.version))
            there, device = _sample(way.range), way.device.name if way.device else ""
            bridge = self._bridge(own)
            peer = way.peer.metadata.name
            yield f"to pods of {peer}", Packet(own, there, bridge, device)
            yield f"from pods of {peer}", Packet(there, own, device, bridge)

    @property
    def dns_packets(self) -> Iterator[tuple[str, Packet]]:
        """From pods here to each DNS replica."""
        routing = self.routes.routing
        for replica in self.seen.cluster.dns.replicas:
            if replica.on_host_network:
                continue
            for address in sorted(replica.addresses, key=str):
                source = self._pods_address(address)
                if source is None:
                    continue
                route = routing.route_to(address)
                device = routing.device_of(route) if route else None
                for protocol in ("udp", "tcp"):
                    yield (
                        f"DNS over {protocol.upper()}",
                        Packet(
                            source,
                            address,
                            self._bridge(source),
                            device.name if device else "",
                            protocol,
                            53,
                        ),
                    )

    def _pods_address(self, peer: IPAddress) -> IPAddress | None:
        """An address of the peer's family that pods here have, or may have, but for the peer's."""
        if self.seen.assigns_from_pod_cidrs:
            found = [_sample(each) for each in self.seen.pod_ranges]
        else:
            pods = (pod for pod in self.seen.pods if pod.has_own_netns)
            found = [each for pod in pods for each in sorted(pod.addresses - {peer}, key=str)]
        return next((each for each in found if each.version == peer.version), None)

    def _own(self, family: int) -> IPNetwork:
        return next(each for each in self.seen.pod_ranges if each.version == family)

    def _bridge(self, address: IPAddress) -> str:
        """The bridge in the network of a pod's address; empty where pods are on none."""
        for each in self.seen.host.interfaces:
            if each.is_bridge and contains(each.networks, address):
                return each.name
        return ""

    @property
    def missing_anchors(self) -> Iterator[tuple[str, str, str]]:
        """(family, base chain, chain) of Kubernetes' chains that exist and are not called."""
        for (family, variant), filter_ in self.filters.items():
            for chain, bases in ANCHORS.items():
                found = filter_.dump.chain("filter", chain)
                # The legacy variant's are left by an older system: kube_proxy checks judge them.
                if found is None or not found.rules or variant == "legacy":
                    continue
                for base in bases:
                    if not filter_.leads(base, chain):
                        yield f"IPv{family}", base, chain

    @property
    def others(self) -> frozenset[str]:
        """Managers of firewalls that have rules in force on the node."""
        tables = self.seen.output_if_asked("nft-tables").split("\n")
        found = {"firewalld"} if any(each.endswith(" firewalld") for each in tables) else set()
        for filter_ in self.filters.values():
            for chain, manager in OTHERS.items():
                if filter_.dump.chain("filter", chain):
                    found.add(manager)
        return frozenset(found)

    @property
    def legacy_rules(self) -> Iterator[tuple[int, list[str]]]:
        """By family the rules of the legacy variant on a node that Kubernetes uses nft on."""
        for family, text in self.iptables.legacy.items():
            rules = [line for line in text.split("\n") if line.startswith("-A ")]
            # Service rules in both are what kube_proxy.single_iptables_variant judges.
            service_rules = any("KUBE-SERVICES" in line for line in rules)
            if rules and not service_rules and "KUBE-" in self.iptables.rules[family]:
                yield family, rules


def _sample(range_: IPNetwork) -> IPAddress:
    """An address of the range that hardly any pod has: rules about single pods are not meant."""
    return network(str(range_)).broadcast_address - 1
