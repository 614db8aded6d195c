"""A live cluster as a source: it collects, and evaluates nothing."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from wirecheck import __version__
from wirecheck.api_index.cluster_dns import cluster_dns
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.registry import Check, load
from wirecheck.collect.api.client import Api
from wirecheck.collect.api.resources import NODES
from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.collect.plan.visit_plan import RoundOptions
from wirecheck.collect.pods.agent_pods import AgentPods
from wirecheck.collect.pods.helper_pods import HelpersOfRun, without_helper
from wirecheck.collect.pods.run_pods import removed_at_last
from wirecheck.collect.transport.ansible import hosts_of, unmapped
from wirecheck.inventory.file import Inventory, missing_lines
from wirecheck.results.records import Override
from wirecheck.run.access import NodeAccess, access_to
from wirecheck.run.helpers_wanted import helpers_wanted
from wirecheck.run.progress import RunProgress, warner
from wirecheck.run.request import NothingToDoError, Request
from wirecheck.run.round import Listing, LiveRounds
from wirecheck.run.selected_objects import refuse_unmatched, refuse_unmatched_nodes
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import SnapshotWriter
from wirecheck.snapshot.index import FORMAT, ClusterIdentity, SnapshotIndex
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.text import plural

PODS_OUTLIVE = 600.0
"""Seconds after which pods for the run exit by themselves, longer than any rounds can take."""

BEFORE = (
    "Reading the nodes before helper pods are created, because a new pod can make the network's "
    "agents repair what is wrong."
)
NO_ACCESS = "No access to "
"""Begins the note about nodes that cannot be visited."""


class LiveCluster:
    """A cluster whose API was read. The rounds visit its nodes."""

    name = "live"
    overrides: tuple[Override, ...] = ()

    def __init__(self, request: Request, inventory: Inventory, api: Api) -> None:
        self._inventory = inventory
        self._api = api
        self._asks_for_helpers = request.helper_pods
        self._options = _options(request, inventory)
        self._request = request
        self._shard = request.shard
        self.selection = request.selection
        self.pauses = request.pauses(inventory.rounds.intervals)
        self._listing = self._read()
        if not self.objects.nodes:
            raise NothingToDoError(
                f"The cluster of context {api.context} has no nodes, so there is nothing to "
                "check. Is this the right context? Choose another one with --context."
            )

        refuse_unmatched(self.selection, self.objects)

    def with_inventory(self, inventory: Inventory) -> LiveCluster:
        """The same cluster with other access methods; the API is not read again."""
        other = copy.copy(self)
        other._inventory = inventory
        other._options = _options(self._request, inventory)
        access = access_to(inventory, self._expected(self.objects))
        other._listing = replace(self._listing, access=access)
        return other

    @classmethod
    def open(cls, request: Request) -> LiveCluster:
        """Connect to the API and read it. Raises what `request.SENTENCES` lists."""
        inventory = request.read_checked_inventory()
        return cls(request, inventory, connect(request, inventory))

    @property
    def node_names(self) -> tuple[str, ...]:
        """Every selected node that the API lists, sorted."""
        return tuple(filter(self.selection.has_node, self._listing.node_names))

    @property
    def objects(self) -> ApiObjects:
        """What the API shows, before any node is visited."""
        return self._listing.objects

    @property
    def access(self) -> NodeAccess:
        """The access methods of the nodes to visit."""
        return self._listing.access

    @property
    def without_access(self) -> list[str]:
        """The nodes to visit for which no access method is configured."""
        return self.access.missing(self._expected(self.objects))

    @property
    def identity(self) -> ClusterIdentity:
        """Which cluster it is."""
        objects, name = self.objects, self._inventory.cluster_name or ""
        return ClusterIdentity(self._api.context, objects.cluster_uid, objects.server_version, name)

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Thresholds that the inventory sets."""
        return self._inventory.thresholds

    def introduce(self, progress: RunProgress) -> None:
        """Print the cluster and the nodes to visit, before the first visit."""
        of_shard = f" (shard {self._shard})" if self._shard else ""
        name = self._inventory.cluster_name
        which = f"Cluster {name}, context" if name else "Context"
        progress.say(
            f"{which} {self._api.context} (Kubernetes {self.objects.server_version}): "
            f"{plural(len(self.node_names), 'node')}, {len(self.access.usable)} to be "
            f"visited{of_shard}, at most {self._options.dns_rate:g} DNS queries per second."
        )
        for note in self._unmapped_hosts():
            progress.say(note)
        if unusable := self.access.unusable:
            first = next(iter(unusable.values()))
            progress.say(
                f"{plural(len(unusable), 'node')} cannot be reached as configured. The first: "
                f"{first}"
            )
        if without := self.without_access:
            progress.say(
                f"No access to {plural(len(without), 'node')}: only what the API shows is "
                f"evaluated. These lines in an inventory add them:\n{missing_lines(without)}"
            )

    @contextmanager
    def rounds(
        self, folder: Path, progress: RunProgress, checks: Sequence[Check] | None = None
    ) -> Iterator[LiveRounds]:
        """Create the pods that the rounds need, and remove them when the context exits."""
        options, wanted = self._options, None
        if checks is not None:
            # Nothing is sent for checks that are not run: those of `cron` send only DNS queries.
            contacts = any(Fact.CONTACTS in each.facts for each in checks)
            options = replace(options, contacts=contacts)
            asked = self._asks_for_helpers
            wanted = helpers_wanted(self._inventory, checks, self._shard, asked=asked)
        helpers = HelpersOfRun(self._api, wanted, self._pods_last)
        warn = warner(progress)
        agents = AgentPods(self._api, self._inventory.agent, self._pods_last)
        with (
            removed_at_last(helpers, warn, self._api.clean),
            removed_at_last(agents, warn, self._api.clean),
        ):
            rounds = LiveRounds(
                api=self._api,
                inventory=self._inventory,
                options=options,
                writer=SnapshotWriter(folder, self._index()),
                progress=progress,
                agents=agents,
                listing=self._listing,
                shard=self._shard,
                selection=self.selection,
            )
            if wanted:
                self._add_helpers(rounds, helpers, progress)
            yield rounds

    def _add_helpers(
        self, rounds: LiveRounds, helpers: HelpersOfRun, progress: RunProgress
    ) -> None:
        """Read the nodes, create the helper pods, and read the API again, which then lists them."""
        progress.say(BEFORE)
        rounds.before_helper_pods()
        if rounds.interrupted:
            raise KeyboardInterrupt
        made = helpers.make(self.objects, warner(progress))
        if made is None:
            return
        notes = without_helper(made)
        for note in notes:
            progress.say(note)
        options = replace(rounds.options, contacts=True, helpers=made)
        self._listing = self._read(self.objects.nodes)
        rounds.use_helper_pods(self._listing, options, made, notes)

    def _read(self, known: Sequence[NodeObject] = ()) -> Listing:
        """Read the API. Nodes of `known` that are gone stay listed: they have items already."""
        started = time.time()
        objects = self._api.read()
        there = {node.metadata.name for node in objects.nodes}
        gone = [node for node in known if node.metadata.name not in there]
        if gone:
            objects = msgspec.structs.replace(objects, nodes=[*objects.nodes, *gone])
        access = access_to(self._inventory, self._expected(objects))
        return Listing(objects, started, access, self._api.server_time)

    @property
    def _pods_last(self) -> int:
        """Seconds after which pods for the run exit by themselves."""
        rounds = 1 + len(self.pauses)
        return int(rounds * self._options.total_limit + sum(self.pauses) + PODS_OUTLIVE)

    def _unmapped_hosts(self) -> list[str]:
        """A note about the hosts of an Ansible inventory that are not nodes of this cluster."""
        if not self._inventory.ansible:
            return []
        others = unmapped(hosts_of(self._inventory.ansible), self.objects.nodes)
        which = f"{', '.join(others[:5])}{', …' * bool(others[5:])}"
        verb = "is not a node" if len(others) == 1 else "are not nodes"
        return [
            f"{plural(len(others), 'host')} of the Ansible inventory {verb} of this cluster: "
            f"{which}."
        ] * bool(others)

    def _expected(self, objects: ApiObjects) -> list[NodeObject]:
        """The nodes that this run should visit, whether there is access to them or not."""
        return [
            node
            for node in objects.nodes
            if not why_unvisitable(node)
            and self.selection.has_node(node.metadata.name)
            and (self._shard is None or self._shard.has(node.metadata.name))
        ]

    def _index(self) -> SnapshotIndex:
        given = self._inventory.thresholds
        return SnapshotIndex(
            format=FORMAT,
            wirecheck=__version__,
            time=self._listing.started,
            cluster=self.identity,
            # Defaults too: a later version may have others, and a replay keeps the verdict.
            thresholds=given
            | {
                each.name: given.get(each.name, each.default)
                for check in load()
                for each in check.thresholds
            },
            waivers=list(self._inventory.waivers),
            upgrade_target=self._inventory.upgrade_target or "",
            dns_domain=cluster_dns(self.objects).domain,
            notes=[*self._note_without_access(), *self._unmapped_hosts()],
        )

    def _note_without_access(self) -> list[str]:
        nodes = self._expected(self.objects)
        without = sum(node.metadata.name not in self.access.usable for node in nodes)
        if not without:
            return []
        return [
            f"{NO_ACCESS}{without:,} of {plural(len(nodes), 'node')}: only what the API shows of "
            "them was evaluated."
        ]


