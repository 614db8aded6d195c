"""One node as data: links, routes, kube-proxy, the conntrack table, findings."""

from __future__ import annotations

from wirecheck.inspect.ebpf_view import NodeMapsView
from wirecheck.inspect.parts import FindingView, InterfaceView, RouteView, Source, View

FORMAT = 1


class LinkView(View, frozen=True, kw_only=True):
    """An interface in the node's own netns."""

    interface: InterfaceView
    pod: str
    """`NAMESPACE/NAME` of the pod whose host side it is; empty for other interfaces."""


class SyncView(View, frozen=True, kw_only=True):
    """The last sync by kube-proxy's metrics; times in seconds since the epoch, 0 for never."""

    family: str
    """Empty if one metric covers both families."""
    queued: float
    done: float
    is_waiting: bool


class ProxyView(View, frozen=True, kw_only=True):
    """The node's kube-proxy."""

    unknown: str = ""
    """Why nothing, or not its mode, is known; empty if it is known."""
    version: str = ""
    mode: str = ""
    configured_mode: str = ""
    """The mode in its ConfigMap; empty if unknown."""
    health_problem: str = ""
    """Empty if /healthz reports healthy."""
    syncs: tuple[SyncView, ...] = ()
    pods: str = ""
    """What forwards pods' connections to Services beside it; empty if nothing does."""


class TableView(View, frozen=True, kw_only=True):
    """The conntrack entries of one netns."""

    of: str
    """`NAMESPACE/NAME` of the pod; empty for the node's own."""
    entries: int
    use: float
    """Percent of the limit."""


class DestinationView(View, frozen=True, kw_only=True):
    """Entries with one destination, among those that the visit read."""

    protocol: str
    destination: str
    port: int
    entries: int
    unreplied: int
    backends: list[str]
    """The addresses that should answer, after DNAT."""


class ConntrackView(View, frozen=True, kw_only=True):
    """The conntrack table."""

    unknown: str = ""
    limit: int = 0
    tables: tuple[TableView, ...] = ()
    """The node's own first, then its pods' by use."""
    window: float = 0.0
    """Seconds between the two samples of the counters."""
    grown: int = 0
    """The growth of the node's own table in that time, in entries."""
    losses: dict[str, int] = {}  # noqa: RUF012 - msgspec copies an empty default
    """The growth of the drop counters in that time."""
    new: str = ""
    """The rate of new connections; empty if it was not measured."""
    new_destinations: dict[str, int] = {}  # noqa: RUF012 - msgspec copies an empty default
    """The most frequent destinations of new connections, with their number."""
    destinations: tuple[DestinationView, ...] = ()
    note: str = ""
    """Which entries were read."""


class NodeView(View, frozen=True, kw_only=True):
    """Everything known about one node."""

    format: int = FORMAT
    source: Source
    name: str
    addresses: list[str]
    pod_ranges: list[str]
    ready: bool
    not_ready: str
    """The reason; empty if it is ready."""
    kernel: str
    os: str
    runtime: str
    kubelet: str
    via: str
    """The access method of the visit."""
    unseen: str
    """Why the node was not visited; empty if it was."""
    pods: int
    """The number of running pods in the API."""
    links: list[LinkView]
    routes: list[RouteView]
    policy_rules: list[str]
    """Routing rules besides the three that every kernel has."""
    proxy: ProxyView
    ebpf: NodeMapsView | None
    """None where Cilium's maps were not read."""
    conntrack: ConntrackView
    findings: list[FindingView]
