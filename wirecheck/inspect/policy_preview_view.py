"""What a manifest of NetworkPolicies would change, as data."""

from __future__ import annotations

from wirecheck.inspect.parts import Source, View
from wirecheck.inspect.policy_parts import PeersView

FORMAT = 1


class PreviewedPolicyView(View, frozen=True, kw_only=True):
    """A policy of the manifest."""

    namespace: str
    name: str
    types: list[str]
    action: str
    """`created`, `replaced`, or `unchanged` if the cluster has the same policy."""
    selected: list[PeersView]
    """The running pods that it selects."""


class EffectView(View, frozen=True, kw_only=True):
    """What changes for connections between some peers."""

    sources: list[PeersView]
    targets: list[PeersView]
    possible: str
    """The ports that become possible: `TCP 80, 443; all UDP ports`, or `none`."""
    cut: str
    inconclusive: str
    reasons: list[str]
    services: dict[str, list[str]]
    """The ports of Services that forward to such ports: of those that become `possible`, are `cut`
    or become `inconclusive`. `shop/web TCP 80`."""


class PreviewView(View, frozen=True, kw_only=True):
    """What a manifest of NetworkPolicies would change."""

    format: int = FORMAT
    source: Source
    policies: list[PreviewedPolicyView]
    ignored: dict[str, int]
    """The number of objects of each other kind in the manifest."""
    changes: list[EffectView]
    dns: list[PeersView]
    """The pods whose DNS queries to a replica of the cluster's DNS are cut."""
    decided: bool
    """Whether the outcome is known for any connection of the selected pods."""
    remaining: list[str]
    """Why connections are inconclusive both before and afterwards."""
    undefined: list[str]
    """What the API does not define, or the snapshot does not show."""
