"""The rounds of a live cluster: the API, one visit to each node, and what changed meanwhile.

Each round is in the snapshot as soon as it has ended. An interrupted round is closed with what it
has: the nodes that were not visited say so.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace

import msgspec

from wirecheck.collect.api.changes import changes_since
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.collect.plan.visit_plan import Plan, Planner, RoundOptions, planner_of
from wirecheck.collect.pods.agent_pods import AgentPods
from wirecheck.collect.visit import visit_all
from wirecheck.evaluation.selection import EVERYTHING, Selection
from wirecheck.inventory.file import AccessMethod, Inventory
from wirecheck.run.access import NodeAccess, access_to
from wirecheck.run.progress import RunProgress
from wirecheck.run.shard import Shard
from wirecheck.snapshot.api_objects import ApiObjects, Change
from wirecheck.snapshot.folder import SharedContent, Snapshot, SnapshotWriter
from wirecheck.snapshot.index import HelperPodsRecord, RoundRecord, VisitRecord, VisitStatus
from wirecheck.snapshot.objects.node import NodeObject

DELETED = VisitRecord(VisitStatus.GONE, reason="The node was deleted after the first round.")


@dataclass(frozen=True, slots=True)
class Listing:
    """The API's objects as one read found them."""

    objects: ApiObjects
    started: float
    """When the read began, seconds since the epoch."""
    access: NodeAccess
    api_time: float = 0.0
    """The same by the API server's clock; 0 if it did not show its time."""

    @property
    def node_names(self) -> list[str]:
        """Every node, sorted."""
        return sorted(node.metadata.name for node in self.objects.nodes)


