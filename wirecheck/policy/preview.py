"""What would change if policies were applied: connections that become possible, or are cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from msgspec.structs import replace

from wirecheck.addresses import IPNetwork
from wirecheck.api_index.pod import Pod
from wirecheck.policy.expected import ExpectedPolicies, namespace_labels
from wirecheck.policy.isolation import types_of
from wirecheck.policy.peers import A_NODE, Outside, Peer, PodClass, Vocabulary, outsides
from wirecheck.policy.ports import ALL_PORTS, NO_PORTS, PortSet
from wirecheck.policy.reach import Direction, Reach
from wirecheck.policy.selection import Match
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject


@dataclass(frozen=True, slots=True)
class Effect:
    """What changes between two peers."""

    possible: PortSet = NO_PORTS
    """Ports that are allowed afterwards, and were not before."""
    cut: PortSet = NO_PORTS
    """Ports that are denied afterwards, and were not before."""
    unclear: PortSet = NO_PORTS
    """Ports that are inconclusive afterwards, and were not before."""
    reasons: tuple[str, ...] = ()
    """Why, for each of the three that there is."""

    def __bool__(self) -> bool:
        return bool(self.possible or self.cut or self.unclear)


@dataclass(frozen=True)
class Preview:
    """The cluster without and with the policies of a manifest."""

    api: ApiObjects
    pods: tuple[Pod, ...]
    applied: tuple[NetworkPolicyObject, ...]
    """They replace policies of the same namespace and name."""
    unread: str = ""

    @cached_property
    def replaced(self) -> tuple[NetworkPolicyObject, ...]:
        """The policies of the cluster that are replaced."""
        keys = {_key(each) for each in self.applied}
        return tuple(each for each in self.api.network_policies if _key(each) in keys)

    def action(self, policy: NetworkPolicyObject) -> str:
        """What applying the policy would do: `created`, `replaced` or `unchanged`."""
        found = next((each for each in self.replaced if _key(each) == _key(policy)), None)
        if found is None:
            return "created"
        is_known = self.api.policy_rules_read and types_of(found) == types_of(policy)
        specs = (replace(each.spec, policy_types=[]) for each in (found, policy))
        return "unchanged" if is_known and len(set(map(repr, specs))) == 1 else "replaced"

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        policies = (*self.api.network_policies, *self.applied)
        return Vocabulary(policies, tuple(self.api.other_policies))

    def class_of(self, pod: Pod) -> PodClass:
        """The class of the pod, in the vocabulary of both."""
        return self._vocabulary.class_of(pod)

    @cached_property
    def classes(self) -> Mapping[PodClass, Sequence[Pod]]:
        """The pods by class, in the vocabulary of both."""
        return self._vocabulary.classes(self.pods)

    @cached_property
    def before(self) -> ExpectedPolicies:
        """The cluster as it is."""
        return ExpectedPolicies(self.api, self._vocabulary, namespace_labels(self.api), self.unread)

    @cached_property
    def after(self) -> ExpectedPolicies:
        """The cluster as it would be. The rules of the manifest are known in any case."""
        keys = {_key(each) for each in self.applied}
        kept = [each for each in self.api.network_policies if _key(each) not in keys]
        odd = [e for e in self.api.undecodable if (e.namespace, e.name) not in keys]
        policies = [*kept, *self.applied]
        api = replace(self.api, network_policies=policies, undecodable=odd)
        known = frozenset(keys)
        return ExpectedPolicies(
            api, self._vocabulary, namespace_labels(self.api), self.unread, known
        )

    @cached_property
    def outsides(self) -> Mapping[Outside, list[IPNetwork]]:
        """The addresses of no pod that the policies of the same namespaces tell apart."""
        spaces = {each.metadata.namespace for each in self.applied}
        own = (e for e in self._vocabulary.policies if e.metadata.namespace in spaces)
        return outsides(own, self._vocabulary.others)

    def selected(self, policy: NetworkPolicyObject) -> Sequence[PodClass]:
        """The classes of pods that a policy of the manifest selects."""
        return self._selected(self.after, policy)

    def _selected(
        self, expected: ExpectedPolicies, policy: NetworkPolicyObject
    ) -> Sequence[PodClass]:
        selects = expected.isolation.selects
        return [each for each in self.classes if selects(policy, each) is not Match.NO]

    @cached_property
    def effects(self) -> tuple[tuple[Peer, Peer, Effect], ...]:
        """What changes between any two peers: source, target, effect."""
        found = ((a, b, effect_of(before, after)) for a, b, before, after in self._reaches)
        return tuple(each for each in found if each[2])

    @property
    def is_decided(self) -> bool:
        """Whether the outcome is known for any connection of the selected pods."""
        return any(after.doubtful_ports != ALL_PORTS for *_, after in self._reaches)

    @property
    def remaining_doubts(self) -> tuple[str, ...]:
        """Why connections are inconclusive both before and afterwards."""
        reasons = (
            part.reason
            for *_, before, after in self._reaches
            for part in after.doubts
            if part.ports & after.doubtful_ports & before.doubtful_ports
        )
        return tuple(dict.fromkeys(reasons))

    @cached_property
    def _reaches(self) -> tuple[tuple[Peer, Peer, Reach, Reach], ...]:
        """Each pair of peers that a policy is about, as it is and as it would be."""
        pairs = dict.fromkeys(
            (each, other) if direction is Direction.EGRESS else (other, each)
            for each, direction in self._concerned
            for other in self._peers
            if not self._is_one_pod(each, other)
        )
        return tuple((a, b, self.before.reach(a, b), self.after.reach(a, b)) for a, b in pairs)

    @cached_property
    def _concerned(self) -> dict[tuple[PodClass, Direction], None]:
        """The classes that a policy selects before or afterwards, by direction."""
        found: dict[tuple[PodClass, Direction], None] = {}
        for expected, policies in ((self.before, self.replaced), (self.after, self.applied)):
            for policy in policies:
                directions = sorted(expected.isolation.directions_of(policy))
                for each in self._selected(expected, policy):
                    if not each.on_host_network:
                        found |= {(each, direction): None for direction in directions}
        return found

    @cached_property
    def _peers(self) -> Sequence[Peer]:
        pods = (each for each in self.classes if not each.on_host_network)
        return [*pods, A_NODE, *self.outsides]

    def _is_one_pod(self, one: PodClass, other: Peer) -> bool:
        """Whether the two are the same pod, which can always reach itself."""
        return one == other and len(self.classes[one]) == 1


def effect_of(before: Reach, after: Reach) -> Effect:
    """What changes between two peers whose ports can be reached as given."""
    possible = after.allowed_ports - before.allowed_ports
    cut = after.denied_ports - before.denied_ports
    unclear = after.doubtful_ports - before.doubtful_ports
    reasons = [each.reason for each in after.allowed if each.ports & possible]
    reasons += list(after.reasons_of_denial) if cut else []
    reasons += [each.reason for each in after.doubts if each.ports & unclear]
    return Effect(possible, cut, unclear, tuple(dict.fromkeys(reasons)))


def _key(policy: NetworkPolicyObject) -> tuple[str, str]:
    return policy.metadata.namespace, policy.metadata.name
