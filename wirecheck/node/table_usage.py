"""How full a table of the kernel is."""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.catalogue.findings import Ref


@dataclass(frozen=True)
class TableUsage:
    """The entries of one table, or those that one netns has in it, and the kernel's limit."""

    ref: Ref
    entries: int
    limit: int

    @property
    def use(self) -> float:
        """Percent of the limit."""
        return 100 * self.entries / self.limit if self.limit else 100.0
