"""One Service on every node, as data: what the API asks for and what the nodes' rules do."""

from __future__ import annotations

from wirecheck.inspect.parts import FindingView, Source, View

FORMAT = 1


class PortView(View, frozen=True, kw_only=True):
    """A port of the Service, by the API."""

    name: str
    port: int
    protocol: str
    target_port: str
    node_port: int
    """0 for none."""


class EndpointView(View, frozen=True, kw_only=True):
    """An endpoint, by the EndpointSlices."""

    addresses: list[str]
    ports: list[str]
    """`8080/TCP http`."""
    node: str
    target: str
    """`NAMESPACE/NAME` of the pod."""
    ready: bool
    serving: bool
    terminating: bool


class HandlingView(View, frozen=True, kw_only=True):
    """What happens to connections of some kinds of clients."""

    clients: list[str]
    verdict: str
    """`forwarded`, `rejected`, `dropped`, `not handled` …"""
    backends: list[str]
    shares: list[float]
    """Of new connections, in the order of `backends`."""
    affinity: list[int]
    """Seconds that a client stays with its backend; 0 for not at all."""
    masquerade: str
    allowed: list[str] | None
    """Ranges of sources that it holds for; null for all."""
    text: str
    """The same in words."""


class DifferenceView(View, frozen=True, kw_only=True):
    """In what the node differs from what the API asks for."""

    kind: str
    clients: list[str]
    expected: str
    found: str
    evidence: list[str]


class FrontendView(View, frozen=True, kw_only=True):
    """One address and port of the Service on one node."""

    frontend: str
    """`10.96.0.10:53/udp`, `node port 30080/tcp`."""
    port: str
    """The name of the Service's port."""
    expected: list[HandlingView]
    found: list[HandlingView]
    differences: list[DifferenceView]
    rules: list[str]
    """The rules, map elements or virtual servers that connections meet, as on the node."""


class NodeServiceView(View, frozen=True, kw_only=True):
    """The Service on one node."""

    node: str
    mode: str
    """kube-proxy's."""
    unknown: str
    """Why nothing can be told of this node; empty where it can."""
    frontends: list[FrontendView]


class ServiceView(View, frozen=True, kw_only=True):
    """Everything about one Service."""

    format: int = FORMAT
    source: Source
    namespace: str
    name: str
    type: str
    cluster_ips: list[str]
    external_ips: list[str]
    load_balancer_ips: list[str]
    selector: dict[str, str]
    traffic_policies: dict[str, str]
    """`internal`, `external`, `affinity`, `distribution`: where they are set."""
    ports: list[PortView]
    endpoints: list[EndpointView]
    note: str
    """Why kube-proxy programs nothing for it; empty where it does."""
    nodes: list[NodeServiceView]
    findings: list[FindingView]
