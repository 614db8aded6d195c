"""Pods for one run, one per node: created, waited for, and removed in any case."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec
from msgspec import Struct

from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.api.errors import message_of
from wirecheck.snapshot.objects.metadata import Condition, is_ready
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.run_labels import OWNER, OWNER_LABEL, RUN_LABEL

AT_ONCE = 8
POLL_SECONDS = 0.5
GOING_SECONDS = 20.0
"""Seconds for deleted pods to end; the kubelet needs one or two."""
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
"""Reasons of waiting containers that waiting does not resolve."""


Manifest = dict[str, Any]


class PodRefusedError(Exception):
    """No pod can be created at all. The message has the cause and the next step."""


class _Waiting(Struct, frozen=True):
    reason: str = ""
    message: str = ""


class _State(Struct, frozen=True):
    waiting: _Waiting | None = None
    terminated: _Waiting | None = None


class _Container(Struct, frozen=True):
    state: _State = _State()


class _Status(Struct, frozen=True, rename="camel"):
    phase: str = ""
    reason: str = ""
    message: str = ""
    conditions: list[Condition] = []
    container_statuses: list[_Container] = []


class _Metadata(Struct, frozen=True):
    name: str


class _Pod(Struct, frozen=True):
    metadata: _Metadata
    status: _Status = _Status()

    @property
    def is_ready(self) -> bool:
        """The kubelet sets it shortly after `started` of a container with a startup probe."""
        return is_ready(self.status.conditions)

    @property
    def failed(self) -> str:
        """Why the pod will never run; empty if it still may."""
        if self.status.phase in ("Failed", "Succeeded"):
            found = (each.state.terminated for each in self.status.container_statuses)
            ended = next(filter(None, found), _Waiting())
            reason = self.status.reason or ended.reason or self.status.phase
            return _said(reason, self.status.message or ended.message)
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


@dataclass(frozen=True, slots=True)
class PodKind:
    """A kind of pods for a run: its names and settings."""

    word: str
    """`agent pod`."""
    name: str
    """The prefix of their names."""
    level: str
    """The Pod Security level that their namespace has to allow."""
    option: str
    """The section of the inventory with their settings."""


@dataclass(slots=True)
class RunPods:
    """The pods of one kind and one run."""

    api: Api
    kind: PodKind
    namespace: str
    start: float
    """Seconds until all of them must have started."""
    run: str = field(default_factory=lambda: f"run-{secrets.token_hex(5)}")
    pause: Callable[[float], None] = time.sleep
    _made: bool = False

    def startable(
        self, nodes: Sequence[str], known: Iterable[NodeObject]
    ) -> tuple[list[str], dict[str, str]]:
        """The nodes on which a pod can start, and the reason for each of the others."""
        down = _not_ready(known)
        reasons = {
            name: f"{name} is NotReady, so no {self.kind.word} can start on it."
            for name in nodes
            if name in down
        }
        return [name for name in nodes if name not in down], reasons

    def make(
        self, nodes: Sequence[str], manifest: Callable[[str, str], Manifest]
    ) -> tuple[dict[str, str], dict[str, str]]:
        """By node, the names of the pods that started, and the reasons where none did.

        `manifest` creates one from the names of the node and of the pod.
        """
        self._made = True
        try:
            self._create({node: manifest(node, self._name(node)) for node in nodes})
        except (PodRefusedError, ApiError) as error:
            return {}, dict.fromkeys(nodes, str(error))
        return self._started({self._name(node): node for node in nodes})

    def remove(self) -> str:
        """Remove the pods of this run; the sentence says what could not be removed."""
        if not self._made:
            return ""
        kinds = f"{self.kind.word.capitalize()}s"
        try:
            left = remove_pods(self.api, self.namespace, f"{RUN_LABEL}={self.run}")
        except ApiError as error:
            return f"{kinds} may be left over: {error} `{self.api.clean}` removes them."
        self._made = False
        return (
            f"{kinds} are still terminating ({left}); `{self.api.clean}` shows those that remain."
            * bool(left)
        )

    def _create(self, manifests: dict[str, Manifest]) -> None:
        """The first one is created alone: what forbids it forbids all of them."""
        first, *others = manifests.values()
        self._create_one(first)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            # If one is refused or the user interrupts, `map` cancels the waiting ones.
            list(pool.map(self._create_one, others))

    def _name(self, node: str) -> str:
        """A short unique name: node names may be longer than pod names."""
        digest = hashlib.sha256(node.encode()).hexdigest()[:12]
        return f"{self.kind.name}-{self.run.removeprefix('run-')}-{digest}"

    def _create_one(self, pod: Manifest) -> None:
        namespace, kinds = self.namespace, f"{self.kind.word}s"
        path = f"/api/v1/namespaces/{namespace}/pods"
        status, body = self.api.connection.send("POST", path, f"the {self.kind.word}", pod)
        if status in (200, 201, 202):
            return
        said = message_of(body)[:160]
        label = f"pod-security.kubernetes.io/enforce={self.kind.level}"
        if status == 404:
            raise PodRefusedError(
                f"There is no namespace {namespace} for {kinds}. Create it: kubectl create "
                f"namespace {namespace} && kubectl label namespace {namespace} {label}"
            )
        if status == 403 and "PodSecurity" in said:
            raise PodRefusedError(
                f"Namespace {namespace} does not allow {kinds} ({said}). Allow them: kubectl label "
                f"namespace {namespace} {label}"
            )
        if status == 403:
            raise PodRefusedError(
                f"You are not allowed to create {kinds} ({said}). Add to a Role in namespace "
                f'{namespace}: {{apiGroups: [""], resources: ["pods"], '
                'verbs: ["create", "list", "deletecollection"]}'
            )
        raise PodRefusedError(f"The first {self.kind.word} was refused ({status}: {said}).")

    def _started(self, waiting: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """Wait until the pods (name → node) are Ready."""
        started, reasons = {}, {}
        end = time.monotonic() + self.start
        last: dict[str, _Pod] = {}
        while waiting:
            last = {each.metadata.name: each for each in self._listed()}
            for name in list(waiting):
                pod = last.get(name)
                if pod and pod.is_ready:
                    started[waiting.pop(name)] = name
                elif pod and pod.failed:
                    reasons[waiting.pop(name)] = self._never(pod.failed)
            if time.monotonic() > end:
                break
            self.pause(POLL_SECONDS)
        for name, node in waiting.items():
            pod = last.get(name)
            why = _said(*msgspec.structs.astuple(pod.waits_for)) if pod else "it was removed"
            reasons[node] = self._never(f"not within {self.start:g} s, {why}")
        return started, reasons

    def _listed(self) -> list[_Pod]:
        return list(listed(self.api, self.namespace, f"{RUN_LABEL}={self.run}"))

    def _never(self, why: str) -> str:
        option = self.kind.option
        return (
            f"Its {self.kind.word} did not start ({why}). See: kubectl --namespace "
            f"{self.namespace} describe pods; check `{option}.image` in the inventory, and "
            "its `pull_secrets`."
        )


def listed(api: Api, namespace: str, selector: str) -> Iterator[_Pod]:
    """The pods that a selector of labels matches. Raises ApiError."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    rule = '{apiGroups: [""], resources: ["pods"], verbs: ["list"]} (a Role in ' + namespace + ")"
    raw = api.connection.get(path, "pods", {"labelSelector": selector}, rule)
    yield from api.connection.decoded(raw, _Pods, "pods").items or ()


