"""What one round shows about the age of a finding, and so whether it is a change in flight. Pure.

Times are compared only with times of the same clock. Those of API objects are written by the API
server, controllers and kubelets, so `settling.OLD` leaves room for clocks that differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, reduce
from math import inf

from wirecheck.api_index.cluster_dns import cluster_dns
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import Finding
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.settling import FOLLOWED, OLD, QUIET, SOON, UP, Evidence
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.snapshot.api_objects import REPORTED
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject, PodStatus

ObjectKey = tuple[str, str, str]
"""Kind, namespace, name."""

API_KINDS = frozenset({"Pod", "Node", "Service", "EndpointSlice"})
OF_SANDBOXES = frozenset({"PodScheduled", "Initialized", "PodReadyToStartContainers"})
"""The conditions of a pod that change with its sandbox, and not when it stops being ready."""
OF_SERVICES = frozenset({"Pod", "Service", "EndpointSlice"})
"""The kinds whose changes reach kube-proxy."""


@dataclass(frozen=True, slots=True)
class Age:
    """How old something is known to be."""

    left: float = 0.0
    """Seconds until it would be old enough; 0 if it is, infinite if its age is not known."""
    is_changing: bool = False
    """Whether a change in flight is known."""
    start: str = ""
    """The start of a node, if that is such a change: words for a person."""

    def __and__(self, other: Age) -> Age:
        """Return the age of two things together: that of the younger one."""
        left = max(self.left, other.left)
        return Age(left, self.is_changing or other.is_changing, self.start or other.start)


ENOUGH, UNKNOWN = Age(), Age(inf)


@dataclass(frozen=True, slots=True)
class ProxyAge:
    """How long ago a node's kube-proxy got its last change, and applied it."""

    since_queued: float
    """Seconds since a change last reached it."""
    waiting: float | None
    """Seconds that a change has been waiting for a sync; None if none is."""

    def age(self, *, has_objects: bool) -> Age:
        """Return whether its rules are those of changes long ago."""
        if self.waiting is not None:
            is_stuck = self.waiting >= OLD
            return ENOUGH if is_stuck else Age(SOON, is_changing=True)
        if not has_objects and self.since_queued < QUIET:
            return Age(QUIET - self.since_queued, is_changing=True)
        return ENOUGH


def proxy_age(node: Node) -> ProxyAge | None:
    """Return what the node's kube-proxy reports about its syncs; None if it reports nothing."""
    try:
        proxy = node.proxy
        syncs = proxy.syncs
    except Exception:
        # Whatever is wrong with the data, the checks of kube-proxy report it.
        return None
    if not syncs or any(each.done <= 0 for each in syncs):
        return None
    return ProxyAge(
        since_queued=min(proxy.seen_at - each.queued for each in syncs),
        waiting=max((proxy.seconds_waiting(e) for e in syncs if e.is_waiting), default=None),
    )


