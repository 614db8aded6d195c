"""One NetworkPolicy as data: the pods that it selects, its rules, and what they mean."""

from __future__ import annotations

from wirecheck.inspect.parts import Source, View
from wirecheck.inspect.policy_parts import PeersView

FORMAT = 1


class RuleView(View, frozen=True, kw_only=True):
    """A rule of the policy."""

    direction: str
    """`Ingress` or `Egress`."""
    number: int
    """From 1, for each direction."""
    peers: list[str]
    """The peers in words; empty for every peer."""
    ports: list[str]
    """The ports in words; empty for all ports."""
    matches: list[PeersView]
    """The pods that its selectors match."""
    undefined: list[str]
    """Why it may match further peers or ports."""


class ConnectionsView(View, frozen=True, kw_only=True):
    """What all policies of the cluster mean for connections between some peers."""

    sources: list[PeersView]
    targets: list[PeersView]
    allowed: str
    """The ports: `TCP 80, 443; all UDP ports`, or `none`."""
    denied: str
    inconclusive: str
    reasons: list[str]


class NetworkPolicyView(View, frozen=True, kw_only=True):
    """Everything known about one NetworkPolicy."""

    format: int = FORMAT
    source: Source
    namespace: str
    name: str
    types: list[str]
    """The directions that it isolates."""
    selector: str
    """Empty for all pods of the namespace."""
    selected: list[PeersView]
    """The running pods that it selects."""
    rules: list[RuleView]
    beside: list[str]
    """Other policies that select some of the pods, too."""
    connections: list[ConnectionsView]
    undefined: list[str]
    """What the API does not define, or the snapshot does not show."""
