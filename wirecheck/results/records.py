"""The record of a run: what every report is rendered from, one JSON object a line.

`results.jsonl` holds a `RunStarted`, an `ItemResult` for each check and node (or for each
check alone, where it is about the cluster), with a baseline a `Comparison`, and a `RunEnded`,
told apart by `type`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from wirecheck.catalogue.findings import Level, Outcome, Ref

FORMAT = 1

FURTHER = "further objects"
"""The part that the last finding of an item is about where there are more than are listed."""

Standing = Literal["", "new", "known", "waived"]
"""Of a finding: `new` or `known` against the baseline; `waived` by the inventory; else nothing."""


class Record(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of the results."""


class Object(Record, frozen=True):
    """The object that a finding is about (see `findings.Ref`)."""

    kind: str
    name: str
    namespace: str = ""
    part: str = ""
    uid: str = ""
    workload: str = ""

    def __str__(self) -> str:
        """As `findings.Ref` says it: `Pod shop/web-0 eth0`."""
        return str(Ref(self.kind, self.name, self.namespace, self.part))


class FindingRecord(Record, frozen=True):
    """One deviation. `key` is what identifies it across runs."""

    object: Object
    level: Level
    expected: str
    found: str
    key: str
    evidence: list[str] = []
    looks: int = 1
    """In how many looks it was there, identically."""
    standing: Standing = ""
    remedy: str = ""
    """The check's remedy with the names of this finding; empty where it has none to fill in."""


class CheckRecord(Record, frozen=True):
    """A check of the catalogue, as the reports explain it."""

    id: str
    sentence: str
    why: str
    remedy: str
    scope: str


class ItemResult(Record, frozen=True, tag="item"):
    """How one check ended on one node, or (with an empty `node`) on the cluster."""

    check: str
    outcome: Outcome
    node: str = ""
    reason: str = ""
    """Why it was skipped, or why it could not be judged: one sentence."""
    folded: bool = False
    """The reason is the same as `nodes.reachable` gives for this node: reports fold it away."""
    findings: list[FindingRecord] = []
    undecided: list[str] = []
    """Objects that changed while they were looked at, in every look."""
    unjudged: dict[str, int] = {}
    """Objects that were not judged, by reason, e.g. the name of an egress policy."""


class ClusterRecord(Record, frozen=True):
    """Which cluster it was."""

    name: str = ""
    """The kubeconfig's context."""
    uid: str = ""
    version: str = ""
    proxy_modes: list[str] = []
    """The modes that kube-proxy was seen in, over all nodes."""


class Override(Record, frozen=True):
    """A threshold or waiver that a replay took from elsewhere than from the snapshot."""

    name: str
    was: str
    now: str


class RunStarted(Record, frozen=True, tag="run"):
    """The first line."""

    format: int
    wirecheck: str
    time: str
    """When it was looked at (a replay keeps the snapshot's time), RFC 3339, UTC."""
    cluster: ClusterRecord = ClusterRecord()
    source: str = ""
    """`live`, or the snapshot's folder."""
    checks: list[CheckRecord] = []
    overrides: list[Override] = []
    notes: list[str] = []
    """What the reader has to know before the verdict, as sentences (nodes without a way in)."""


class Coverage(Record, frozen=True):
    """How much was looked at: `seen` of `known`."""

    nodes_seen: int = 0
    nodes_known: int = 0
    pods_seen: int = 0
    pods_known: int = 0
    services_seen: int = 0
    services_known: int = 0
    dns_queries: int = 0
    connections: int = 0
    """TCP connections that were tried."""
    sampled_peers: int = 0
    """How many of the others each node connected to, where that was not all of them."""
    helper_pods: int = 0
    """Nodes with a helper pod, between which large messages were sent."""
    helper_pods_wanted: int = 0
    """Nodes that were to have one."""
    unreachable: list[str] = []
    skipped_nodes: dict[str, str] = {}
    """Nodes that were left out, with the reason."""
    undecided: int = 0
    unjudged: dict[str, int] = {}


class PastFinding(Record, frozen=True):
    """A finding of the baseline that is not there now; `why` says more where there is more."""

    check: str
    finding: FindingRecord
    node: str = ""
    why: str = ""


class Comparison(Record, frozen=True, tag="baseline"):
    """What became of the baseline's findings; those that are there now say so themselves."""

    source: str
    """The file or folder that the baseline was read from."""
    time: str = ""
    """When the baseline was looked at."""
    new: int = 0
    known: int = 0
    fixed: list[PastFinding] = []
    unseen: list[PastFinding] = []
    """Where the baseline had found something and nothing was learned now."""
    doubts: list[str] = []
    """Why it is no good baseline, though it was taken: sentences."""


class WaiverRecord(Record, frozen=True):
    """A waiver of the inventory, and what became of it."""

    check: str
    where: str
    reason: str
    owner: str
    until: str
    state: Literal["used", "unused", "expired", "not asked"]
    """`not asked`: none of the checks that it is about was judged."""
    findings: int = 0
    """How many it covers; of an expired one, how many it would have covered."""


class Healing(Record, frozen=True):
    """Something that was red when the waiting began; after `seconds` it was seen healthy."""

    check: str
    node: str
    seconds: float


class Wait(Record, frozen=True):
    """How long was waited for the cluster to become healthy, in seconds."""

    limit: float
    seconds: float
    rounds: int
    healed: list[Healing] = []


class RunEnded(Record, frozen=True, tag="end"):
    """The last line."""

    status: int
    """The exit status."""
    verdict: str
    """One sentence."""
    coverage: Coverage
    counts: dict[str, int]
    """Items by outcome."""
    seconds: float
    looks: int = 1
    interrupted: bool = False
    spared: list[str] = []
    """Nodes that were not looked at, as `thresholds.unreachable` accepts."""
    waivers: list[WaiverRecord] = []
    wait: Wait | None = None
    measured: dict[str, float] = {}
    """Values that were measured, over all nodes: `conntrack use, worst node, percent`."""


class Results(Record, frozen=True):
    """A whole run."""

    started: RunStarted
    items: list[ItemResult]
    ended: RunEnded
    comparison: Comparison | None = None