def remove_pods(api: Api, namespace: str, selector: str = "") -> int:
    """Remove the pods that were created for runs; returns how many remain after a while.

    Raises ApiError.
    """
    path = f"/api/v1/namespaces/{namespace}/pods"
    selector = f"{OWNER_LABEL}={OWNER},{selector}" if selector else f"{OWNER_LABEL}={OWNER}"
    query = {"labelSelector": selector}
    status, body = api.connection.send("DELETE", path, "pods", query=query)
    if status not in (200, 202):
        raise ApiError(
            f"Pods in namespace {namespace} could not be removed ({status}: {message_of(body)})."
        )
    end = time.monotonic() + GOING_SECONDS
    while (left := len(list(listed(api, namespace, selector)))) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return left


def _not_ready(nodes: Iterable[NodeObject]) -> set[str]:
    """The names of the nodes on which no pod can start."""
    return {each.metadata.name for each in nodes if not is_ready(each.status.conditions)}


class Removable(Protocol):
    """Something that a run created and has to remove."""

    def remove(self) -> str:
        """Remove it; the sentence says what could not be removed."""
        ...


@contextlib.contextmanager
def removed_at_last(
    made: Removable, say: Callable[[str], None], clean: str = "wirecheck clean"
) -> Iterator[None]:
    """Remove the run's own pods whatever ends the block.

    The first interrupt during the removal restarts it; the second one reports possible leftovers,
    and the command `clean` that removes them.
    """
    try:
        yield
    finally:
        try:
            problem = _removed(made)
        except KeyboardInterrupt:
            say(f"Pods of this run may be left over: `{clean}` removes them.")
            raise
        if problem:
            say(problem)


def _removed(made: Removable) -> str:
    try:
        return made.remove()
    except KeyboardInterrupt:
        return made.remove()
