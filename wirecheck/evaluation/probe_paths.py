"""Where the packets of failed probes end: each is followed through what the nodes reported. Pure.

A run traces a bounded number of them, each pair of ends once.
"""

from __future__ import annotations

from collections import Counter

from msgspec.structs import replace

from wirecheck.addresses import address
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import Ref, Unanswered
from wirecheck.evaluation.lost_between import lost_between
from wirecheck.model.path_world import path_nodes
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.paths.answer import Path, paths
from wirecheck.paths.ends import Destination, NoSuchEndError, trace_arguments
from wirecheck.paths.further import further_hops
from wirecheck.paths.journey import Hop, Result
from wirecheck.paths.place import THE_NODE
from wirecheck.paths.sentence import MISLED
from wirecheck.paths.start import from_sender
from wirecheck.results.records import FindingRecord, TracedPath
from wirecheck.text import shortened

MOST_OF_NODE = 16
MOST_OF_RUN = 200
"""Paths that are traced: with a fault that all nodes have, a few of them show it."""
MOST_FOLLOWED_ON = 60
"""Paths of a run of which every further line is named."""
MOST_LINES = 3
SHARE = " (with "
"""How a reason goes on that is about some of the connections."""
LONGEST = 500
WORST_FIRST = (Result.DIES, Result.UNDECIDED, Result.REACHES)

End = tuple[tuple[str, str, str] | None, str, int, str]


class ProbePaths:
    """The traced paths of one round, each followed once."""

    def __init__(self, cluster: ClusterSeen) -> None:
        self._cluster = cluster
        self._world = path_nodes(cluster).world
        self._found: dict[tuple[str, End], TracedPath | None] = {}
        self._of_node: Counter[str] = Counter()

    def of(self, node: str, sent: Unanswered) -> TracedPath | None:
        """The path of what a probe on the node sent; None beyond the limits."""
        source = sent.source.object_key if sent.source else None
        key = (node, (source, sent.address, sent.port, sent.protocol))
        if key not in self._found:
            if self._of_node[node] >= MOST_OF_NODE or self._of_node.total() >= MOST_OF_RUN:
                return None
            self._of_node[node] += 1
            self._found[key] = self._safely_traced(node, sent)
        return self._found[key]

    def _safely_traced(self, node: str, sent: Unanswered) -> TracedPath | None:
        """The path. What cannot be followed must not cost the finding."""
        try:
            return self._traced(node, sent)
        except Exception as error:
            why = f"it could not be followed ({type(error).__name__}: {error}); please report it"
            return TracedPath("cannot be decided", why=shortened(why, LONGEST))

    def _traced(self, node: str, sent: Unanswered) -> TracedPath | None:
        """The worst branch of the path."""
        where = address(sent.address)
        to = Destination(sent.address, where, sent.port, sent.protocol)
        try:
            pod = self._pod(sent.source) if sent.source else None
            if sent.source and pod is None:
                return None
            start = from_sender(self._world, node, pod, to)
        except NoSuchEndError:
            return None
        command = trace_arguments(sent.source, node, sent.address, sent.port, sent.protocol)
        if isinstance(start, str):
            return TracedPath("cannot be decided", node=node, why=start, command=command)
        found = paths(self._world, start)
        ordered = sorted(found, key=lambda path: (WORST_FIRST.index(path.result), -path.share))
        if ordered[0].result is Result.REACHES:
            why, advice = lost_between(ordered, sent)
            return TracedPath("reaches", why=why, advice=advice, command=command)
        record = _record(ordered[0], command)
        if record.result == "dies" and self._of_node.total() <= MOST_FOLLOWED_ON:
            hops = further_hops(self._world, start, ordered[0], one_way=False)
            further = [shortened(_further(each), LONGEST) for each in hops]
            record = replace(record, further=further)
        return record

    def _pod(self, ref: Ref) -> Pod | None:
        index = self._cluster.pod_index
        return next(
            (e for e in (*index.own, *index.helpers) if e.ref.object_key == ref.object_key), None
        )


def with_path(record: FindingRecord, path: TracedPath) -> FindingRecord:
    """The finding with where its packets end: in what was found if that is known."""
    found, shown = record.found, [_sentence(path)]
    if path.result != "cannot be decided" or path.why.startswith(MISLED):
        why = path.why.partition(SHARE)[0]
        found = found if why and why in found else f"{found}; {_sentence(path)}"
        shown = list(filter(None, [path.advice]))
    shown += [f"Behind it the packet would die on {each}" for each in path.further]
    if path.command:
        shown.append(f"`wirecheck trace {path.command}` shows the path hop by hop.")
    remedy = record.remedy
    if path.result == "dies" and remedy:
        remedy = (
            f"Start where the packet dies{_where(path)}: `wirecheck trace {path.command}`. {remedy}"
        )
    evidence = [*record.evidence, *shown]
    return replace(record, found=found, evidence=evidence, path=path, remedy=remedy)


def _sentence(path: TracedPath) -> str:
    """`the packet dies on w1, forward: dropped by this rule: filter: -A FORWARD -j DROP`."""
    if path.result == "reaches" or path.why.startswith(MISLED):
        return f"{path.why}{_where(path) if path.node else ''}"
    verb = "the packet dies" if path.result == "dies" else "where the packet ends cannot be decided"
    lines = [each for each in path.lines[-1:] if each not in path.why]
    return ": ".join([f"{verb}{_where(path)}", path.why, *lines])


def _where(path: TracedPath) -> str:
    """` on w1, forward`, or ` in pod shop/web on w1, socket`."""
    inside = "" if path.netns in ("", THE_NODE) else f" in {path.netns}"
    on = f" on {path.node}" if path.node else ""
    return f"{inside}{on}, {path.stage}" if path.stage else f"{inside}{on}"


def _further(hop: Hop) -> str:
    """`w1, forward: filter: -A FORWARD -j DROP`."""
    inside = "" if hop.netns == THE_NODE else f"{hop.netns} on "
    return ": ".join([f"{inside}{hop.node}, {hop.stage}", *(hop.lines[-1:] or (hop.text,))])


def _record(path: Path, command: str) -> TracedPath:
    hop, share = path.decisive, ""
    if path.share < 1:
        share = f"{SHARE}{path.share:.0%} of connections)"
    why = f"{shortened(path.reason, LONGEST)}{share}"
    if hop is None:
        return TracedPath("cannot be decided", why=why, command=command)
    return TracedPath(
        "dies" if path.result is Result.DIES else "cannot be decided",
        node=hop.node,
        netns=hop.netns,
        stage=hop.stage,
        why=why,
        lines=[shortened(each, LONGEST) for each in hop.lines[-MOST_LINES:]],
        command=command,
    )
