"""Agent pods: those of a DaemonSet, and those created for a run."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from wirecheck.collect.api.client import Api
from wirecheck.collect.pods.agent_manifest import NAME
from wirecheck.collect.pods.agent_manifest import agent_pod as manifest
from wirecheck.collect.pods.run_pods import PodKind, RunPods
from wirecheck.inventory.file import AccessMethod, Agent, AgentPod
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.in_cluster import IN_CLUSTER
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.run_labels import NAME_LABEL, OWNER, OWNER_LABEL

KIND = PodKind("agent pod", NAME, "privileged", "agent")


@dataclass(slots=True)
class AgentPods:
    """The agents of one run."""

    api: Api
    settings: Agent
    seconds: int
    """How long a pod may run at most if nothing removes it."""
    pause: Callable[[float], None] = time.sleep
    _own: RunPods = field(init=False)
    _pods: dict[str, str] = field(default_factory=dict)
    """By node, the running pods that were created for this run."""

    def __post_init__(self) -> None:
        settings = self.settings
        self._own = RunPods(self.api, KIND, settings.namespace, settings.start, pause=self.pause)

    @property
    def run(self) -> str:
        """The label of the pods of this run."""
        return self._own.run

    def settle(
        self, methods: Mapping[str, AccessMethod], objects: ApiObjects
    ) -> tuple[dict[str, AccessMethod], dict[str, VisitRecord]]:
        """The access methods with their agent pods, and a record for each node that has none.

        If no agent runs on a node, one is created if the inventory names an image.
        """
        wanted = {
            name: access for name, access in methods.items() if access.uri.startswith("kubectl://")
        }
        running = _running(objects.pods, self.settings.namespace) if wanted else {}
        without = sorted(set(wanted) - running.keys() - self._pods.keys())
        refused = self._make(without, objects) if without else {}
        found = running | self._pods
        settled = {
            name: msgspec.structs.replace(access, pod=self._pod(found[name]))
            for name, access in wanted.items()
            if name in found
        }
        others = {name: access for name, access in methods.items() if name not in wanted}
        records = {
            name: VisitRecord(VisitStatus.UNREACHABLE, via=wanted[name].uri, reason=refused[name])
            for name in wanted
            if name not in settled
        }
        return others | settled, records

    def remove(self) -> str:
        """Remove the pods of this run; the sentence says what could not be removed."""
        self._pods.clear()
        return self._own.remove()

    def _pod(self, name: str) -> AgentPod:
        context = "" if self.api.context == IN_CLUSTER else self.api.context
        return AgentPod(self.settings.namespace, name, self.api.kubeconfig, context)

    def _make(self, nodes: Sequence[str], objects: ApiObjects) -> dict[str, str]:
        """Create an agent on each of the nodes; the reason for each node where that failed."""
        namespace, image = self.settings.namespace, self.settings.image
        if not image:
            return dict.fromkeys(
                nodes,
                f"No agent runs there in namespace {namespace}. Deploy it (deploy/agent), or set "
                "`agent.image` in the inventory to create agents for the run.",
            )
        able, reasons = self._own.startable(nodes, objects.nodes)
        made, refused = self._own.make(able, self._manifest) if able else ({}, {})
        self._pods |= made
        return reasons | refused

    def _manifest(self, node: str, name: str) -> dict[str, object]:
        return manifest(self.settings, node, name, self.run, self.seconds)


def _running(pods: Collection[PodObject], namespace: str) -> dict[str, str]:
    """By node, the running agents of a DaemonSet."""
    return {
        pod.spec.node_name: pod.metadata.name
        for pod in pods
        if pod.metadata.namespace == namespace
        and pod.metadata.labels.get(NAME_LABEL) == NAME
        # Another run removes the pods that it created.
        and pod.metadata.labels.get(OWNER_LABEL) != OWNER
        and pod.status.phase == "Running"
        and not pod.metadata.deletion_timestamp
    }
