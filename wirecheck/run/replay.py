"""A snapshot as a source: the same verdicts as when it was taken, without the cluster."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from wirecheck import __version__
from wirecheck.catalogue.former_ids import warn_of_pattern
from wirecheck.catalogue.registry import Check
from wirecheck.evaluation.selection import EVERYTHING, Selection
from wirecheck.inventory.file import Inventory
from wirecheck.results.records import Override
from wirecheck.run.progress import RunProgress
from wirecheck.run.request import NothingToDoError, Request
from wirecheck.run.selected_objects import refuse_unmatched
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import ClusterIdentity, SnapshotIndex, Waiver
from wirecheck.text import plural


@dataclasses.dataclass(slots=True)
class RecordedRounds:
    """The rounds of a snapshot. All of them have been taken."""

    snapshot: Snapshot
    interrupted: bool = False

    @property
    def finished(self) -> int:
        """How many rounds are in the snapshot."""
        return len(self.snapshot.index.looks)

    def first(self, nodes: Collection[str] | None = None) -> None:
        """Do nothing: the round is in the snapshot."""

    def another(self, _nodes: Collection[str]) -> bool:
        """Return False: there is no cluster to query."""
        return False

    def interrupt(self) -> None:
        """Note that the user interrupted."""
        self.interrupted = True


class Replay:
    """A snapshot, with its own thresholds and waivers or with those of an inventory."""

    pauses: tuple[float, ...] = ()

    def __init__(
        self,
        snapshot: Snapshot,
        inventory: Inventory | None = None,
        selection: Selection = EVERYTHING,
    ) -> None:
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
        self.name = str(snapshot.path)
        self.selection = selection
        objects = snapshot.api(1)
        names = sorted(node.metadata.name for node in objects.nodes)
        self.node_names = tuple(filter(selection.has_node, names))
        if not names:
            raise NothingToDoError(
                f"The snapshot {snapshot.path} has no nodes, so there is nothing to check; take "
                "another one from the cluster."
            )
        refuse_unmatched(selection, objects)

    @classmethod
    def open(cls, request: Request) -> Replay:
        """Open the snapshot that was named. Raises what `request.SENTENCES` lists."""
        assert request.snapshot is not None
        inventory = request.read_checked_inventory() if request.inventory else None
        snapshot = Snapshot.open(request.snapshot)
        if request.target_version:
            target = msgspec.structs.replace(snapshot.index, upgrade_target=request.target_version)
            snapshot = dataclasses.replace(snapshot, index=target)
        if request.rounds:
            looks = snapshot.index.looks[: request.rounds]
            index = msgspec.structs.replace(snapshot.index, looks=looks)
            snapshot = dataclasses.replace(snapshot, index=index)
        return cls(snapshot, inventory, request.selection)

    @property
    def identity(self) -> ClusterIdentity:
        """Which cluster it is."""
        return self.snapshot.index.cluster

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Thresholds of the snapshot, or of the inventory where that sets them."""
        return self.snapshot.index.thresholds

    def introduce(self, progress: RunProgress) -> None:
        """Say which snapshot this is, and which thresholds and waivers are not its own."""
        index = self.snapshot.index
        progress.say(
            f"Snapshot {self.name} of {index.cluster.title or 'an unnamed cluster'}: "
            f"{plural(len(self.node_names), 'node')}, {plural(len(index.looks), 'round')}, "
            f"taken by wirecheck {index.wirecheck}."
        )
        if index.wirecheck != __version__:
            progress.say(f"wirecheck {__version__} evaluates it.")
        for each in self.overrides:
            progress.say(f"The inventory overrides {each.name}: {each.now}, was {each.was}.")

    def rounds(
        self, _folder: Path, _progress: RunProgress, _checks: Sequence[Check] | None = None
    ) -> AbstractContextManager[RecordedRounds]:
        """The rounds that the snapshot has."""
        return nullcontext(RecordedRounds(self.snapshot))


def _overridden(index: SnapshotIndex, inventory: Inventory) -> SnapshotIndex:
    """Thresholds that the inventory names replace the snapshot's; its waivers replace all."""
    return msgspec.structs.replace(
        index,
        thresholds={**index.thresholds, **inventory.thresholds},
        waivers=list(inventory.waivers),
        upgrade_target=inventory.upgrade_target or index.upgrade_target,
        cluster=msgspec.structs.replace(
            index.cluster, name=inventory.cluster_name or index.cluster.name
        ),
    )


def _overrides(was: SnapshotIndex, now: SnapshotIndex) -> Iterator[Override]:
    for name, value in now.thresholds.items():
        if was.thresholds.get(name) != value:
            before = was.thresholds.get(name)
            yield Override(name, "the default" if before is None else f"{before:g}", f"{value:g}")
    if was.upgrade_target != now.upgrade_target:
        yield Override("upgrade_target", was.upgrade_target or "absent", now.upgrade_target)
    if was.cluster.name != now.cluster.name:
        yield Override("cluster_name", was.cluster.name or "absent", now.cluster.name)
    for waiver in now.waivers:
        if waiver not in was.waivers:
            yield Override(_name(waiver), "absent", f"waived until {waiver.until}")
    for waiver in was.waivers:
        if waiver not in now.waivers:
            yield Override(_name(waiver), f"waived until {waiver.until}", "absent")


def _name(waiver: Waiver) -> str:
    return f"waiver of {waiver.check} at {waiver.where}"
