"""How a node's table may differ from the expected one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.dataplane.table import Client, Frontend

ACCEPTED_BEFORE = "accepted by an earlier rule: clients wait for an answer until they time out"


class Kind(StrEnum):
    """How a node differs from the API."""

    FRONTEND_MISSING = "frontend missing"
    """Nothing is programmed for at least one kind of client."""
    FRONTEND_STALE = "frontend stale"
    """kube-proxy's rules handle a frontend that no Service has."""
    BACKEND_MISSING = "backend missing"
    BACKEND_STALE = "backend stale"
    """Connections go to an address that no EndpointSlice of the Service names."""
    BACKEND_WRONG = "backend wrong"
    """Connections go to an endpoint that is not ready, or excluded by a traffic policy."""
    WEIGHTS = "weights skewed"
    VERDICT = "verdict wrong"
    SHADOWED = "frontend shadowed"
    """Third-party rules take its connections before kube-proxy's (assigned by `summary.py`)."""
    AFFINITY = "affinity wrong"
    SOURCES = "allowed sources wrong"
    MASQUERADE = "masquerading wrong"
    HAIRPIN = "hairpin connections not masqueraded"
    """A pod cannot reach itself through its Service."""
    HEALTH_CHECK_PORT = "health check port not opened"
    ORDER_UNKNOWN = "order of chains unknown"
    """A third-party rule may or may not take its connections: this frontend is inconclusive."""
    CONDITIONS_UNKNOWN = "conditions not listed"
    """The same for third-party rules whose conditions the tool may not print."""
    RULE_UNKNOWN = "unrecognised rules of another program"
    """The same for third-party rules that are not recognised."""
    UNDECIDED = "inconclusive"
    """A feature handles the frontend that is not compared: it is inconclusive."""
    NOT_UNDERSTOOD = "unrecognised rules"
    """Not a fault of the node: this frontend is inconclusive."""


RULES_UNKNOWN = frozenset(
    {Kind.ORDER_UNKNOWN, Kind.CONDITIONS_UNKNOWN, Kind.RULE_UNKNOWN, Kind.NOT_UNDERSTOOD}
)
"""Those that are none for certain, because rules are not known."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One deviation of one frontend, or of one of its backends."""

    kind: Kind
    frontend: Frontend
    owner: ServicePort | None
    """None if no Service has this frontend."""
    clients: tuple[Client, ...]
    """The clients whose connections differ."""
    backend: Backend | None
    expected: str
    found: str
    evidence: tuple[str, ...]
    """The rules, as they are on the node."""
    third_party: bool = False
    """Whether a rule decides that neither kube-proxy nor the kubelet writes."""
    by_mark: bool = False
    """Whether a rule accepts the packets that another one has marked: network policy."""


@dataclass(frozen=True, slots=True)
class Differences:
    """All differences of one node by frontend; `compared` is the number of frontends."""

    items: tuple[Difference, ...]
    compared: int

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def of(self, *kinds: Kind) -> tuple[Difference, ...]:
        """Those of the given kinds."""
        return tuple(each for each in self.items if each.kind in kinds)
