"""What one rule of a NetworkPolicy says about a peer: whether it matches, and which ports."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.api_index.network_policy import NAMESPACE_NAME, name_of
from wirecheck.policy.blocks import block_of
from wirecheck.policy.peers import NamedPort, Outside, Peer, PodClass
from wirecheck.policy.ports import ALL_PORTS, LAST, PROTOCOLS, PortSet, whole
from wirecheck.policy.reach import Direction, Part
from wirecheck.policy.selection import Match, match
from wirecheck.snapshot.objects.network_policy import (
    NetworkPolicyObject,
    PolicyPeer,
    PolicyPort,
)

Namespaces = Mapping[str, Mapping[str, str]]
"""The labels of the namespaces that are known, by name."""

Matched = tuple[Match, str]
"""Whether a peer matches, and why it cannot be decided if it may."""


@dataclass(frozen=True)
class Rule:
    """One rule for one direction."""

    policy: NetworkPolicyObject
    direction: Direction
    number: int
    """From 1, in the order of the policy."""
    peers: Sequence[PolicyPeer]
    ports: Sequence[PolicyPort]

    @property
    def name(self) -> str:
        """`NetworkPolicy shop/web, ingress rule 1`."""
        return f"{name_of(self.policy)}, {self.direction.lower()} rule {self.number}"

    def matches(self, peer: Peer, namespaces: Namespaces) -> Matched:
        """Whether a peer of the rule matches. A rule without peers matches every peer."""
        if not self.peers:
            return Match.YES, ""
        if isinstance(peer, PodClass) and peer.on_host_network:
            return Match.MAYBE, HOST_NETWORK
        own = self.policy.metadata.namespace
        found = [matches_peer(each, own, peer, namespaces) for each in self.peers]
        best = max(result for result, _ in found)
        return best, next(reason for result, reason in found if result is best)

    def port_parts(self, target: Peer) -> tuple[PortSet, tuple[Part, ...]]:
        """The ports of the target that the rule is about, and those that it may be about."""
        if not self.ports:
            return ALL_PORTS, ()
        named = target.named_ports if isinstance(target, PodClass) else frozenset()
        found = [ports_of(each, named) for each in self.ports]
        sure = PortSet.of(range_ for ports, _ in found for range_ in ports.ranges)
        return sure, tuple(doubt for _, doubts in found for doubt in doubts)


HOST_NETWORK = "the API does not define NetworkPolicy for nodes and pods on the host network"


def rules_of(policy: NetworkPolicyObject, direction: Direction) -> Iterator[Rule]:
    """The rules of the policy for the direction."""
    if direction is Direction.INGRESS:
        for number, ingress in enumerate(policy.spec.ingress or (), start=1):
            yield Rule(policy, direction, number, ingress.sources, ingress.ports)
    else:
        for number, egress in enumerate(policy.spec.egress or (), start=1):
            yield Rule(policy, direction, number, egress.to, egress.ports)


def matches_peer(each: PolicyPeer, own: str, peer: Peer, namespaces: Namespaces) -> Matched:
    """Whether one peer of a rule matches; `own` is the policy's namespace."""
    has_selector = each.pod_selector is not None or each.namespace_selector is not None
    if has_selector == (each.ip_block is not None):
        return Match.MAYBE, "a peer of the rule has not exactly one of an ipBlock and selectors"
    if each.ip_block is not None:
        return _matches_block(each, peer)
    if isinstance(peer, Outside):
        return Match.NO, ""
    in_namespace = _matches_namespace(each, own, peer.namespace, namespaces)
    of_pod = Match.YES
    if each.pod_selector is not None:
        of_pod = match(each.pod_selector, dict(peer.labels))
    if min(in_namespace, of_pod) is not Match.MAYBE:
        return min(in_namespace, of_pod), ""
    if of_pod is Match.MAYBE:
        return Match.MAYBE, "a selector of the rule has an unknown operator"
    return Match.MAYBE, f"the labels of namespace {peer.namespace} are not known"


def _matches_block(each: PolicyPeer, peer: Peer) -> Matched:
    assert each.ip_block is not None
    block = block_of(each.ip_block)
    if block.range is None:
        return Match.MAYBE, f"ipBlock {block.text!r} cannot be read"
    if block.text not in peer.covered_by:
        return Match.NO, ""
    if isinstance(peer, Outside):
        return Match.YES, ""
    # Addresses may be rewritten on the way, and the API does not say which ones policies see.
    return Match.MAYBE, f"the API does not define whether ipBlock {block.text} applies to pods"


def _matches_namespace(each: PolicyPeer, own: str, namespace: str, namespaces: Namespaces) -> Match:
    if each.namespace_selector is None:
        return Match.YES if namespace == own else Match.NO
    labels = namespaces.get(namespace)
    known = {**(labels or {}), NAMESPACE_NAME: namespace}
    return match(each.namespace_selector, known, complete=labels is not None)


def ports_of(each: PolicyPort, named: frozenset[NamedPort]) -> tuple[PortSet, tuple[Part, ...]]:
    """The ports that one entry of `ports` means, and those that it may mean."""
    protocol = each.protocol
    if protocol not in PROTOCOLS:
        return PortSet(), ()
    if isinstance(each.port, str):
        return _named(each, frozenset(e for e in named if e.name == each.port))
    first, last = each.port, each.end_port
    if first is None:
        if last is not None:
            return PortSet(), (Part(whole(protocol), "the rule has an endPort without a port"),)
        return whole(protocol), ()
    last = first if last is None else last
    if not 1 <= first <= last <= LAST:
        reason = f"the rule's ports {first} to {last} are not a range of ports"
        return PortSet(), (Part(whole(protocol), reason),)
    return PortSet(((protocol, first, last),)), ()


def _named(each: PolicyPort, named: frozenset[NamedPort]) -> tuple[PortSet, tuple[Part, ...]]:
    """A named port means the number that the target pod has for it. A pod without it has none."""
    found = [e for e in named if e.protocol == each.protocol and 1 <= e.number <= LAST]
    ports = PortSet.of((e.protocol, e.number, e.number) for e in found)
    if each.end_port is not None:
        reason = "the rule has an endPort beside a named port"
        return PortSet(), (Part(whole(each.protocol), reason),)
    if len({e.number for e in found}) > 1:
        return PortSet(), (Part(ports, f"several containers name a port {each.port}"),)
    if any(e.is_sidecars for e in found):
        return PortSet(), (Part(ports, f"only an init container names the port {each.port}"),)
    return ports, ()
