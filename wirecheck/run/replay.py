"""A run on a snapshot: the same verdicts as when it was taken, without the cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from wirecheck import __version__
from wirecheck.catalogue.former_ids import warn_of_pattern
from wirecheck.catalogue.registry import Check, load
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.evaluation.verdict import UNREACHABLE
from wirecheck.inventory.file import Inventory, refuse_unknown_thresholds
from wirecheck.model.cluster import Cluster
from wirecheck.results.measures import NodeMeasures
from wirecheck.results.records import ItemResult, Override
from wirecheck.run.request import NothingToDoError, Request
from wirecheck.run.round import Progress
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import ClusterIdentity, SnapshotIndex, Waiver
from wirecheck.text import plural


class Replay:
    """A snapshot; `begin` says what it is judged with, and items are judged when asked for."""

    interrupted = False

    def __init__(self, snapshot: Snapshot, inventory: Inventory | None = None) -> None:
        self._inventory = inventory
        self.overrides: tuple[Override, ...] = ()
        if inventory is not None:
            index = _overridden(snapshot.index, inventory)
            self.overrides = tuple(_overrides(snapshot.index, index))
            snapshot = dataclasses.replace(snapshot, index=index)
        else:
            for waiver in snapshot.index.waivers:
                where = f"{snapshot.path}: the waiver of {waiver.check}"
                warn_of_pattern(waiver.check, where)
        self.snapshot = snapshot
        self.source = str(snapshot.path)
        self.node_names = tuple(sorted(node.metadata.name for node in snapshot.api(1).nodes))
        if not self.node_names:
            raise NothingToDoError(
                f"The snapshot {snapshot.path} has no nodes, so there is nothing to judge; look "
                "at the cluster again."
            )
        self._evaluation: Evaluation | None = None

    @classmethod
    def open(cls, request: Request) -> Replay:
        """Open the snapshot that was named. Raises what `request.SENTENCES` lists."""
        assert request.snapshot is not None
        inventory = request.read_inventory() if request.inventory else None
        return cls(Snapshot.open(request.snapshot), inventory)

    @property
    def identity(self) -> ClusterIdentity:
        """Which cluster it is."""
        return self.snapshot.index.cluster

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Those that differ from the defaults."""
        return self.snapshot.index.thresholds

    @property
    def first_round(self) -> Cluster:
        """The cluster in the look that visits every node."""
        assert self._evaluation is not None, "begin() comes first"
        return self._evaluation.first_round

    @property
    def measured(self) -> Mapping[str, NodeMeasures]:
        """What was measured on each node that was judged."""
        return self._evaluation.measured if self._evaluation else {}

    def introduce(self, progress: Progress) -> None:
        """Say which snapshot it is, and what else than its own is applied to it."""
        index = self.snapshot.index
        progress.say(
            f"Snapshot {self.source} of context {index.cluster.context or 'unknown'}: "
            f"{plural(len(self.node_names), 'node')}, {plural(len(index.looks), 'look')}, "
            f"taken by wirecheck {index.wirecheck}."
        )
        if index.wirecheck != __version__:
            progress.say(f"It is judged by wirecheck {__version__}.")
        for each in self.overrides:
            progress.say(f"Not as in the snapshot: {each.name} is {each.now}, was {each.was}.")

    def begin(self, checks: Sequence[Check], _folder: Path, _progress: Progress) -> None:
        """Evaluate `checks` from now on."""
        if self._inventory is not None:
            known = {each.name for check in load() for each in check.thresholds}
            refuse_unknown_thresholds(self._inventory, known | {UNREACHABLE})
        self._evaluation = Evaluation(self.snapshot, checks)

    def node(self, name: str) -> Iterator[ItemResult]:
        """How each check about nodes ends on this one."""
        assert self._evaluation is not None, "begin() comes first"
        return self._evaluation.node(name)

    def cluster(self) -> Iterator[ItemResult]:
        """How each check about the cluster ends."""
        assert self._evaluation is not None, "begin() comes first"
        return self._evaluation.cluster()


def _overridden(index: SnapshotIndex, inventory: Inventory) -> SnapshotIndex:
    """Thresholds that the inventory names replace the snapshot's; its waivers replace all."""
    return msgspec.structs.replace(
        index,
        thresholds={**index.thresholds, **inventory.thresholds},
        waivers=list(inventory.waivers),
    )


def _overrides(was: SnapshotIndex, now: SnapshotIndex) -> Iterator[Override]:
    for name, value in now.thresholds.items():
        if was.thresholds.get(name) != value:
            before = was.thresholds.get(name)
            yield Override(name, "the default" if before is None else f"{before:g}", f"{value:g}")
    for waiver in now.waivers:
        if waiver not in was.waivers:
            yield Override(_name(waiver), "absent", f"waived until {waiver.until}")
    for waiver in was.waivers:
        if waiver not in now.waivers:
            yield Override(_name(waiver), f"waived until {waiver.until}", "absent")


def _name(waiver: Waiver) -> str:
    return f"waiver of {waiver.check} at {waiver.where}"
