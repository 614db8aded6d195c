"""Whether a run creates helper pods: only if they were requested and a check uses them."""

from __future__ import annotations

from collections.abc import Sequence

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.registry import Check
from wirecheck.collect.pods.helper_pods import settings_of
from wirecheck.inventory.file import HelperPods, Inventory
from wirecheck.run.request import RequestError
from wirecheck.run.shard import Shard


def helpers_wanted(
    inventory: Inventory, checks: Sequence[Check], shard: Shard | None, *, asked: bool
) -> HelperPods | None:
    """The helper pods to create, or None. `asked` is whether the option was given.

    Raises RequestError or InventoryError where they were asked for and cannot be made.
    """
    needed = any(Fact.HELPER_PODS in each.facts for each in checks)
    if asked and not needed:
        raise RequestError(
            "--helper-pods: none of the selected checks needs helper pods. Leave it out, or run "
            "all checks or those of --profile preprod."
        )
    if not needed or not (asked or inventory.helper_pods.always):
        return None
    if shard:
        raise RequestError(
            "A run with --shard cannot create helper pods: each shard would create them on all "
            "nodes. Check all nodes in one run."
        )
    return settings_of(inventory)
