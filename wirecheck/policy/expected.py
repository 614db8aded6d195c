"""Which connections the API's policies allow: both ends, all policies, every exception."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from wirecheck.api_index.network_policy import name_of
from wirecheck.api_index.pod import Pod
from wirecheck.policy.isolation import ODD, Isolation, Selecting
from wirecheck.policy.peers import Peer, PodClass, Vocabulary, is_peer
from wirecheck.policy.ports import ALL_PORTS
from wirecheck.policy.reach import (
    EVERYTHING,
    Answer,
    Decision,
    Direction,
    Part,
    Reach,
    both,
    with_doubt,
)
from wirecheck.policy.rules import HOST_NETWORK, Namespaces, Rule, rules_of
from wirecheck.policy.selection import Match
from wirecheck.policy.tiers import Connection, Selected, Tiers
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject

NO_RULES = "the snapshot has the policies without their rules; take a new one"


def namespace_labels(api: ApiObjects) -> Namespaces:
    """The labels of each namespace, by its name; none if they were not read."""
    return {each.metadata.name: each.metadata.labels for each in api.namespaces}


@dataclass(frozen=True)
class ExpectedPolicies:
    """What the policies of `api` mean for classes of pods."""

    api: ApiObjects
    vocabulary: Vocabulary
    namespaces: Namespaces = field(default_factory=dict)
    unread: str = ""
    """Policies of other kinds that may exist and were not looked for."""
    complete: frozenset[tuple[str, str]] = frozenset()
    """Namespace and name of the policies whose rules are known, although `api` has no rules."""
    _reaches: dict[tuple[object, ...], Reach] = field(default_factory=dict, repr=False)

    @cached_property
    def isolation(self) -> Isolation:
        """Which policies select a class of pods."""
        return Isolation(self.api, self.unread)

    @classmethod
    def of(
        cls, api: ApiObjects, namespaces: Namespaces | None = None, unread: str = ""
    ) -> ExpectedPolicies:
        """What the policies of `api` mean, in their own vocabulary."""
        vocabulary = Vocabulary(tuple(api.network_policies), tuple(api.other_policies))
        labels = namespace_labels(api) if namespaces is None else namespaces
        return cls(api, vocabulary, labels, unread)

    def answer(self, source: Pod, target: Pod, protocol: str, port: int) -> Answer:
        """Whether the source pod may connect to a port of the target pod."""
        for each in (source, target):
            if not is_peer(each):
                reason = f"pod {each.namespace}/{each.name} does not run or has no address"
                return Answer(Decision.INCONCLUSIVE, reason)
        if source.object == target.object:
            return Answer(Decision.ALLOWED, "a pod can always reach itself")
        classes = self.vocabulary.class_of(source), self.vocabulary.class_of(target)
        return self.reach(*classes).answer(protocol, port)

    def allows(self, source: Pod, target: Pod, protocol: str, port: int) -> bool:
        """Whether the policies allow the connection for certain."""
        return self.answer(source, target, protocol, port).decision is Decision.ALLOWED

    def reach(self, source: Peer, target: Peer) -> Reach:
        """The ports of the target that the source may connect to."""
        sent = received = EVERYTHING
        if isinstance(source, PodClass):
            sent = self.one_way(source, Direction.EGRESS, target)
        if isinstance(target, PodClass):
            received = self.one_way(target, Direction.INGRESS, source)
        return both(sent, received)

    def one_way(self, subject: PodClass, direction: Direction, other: Peer) -> Reach:
        """The ports that the policies of the subject allow, whatever those of `other` say."""
        selecting = self.isolation.selecting(subject, direction)
        beside, blocks = self.isolation.beside(subject, direction)
        tiers = self.tiers_of(subject, direction)
        if not selecting and not beside and not tiers:
            return EVERYTHING
        target = subject if direction is Direction.INGRESS else other
        named = target.named_ports if isinstance(target, PodClass) else None
        opposite = next(each for each in Direction if each is not direction)
        is_half_isolated = bool(
            tiers and not selecting and self.isolation.selecting(subject, opposite)
        )
        names = (
            is_half_isolated,
            *(each.metadata.name for each, _ in selecting),
            *((each.kind, each.metadata.name) for each, _ in tiers),
        )
        key = (subject.namespace, direction, subject.on_host_network, beside, names, other, named)
        if key not in self._reaches:
            reach = self._of_policies(selecting, subject, direction, other)
            if tiers:
                reach = self._tiers.around(
                    reach,
                    tiers,
                    Connection(direction, other, target),
                    is_half_isolated=is_half_isolated,
                )
            self._reaches[key] = with_doubt(reach, beside, of_all=blocks) if beside else reach
        return self._reaches[key]

    def tiers_of(self, subject: PodClass, direction: Direction) -> Selected:
        """The admin policies that select the pods for the direction, or may do so."""
        key = (subject, direction)
        if key not in self._selected:
            self._selected[key] = self._tiers.selecting(subject, direction)
        return self._selected[key]

    @cached_property
    def _selected(self) -> dict[tuple[PodClass, Direction], Selected]:
        return {}

    @cached_property
    def _tiers(self) -> Tiers:
        addresses = ({":" in each.ip for each in pod.status.pod_ips} for pod in self.api.pods)
        is_dual = any(len(each) > 1 for each in addresses)
        return Tiers(tuple(self.api.other_policies), self.namespaces, is_dual)

    def _of_policies(
        self, selecting: Selecting, subject: PodClass, direction: Direction, other: Peer
    ) -> Reach:
        if not selecting:
            return EVERYTHING
        names = tuple(f"{name_of(each)} ({direction.lower()})" for each, _ in selecting)
        if subject.on_host_network:
            return Reach((), (Part(ALL_PORTS, HOST_NETWORK),), names)
        target = subject if direction is Direction.INGRESS else other
        known = [each for each in selecting if self._has_rules(each[0], direction)]
        parts = [
            part
            for policy, selects in known
            for rule in rules_of(policy, direction)
            for part in self._parts(rule, selects, other, target)
        ]
        allowed = tuple(part for part, is_sure in parts if is_sure)
        doubts = [part for part, is_sure in parts if not is_sure]
        if isinstance(other, PodClass) and other.on_host_network:
            doubts.append(Part(ALL_PORTS, HOST_NETWORK))
        if len(known) < len(selecting):
            doubts.append(Part(ALL_PORTS, NO_RULES))
        doubts += self.isolation.doubts(selecting)
        return Reach(allowed, tuple(doubts), names)

    def _has_rules(self, policy: NetworkPolicyObject, direction: Direction) -> bool:
        """Whether the rules of the policy are known.

        Older programs read how many egress rules a policy has, and nothing else of any rule.
        """
        return (
            self.api.policy_rules_read
            or (direction is Direction.EGRESS and not policy.spec.egress)
            or (policy.metadata.namespace, policy.metadata.name) in self.complete
        )

    def _parts(
        self, rule: Rule, selects: Match, other: Peer, target: Peer
    ) -> Iterator[tuple[Part, bool]]:
        """The ports that a rule allows, each with whether that is sure."""
        result, reason = rule.matches(other, self.namespaces)
        if result is Match.NO:
            return
        sure, doubts = rule.port_parts(target)
        is_sure = selects is result is Match.YES
        if sure:
            yield Part(sure, rule.name if is_sure else f"{rule.name}: {reason or ODD}"), is_sure
        for each in doubts:
            yield Part(each.ports, f"{rule.name}: {each.reason}"), False
