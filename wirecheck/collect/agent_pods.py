"""Agent pods: those that run already, those made for a run, and the removal of these."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct

from wirecheck.collect.agent_manifest import NAME, NAME_LABEL, OWNER, OWNER_LABEL, RUN_LABEL
from wirecheck.collect.agent_manifest import agent_pod as manifest
from wirecheck.collect.api import Api, ApiError
from wirecheck.collect.api_errors import IN_CLUSTER, message_of
from wirecheck.inventory import Agent, AgentPod, WayIn
from wirecheck.snapshot.api_objects import ApiObjects, NodeObject, PodObject
from wirecheck.snapshot.index import VisitRecord

AT_ONCE = 8
POLL_SECONDS = 0.5
GOING_SECONDS = 20.0
"""For pods that were asked to go; kubelet needs a second or two."""
FINAL_REASONS = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
"""Why a container waits, where more waiting does not help."""


class AgentRefusedError(Exception):
    """No agent pod can be made at all: a sentence with the cause and the next step."""


class _Waiting(Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _State(Struct, frozen=True):
    waiting: _Waiting | None = None
    running: dict[str, str] | None = None


class _Container(Struct, frozen=True):
    state: _State = _State()


class _Status(Struct, frozen=True, rename="camel"):
    phase: str = ""
    reason: str = ""
    message: str = ""
    container_statuses: list[_Container] = []


class _Metadata(Struct, frozen=True):
    name: str


class _Pod(Struct, frozen=True):
    metadata: _Metadata
    status: _Status = _Status()

    @property
    def runs(self) -> bool:
        return any(each.state.running is not None for each in self.status.container_statuses)

    @property
    def failed(self) -> str:
        """Why it will never run, as far as that can be told."""
        if self.status.phase in ("Failed", "Succeeded"):
            return _said(self.status.reason or self.status.phase, self.status.message)
        waiting = self.waits_for
        return _said(waiting.reason, waiting.message) if waiting.reason in FINAL_REASONS else ""

    @property
    def waits_for(self) -> _Waiting:
        found = (each.state.waiting for each in self.status.container_statuses)
        return next((each for each in found if each), _Waiting(self.status.phase))


class _Pods(Struct, frozen=True):
    items: list[_Pod] | None = None


def _said(reason: str, message: str) -> str:
    words = " ".join(message.split())[:160].rstrip(".")
    return f"{reason}: {words}" if words else reason


@dataclass(slots=True)
class AgentPods:
    """The agents of one run."""

    api: Api
    settings: Agent
    seconds: int
    """How long a pod may stay at most, should nobody remove it."""
    run: str = field(default_factory=lambda: f"run-{secrets.token_hex(5)}")
    pause: Callable[[float], None] = time.sleep
    _pods: dict[str, str] = field(default_factory=dict)
    """By node, those that were made and run."""
    _made: bool = False

    def settle(
        self, ways: Mapping[str, WayIn], objects: ApiObjects
    ) -> tuple[dict[str, WayIn], dict[str, VisitRecord]]:
        """The ways with their agents, and why there is none where there is none.

        Where no agent runs, one is made if the inventory names an image.
        """
        wanted = {name: way for name, way in ways.items() if way.via.startswith("kubectl://")}
        running = _running(objects.pods, self.settings.namespace) if wanted else {}
        without = sorted(set(wanted) - running.keys() - self._pods.keys())
        refused = self._make(without, objects) if without else {}
        found = running | self._pods
        settled = {
            name: msgspec.structs.replace(way, pod=self._pod(found[name]))
            for name, way in wanted.items()
            if name in found
        }
        others = {name: way for name, way in ways.items() if name not in wanted}
        records = {
            name: VisitRecord("unreachable", via=wanted[name].via, reason=refused[name])
            for name in wanted
            if name not in settled
        }
        return others | settled, records

    def remove(self) -> str:
        """Remove the pods of this run; what could not be removed is said in a sentence."""
        if not self._made:
            return ""
        self._made = False
        self._pods.clear()
        try:
            left = remove_pods(self.api, self.settings.namespace, f"{RUN_LABEL}={self.run}")
        except ApiError as error:
            return f"Agent pods may be left: {error} `wirecheck clean` removes them."
        return f"{left} agent pods are still ending; `wirecheck clean` tells when not." * bool(left)

    def _pod(self, name: str) -> AgentPod:
        context = "" if self.api.context == IN_CLUSTER else self.api.context
        return AgentPod(self.settings.namespace, name, self.api.kubeconfig, context)

    def _make(self, nodes: Sequence[str], objects: ApiObjects) -> dict[str, str]:
        """Make an agent on each of the nodes; the reasons where there is none in the end."""
        namespace, image = self.settings.namespace, self.settings.image
        if not image:
            return dict.fromkeys(
                nodes,
                f"No agent runs there in namespace {namespace}. Deploy it (deploy/agent), or name "
                "its `image` under `agent:` in the inventory, and one is made for the run.",
            )
        ready = {each.metadata.name for each in objects.nodes if _is_ready(each)}
        reasons = {
            name: f"{name} is not Ready: no agent pod can be started on it."
            for name in nodes
            if name not in ready
        }
        able = [name for name in nodes if name in ready]
        self._made = True
        try:
            made = self._create(able)
        except (AgentRefusedError, ApiError) as error:
            return reasons | dict.fromkeys(able, str(error))
        return reasons | self._started({pod: node for node, pod in made.items()})

    def _create(self, nodes: Sequence[str]) -> dict[str, str]:
        """The pod of each node. The first is made alone: what forbids it forbids all."""
        for node in nodes[:1]:
            self._create_one(node)
        pool = ThreadPoolExecutor(AT_ONCE)
        try:
            list(pool.map(self._create_one, nodes[1:]))
        finally:
            pool.shutdown(cancel_futures=True)
        return {node: self._name(node) for node in nodes}

    def _name(self, node: str) -> str:
        """Short, and unlike every other node's: names of nodes may be longer than a pod's."""
        digest = hashlib.sha256(node.encode()).hexdigest()[:12]
        return f"{NAME}-{self.run.removeprefix('run-')}-{digest}"

    def _create_one(self, node: str) -> None:
        namespace = self.settings.namespace
        pod = manifest(self.settings, node, self._name(node), self.run, self.seconds)
        path = f"/api/v1/namespaces/{namespace}/pods"
        status, body = self.api.connection.send("POST", path, "an agent pod", pod)
        if status in (200, 201, 202):
            return
        said = message_of(body)[:160]
        if status == 404:
            raise AgentRefusedError(
                f"There is no namespace {namespace} for agent pods. Make it: kubectl create "
                f"namespace {namespace} && kubectl label namespace {namespace} "
                "pod-security.kubernetes.io/enforce=privileged"
            )
        if status == 403 and "PodSecurity" in said:
            raise AgentRefusedError(
                f"Namespace {namespace} admits no agent pods ({said}). Allow them: kubectl label "
                f"namespace {namespace} pod-security.kubernetes.io/enforce=privileged"
            )
        if status == 403:
            raise AgentRefusedError(
                f"Agent pods may not be made ({said}). Add to a Role in namespace {namespace}: "
                '{apiGroups: [""], resources: ["pods"], '
                'verbs: ["create", "list", "deletecollection"]}'
            )
        raise AgentRefusedError(f"An agent pod was refused ({status}: {said}).")

    def _started(self, waiting: dict[str, str]) -> dict[str, str]:
        """Wait until the pods (name → node) run; the reasons of those that do not."""
        reasons = {}
        end = time.monotonic() + self.settings.start
        last: dict[str, _Pod] = {}
        while waiting:
            last = {each.metadata.name: each for each in self._listed()}
            for name in list(waiting):
                pod = last.get(name)
                if pod and pod.runs:
                    self._pods[waiting.pop(name)] = name
                elif pod and pod.failed:
                    reasons[waiting.pop(name)] = self._never(pod.failed)
            if time.monotonic() > end:
                break
            self.pause(POLL_SECONDS)
        for name, node in waiting.items():
            pod = last.get(name)
            why = _said(*msgspec.structs.astuple(pod.waits_for)) if pod else "it was removed"
            reasons[node] = self._never(f"not within {self.settings.start:g} s, {why}")
        return reasons

    def _listed(self) -> list[_Pod]:
        return list(listed(self.api, self.settings.namespace, f"{RUN_LABEL}={self.run}"))

    def _never(self, why: str) -> str:
        return (
            f"Its agent pod did not start ({why}). See: kubectl --namespace "
            f"{self.settings.namespace} describe pods; check `agent.image` in the inventory, and "
            "its `pull_secrets`."
        )


def listed(api: Api, namespace: str, selector: str) -> Iterator[_Pod]:
    """The agent pods that a selector of labels matches. Raises ApiError."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    rule = '{apiGroups: [""], resources: ["pods"], verbs: ["list"]} (a Role in ' + namespace + ")"
    raw = api.connection.get(path, "agent pods", {"labelSelector": selector}, rule)
    yield from api.connection.decoded(raw, _Pods, "agent pods").items or ()


