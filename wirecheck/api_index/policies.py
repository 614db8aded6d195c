"""Which policy may block the traffic of a pod: a NetworkPolicy, or one of another kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.allowed_dns import DnsDestination, allows
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.network_policy import (
    NAMESPACE_NAME,
    egress_policy_of,
    ingress_policy_of,
    name_of,
    policies_of,
    selects,
)
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.network_policy import LabelSelector, NetworkPolicyObject
from wirecheck.snapshot.objects.other_policy import OtherPolicyObject, PodChoice
from wirecheck.snapshot.objects.pod import PodObject

DIRECTIONS = ("Ingress", "Egress")
READ, ABSENT, UNREADABLE = "read", "absent", "unreadable"
"""In `ApiObjects.policy_kinds`. Policies of an unreadable kind exist or may exist."""


@dataclass(frozen=True)
class Policies:
    """All policies of the API."""

    api: ApiObjects

    def egress_of(self, pod: PodObject) -> str:
        """The first policy that restricts the pod's egress; empty if none is known to do so.

        A failed probe of such a pod is inconclusive; a probe that succeeds needs no policy that
        allows it.
        """
        found = egress_policy_of(pod, self._own(pod), rules_read=self.api.policy_rules_read)
        return found or self._beside(pod, "Egress")

    def dns_of(self, pod: PodObject, destinations: Sequence[DnsDestination]) -> str:
        """The first policy that may block the pod's DNS queries; empty if none is known to.

        `destinations` are all places where a query can arrive.
        """
        found = policies_of(pod, self._own(pod), "Egress")
        is_allowed = self.api.policy_rules_read and allows(
            found, destinations, blocks_apply="CiliumNetworkPolicy" not in self.api.policy_kinds
        )
        if found and not is_allowed:
            return name_of(found[0])
        return self._beside(pod, "Egress")

    def selecting(self, pod: PodObject) -> str:
        """The first NetworkPolicy that selects the pod, in any direction; empty if none does.

        Policies do not select pods on the host network.
        """
        if pod.spec.host_network:
            return ""
        own = self._own(pod)
        found = (name_of(e) for way in DIRECTIONS for e in policies_of(pod, own, way))
        return next(found, "")

    def about(self, pod: PodObject) -> str:
        """A policy that selects the pod or may restrict it; empty if none is known to."""
        return self.selecting(pod) or self.egress_of(pod) or self.ingress_of(pod)

    def _own(self, pod: PodObject) -> Sequence[NetworkPolicyObject]:
        return self._policies_by_namespace.get(pod.metadata.namespace, ())

    def _beside(self, pod: PodObject, direction: str) -> str:
        """The first policy of another kind than NetworkPolicy that may restrict the pod."""
        if pod.spec.host_network:
            return ""
        return self.other_of(pod, direction) or self.unreadable

    def ingress_of(self, pod: PodObject) -> str:
        """The first policy that restricts the pod's ingress; empty if none is known to do so."""
        found = ingress_policy_of(pod, self._own(pod), rules_read=self.api.policy_rules_read)
        return found or self._beside(pod, "Ingress")

    def other_of(self, pod: PodObject, direction: str) -> str:
        """The first policy of another kind than NetworkPolicy that selects the pod; or empty."""
        found = (e for e in self.others_selecting(pod) if direction in e.directions)
        return next(map(name_of_other, found), "")

    def others_selecting(self, pod: PodObject) -> Iterator[OtherPolicyObject]:
        """Yield the policies of other kinds that select the pod or may do so.

        One without directions only allows traffic.
        """
        for namespace in ("", pod.metadata.namespace):
            for policy in self._by_namespace.get(namespace, ()):
                if any(_chosen(each, pod) for each in policy.choices):
                    yield policy

    @cached_property
    def _policies_by_namespace(self) -> Mapping[str, tuple[NetworkPolicyObject, ...]]:
        return grouped((each.metadata.namespace, each) for each in self.api.network_policies)

    @cached_property
    def _by_namespace(self) -> dict[str, tuple[OtherPolicyObject, ...]]:
        return dict(grouped((each.metadata.namespace, each) for each in self.api.other_policies))

    @cached_property
    def unreadable(self) -> str:
        """The kinds of policies that exist or may exist, and were not read; or empty."""
        kinds = [kind for kind, state in self.api.policy_kinds.items() if state == UNREADABLE]
        return f"policies that could not be read ({', '.join(sorted(kinds))})" if kinds else ""


def _chosen(choice: PodChoice, pod: PodObject) -> bool:
    """Whether the choice selects the pod, or may select it."""
    if choice.namespaces is not None and not _may_be_in(choice.namespaces, pod.metadata.namespace):
        return False
    return selects(choice.pods, pod.metadata.labels)


def _may_be_in(namespaces: LabelSelector, name: str) -> bool:
    """Whether the namespace of this name matches, as far as its labels are known."""
    known = LabelSelector(
        {k: v for k, v in namespaces.match_labels.items() if k == NAMESPACE_NAME},
        [each for each in namespaces.match_expressions if each.key == NAMESPACE_NAME],
    )
    return selects(known, {NAMESPACE_NAME: name})


def name_of_other(policy: OtherPolicyObject) -> str:
    """`CiliumNetworkPolicy shop/deny`, `GlobalNetworkPolicy deny`."""
    meta = policy.metadata
    return f"{policy.kind} {f'{meta.namespace}/' if meta.namespace else ''}{meta.name}"
