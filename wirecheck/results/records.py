"""The results of a run, from which every report is rendered.

`results.jsonl` has one JSON object a line: a `RunStarted`; an `ItemResult` for each check and node,
or for each check about the cluster; with a baseline a `Comparison`; and a `RunEnded`. `type` says
which of them a line is. Some field names are older than the words that reports use: `looks` are
rounds, `undecided` and `unjudged` objects are inconclusive.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from wirecheck.catalogue.findings import Level, Outcome, Ref

FORMAT = 1

FURTHER = "further objects"
"""The part of the object of an item's last finding if further findings are not listed."""

Standing = Literal["", "new", "known", "waived"]
"""Of a finding: `new` or `known` compared with the baseline, `waived` by the inventory, or none."""


class ResultPart(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A part of the results, as in the file."""


class Object(ResultPart, frozen=True):
    """The object that a finding is about (see `findings.Ref`)."""

    kind: str
    name: str
    namespace: str = ""
    part: str = ""
    uid: str = ""
    workload: str = ""

    def __str__(self) -> str:
        """The same text as that of `findings.Ref`: `Pod shop/web-0 eth0`."""
        return str(Ref(self.kind, self.name, self.namespace, self.part))


class FlakyRounds(ResultPart, frozen=True):
    """In which rounds a finding was there, if others of the same run lack it."""

    rounds: list[int]
    """The numbers of the rounds that have it, from 1; 0 is the one before helper pods were created,
    and then the only one."""
    of: list[int]
    """The numbers of all rounds in which it was looked for."""
    first: str
    """When the first round that has it began: RFC 3339, UTC."""
    last: str
    """When the last round that has it ended."""

    def __str__(self) -> str:
        """`in rounds 1 and 2 of 3, from 2026-11-29T10:00:00Z to 2026-11-29T10:00:20Z`.

        Or `only before helper pods were created, from …`.
        """
        if self.rounds == [0]:
            return f"only before helper pods were created, from {self.first} to {self.last}"
        *others, last = map(str, self.rounds)
        numbers = f"rounds {', '.join(others)} and {last}" if others else f"round {last}"
        return f"in {numbers} of {len(self.of)}, from {self.first} to {self.last}"


class SinceRecord(ResultPart, frozen=True):
    """Since when a finding exists, and which fact or run shows it."""

    time: str
    """RFC 3339, UTC."""
    by: str
    """`kube-proxy's last sync`, `the first run that had it`."""


class TracedPath(ResultPart, frozen=True):
    """Where the packets of a failed probe end, followed through what the nodes reported."""

    result: Literal["dies", "reaches", "cannot be decided"]
    node: str = ""
    netns: str = ""
    """`the node`, or `pod NAMESPACE/NAME`."""
    stage: str = ""
    """The hop at which it dies or from which on nothing is known: `forward`, `routing`."""
    why: str = ""
    """Why it dies or cannot be decided; of one that arrives, between which devices it is lost."""
    advice: str = ""
    """What to try where it is lost."""
    lines: list[str] = []
    """The rules, routes or entries that decide there, as their tools print them."""
    further: list[str] = []
    """What would stop the packet behind it as well: `w1, forward: filter: -A FORWARD -j DROP`."""
    command: str = ""
    """The arguments of the `wirecheck trace` that shows the path."""


class FindingRecord(ResultPart, frozen=True):
    """One deviation. `key` identifies it across runs."""

    object: Object
    level: Level
    expected: str
    found: str
    key: str
    evidence: list[str] = []
    looks: int = 1
    """The number of rounds in which it was identical."""
    standing: Standing = ""
    flaky: FlakyRounds | None = None
    """None if all rounds have it, or if it is proven."""
    proven: bool = False
    """Whether the snapshot proves that it is not a change in flight: one round is enough then."""
    remedy: str = ""
    """The check's remedy with the names of this finding; empty if it has no placeholders."""
    inspect: str = ""
    """The arguments of the `wirecheck inspect` that shows its object: `pod shop/web-0`."""
    since: SinceRecord | None = None
    """None if nothing shows it."""
    path: TracedPath | None = None
    """Of a failed probe; None for all other findings, and beyond the limit of a run."""


class CheckRecord(ResultPart, frozen=True):
    """A check of the catalogue, with the texts that reports show."""

    id: str
    sentence: str
    why: str
    remedy: str
    scope: str


class ItemResult(ResultPart, frozen=True, tag="item"):
    """The outcome of one check on one node, or with an empty `node` on the cluster."""

    check: str
    outcome: Outcome
    node: str = ""
    reason: str = ""
    """Why it is not applicable, or could not be checked: one sentence."""
    folded: bool = False
    """The reason is that of `nodes.reachable` for this node, so reports fold the item."""
    findings: list[FindingRecord] = []
    undecided: list[str] = []
    """Objects that are inconclusive because they changed in every round."""
    unjudged: dict[str, int] = {}
    """The number of other inconclusive objects, by reason, e.g. the name of an egress policy."""
    conclusive: int | None = None
    """The number of objects that could be decided; None if the check does not count them."""


class ClusterRecord(ResultPart, frozen=True):
    """The cluster of the run."""

    name: str = ""
    """The name in the inventory, otherwise the kubeconfig's context, otherwise the uid."""
    uid: str = ""
    version: str = ""
    proxy_modes: list[str] = []
    """The modes of kube-proxy on all nodes."""


class Override(ResultPart, frozen=True):
    """A threshold or waiver of a replay that replaces the one in the snapshot."""

    name: str
    was: str
    now: str


class RunStarted(ResultPart, frozen=True, tag="run"):
    """The first line."""

    format: int
    wirecheck: str
    time: str
    """The time of the run, or of the snapshot that it replays: RFC 3339, UTC."""
    cluster: ClusterRecord = ClusterRecord()
    source: str = ""
    """`live`, or the snapshot's folder."""
    checks: list[CheckRecord] = []
    overrides: list[Override] = []
    selected_nodes: list[str] = []
    """Globs: only these nodes were visited and evaluated; all if there is none."""
    selected_namespaces: list[str] = []
    """Globs: findings about objects of other namespaces were left out."""
    notes: list[str] = []
    """Sentences to read before the verdict, such as which nodes cannot be accessed."""
    catalogue: int = 0
    """The number of checks that could be selected; 0 in results of earlier versions."""
    inspect_options: str = ""
    """The options of `wirecheck inspect` for what the run saw: `--snapshot FOLDER`."""
    prerequisites: list[str] = []
    """Checks that were not selected, and ran because the selected ones depend on them."""


class Coverage(ResultPart, frozen=True):
    """How much was checked: `seen` of `known`."""

    nodes_seen: int = 0
    nodes_known: int = 0
    pods_seen: int = 0
    pods_known: int = 0
    services_seen: int = 0
    services_known: int = 0
    dns_queries: int = 0
    connections: int = 0
    """The number of TCP connections that were tried."""
    sampled_peers: int = 0
    """The number of other nodes that each node connected to; 0 if all of them."""
    helper_pods: int = 0
    """The number of nodes with a helper pod, between which large payloads were sent."""
    helper_pods_wanted: int = 0
    """The number of nodes that should have one."""
    unreachable: list[str] = []
    skipped_nodes: dict[str, str] = {}
    """Nodes that were skipped, with the reason."""
    undecided: int = 0
    unjudged: dict[str, int] = {}


class PastFinding(ResultPart, frozen=True):
    """A finding of the baseline that the run lacks; `why` explains it if needed."""

    check: str
    finding: FindingRecord
    node: str = ""
    why: str = ""


class Comparison(ResultPart, frozen=True, tag="baseline"):
    """The changes since the baseline. Findings of the run have a `standing`."""

    source: str
    """The file or folder that the baseline was read from."""
    time: str = ""
    """The time of the baseline."""
    new: int = 0
    known: int = 0
    fixed: list[PastFinding] = []
    unseen: list[PastFinding] = []
    """Findings of the baseline that the run could not check again."""
    doubts: list[str] = []
    """Why the baseline is doubtful although it was used: sentences."""


class WaiverRecord(ResultPart, frozen=True):
    """A waiver of the inventory, and how it was used."""

    check: str
    where: str
    reason: str
    owner: str
    until: str
    state: Literal["used", "unused", "expired", "not asked"]
    """`not asked`: none of its checks was evaluated."""
    findings: int = 0
    """The number of findings that it covers, or that it would cover if it had not expired."""


class Healing(ResultPart, frozen=True):
    """An item that failed when the wait began and was healthy after `seconds`."""

    check: str
    node: str
    seconds: float


class Wait(ResultPart, frozen=True):
    """How long the run waited for the cluster to become healthy, in seconds."""

    limit: float
    seconds: float
    rounds: int
    healed: list[Healing] = []


class RunEnded(ResultPart, frozen=True, tag="end"):
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
    """Nodes that were not checked, which `thresholds.unreachable` accepts."""
    waivers: list[WaiverRecord] = []
    wait: Wait | None = None
    measured: dict[str, float] = {}
    """Measured values over all nodes, by the names in `measures.MEASURES`."""


class Results(ResultPart, frozen=True):
    """The results of a run."""

    started: RunStarted
    items: list[ItemResult]
    ended: RunEnded
    comparison: Comparison | None = None
