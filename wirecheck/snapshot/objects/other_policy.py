"""A policy of another kind than NetworkPolicy, reduced to the pods that it selects.

Cilium, Calico, Antrea and Kubernetes' admin policies write their selectors differently. Reading
brings them into one form. Only the rules of admin policies are kept.
"""

from __future__ import annotations

from wirecheck.snapshot.objects.admin_rules import AdminSpec
from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata
from wirecheck.snapshot.objects.network_policy import LabelSelector


class PodChoice(ApiStruct, frozen=True):
    """Pods that a policy selects: those that match all parts."""

    pods: LabelSelector = LabelSelector()
    namespaces: LabelSelector | None = None
    """None for the policy's own namespace, or for all of them if it has none."""
    is_partial: bool = False
    """Whether a part of the selector was not recognised, so that fewer pods may be selected."""


class OtherPolicyObject(ApiStruct, frozen=True):
    metadata: Metadata
    kind: str = ""
    choices: list[PodChoice] = []
    directions: list[str] = []
    """Ingress, Egress: the traffic that it can block."""
    admin: AdminSpec | None = None
    """The rules of an admin policy; None for other kinds, if a part of it was not recognised, and
    in recordings of older versions."""