class RoundEvidence:
    """What one round shows about the age of objects and nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._ages: dict[tuple[ObjectKey, bool, float], Age] = {}
        self._steady: dict[str, Age] = {}
        self.proxies: dict[str, ProxyAge | None] = {}
        """Of each node that was evaluated in this round."""

    def of(self, check: Check, finding: Finding, subject: Node | Cluster) -> Age:
        """Return the age of a finding, without what only further rounds show."""
        keys = list(_keys(finding))
        wanted = check.evidence
        is_gone_enough = Evidence.PERSISTENT in wanted
        ages = []
        if Evidence.OBJECTS in wanted:
            ages += [self._object(key, OLD, is_gone_enough=is_gone_enough) for key in keys]
        if Evidence.CONTROLLED in wanted:
            ages += [self._object(key, FOLLOWED, is_gone_enough=is_gone_enough) for key in keys]
        if Evidence.SET_UP in wanted:
            ages += [self._set_up(key) for key in keys]
        if Evidence.NODE in wanted:
            ages += map(self._node, self._nodes_of(subject))
        if Evidence.PEERS in wanted:
            ages += map(self._node, self.peers(finding))
        if Evidence.DNS in wanted:
            ages.append(self._dns)
        if Evidence.PROXY in wanted:
            has_objects = any(kind in OF_SERVICES for kind, _, _ in keys)
            ages += [self._proxy(name, has_objects) for name in self._nodes_of(subject)]
        return _youngest(ages) if wanted else UNKNOWN

    def revisited(self, check: Check, finding: Finding) -> frozenset[str]:
        """The other nodes that a further round has to visit to evaluate the finding."""
        nodes: set[str] = set()
        if Evidence.PEERS in check.evidence:
            nodes.update(self.peers(finding))
        if Evidence.DNS in check.evidence:
            nodes.update(pod.spec.node_name for pod in self._replicas)
        return frozenset(name for name in nodes if name in self._cluster.nodes)

    def peers(self, finding: Finding) -> Iterator[str]:
        """The nodes that the finding depends on: those it names, and those of its pods."""
        for kind, namespace, name in _keys(finding):
            if kind == "Node":
                yield name
            elif kind == "Pod" and (pod := self._pods.get((namespace, name))):
                yield pod.spec.node_name

    def _nodes_of(self, subject: Node | Cluster) -> Iterable[str]:
        """The node, or those that were visited in the round: a check may compare all of them."""
        if isinstance(subject, Node):
            return (subject.name,)
        visits = self._cluster.round.visits.items()
        return [name for name, visit in visits if visit.status is VisitStatus.SEEN]

    def _proxy(self, name: str, has_objects: bool) -> Age:
        known = self.proxies.get(name)
        if known is None:
            # A kube-proxy that does not answer applies no change: objects that are old have had
            # their time. Without an object nothing shows when the last change was.
            return ENOUGH if has_objects else UNKNOWN
        return known.age(has_objects=has_objects)

    @cached_property
    def _now(self) -> float:
        """The API server's time, or without it that of the machine that ran wirecheck."""
        record = self._cluster.round
        return record.api_time or record.started

    @cached_property
    def _pods(self) -> dict[tuple[str, str], PodObject]:
        return {(e.metadata.namespace, e.metadata.name): e for e in self._cluster.api.pods}

    @cached_property
    def _replicas(self) -> tuple[PodObject, ...]:
        return tuple(cluster_dns(self._cluster.api).replicas)

    @cached_property
    def _dns(self) -> Age:
        known = cluster_dns(self._cluster.api)
        services = [_key("Service", each.metadata) for each in known.services]
        replicas = [_key("Pod", each.metadata) for each in self._replicas]
        nodes = {each.spec.node_name for each in self._replicas}
        if not replicas:
            return UNKNOWN
        ages = [self._set_up(key) for key in (*services, *replicas)]
        return _youngest([*ages, *map(self._node, nodes)])

    def _node(self, name: str) -> Age:
        """How long the node has been as it is, with the agents of its network."""
        if name not in self._steady:
            self._steady[name] = self._age_of_node(name)
        return self._steady[name]

    def _age_of_node(self, name: str) -> Age:
        visit = self._cluster.round.visits.get(name) or VisitRecord(VisitStatus.UNREACHABLE)
        if visit.status is not VisitStatus.SEEN or not visit.up:
            return UNKNOWN
        agents = [each for each in self._cluster.pod_index.by_node.get(name, ()) if _is_agent(each)]
        keys = [("Node", "", name), *(("Pod", each.namespace, each.name) for each in agents)]
        ages = [self._set_up(key) for key in keys]
        if visit.up < UP:
            start = f"node {name} had started {visit.up:.0f} s before"
            ages.append(Age(UP - visit.up, is_changing=True, start=start))
        return _youngest(ages)

    def _object(self, key: ObjectKey, old: float, *, is_gone_enough: bool) -> Age:
        """How long the object has been as it is; a Service with its EndpointSlices."""
        age = self._age(key, old, whole=True)
        return ENOUGH if is_gone_enough and age is UNKNOWN and not self._found(key) else age

    def _set_up(self, key: ObjectKey) -> Age:
        """How long ago the object was set up, whatever it reports since: readiness, endpoints."""
        return self._age(key, OLD, whole=False)

    def _age(self, key: ObjectKey, old: float, *, whole: bool) -> Age:
        if (key, whole, old) not in self._ages:
            self._ages[key, whole, old] = self._age_of_object(key, old, whole=whole)
        return self._ages[key, whole, old]

    def _found(self, key: ObjectKey) -> object | None:
        kind, namespace, name = key
        match kind:
            case "Pod":
                return self._pods.get((namespace, name))
            case "Node":
                return self._cluster.nodes.get(name)
            case "Service":
                return self._cluster.services.get((namespace, name))
        return self._slices.get((namespace, name))

    @cached_property
    def _slices(self) -> dict[tuple[str, str], object]:
        slices = self._cluster.api.endpoint_slices
        return {(each.metadata.namespace, each.metadata.name): each for each in slices}

    def _age_of_object(self, key: ObjectKey, old: float, *, whole: bool) -> Age:
        found = self._found(key)
        if found is None:
            return UNKNOWN
        fields = self._cluster.changed_fields.get(key)
        if fields is not None and (whole or not fields or fields - REPORTED):
            return Age(old, is_changing=True)
        parts = [found]
        if key[0] == "Service" and whole:
            parts += self._cluster.slices.get((key[1], key[2]), ())
        return _youngest(self._since(part, old, whole=whole) for part in parts)

    def _since(self, found: object, old: float, *, whole: bool) -> Age:
        metadata: Metadata = found.metadata  # type: ignore[attr-defined]
        if metadata.deletion_timestamp:
            return Age(old, is_changing=True)
        times = times_of if whole else set_up_times
        try:
            newest = datetime.fromisoformat(max(times(found, metadata))).timestamp()
        except (ValueError, OverflowError):
            return UNKNOWN
        passed = self._now - newest
        if passed < old:
            return Age(min(old - passed, 2 * old), is_changing=True)
        is_known = metadata.written and self._cluster.round.api_time
        return ENOUGH if is_known else UNKNOWN


