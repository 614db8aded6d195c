"""Which policies select a class of pods, for each direction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.network_policy import name_of
from wirecheck.api_index.policies import Policies, name_of_other
from wirecheck.policy.peers import PodClass
from wirecheck.policy.ports import ALL_PORTS
from wirecheck.policy.reach import Direction, Part
from wirecheck.policy.selection import Match, match
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject
from wirecheck.snapshot.objects.pod import PodObject

ODD = "a field of the policy could not be read"

Selecting = tuple[tuple[NetworkPolicyObject, Match], ...]
"""Policies, and whether each selects the pods or may do so."""


def types_of(policy: NetworkPolicyObject) -> frozenset[str]:
    """The directions that the policy isolates.

    The API server sets `policyTypes`: Ingress and, if there are egress rules, Egress.
    """
    spec = policy.spec
    return frozenset(spec.policy_types or (["Ingress", "Egress"] if spec.egress else ["Ingress"]))


@dataclass(frozen=True)
class Isolation:
    """The policies of the API, by the classes of pods that they select."""

    api: ApiObjects
    unread: str = ""
    """Policies of other kinds that may exist and were not looked for."""
    _selecting: dict[tuple[PodClass, Direction], Selecting] = field(
        default_factory=dict, repr=False
    )
    _beside: dict[tuple[PodClass, Direction], tuple[str, bool]] = field(
        default_factory=dict, repr=False
    )

    def selecting(self, subject: PodClass, direction: Direction) -> Selecting:
        """The policies that isolate the subject for the direction, or may do so."""
        key = (subject, direction)
        if key not in self._selecting:
            self._selecting[key] = self._found(subject, direction)
        return self._selecting[key]

    def _found(self, subject: PodClass, direction: Direction) -> Selecting:
        found = []
        for policy in self._by_namespace.get(subject.namespace, ()):
            result = self.selects(policy, subject)
            if direction in self.directions_of(policy) and result is not Match.NO:
                found.append((policy, result))
        return tuple(found)

    def directions_of(self, policy: NetworkPolicyObject) -> frozenset[Direction]:
        """The directions that the policy isolates, or may isolate if it could not be read."""
        if self.is_odd(policy):
            return frozenset(Direction)
        return frozenset(each for each in Direction if each in types_of(policy))

    def selects(self, policy: NetworkPolicyObject, subject: PodClass) -> Match:
        """Whether the policy selects the pods of the class."""
        if policy.metadata.namespace != subject.namespace:
            return Match.NO
        if self.is_odd(policy):
            return Match.MAYBE
        return match(policy.spec.pod_selector, dict(subject.labels))

    def doubts(self, selecting: Selecting) -> Iterator[Part]:
        """Doubts about policies that may not select the pods, or may have other rules."""
        is_isolated = any(result is Match.YES for _, result in selecting)
        for policy, result in selecting:
            if self.is_odd(policy):
                yield Part(ALL_PORTS, f"{name_of(policy)}: {ODD}")
            elif result is Match.MAYBE and not is_isolated:
                reason = f"the selector of {name_of(policy)} has an unknown operator"
                yield Part(ALL_PORTS, reason)

    def beside(self, subject: PodClass, direction: Direction) -> tuple[str, bool]:
        """Why policies of other kinds leave the subject undecided; empty if they do not.

        The second value: whether they can block what NetworkPolicies allow. Those that cannot may
        still allow what NetworkPolicies deny.
        """
        key = (subject, direction)
        if key not in self._beside:
            self._beside[key] = self._other(subject, direction)
        return self._beside[key]

    def _other(self, subject: PodClass, direction: Direction) -> tuple[str, bool]:
        if subject.on_host_network:
            return "", False
        if reason := self.unread or self._policies.unreadable:
            return reason, True
        found = sorted(
            (direction not in each.directions, name_of_other(each))
            for each in self._policies.others_selecting(_as_object(subject))
            if each.admin is None
        )
        if not found:
            return "", False
        cannot_block, name = found[0]
        return f"{name} selects the pod, and rules of its kind are not evaluated", not cannot_block

    def is_odd(self, policy: NetworkPolicyObject) -> bool:
        """Whether a field of the policy was left out when it was read."""
        return (policy.metadata.namespace, policy.metadata.name) in self._odd

    @cached_property
    def _odd(self) -> frozenset[tuple[str, str]]:
        found = (each for each in self.api.undecodable if each.kind == "NetworkPolicy")
        return frozenset((each.namespace, each.name) for each in found)

    @cached_property
    def _by_namespace(self) -> Mapping[str, tuple[NetworkPolicyObject, ...]]:
        return grouped((each.metadata.namespace, each) for each in self.api.network_policies)

    @cached_property
    def _policies(self) -> Policies:
        return Policies(self.api)


def _as_object(subject: PodClass) -> PodObject:
    """A pod of the class, for selectors of other kinds."""
    return PodObject(Metadata("", namespace=subject.namespace, labels=dict(subject.labels)))
