"""One node as data: links, routes, kube-proxy, the connection table, findings."""

from __future__ import annotations

from wirecheck.inspect.parts import FindingView, InterfaceView, RouteView, Source, View

FORMAT = 1


class LinkView(View, frozen=True, kw_only=True):
    """An interface of the node's own netns."""

    interface: InterfaceView
    pod: str
    """`NAMESPACE/NAME` of the pod whose wire it is; empty for all others."""


class SyncView(View, frozen=True, kw_only=True):
    """kube-proxy's own account of its last sync; times in seconds since the epoch, 0 for never."""

    family: str
    """Empty where one metric serves both."""
    queued: float
    done: float
    is_waiting: bool


class ProxyView(View, frozen=True, kw_only=True):
    """The node's kube-proxy."""

    unknown: str = ""
    """Why nothing, or not its mode, is known of it; empty where it is."""
    version: str = ""
    mode: str = ""
    configured_mode: str = ""
    """What its ConfigMap asks for; empty where that is not known."""
    health_problem: str = ""
    """Empty where /healthz says that it is healthy."""
    syncs: tuple[SyncView, ...] = ()


class TableView(View, frozen=True, kw_only=True):
    """The entries of one netns in the connection table."""

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
    """Who is to answer: where they were translated to."""


class ConntrackView(View, frozen=True, kw_only=True):
    """The connection table."""

    unknown: str = ""
    limit: int = 0
    tables: tuple[TableView, ...] = ()
    """The node's own first, then its pods' by use."""
    window: float = 0.0
    """Seconds between the two samples of the counters."""
    grown: int = 0
    """By how many entries the node's own table grew in that time."""
    losses: dict[str, int] = {}  # noqa: RUF012 - msgspec copies an empty default
    """How much the counters of losses grew in that time."""
    new: str = ""
    """How many connections began in a second; empty where nothing listened for them."""
    new_destinations: dict[str, int] = {}  # noqa: RUF012 - msgspec copies an empty default
    """Where most of them led, and how many."""
    destinations: tuple[DestinationView, ...] = ()
    note: str = ""
    """Which entries were read."""


class NodeView(View, frozen=True, kw_only=True):
    """Everything about one node."""

    format: int = FORMAT
    source: Source
    name: str
    addresses: list[str]
    pod_ranges: list[str]
    ready: bool
    not_ready: str
    """Why; empty where it is."""
    kernel: str
    os: str
    runtime: str
    kubelet: str
    via: str
    """How it was visited."""
    unseen: str
    """Why it was not; empty where it was."""
    pods: int
    """Running there, by the API."""
    links: list[LinkView]
    routes: list[RouteView]
    policy_rules: list[str]
    """Routing rules besides the three that every kernel has."""
    proxy: ProxyView
    conntrack: ConntrackView
    findings: list[FindingView]
