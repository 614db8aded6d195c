"""What a run was asked to do, whichever command line asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wirecheck.catalogue.registry import CatalogueError
from wirecheck.collect.api.client import ApiError
from wirecheck.evaluation.verdict import INCOMPLETE, NOTHING_TO_DO, USAGE, FailOn
from wirecheck.inventory.file import Inventory, InventoryError, read_inventory
from wirecheck.results.history import NAME as HISTORY
from wirecheck.run.shard import Share
from wirecheck.snapshot.folder import SnapshotError


@dataclass(frozen=True, slots=True)
class Request:
    """The options that `wirecheck run` and `pytest` share; None leaves it to the inventory."""

    inventory: Path | None = None
    kubeconfig: Path | None = None
    context: str | None = None
    snapshot: Path | None = None
    profile: str | None = None
    """The name of a profile: only its checks."""
    report_dir: Path = Path("reports")
    keep: int | None = None
    """So many reports stay in `report_dir`; None for all."""
    fail_on: FailOn = "fail"
    share: Share | None = None
    """The nodes that this run visits; None for all."""
    dns_rate: float | None = None
    looks: int | None = None
    look_intervals: tuple[float, ...] | None = None
    baseline: Path | None = None
    """An earlier run: only what it did not find fails."""
    force_baseline: bool = False
    helper_pods: bool = False
    """Make helper pods for the run, as the inventory's `helper_pods.always` does."""
    wait: float = 0.0
    """Seconds in which what is red is looked at again."""
    history: Path | None = None
    """The file that each run appends a line to; else one in `report_dir`, for live runs."""

    def pauses(self, default: tuple[float, ...]) -> tuple[float, ...]:
        """Seconds before the second, third … look: as many as `looks` allows."""
        pauses = default if self.look_intervals is None else self.look_intervals
        if self.looks is None:
            return pauses
        further = self.looks - 1
        last = pauses[-1:] or (0.0,)
        return (*pauses, *last * further)[:further]

    @property
    def history_file(self) -> Path:
        """Where the earlier runs are told of."""
        return self.history or self.report_dir / HISTORY

    @property
    def adds_to_history(self) -> bool:
        """A replay tells nothing new of the cluster, unless that is asked for."""
        return self.history is not None or self.snapshot is None

    def read_inventory(self) -> Inventory:
        """The inventory, or an empty one where none was named. Raises InventoryError."""
        return read_inventory(self.inventory) if self.inventory else Inventory()


class RequestError(Exception):
    """What was asked for cannot be done: one sentence with the next step."""


class NothingToDoError(Exception):
    """There is nothing that could be judged: one sentence with the next step."""


SENTENCES = (
    ApiError,
    CatalogueError,
    InventoryError,
    NothingToDoError,
    RequestError,
    SnapshotError,
)
"""Exceptions whose message is for the user, as it is."""


def status_of(error: Exception) -> int:
    """The exit status of a run that ended with one of `SENTENCES` instead of results."""
    match error:
        case CatalogueError() | InventoryError() | RequestError():
            return USAGE
        case NothingToDoError():
            return NOTHING_TO_DO
    return INCOMPLETE