def remove_pods(api: Api, namespace: str, selector: str = "") -> int:
    """Remove the agent pods that were made for runs; how many are still there after a while.

    Raises ApiError.
    """
    path = f"/api/v1/namespaces/{namespace}/pods"
    selector = f"{OWNER_LABEL}={OWNER},{selector}" if selector else f"{OWNER_LABEL}={OWNER}"
    query = {"labelSelector": selector}
    status, body = api.connection.send("DELETE", path, "agent pods", query=query)
    if status not in (200, 202):
        raise ApiError(
            f"Agent pods in namespace {namespace} could not be removed ({status}: "
            f"{message_of(body)})."
        )
    end = time.monotonic() + GOING_SECONDS
    while (left := len(list(listed(api, namespace, selector)))) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return left


def _running(pods: Collection[PodObject], namespace: str) -> dict[str, str]:
    """By node, the agents that a DaemonSet keeps running."""
    return {
        pod.spec.node_name: pod.metadata.name
        for pod in pods
        if pod.metadata.namespace == namespace
        and pod.metadata.labels.get(NAME_LABEL) == NAME
        # What another run has made, it also removes.
        and pod.metadata.labels.get(OWNER_LABEL) != OWNER
        and pod.status.phase == "Running"
        and not pod.metadata.deletion_timestamp
    }


def _is_ready(node: NodeObject) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions)


@contextlib.contextmanager
def removed_at_last(agents: AgentPods, say: Callable[[str], None]) -> Iterator[None]:
    """Whatever ends the block, the run's own pods are removed."""
    try:
        yield
    finally:
        if problem := agents.remove():
            say(problem)
