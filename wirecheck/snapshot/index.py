"""`snapshot.json`: the content of the folder, and everything else that a verdict depends on."""

from __future__ import annotations

from enum import StrEnum

from wirecheck.snapshot.api_objects import Change
from wirecheck.snapshot.in_cluster import IN_CLUSTER
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
    """The access method without credentials: `docker://wc-w1`, `ssh://root@172.31.250.3`."""
    reason: str = ""
    """Why there is no document: a sentence with the cause and the next step."""
    seconds: float = 0.0
    bytes: int = 0
    commands: int = 0
    """The number of commands sent through the transport: 0 or 1."""
    dns_queries: int = 0
    """The number of queries sent, including repeated ones."""
    connections: int = 0
    """The number of TCP connections attempted, including repeated ones."""
    proxy_mode: str = ""
    """The mode that kube-proxy reported: iptables, ipvs or nftables; empty if it did not."""
    up: float = 0.0
    """Seconds since the node started; 0 if its document does not show it."""
    slow: dict[str, float] = {}
    """Slow commands on the node and their seconds: their output may be that old."""


class RoundRecord(SnapshotPart, frozen=True):
    """One round: the API, then the nodes, then the changes of the API in the meantime."""

    started: float
    finished: float
    visits: dict[str, VisitRecord] = {}
    """By node name; in rounds after the first only the nodes that are checked again."""
    changes: list[Change] = []
    problems: list[str] = []
    """What could not be read from the API, as sentences."""
    api_time: float = 0.0
    """When the API was read, by the API server's own clock: seconds since the epoch. 0 in
    recordings of older versions."""
    unplanned: list[str] = []
    """What could not be planned for any node, as sentences."""


class ClusterIdentity(SnapshotPart, frozen=True):
    """The identity of the cluster, without anything that gives access to it."""

    context: str = ""
    """The kubeconfig's context. Each user may have another name for it."""
    uid: str = ""
    """That of the namespace kube-system."""
    version: str = ""
    name: str = ""
    """The name in the inventory, if it has one."""

    @property
    def title(self) -> str:
        """What reports call the cluster: its name, otherwise the context, otherwise the uid."""
        context = "" if self.context == IN_CLUSTER else self.context
        return self.name or context or self.uid


class Waiver(SnapshotPart, frozen=True):
    """An accepted failure. `check` and `where` are globs; `until` is a date."""

    check: str
    where: str
    reason: str
    owner: str
    until: str


class HelperPodsRecord(SnapshotPart, frozen=True):
    """The helper pods that were created for the run."""

    run: str
    """The value of their label, see `run_labels`."""
    nodes: dict[str, str] = {}
    """Each node that should have one, with the reason if none started."""
    namespace: str = ""
    """Where they run; empty in recordings of older versions."""


class SnapshotIndex(SnapshotPart, frozen=True):
    """The index. `time`, in seconds since the epoch, is the run's start and a replay's `now`."""

    format: int
    wirecheck: str
    time: float
    cluster: ClusterIdentity = ClusterIdentity()
    thresholds: dict[str, float] = {}
    waivers: list[Waiver] = []
    upgrade_target: str = ""
    """The version of Kubernetes that an upgrade is planned to, such as `1.40`."""
    dns_domain: str = "cluster.local"
    queries: dict[str, str] = {}
    """DNS queries, `NAME TYPE`, by the id that the probes of the documents refer to."""
    notes: list[str] = []
    helper_pods: HelperPodsRecord | None = None
    """None if the run had none."""
    before: RoundRecord | None = None
    """The round before helper pods were created, which sends nothing; its number is 0."""
    looks: list[RoundRecord] = []
