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
from wirecheck.collect.plan.visit_plan import LookOptions, Plan, planner_of
from wirecheck.collect.pods.agent_pods import AgentPods
from wirecheck.collect.transport.ansible import ansible_ways, hosts_of
from wirecheck.collect.transport.containers import container_ways
from wirecheck.collect.visit import visit_all
from wirecheck.inventory.file import Inventory, Unusable, WayIn, ways_in
from wirecheck.run.shard import Share
from wirecheck.snapshot.api_objects import ApiObjects, Change
from wirecheck.snapshot.folder import SnapshotWriter
from wirecheck.snapshot.index import LookRecord, VisitRecord
from wirecheck.snapshot.objects.node import NodeObject

DELETED = VisitRecord("gone", reason="The node was deleted since the first look.")


FAILED = frozenset({"unreachable", "time limit", "wrong host", "not understood"})


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
class Ways:
    """The ways into nodes, by the nodes' names."""

    usable: Mapping[str, WayIn]
    unusable: Mapping[str, str] = field(default_factory=dict)
    """Of nodes whose way is named and cannot be used, why: a sentence with the next step."""


def ways_into(inventory: Inventory, nodes: Sequence[NodeObject]) -> Ways:
    """The ways into those of the nodes that have one: the inventory's, else as a container.

    One that cannot be used is not replaced by another. Raises InventoryError for an Ansible
    inventory that cannot be read.
    """
    listed = ways_in(inventory, nodes)
    named = {name: way for name, way in listed.items() if way is not None}
    if inventory.ansible:
        others = [node for node in nodes if node.metadata.name not in named]
        named |= ansible_ways(hosts_of(inventory.ansible), others)
    rest = [node for node in nodes if node.metadata.name not in named]
    usable = {name: way for name, way in named.items() if isinstance(way, WayIn)}
    unusable = {name: way.why for name, way in named.items() if isinstance(way, Unusable)}
    return Ways(usable | container_ways(rest), unusable)


@dataclass(slots=True)
class Looking:
    """The looks of one run."""

    api: Api
    inventory: Inventory
    options: LookOptions
    writer: SnapshotWriter
    progress: Progress
    agents: AgentPods
    share: Share | None = None
    interrupted: bool = False

    def look(
        self, objects: ApiObjects, started: float, names: Collection[str], found: Ways
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
                visits[name] = VisitRecord("skipped", reason=why)
        ways = {name: way for name, way in found.usable.items() if name not in visits}
        reached, refused = self._with_agents(ways, nodes, objects)
        visits |= refused
        visits |= self._visits(number, objects, nodes, reached)
        visits |= self._gone(visits, problems)
        changes = self._changes(objects, problems)
        known = self.writer.index
        self.writer.index = msgspec.structs.replace(
            known, queries={**known.queries, **queries(objects, self.options.external_names)}
        )
        self.writer.finish_look(
            LookRecord(
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
        ways: Mapping[str, WayIn],
    ) -> dict[str, VisitRecord]:
        visits: dict[str, VisitRecord] = {}
        ways = {name: way for name, way in ways.items() if name in nodes}
        planner = planner_of(objects, self.options)

        def plans(name: str) -> Plan:
            return planner.plan(name, self.writer.known_blocks)

        try:
            with (
                self.progress.visits(len(ways)) as told,
                closing(visit_all(ways, nodes, plans, self.options, told.visited)) as coming,
            ):
                for name, record, document in coming:
                    if document is not None:
                        self.writer.write_document(number, name, document)
                    visits[name] = record
        except KeyboardInterrupt:
            self.interrupt()
        left = {name: _left_out(ways[name].via) for name in ways if name not in visits}
        return visits | left

    def _with_agents(
        self, ways: Mapping[str, WayIn], nodes: Collection[str], objects: ApiObjects
    ) -> tuple[Mapping[str, WayIn], dict[str, VisitRecord]]:
        wanted = {name: way for name, way in ways.items() if name in nodes}
        try:
            return self.agents.settle(wanted, objects)
        except KeyboardInterrupt:
            self.interrupt()
            return {}, {name: _left_out(way.via) for name, way in wanted.items()}

    def _gone(
        self, visits: Mapping[str, VisitRecord], problems: list[str]
    ) -> dict[str, VisitRecord]:
        """Of the nodes whose visit failed, those that the API no longer shows as working."""
        failed = {n for n, v in visits.items() if v.status in FAILED}
        try:
            reasons = {} if self.interrupted else self.api.still_there(failed)
        except ApiError as error:
            problems.append(f"Whether unvisited nodes are still there is not known: {error}")
            reasons = {}
        except KeyboardInterrupt:
            self.interrupt()
            reasons = {}
        return {
            name: msgspec.structs.replace(visits[name], status="gone", reason=reason)
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
            return VisitRecord("no way", reason=f"{name} was not visited. {unusable}")
        listed = "matches no entry of the inventory" if self.inventory.nodes else "needs a way in"
        return VisitRecord(
            "no way",
            reason=f"{name} was not visited: it is no container of this machine and {listed}; "
            "add one under `nodes:` of an inventory, and give that with --inventory.",
        )


def _left_out(via: str) -> VisitRecord:
    return VisitRecord(
        "unreachable",
        via=via,
        reason="The run was interrupted before this node was visited; run it again.",
    )
