"""Helper pods: created on every node for one run on request, and removed afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from wirecheck.api_index.helper_pods import NAME
from wirecheck.collect.api.client import Api
from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.collect.pods.helper_manifest import PORT, helper_pod
from wirecheck.collect.pods.run_pods import Manifest, PodKind, RunPods
from wirecheck.inventory.file import HelperPods, Inventory, InventoryError
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord

KIND = PodKind("helper pod", NAME, "restricted", "helper_pods")


@dataclass(slots=True)
class HelpersOfRun:
    """The helper pods of one run; none without settings."""

    api: Api
    settings: HelperPods | None
    seconds: int
    """How long a pod may run at most if nothing removes it."""
    _own: RunPods = field(init=False)

    def __post_init__(self) -> None:
        known = self.settings or HelperPods()
        self._own = RunPods(self.api, KIND, known.namespace, known.start)

    def make(self, objects: ApiObjects, say: Callable[[str], None]) -> HelperPodsRecord | None:
        """Announce the pods, create them, and wait until they run."""
        if self.settings is None:
            return None
        nodes = sorted(each.metadata.name for each in objects.nodes if not why_unvisitable(each))
        able, reasons = self._own.startable(nodes, objects.nodes)
        if able:
            say(self._announcement(len(able)))
            _, refused = self._own.make(able, self._manifest)
            reasons |= refused
        return HelperPodsRecord(
            self._own.run,
            {name: reasons.get(name, "") for name in nodes},
            self.settings.namespace,
        )

    def remove(self) -> str:
        """Remove them; the sentence says what could not be removed."""
        return self._own.remove()

    def _announcement(self, number: int) -> str:
        assert self.settings is not None
        namespace, image = self.settings.namespace, self.settings.image
        pods = f"{number:,} helper pod{'s' * (number != 1)}"
        return (
            f"Creating {pods}, one per node, in namespace {namespace}: each runs {image} as a user "
            f"without rights, and sends back what it is sent at port {PORT}. They are removed "
            "when the run ends or is interrupted; at the latest they end by themselves after "
            f"{self.seconds:,} s, and `{self._own.api.clean}` removes them (label "
            f"app.kubernetes.io/instance={self._own.run})."
        )

    def _manifest(self, node: str, name: str) -> Manifest:
        assert self.settings is not None
        return helper_pod(self.settings, node, name, self._own.run, self.seconds)


def without_helper(made: HelperPodsRecord | None) -> list[str]:
    """The note in the results about nodes without a helper pod."""
    missing = {name: why for name, why in (made.nodes if made else {}).items() if why}
    if not missing:
        return []
    name, why = next(iter(missing.items()))
    which = f"{', '.join(list(missing)[:5])}{', …' * (len(missing) > 5)}"
    return [
        f"No helper pod runs on {which}, so large messages from and to these nodes were "
        f"not checked. {name}: {why}"
    ]


def settings_of(inventory: Inventory) -> HelperPods:
    """The settings of helper pods. Raises InventoryError if no image is named."""
    if image := inventory.helper_pods.image or inventory.agent.image:
        return msgspec.structs.replace(inventory.helper_pods, image=image)
    raise InventoryError(
        "Helper pods need an image: name one that has a `python3`, such as wirecheck's own, as "
        "`image` under `helper_pods:` in the inventory."
    )
