"""The rules of an AdminNetworkPolicy, BaselineAdminNetworkPolicy or ClusterNetworkPolicy.

The three kinds write the same differently. Reading brings them into this form.
"""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct
from wirecheck.snapshot.objects.network_policy import LabelSelector

ADMIN, BASELINE = "Admin", "Baseline"
"""The tiers before and after that of NetworkPolicies."""
ACCEPT, DENY, PASS = "Accept", "Deny", "Pass"


class AdminPeer(ApiStruct, frozen=True):
    """The other end of connections: of one kind."""

    namespaces: LabelSelector | None = None
    pods: LabelSelector | None = None
    """Beside `namespaces`; None for all pods of these."""
    nodes: LabelSelector | None = None
    networks: list[str] = []
    by_name: bool = False
    """Whether it has domain names, whose addresses are not known."""


class AdminPort(ApiStruct, frozen=True):
    """A range of ports, or a named port of the destination."""

    protocol: str = ""
    """TCP, UDP or SCTP; empty for a named port, which has that of its container."""
    first: int = 0
    last: int = 0
    name: str = ""


class AdminRule(ApiStruct, frozen=True):
    """The first rule that matches decides."""

    action: str
    peers: list[AdminPeer] = []
    ports: list[AdminPort] | None = None
    """None for every port of every protocol."""


class AdminSpec(ApiStruct, frozen=True):
    """The pods that it selects are the policy's `choices`."""

    tier: str
    priority: int = 0
    """Policies with lower values come first."""
    ingress: list[AdminRule] = []
    egress: list[AdminRule] = []
