"""Reports a cause that keeps many checks of one node from being evaluated once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from msgspec.structs import replace

from wirecheck.catalogue.findings import Outcome
from wirecheck.results.records import ItemResult

REPORTERS = ("nodes.tools_present", "services.frontends_programmed")
"""The checks that report such a cause if they are selected and have it, the first one first."""


def reported_once(items: Sequence[ItemResult], causes: Collection[str]) -> Iterator[ItemResult]:
    """Yield the items; of those with the same cause, one stays an error, and others refer to it."""
    reporters = {cause: _reporter(items, cause) for cause in causes}
    for item in items:
        reporter = reporters.get(item.reason) if item.outcome is Outcome.ERROR else None
        if reporter in (None, item.check) or item.findings:
            yield item
        else:
            reason = f"{item.reason} See {reporter}."
            yield replace(item, outcome=Outcome.SKIP, reason=reason)


def _reporter(items: Sequence[ItemResult], cause: str) -> str | None:
    having = [item.check for item in items if _has(item, cause)]
    return next((each for each in REPORTERS if each in having), next(iter(having), None))


def _has(item: ItemResult, cause: str) -> bool:
    found = (item.reason, *(each.found for each in item.findings))
    return item.outcome is Outcome.ERROR and cause in found
