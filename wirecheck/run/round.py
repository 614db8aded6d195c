"""Looks at a live cluster: the API, one visit to each node, and what changed meanwhile.

Each look is in the snapshot as soon as it is over. An interrupted look is closed with what it
has: the nodes that were not visited say so.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from wirecheck.collect.api.changes import changes_since
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.plan.dns import queries
from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.collect.plan.visit_plan import Plan, RoundOptions, planner_of
from wirecheck.collect.pods.agent_pods import AgentPods
from wirecheck.collect.transport.ansible import ansible_access, hosts_of
from wirecheck.collect.transport.containers import container_access
from wirecheck.collect.visit import visit_all
from wirecheck.inventory.file import AccessMethod, Inventory, UnusableAccess, access_methods
from wirecheck.run.shard import Share
from wirecheck.snapshot.api_objects import ApiObjects, Change
from wirecheck.snapshot.folder import SnapshotWriter
from wirecheck.snapshot.index import RoundRecord, VisitRecord, VisitStatus
from wirecheck.snapshot.objects.node import NodeObject

DELETED = VisitRecord(VisitStatus.GONE, reason="The node was deleted since the first look.")


class Visits(Protocol):
    """Who is told of the visits of one look."""

    def visited(self, node: str, visit: VisitRecord) -> None:
        """The visit to `node` has ended."""
        ...


class Progress(Protocol):
    """Who is told how a run goes, while it goes."""

    def say(self, sentence: str) -> None:
        """Something that the reader should know now."""
        ...

    def visits(self, total: int) -> AbstractContextManager[Visits]:
        """A look begins that visits `total` nodes."""
        ...


@dataclass(frozen=True, slots=True)
class NodeAccess:
    """The ways into nodes, by the nodes' names."""

    usable: Mapping[str, AccessMethod]
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Of nodes whose way is named and cannot be used, why: a sentence with the next step."""


def node_access(inventory: Inventory, nodes: Sequence[NodeObject]) -> NodeAccess:
    """The ways into those of the nodes that have one: the inventory's, else as a container.

    One that cannot be used is not replaced by another. Raises InventoryError for an Ansible
    inventory that cannot be read.
    """
    listed = access_methods(inventory, nodes)
    named = {name: access for name, access in listed.items() if access is not None}
    if inventory.ansible:
        others = [node for node in nodes if node.metadata.name not in named]
        named |= ansible_access(hosts_of(inventory.ansible), others)
    rest = [node for node in nodes if node.metadata.name not in named]
    usable = {name: access for name, access in named.items() if isinstance(access, AccessMethod)}
    unusable = {
        name: access.why for name, access in named.items() if isinstance(access, UnusableAccess)
    }
    return NodeAccess(usable | container_access(rest), unusable)


@dataclass(slots=True)
class Looking:
    """The looks of one run."""

    api: Api
    inventory: Inventory
    options: RoundOptions
    writer: SnapshotWriter
    progress: Progress
    agents: AgentPods
    share: Share | None = None
    interrupted: bool = False

    def look(
        self, objects: ApiObjects, started: float, names: Collection[str], found: NodeAccess
    ) -> None:
        """Visit the nodes `names` of a list that was read at `started`, and close the look.

        Raises SnapshotError where the snapshot cannot be written.
        """
        number = len(self.writer.index.looks) + 1
        problems = list(self.api.problems)
        self.writer.write_api(number, objects)
        nodes = {n.metadata.name: n for n in objects.nodes if n.metadata.name in names}
        visits = {name: DELETED for name in names if name not in nodes}
        without = [name for name in nodes if name not in found.usable]
        visits |= {name: self._no_way(name, found.unusable.get(name)) for name in without}
        for name, node in nodes.items():
            if why := self._why_skipped(node):
                visits[name] = VisitRecord(VisitStatus.SKIPPED, reason=why)
        methods = {name: access for name, access in found.usable.items() if name not in visits}
        reached, refused = self._with_agents(methods, nodes, objects)
        visits |= refused
        visits |= self._visits(number, objects, nodes, reached)
        visits |= self._gone(visits, problems)
        changes = self._changes(objects, problems)
        known = self.writer.index
        self.writer.index = msgspec.structs.replace(
            known, queries={**known.queries, **queries(objects, self.options.external_names)}
        )
        self.writer.finish_round(
            RoundRecord(
                started, time.time(), visits=visits, changes=list(changes), problems=problems
            )
        )

    def note(self, sentence: str) -> None:
        """Keep `sentence` in the snapshot, for whoever reads the results, and say it."""
        self.progress.say(sentence)
        self.writer.note(sentence)

    def interrupt(self) -> None:
        """From now on nothing more is looked at."""
        if not self.interrupted:
            self.progress.say("Interrupted: what was seen until now is judged.")
        self.interrupted = True

    def _visits(
        self,
        number: int,
        objects: ApiObjects,
        nodes: Mapping[str, NodeObject],
        methods: Mapping[str, AccessMethod],
    ) -> dict[str, VisitRecord]:
        visits: dict[str, VisitRecord] = {}
        methods = {name: access for name, access in methods.items() if name in nodes}
        planner = planner_of(objects, self.options)

        def plans(name: str) -> Plan:
            return planner.plan(name, self.writer.known_blocks)

        try:
            with (
                self.progress.visits(len(methods)) as told,
                closing(visit_all(methods, nodes, plans, self.options, told.visited)) as coming,
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
        wanted = {name: access for name, access in methods.items() if name in nodes}
        try:
            return self.agents.settle(wanted, objects)
        except KeyboardInterrupt:
            self.interrupt()
            return {}, {name: _left_out(access.uri) for name, access in wanted.items()}

    def _gone(
        self, visits: Mapping[str, VisitRecord], problems: list[str]
    ) -> dict[str, VisitRecord]:
        """Of the nodes whose visit failed, those that the API no longer shows as working."""
        failed = {n for n, v in visits.items() if v.status.failed}
        try:
            reasons = {} if self.interrupted else self.api.still_there(failed)
        except ApiError as error:
            problems.append(f"Whether unvisited nodes are still there is not known: {error}")
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
            problems.append(f"What changed while it was looked at is not known: {error}")
        except KeyboardInterrupt:
            self.interrupt()
            problems.append("What changed while it was looked at is not known: interrupted.")
        return ()

    def _why_skipped(self, node: NodeObject) -> str:
        name = node.metadata.name
        if self.share and not self.share.has(name):
            return f"{name} is not in share {self.share}: another run looks at it."
        return why_unvisitable(node)

    def _no_way(self, name: str, unusable: str | None) -> VisitRecord:
        if unusable:
            return VisitRecord(VisitStatus.NO_ACCESS, reason=f"{name} was not visited. {unusable}")
        listed = "matches no entry of the inventory" if self.inventory.nodes else "needs a way in"
        return VisitRecord(
            VisitStatus.NO_ACCESS,
            reason=f"{name} was not visited: it is no container of this machine and {listed}; "
            "add one under `nodes:` of an inventory, and give that with --inventory.",
        )


def _left_out(via: str) -> VisitRecord:
    return VisitRecord(
        VisitStatus.UNREACHABLE,
        via=via,
        reason="The run was interrupted before this node was visited; run it again.",
    )
