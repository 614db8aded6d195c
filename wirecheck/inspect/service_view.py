"""One Service on every node, as data: the handling that the API requires, and the nodes' rules."""

from __future__ import annotations

from wirecheck.inspect.parts import FindingView, Source, View

FORMAT = 1


class PortView(View, frozen=True, kw_only=True):
    """A port of the Service in the API."""

    name: str
    port: int
    protocol: str
    target_port: str
    node_port: int
    """0 if there is none."""


class EndpointView(View, frozen=True, kw_only=True):
    """An endpoint in the EndpointSlices."""

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
    """How connections of some kinds of clients are handled."""

    clients: list[str]
    verdict: str
    """`forwarded`, `rejected`, `dropped`, `not handled` …"""
    backends: list[str]
    shares: list[float]
    """The shares of new connections, in the order of `backends`."""
    affinity: list[int]
    """The timeout of session affinity per backend in seconds; 0 for no affinity."""
    masquerade: str
    allowed: list[str] | None
    """The source ranges that are allowed; null for all."""
    text: str
    """The handling as text."""


class DifferenceView(View, frozen=True, kw_only=True):
    """A difference between the node's rules and the API."""

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
    """The rules, map elements or virtual servers on the path of connections, as on the node."""


class NodeServiceView(View, frozen=True, kw_only=True):
    """The Service on one node."""

    node: str
    mode: str
    """The mode of kube-proxy, or `eBPF` where Cilium forwards in its place."""
    unknown: str
    """Why nothing is known about this node; empty if it was compared."""
    pods: str
    """What forwards connections of pods in the place of kube-proxy, by maps that were not read;
    empty if nothing does."""
    decided: str
    """Where backends are chosen by Cilium's eBPF maps; empty where these were not read."""
    frontends: list[FrontendView]


class ServiceView(View, frozen=True, kw_only=True):
    """Everything known about one Service."""

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
    """`internal`, `external`, `affinity`, `distribution`, as far as they are set."""
    ports: list[PortView]
    endpoints: list[EndpointView]
    note: str
    """Why kube-proxy programs nothing for it; empty if it does."""
    nodes: list[NodeServiceView]
    findings: list[FindingView]
