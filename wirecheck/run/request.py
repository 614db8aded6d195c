"""The request for a run, from the command line or from pytest."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path

import msgspec

from wirecheck.catalogue.registry import UNREACHABLE, CatalogueError, load
from wirecheck.collect.api.client import ApiError, ConfigurationError
from wirecheck.evaluation.selection import Selection
from wirecheck.evaluation.verdict import FailOn
from wirecheck.inventory.file import (
    Inventory,
    InventoryError,
    read_inventory,
    refuse_unknown_thresholds,
)
from wirecheck.results.exit_statuses import INCOMPLETE, NOTHING_TO_DO, USAGE
from wirecheck.results.history import NAME as HISTORY
from wirecheck.run.report_mode import PRIVATE
from wirecheck.run.shard import Shard
from wirecheck.snapshot.folder import SnapshotError, SnapshotPathError

LIVE_ONLY = (
    "kubeconfig",
    "context",
    "shard",
    "dns_rate",
    "round_intervals",
    "helper_pods",
    "wait",
)
"""Options that mean nothing for a snapshot. Its inventory may override thresholds and waivers."""


class RequestError(Exception):
    """The request cannot be fulfilled: one sentence with the next step."""


class NothingToDoError(Exception):
    """There is nothing to check: one sentence with the next step."""


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
    """How many reports stay in `report_dir`; None for all."""
    report_mode: int = PRIVATE
    """The mode of the run's folder there; its files have the same, without `x`."""
    nodes: tuple[str, ...] = ()
    """Globs: only these nodes are visited and evaluated; all without one."""
    namespaces: tuple[str, ...] = ()
    """Globs: findings about objects of other namespaces do not count."""
    fail_on: FailOn = "fail"
    shard: Shard | None = None
    """The nodes that this run visits; None for all."""
    dns_rate: float | None = None
    rounds: int | None = None
    """How often a node is visited at most."""
    round_intervals: tuple[float, ...] | None = None
    """Seconds before the second, third … round."""
    baseline: Path | None = None
    """An earlier run: only findings that are new since then fail."""
    force_baseline: bool = False
    helper_pods: bool = False
    """Make helper pods for the run, as the inventory's `helper_pods.always` does."""
    wait: float = 0.0
    """Seconds in which a cluster that is not healthy is checked again as a whole."""
    target_version: str | None = None
    """The version of Kubernetes of the next upgrade, in place of the inventory's."""
    changes_nothing: bool = False
    """Create no pods, whatever the inventory says."""
    history: Path | None = None
    """The file to which each run appends a line; else one in `report_dir`, for live runs."""

    def pauses(self, default: tuple[float, ...]) -> tuple[float, ...]:
        """Seconds before the second, third … round, as many as `rounds` allows."""
        pauses = default if self.round_intervals is None else self.round_intervals
        if self.rounds is None:
            return pauses
        further = self.rounds - 1
        last = pauses[-1:] or (0.0,)
        return (*pauses, *last * further)[:further]

    def refuse_contradictions(self) -> None:
        """Raise RequestError for options that exclude each other."""
        if self.history and self.selection:
            raise RequestError(
                "--history compares whole clusters with each other: leave out --node and "
                "--namespace, or --history."
            )
        if self.snapshot is None:
            return
        if self.rounds not in (None, 1):
            raise RequestError(
                "--rounds needs a live cluster, and --snapshot replaces it: leave out one of the "
                "two, or use --rounds 1 to evaluate only the first round of the snapshot."
            )
        defaults = {each.name: each.default for each in fields(self)}
        for name in LIVE_ONLY:
            if getattr(self, name) != defaults[name]:
                option = f"--{name.replace('_', '-')}"
                raise RequestError(
                    f"{option} needs a live cluster, and --snapshot replaces it: leave out one "
                    "of the two."
                )

    @property
    def selection(self) -> Selection:
        """The part of the cluster that the run is about."""
        return Selection(self.nodes, self.namespaces)

    @property
    def cluster_options(self) -> str:
        """The options that name the cluster, as a command to copy must repeat them."""
        given = ((name, getattr(self, name)) for name in ("inventory", "kubeconfig", "context"))
        return shlex.join(word for n, v in given if v for word in (f"--{n}", str(v)))

    @property
    def kubectl_options(self) -> str:
        """The options with which kubectl reaches the same cluster; none for its own default."""
        if self.snapshot:
            return ""
        inventory = self.read_inventory()
        kubeconfig, context = self.kubeconfig, self.context
        if kubeconfig is None:
            kubeconfig = Path(inventory.kubeconfig) if inventory.kubeconfig else None
            context = context or inventory.context
        given = (("--kubeconfig", kubeconfig), ("--context", context))
        return shlex.join(word for name, value in given if value for word in (name, str(value)))

    @property
    def history_file(self) -> Path:
        """The file that lists the earlier runs."""
        return self.history or self.report_dir / HISTORY

    @property
    def adds_to_history(self) -> bool:
        """Whether the run appends a line.

        A replay shows nothing new, unless a file is named. A part of the cluster is not comparable
        with the whole: it could only look like a recovery.
        """
        return not self.selection and (self.history is not None or self.snapshot is None)

    def read_inventory(self) -> Inventory:
        """The inventory, or an empty one if none was named. Raises InventoryError."""
        inventory = read_inventory(self.inventory) if self.inventory else Inventory()
        if not self.changes_nothing:
            return inventory
        agent = msgspec.structs.replace(inventory.agent, image=None)
        helpers = msgspec.structs.replace(inventory.helper_pods, always=False)
        return msgspec.structs.replace(inventory, agent=agent, helper_pods=helpers)

    def read_checked_inventory(self) -> Inventory:
        """The inventory with the options in its place.

        Raises InventoryError also for a threshold that no check has.
        """
        inventory = self.read_inventory()
        if self.target_version is not None:
            inventory = msgspec.structs.replace(inventory, upgrade_target=self.target_version)
        known = {each.name for check in load() for each in check.thresholds}
        refuse_unknown_thresholds(inventory, known | {UNREACHABLE})
        return inventory


SENTENCES = (
    ApiError,
    CatalogueError,
    InventoryError,
    NothingToDoError,
    RequestError,
    SnapshotError,
)
"""Exceptions whose message the user sees unchanged."""


def status_of(error: Exception) -> int:
    """The exit status of a run that ended with one of `SENTENCES` instead of results."""
    match error:
        case CatalogueError() | InventoryError() | RequestError():
            return USAGE
        case ConfigurationError() | SnapshotPathError():
            return USAGE
        case NothingToDoError():
            return NOTHING_TO_DO
    return INCOMPLETE
