"""What the person who starts the server decides. No tool can change any of it."""

from __future__ import annotations

import msgspec


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of `wirecheck mcp`. They are passed on to the process of each call."""

    inventory: str | None = None
    kubeconfig: str | None = None
    context: str | None = None
    snapshots: str | None = None
    """The folder below which tools may read snapshots and results; None for none."""
    report_dir: str | None = None
    """Where reports of live runs are kept; None keeps none."""
    time_limit: float = 600.0
    """Seconds that one call may take."""

    @property
    def reads_cluster(self) -> bool:
        """Whether tools may read a live cluster: not if only a folder with snapshots is named."""
        named = self.inventory or self.kubeconfig or self.context
        return bool(named) or self.snapshots is None
