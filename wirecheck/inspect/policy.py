"""Makes the view of one NetworkPolicy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPNetwork
from wirecheck.api_index.network_policy import name_of
from wirecheck.api_index.pod import Pod
from wirecheck.inspect.policy_parts import (
    PeersView,
    peer_text,
    peers_view,
    port_text,
    selector_text,
)
from wirecheck.inspect.policy_view import ConnectionsView, NetworkPolicyView, RuleView
from wirecheck.inspect.scene import Scene
from wirecheck.policy.expected import ExpectedPolicies
from wirecheck.policy.pairs import merged
from wirecheck.policy.peers import A_NODE, Outside, Peer, PodClass, outsides
from wirecheck.policy.ports import PortSet
from wirecheck.policy.reach import Direction, Reach
from wirecheck.policy.rules import HOST_NETWORK, Rule, rules_of
from wirecheck.policy.selection import Match
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject

Meaning = tuple[PortSet, PortSet, PortSet, tuple[str, ...]]
"""Allowed, denied and inconclusive ports, and the reasons."""


def policy_view(scene: Scene, policy: NetworkPolicyObject) -> NetworkPolicyView:
    """The policy among all policies of the cluster."""
    cluster = scene.cluster
    expected = ExpectedPolicies.of(cluster.api, unread=cluster.unread_policies)
    seen = _Seen(expected, policy, tuple(cluster.pods))
    return NetworkPolicyView(
        source=scene.source,
        namespace=policy.metadata.namespace,
        name=policy.metadata.name,
        types=[str(each) for each in seen.directions],
        selector=selector_text(policy.spec.pod_selector),
        selected=[seen.view(each) for each in seen.selected],
        rules=[seen.rule(rule) for way in seen.directions for rule in rules_of(policy, way)],
        beside=sorted(seen.beside()),
        connections=list(seen.connections()),
        undefined=list(dict.fromkeys(seen.undefined())),
    )


@dataclass(frozen=True)
class _Seen:
    """The policy, the classes of pods and the other policies."""

    expected: ExpectedPolicies
    policy: NetworkPolicyObject
    pods: tuple[Pod, ...]

    @cached_property
    def classes(self) -> Mapping[PodClass, Sequence[Pod]]:
        return self.expected.vocabulary.classes(self.pods)

    @cached_property
    def outsides(self) -> Mapping[Outside, list[IPNetwork]]:
        """The addresses of no pod that policies of the same namespace tell apart."""
        own = self.policy.metadata.namespace
        policies = self.expected.api.network_policies
        same = (each for each in policies if each.metadata.namespace == own)
        return outsides(same, self.expected.api.other_policies)

    @cached_property
    def selected(self) -> Sequence[PodClass]:
        selects = self.expected.isolation.selects
        return [each for each in self.classes if selects(self.policy, each) is not Match.NO]

    @cached_property
    def directions(self) -> Sequence[Direction]:
        found = self.expected.isolation.directions_of(self.policy)
        return [each for each in Direction if each in found]

    def view(self, peer: Peer) -> PeersView:
        return peers_view(peer, self.classes, self.outsides)

    def rule(self, rule: Rule) -> RuleView:
        namespaces = self.expected.namespaces
        found = [(each, *rule.matches(each, namespaces)) for each in self.classes]
        ports = [
            part.reason
            for each in (self.selected if rule.direction is Direction.INGRESS else self.classes)
            for part in rule.port_parts(each)[1]
        ]
        unsure = [reason for _, result, reason in found if result is Match.MAYBE]
        own = rule.policy.metadata.namespace
        return RuleView(
            direction=str(rule.direction),
            number=rule.number,
            peers=[peer_text(each, own) for each in rule.peers],
            ports=[port_text(each) for each in rule.ports],
            matches=[self.view(e) for e, result, _ in found if rule.peers and result is Match.YES],
            undefined=list(dict.fromkeys([*unsure, *ports])),
        )

    def beside(self) -> set[str]:
        """The other policies that select some of the pods."""
        return {
            name_of(other)
            for each in self.selected
            for way in self.directions
            for other, _ in self.expected.isolation.selecting(each, way)
            if other is not self.policy
        }

    def connections(self) -> Iterator[ConnectionsView]:
        pods = [each for each in self.classes if not each.on_host_network]
        peers: list[Peer] = [*pods, A_NODE, *self.outsides]
        pairs = dict.fromkeys(
            (each, other) if way is Direction.EGRESS else (other, each)
            for way in self.directions
            for each in self.selected
            for other in peers
            if not each.on_host_network and not (each == other and len(self.classes[each]) == 1)
        )
        meanings = ((a, b, _meaning(self.expected.reach(a, b))) for a, b in pairs)
        for sources, targets, (allowed, denied, unclear, reasons) in merged(meanings):
            yield ConnectionsView(
                sources=[self.view(each) for each in sources],
                targets=[self.view(each) for each in targets],
                allowed=str(allowed),
                denied=str(denied),
                inconclusive=str(unclear),
                reasons=list(reasons),
            )

    def undefined(self) -> Iterator[str]:
        """What the API does not define for the selected pods, or the snapshot does not show."""
        if any(each.on_host_network for each in self.selected):
            yield HOST_NETWORK
        for each in self.selected:
            for way in self.directions:
                if reason := self.expected.isolation.beside(each, way)[0]:
                    yield reason


def _meaning(reach: Reach) -> Meaning:
    doubtful, denied = reach.doubtful_ports, reach.denied_ports
    reasons = [each.reason for each in reach.allowed]
    reasons += [each.reason for each in reach.doubts if each.ports & doubtful]
    reasons += list(reach.reasons_of_denial) if denied else []
    return reach.allowed_ports, denied, doubtful, tuple(dict.fromkeys(reasons))
