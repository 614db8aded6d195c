"""A run on a live cluster: look at all nodes, judge, look again where something may yet settle."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import msgspec

from wirecheck import __version__
from wirecheck.api_index.cluster_dns import cluster_dns
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.registry import Check, load
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.api.resources import NODES
from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.collect.plan.visit_plan import RoundOptions
from wirecheck.collect.pods.agent_pods import AgentPods
from wirecheck.collect.pods.helper_pods import HelpersOfRun, without_helper
from wirecheck.collect.pods.run_pods import removed_at_last
from wirecheck.collect.transport.ansible import hosts_of, unmapped
from wirecheck.evaluation.evaluate import Evaluation, concerned
from wirecheck.evaluation.verdict import UNREACHABLE
from wirecheck.inventory.file import (
    AccessMethod,
    Inventory,
    missing_lines,
    refuse_unknown_thresholds,
)
from wirecheck.model.cluster import Cluster
from wirecheck.results.measures import NodeMeasures
from wirecheck.results.records import ItemResult, Override
from wirecheck.run.helpers_wanted import helpers_wanted
from wirecheck.run.request import NothingToDoError, Request
from wirecheck.run.round import Looking, Progress, node_access
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import FORMAT, ClusterIdentity, HelperPodsRecord, SnapshotIndex
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.text import plural

PODS_OUTLIVE = 600.0
"""Seconds after which pods for the run end by themselves, beyond what looking can take."""


class LiveRun:
    """A cluster whose API was read; `begin` looks at its nodes and judges what it saw."""

    source = "live"
    overrides: tuple[Override, ...] = ()

    def __init__(self, request: Request, inventory: Inventory, api: Api) -> None:
        self._inventory = inventory
        self._api = api
        self._asks_for_helpers = request.helper_pods
        self._helper_pods: HelperPodsRecord | None = None
        self._options = _options(request, inventory)
        self._pauses = request.pauses(inventory.rounds.intervals)
        self._started = time.time()
        self._objects = api.read()
        if not self._objects.nodes:
            raise NothingToDoError(
                f"The cluster of context {api.context} has no nodes, so there is nothing to look "
                "at; is it the right context?"
            )
        self._share = request.share
        self._methods = node_access(inventory, self._expected())
        self._items: dict[str, Sequence[ItemResult]] = {}
        self._snapshot: Snapshot | None = None
        self._first_round: Cluster | None = None
        self.interrupted = False
        self.measured: dict[str, NodeMeasures] = {}

    @classmethod
    def open(cls, request: Request) -> LiveRun:
        """Connect to the API and read it. Raises what `request.SENTENCES` lists."""
        inventory = request.read_inventory()
        return cls(request, inventory, connect(request, inventory))

    @property
    def node_names(self) -> tuple[str, ...]:
        """Every node that the API lists, sorted."""
        return tuple(sorted(node.metadata.name for node in self._objects.nodes))

    @property
    def snapshot(self) -> Snapshot:
        """What was seen; there is one as soon as `begin` has returned."""
        assert self._snapshot is not None, "begin() comes first"
        return self._snapshot

    @property
    def first_round(self) -> Cluster:
        """The cluster in the look that visits every node."""
        if self._first_round is None:  # Interrupted before anything was judged.
            self._first_round = Evaluation(self.snapshot, ()).first_round
        return self._first_round

    @property
    def objects(self) -> ApiObjects:
        """What the API shows, before any node is visited."""
        return self._objects

    @property
    def access_methods(self) -> Mapping[str, AccessMethod]:
        """The ways into those of the nodes that have one that can be used."""
        return self._methods.usable

    @property
    def unusable(self) -> Mapping[str, str]:
        """Of nodes whose way is named and cannot be used, why."""
        return self._methods.unusable

    @property
    def identity(self) -> ClusterIdentity:
        """Which cluster it is."""
        return self._index().cluster

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Those that differ from the defaults."""
        return self._inventory.thresholds

    def introduce(self, progress: Progress) -> None:
        """Say which cluster it is and what will be looked at, before anything is."""
        expected = {node.metadata.name for node in self._expected()}
        without = sorted(expected - self.access_methods.keys() - self.unusable.keys())
        of_share = f" (share {self._share})" if self._share else ""
        progress.say(
            f"Context {self._api.context} (Kubernetes {self._objects.server_version}): "
            f"{plural(len(self.node_names), 'node')}, "
            f"{len(self.access_methods)} to be visited{of_share}, "
            f"at most {self._options.dns_rate:g} DNS queries a second."
        )
        for note in self._no_nodes():
            progress.say(note)
        if self.unusable:
            first = next(iter(self.unusable.values()))
            progress.say(
                f"Into {plural(len(self.unusable), 'node')} no way can be used. The first: {first}"
            )
        if without:
            progress.say(
                f"For {plural(len(without), 'node')} there is no way in: what the API alone "
                "shows is judged. These lines in an inventory would add them:\n"
                f"{missing_lines(without)}"
            )

    def begin(self, checks: Sequence[Check], folder: Path, progress: Progress) -> None:
        """Look, judge with `checks`, and look again while a settling check finds something.

        A keyboard interrupt ends the looking early: what was seen until then is judged. It is
        raised again where not even the first look was closed.
        """
        known = {each.name for check in load() for each in check.thresholds}
        refuse_unknown_thresholds(self._inventory, known | {UNREACHABLE})
        # Nothing is sent for checks that are not run: those of `cron` send DNS alone.
        contacts = any(Fact.CONTACTS in each.facts for each in checks)
        self._options = replace(self._options, contacts=contacts)
        wanted = helpers_wanted(self._inventory, checks, self._share, asked=self._asks_for_helpers)
        helpers = HelpersOfRun(self._api, wanted, self._pods_last)
        with removed_at_last(helpers, progress.say):
            self._make(helpers, progress)
            writer = SnapshotWriter(folder, self._index())
            looking = self._looking(writer, progress)
            with removed_at_last(looking.agents, progress.say):
                self._look_and_judge(looking, checks, folder)
        self._snapshot = Snapshot.open(folder)
        self.interrupted = looking.interrupted

    def _look_and_judge(self, looking: Looking, checks: Sequence[Check], folder: Path) -> None:
        progress = looking.progress
        try:
            looking.look(self._objects, self._started, self.node_names, self._methods)
            self._judge(checks, folder, self.node_names)
            for pause in self._pauses:
                nodes = self._concerned(checks)
                if looking.interrupted or not nodes:
                    break
                progress.say(_why_again(nodes, pause))
                time.sleep(pause)
                if not self._look_again(looking, nodes):
                    break
                self._judge(checks, folder, nodes)
        except KeyboardInterrupt:
            if not looking.writer.index.looks:
                raise
            looking.interrupt()

    def _make(self, helpers: HelpersOfRun, progress: Progress) -> None:
        """Make the helper pods, and read the API anew, which then shows them."""
        self._helper_pods = helpers.make(self._objects, progress.say)
        if self._helper_pods is None:
            return
        for note in without_helper(self._helper_pods):
            progress.say(note)
        known = {each.metadata.name: each for each in self._objects.nodes}
        self._started = time.time()
        objects = self._api.read()
        # Items are listed by node before anything is made: one that is gone stays listed.
        gone = known.keys() - {each.metadata.name for each in objects.nodes}
        nodes = [*objects.nodes, *(known[name] for name in sorted(gone))]
        self._objects = msgspec.structs.replace(objects, nodes=nodes)
        self._methods = node_access(self._inventory, self._expected())
        self._options = replace(self._options, contacts=True, helpers=self._helper_pods.run)

    @property
    def _pods_last(self) -> int:
        """Seconds after which pods for the run end by themselves."""
        looks = 1 + len(self._pauses)
        return int(looks * self._options.total_limit + sum(self._pauses) + PODS_OUTLIVE)

    def _looking(self, writer: SnapshotWriter, progress: Progress) -> Looking:
        agents = AgentPods(self._api, self._inventory.agent, self._pods_last)
        return Looking(
            self._api, self._inventory, self._options, writer, progress, agents, self._share
        )

    def look_only(
        self,
        nodes: Collection[str],
        folder: Path,
        progress: Progress,
        pauses: Sequence[float] = (),
    ) -> Snapshot:
        """Look at `nodes` alone, and again after each of `pauses`; nothing is judged."""
        writer = SnapshotWriter(folder, self._index())
        looking = self._looking(writer, progress)
        with removed_at_last(looking.agents, progress.say):
            self._look_several_times(looking, nodes, pauses)
        self.interrupted = looking.interrupted
        return Snapshot.open(folder)

    def _no_nodes(self) -> list[str]:
        """Of an Ansible inventory the hosts that are no node of this cluster."""
        if not self._inventory.ansible:
            return []
        others = unmapped(hosts_of(self._inventory.ansible), self._objects.nodes)
        which = f"{', '.join(others[:5])}{', …' * bool(others[5:])}"
        plural_verb = "is no node" if len(others) == 1 else "are no nodes"
        return [
            f"{plural(len(others), 'host')} of the Ansible inventory {plural_verb} of this "
            f"cluster: {which}."
        ] * bool(others)

    def _expected(self) -> list[NodeObject]:
        """The nodes that are to be visited, as far as there is a way in."""
        return [
            node
            for node in self._objects.nodes
            if not why_unvisitable(node)
            and (self._share is None or self._share.has(node.metadata.name))
        ]

    def _look_several_times(
        self, looking: Looking, nodes: Collection[str], pauses: Sequence[float]
    ) -> None:
        try:
            looking.look(self._objects, self._started, nodes, self._methods)
            for pause in pauses:
                if looking.interrupted:
                    break
                looking.progress.say(f"Looking again in {pause:g} s.")
                time.sleep(pause)
                if not self._look_again(looking, nodes):
                    break
        except KeyboardInterrupt:
            if not looking.writer.index.looks:
                raise
            looking.interrupt()

    def node(self, name: str) -> Sequence[ItemResult]:
        """How each check about nodes ended on this one."""
        return self._items.get(name, ())

    def cluster(self) -> Sequence[ItemResult]:
        """How each check about the cluster ended."""
        return self._items.get("", ())

    def _look_again(self, looking: Looking, nodes: Collection[str]) -> bool:
        started = time.time()
        try:
            objects = self._api.read()
        except ApiError as error:
            looking.note(f"It was not looked at again: {error}")
            return False
        names = set(nodes) - {""}
        again = [node for node in objects.nodes if node.metadata.name in names]
        looking.look(objects, started, names, node_access(self._inventory, again))
        return True

    def _judge(self, checks: Sequence[Check], folder: Path, nodes: Collection[str]) -> None:
        evaluation = Evaluation(Snapshot.open(folder), checks)
        self._first_round = evaluation.first_round
        for name in evaluation.node_names:
            if name in nodes:
                self._items[name] = tuple(evaluation.node(name))
        self._items[""] = tuple(evaluation.cluster())
        self.measured |= evaluation.measured

    def _concerned(self, checks: Sequence[Check]) -> frozenset[str]:
        return concerned((item for items in self._items.values() for item in items), checks)

    def _index(self) -> SnapshotIndex:
        objects = self._objects
        given = self._inventory.thresholds
        return SnapshotIndex(
            format=FORMAT,
            wirecheck=__version__,
            time=self._started,
            cluster=ClusterIdentity(self._api.context, objects.cluster_uid, objects.server_version),
            # Defaults too: a later version may have others, and a replay keeps the verdict.
            thresholds=given
            | {
                each.name: given.get(each.name, each.default)
                for check in load()
                for each in check.thresholds
            },
            waivers=list(self._inventory.waivers),
            dns_domain=cluster_dns(objects).domain,
            notes=[
                *_notes(self._expected(), self.access_methods),
                *self._no_nodes(),
                *without_helper(self._helper_pods),
            ],
            helper_pods=self._helper_pods,
        )