def listed_nodes(request: Request) -> tuple[str, ...]:
    """The names of the nodes, and nothing else of the cluster. Raises as `LiveCluster.open`."""
    nodes, _ = connect(request, request.read_inventory()).objects(NODES)
    refuse_unmatched_nodes(request.selection, [node.metadata.name for node in nodes])
    return tuple(sorted(filter(request.selection.has_node, (n.metadata.name for n in nodes))))


def connect(request: Request, inventory: Inventory) -> Api:
    """Connect to the requested API server.

    The inventory's context goes with the inventory's kubeconfig.
    """
    if request.kubeconfig is not None:
        api = Api.connect(request.kubeconfig, request.context, request.cluster_options)
    else:
        context = request.context or inventory.context
        api = Api.connect(inventory.kubeconfig, context, request.cluster_options)
    api.connection.changes_nothing = request.changes_nothing
    return api


def _options(request: Request, inventory: Inventory) -> RoundOptions:
    shards = request.shard.of if request.shard else 1
    return RoundOptions(
        # All shards query at the same time, and the limit applies to the cluster.
        dns_rate=(request.dns_rate or inventory.dns.rate) / shards,
        dns_tries=inventory.dns.tries,
        dns_timeout=inventory.dns.timeout,
        external_names=inventory.dns.external_names,
        visit_limit=inventory.limits.node,
        total_limit=inventory.limits.total,
        workers=inventory.limits.workers,
    )
