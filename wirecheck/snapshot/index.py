"""`snapshot.json`: what the folder holds, and everything that a verdict depends on besides."""

from __future__ import annotations

from enum import StrEnum

from wirecheck.snapshot.api_objects import Change
from wirecheck.snapshot.part import SnapshotPart

FORMAT = 1


class VisitStatus(StrEnum):
    """How the visit to a node ended."""

    SEEN = "seen"
    """The node program returned its document."""
    UNREACHABLE = "unreachable"
    TIME_LIMIT = "time limit"
    WRONG_HOST = "wrong host"
    """A host answered that is not the node, or could not be proven to be the node."""
    UNRECOGNISED = "not understood"
    """Something answered, but not with a document of the node program."""
    NO_ACCESS = "no way"
    """The inventory has no usable access method for the node, so no visit was attempted."""
    GONE = "gone"
    """The visit failed, and the API then showed the node as deleted, terminating or NotReady."""
    SKIPPED = "skipped"
    """Nodes of this kind are never visited (virtual, Windows), or another shard visits it."""

    @property
    def reached(self) -> bool:
        """Whether the node was reached, so that the snapshot has its document."""
        return self is VisitStatus.SEEN

    @property
    def failed(self) -> bool:
        """Whether a visit was attempted, should have succeeded, and did not."""
        return not self.reached and not self.out_of_scope

    @property
    def out_of_scope(self) -> bool:
        """Whether checks do not apply to the node: it could not, or need not, be visited."""
        return not (self.attempted and self.required)

    @property
    def attempted(self) -> bool:
        """Whether the run tried to visit the node."""
        return self not in (VisitStatus.NO_ACCESS, VisitStatus.SKIPPED)

    @property
    def required(self) -> bool:
        """Whether this run had to visit the node: it exists, works, and can be visited."""
        return self not in (VisitStatus.GONE, VisitStatus.SKIPPED)


class VisitRecord(SnapshotPart, frozen=True):
    """How the visit to one node ended."""

    status: VisitStatus
    via: str = ""
    """The way in, without any credential: `docker://wc-w1`, `ssh://root@172.31.250.3`."""
    reason: str = ""
    """Why there is no document: a sentence with the cause and the next step."""
    seconds: float = 0.0
    bytes: int = 0
    commands: int = 0
    """How many commands were sent through the transport: one, or none."""
    dns_queries: int = 0
    """How many were sent, repeated ones included."""
    connections: int = 0
    """How many TCP connections were tried, repeated ones included."""
    proxy_mode: str = ""
    """kube-proxy's, where it said so: iptables, ipvs or nftables."""
    slow: dict[str, float] = {}
    """Commands of the node that took long, and their seconds: what they printed is as old."""


class RoundRecord(SnapshotPart, frozen=True):
    """One look: the API, then the nodes, then what changed meanwhile."""

    started: float
    finished: float
    visits: dict[str, VisitRecord] = {}
    """By node name; in looks after the first only the nodes concerned."""
    changes: list[Change] = []
    problems: list[str] = []
    """What could not be read of the API, as sentences."""


class ClusterIdentity(SnapshotPart, frozen=True):
    """Which cluster this is; nothing that gives access to it."""

    context: str = ""
    uid: str = ""
    version: str = ""


class Waiver(SnapshotPart, frozen=True):
    """A failure that someone accepted. Globs in `check` and `where`; `until` is a date."""

    check: str
    where: str
    reason: str
    owner: str
    until: str


class HelperPodsRecord(SnapshotPart, frozen=True):
    """The helper pods that were made for the run."""

    run: str
    """What labels them, see `run_labels`."""
    nodes: dict[str, str] = {}
    """Each node that was to have one, with the reason where none was started."""


class SnapshotIndex(SnapshotPart, frozen=True):
    """The whole index. `time` is the run's start, seconds since the epoch: a replay's `now`."""

    format: int
    wirecheck: str
    time: float
    cluster: ClusterIdentity = ClusterIdentity()
    thresholds: dict[str, float] = {}
    waivers: list[Waiver] = []
    dns_domain: str = "cluster.local"
    queries: dict[str, str] = {}
    """DNS queries by id: `NAME TYPE`, what the probes of the documents refer to."""
    notes: list[str] = []
    helper_pods: HelperPodsRecord | None = None
    """None where none were asked for."""
    looks: list[RoundRecord] = []