@dataclass(slots=True)
class LiveRounds:
    """The rounds of one observation of a live cluster."""

    api: Api
    inventory: Inventory
    options: RoundOptions
    writer: SnapshotWriter
    progress: RunProgress
    agents: AgentPods
    listing: Listing
    """The input of the first round."""
    shard: Shard | None = None
    selection: Selection = EVERYTHING
    interrupted: bool = False
    _shared: SharedContent = field(default_factory=SharedContent)

    @property
    def snapshot(self) -> Snapshot:
        """What the rounds have seen so far."""
        return Snapshot.open(self.writer.path, self._shared)

    @property
    def finished(self) -> int:
        """How many rounds are in the snapshot."""
        return len(self.writer.index.looks)

    def first(self, nodes: Collection[str] | None = None) -> None:
        """Take the round that visits every node, or only `nodes`.

        Raises SnapshotError where the snapshot cannot be written.
        """
        names = self.listing.node_names if nodes is None else nodes
        self._take(1, self.listing, names)

    def before_helper_pods(self) -> None:
        """Read every node without sending anything, before helper pods are created.

        A new pod makes agents of the network write to the node, which can repair a fault: Calico's
        felix applies everything it knows when a pod is made.
        """
        wanted = self.options
        self.options = replace(wanted, contacts=False, queries=False)
        self._take(0, self.listing, self.listing.node_names)
        self.options = wanted

    def use_helper_pods(
        self, listing: Listing, options: RoundOptions, made: HelperPodsRecord, notes: Sequence[str]
    ) -> None:
        """Take the rounds from now on with the helper pods of the run."""
        self.listing, self.options = listing, options
        index = self.writer.index
        self.writer.index = msgspec.structs.replace(
            index, time=listing.started, helper_pods=made, notes=[*index.notes, *notes]
        )

    def another(self, nodes: Collection[str]) -> bool:
        """Read the API again and visit `nodes`; an API that does not answer ends the rounds."""
        started = time.time()
        try:
            objects = self.api.read()
        except ApiError as error:
            self._note(f"No further round was taken: {error}")
            return False
        names = set(nodes) - {""}
        again = [node for node in objects.nodes if node.metadata.name in names]
        access = access_to(self.inventory, again)
        listing = Listing(objects, started, access, self.api.server_time)
        self._take(self.finished + 1, listing, names)
        return True

    def interrupt(self) -> None:
        """Take no more rounds."""
        if not self.interrupted:
            self.progress.say("Interrupted: evaluating the data collected so far.")
        self.interrupted = True

    def _take(self, number: int, listing: Listing, names: Collection[str]) -> None:
        problems = list(self.api.problems)
        objects, access = listing.objects, listing.access
        self.writer.write_api(number, objects)
        nodes = {n.metadata.name: n for n in objects.nodes if n.metadata.name in names}
        visits = {name: DELETED for name in names if name not in nodes}
        without = [name for name in nodes if name not in access.usable]
        visits |= {name: self._no_access(name, access.unusable.get(name)) for name in without}
        for name, node in nodes.items():
            if why := self._why_skipped(node):
                visits[name] = VisitRecord(VisitStatus.SKIPPED, reason=why)
        methods = {name: method for name, method in access.usable.items() if name not in visits}
        reached, refused = self._with_agents(methods, nodes, objects)
        visits |= refused
        planner = planner_of(objects, self.options)
        visits |= self._visits(number, planner, nodes, reached)
        visits |= self._gone(visits, problems)
        changes = self._changes(objects, problems)
        known = self.writer.index
        self.writer.index = msgspec.structs.replace(
            known, queries={**known.queries, **planner.queries}
        )
        self.writer.finish_round(
            RoundRecord(
                listing.started,
                time.time(),
                visits=visits,
                changes=list(changes),
                problems=problems,
                api_time=listing.api_time,
                unplanned=list(planner.problems),
            ),
            before=number == 0,
        )

    def _note(self, sentence: str) -> None:
        """Print `sentence`, and keep it in the snapshot for the readers of the results."""
        self.progress.say(sentence)
        self.writer.note(sentence)

    def _visits(
        self,
        number: int,
        planner: Planner,
        nodes: Mapping[str, NodeObject],
        methods: Mapping[str, AccessMethod],
    ) -> dict[str, VisitRecord]:
        visits: dict[str, VisitRecord] = {}
        methods = {name: method for name, method in methods.items() if name in nodes}

        def plans(name: str) -> Plan:
            return planner.plan(name, self.writer.known_blocks)

        try:
            with (
                self.progress.visits(len(methods)) as progress,
                closing(visit_all(methods, nodes, plans, self.options, progress.visited)) as coming,
            ):
                for name, record, document in coming:
                    if document is not None:
                        self.writer.write_document(number, name, document)
                    visits[name] = record
        except KeyboardInterrupt:
            self.interrupt()
        left = {name: _left_out(methods[name].uri) for name in methods if name not in visits}
        return visits | left

    def _with_agents(
        self, methods: Mapping[str, AccessMethod], nodes: Collection[str], objects: ApiObjects
    ) -> tuple[Mapping[str, AccessMethod], dict[str, VisitRecord]]:
        wanted = {name: method for name, method in methods.items() if name in nodes}
        try:
            return self.agents.settle(wanted, objects)
        except KeyboardInterrupt:
            self.interrupt()
            return {}, {name: _left_out(method.uri) for name, method in wanted.items()}

    def _gone(
        self, visits: Mapping[str, VisitRecord], problems: list[str]
    ) -> dict[str, VisitRecord]:
        """Of the nodes whose visit failed, those that the API no longer shows as working."""
        failed = {n for n, v in visits.items() if v.status.failed}
        try:
            reasons = {} if self.interrupted else self.api.still_there(failed)
        except ApiError as error:
            problems.append(f"Whether the unvisited nodes still exist is unknown: {error}")
            reasons = {}
        except KeyboardInterrupt:
            self.interrupt()
            reasons = {}
        return {
            name: msgspec.structs.replace(visits[name], status=VisitStatus.GONE, reason=reason)
            for name, reason in reasons.items()
        }

    def _changes(self, objects: ApiObjects, problems: list[str]) -> Sequence[Change]:
        try:
            return changes_since(self.api, objects)
        except ApiError as error:
            problems.append(f"What changed during the round is unknown: {error}")
        except KeyboardInterrupt:
            self.interrupt()
            problems.append("What changed during the round is unknown: interrupted.")
        return ()

    def _why_skipped(self, node: NodeObject) -> str:
        name = node.metadata.name
        if self.shard and not self.shard.has(name):
            return f"{name} is not in shard {self.shard}: another run visits it."
        if not self.selection.has_node(name):
            return f"{name} is not selected by --node."
        return why_unvisitable(node)

    def _no_access(self, name: str, unusable: str | None) -> VisitRecord:
        if unusable:
            return VisitRecord(VisitStatus.NO_ACCESS, reason=f"{name} was not visited. {unusable}")
        listed = "no entry of the inventory matches it" if self.inventory.nodes else ""
        why = " and ".join(filter(None, ["it is not a container on this machine", listed]))
        return VisitRecord(
            VisitStatus.NO_ACCESS,
            reason=f"{name} was not visited: {why}. Add an entry under `nodes:` of an inventory, "
            "and name that with --inventory.",
        )


def _left_out(via: str) -> VisitRecord:
    return VisitRecord(
        VisitStatus.UNREACHABLE,
        via=via,
        reason="The run was interrupted before this node was visited; run it again.",
    )