def listed_nodes(request: Request) -> tuple[str, ...]:
    """The names of the nodes, and nothing else of the cluster. Raises as `LiveRun.open`."""
    nodes, _ = connect(request, request.read_inventory()).objects(NODES)
    return tuple(sorted(node.metadata.name for node in nodes))


def connect(request: Request, inventory: Inventory) -> Api:
    """The API that was asked for: a context of the inventory's goes with its kubeconfig."""
    if request.kubeconfig is not None:
        return Api.connect(request.kubeconfig, request.context)
    return Api.connect(inventory.kubeconfig, request.context or inventory.context)


def _options(request: Request, inventory: Inventory) -> RoundOptions:
    shares = request.share.of if request.share else 1
    return RoundOptions(
        # All shares ask at the same time, and the bound is the cluster's.
        dns_rate=(request.dns_rate or inventory.dns.rate) / shares,
        dns_tries=inventory.dns.tries,
        dns_timeout=inventory.dns.timeout,
        external_names=inventory.dns.external_names,
        visit_limit=inventory.limits.node,
        total_limit=inventory.limits.total,
        workers=inventory.limits.workers,
    )


def _notes(nodes: Sequence[NodeObject], methods: Mapping[str, AccessMethod]) -> list[str]:
    without = sum(node.metadata.name not in methods for node in nodes)
    if not without:
        return []
    return [
        f"There was no way into {without:,} of {plural(len(nodes), 'node')}: only what "
        "the API shows of them was judged."
    ]


def _why_again(nodes: Collection[str], pause: float) -> str:
    names = set(nodes) - {""}
    what = plural(len(names), "node") if names else "the API"
    return f"Something may yet settle: looking again at {what} in {pause:g} s."