def times_of(found: object, metadata: Metadata) -> Iterator[str]:
    """Every time in the object at which it was written: RFC 3339 in UTC, so sortable as text."""
    yield metadata.creation_timestamp
    yield metadata.written
    match found:
        case NodeObject(status=status):
            # The kubelet writes its status all the time; its conditions show when one changed.
            yield from (each.last_transition_time for each in status.conditions)
        case PodObject(status=status):
            yield metadata.status_written
            yield status.start_time
            yield from (each.last_transition_time for each in status.conditions)
            yield from _container_times(status)
        case _:
            yield metadata.status_written


def set_up_times(found: object, metadata: Metadata) -> Iterator[str]:
    """When the object was set up: of a pod its sandbox and containers, of a Service its spec."""
    yield metadata.creation_timestamp
    match found:
        case PodObject(status=status):
            yield status.start_time
            yield from (e.last_transition_time for e in status.conditions if e.type in OF_SANDBOXES)
            yield from _container_times(status)
        case NodeObject():
            # Its readiness, and taints that follow from it, can be what the fault does.
            pass
        case _:
            yield metadata.written


def _container_times(status: PodStatus) -> Iterator[str]:
    for each in status.container_statuses:
        yield (each.state.running or {}).get("startedAt", "")
        for state in (each.state, each.last_state):
            yield state.terminated.finished_at if state.terminated else ""


def _is_agent(pod: Pod) -> bool:
    """Whether the pod can be a part of its node's network: it runs beside it on every node."""
    owners = {each.kind for each in pod.object.metadata.owner_references}
    return pod.on_host_network and bool(owners & {"DaemonSet", "Node"})


def _keys(finding: Finding) -> Iterator[ObjectKey]:
    keys = (finding.subject.object_key, *(each.object_key for each in finding.concerns))
    return (key for key in dict.fromkeys(keys) if key[0] in API_KINDS)


def _key(kind: str, metadata: Metadata) -> ObjectKey:
    return (kind, metadata.namespace, metadata.name)


def _youngest(ages: Iterable[Age]) -> Age:
    return reduce(Age.__and__, ages, ENOUGH)
