"""Finds the changes in the API between the lists and the end of the visits.

A list with `limit=1` gives the current version; a watch from the first list's version is read
until an event or a bookmark has reached it. So the cost depends on the number of changes, not of
objects. If a list is short, or the watch ends too early, the list is read again and compared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import msgspec
from msgspec import Struct

from wirecheck.api_index.endpoint_slices import SERVICE_NAME
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.api.resources import (
    RESOURCES,
    ListMetadata,
    Object,
    Resource,
    without_free_text,
)
from wirecheck.collect.interruptible import results_of
from wirecheck.snapshot.api_objects import OTHER_LABELS, ApiObjects, Change
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.metadata import is_ready, is_true
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

SHORT = 2000
"""A list of at most so many objects is read again: two pages arrive sooner than a bookmark."""
WATCH_SECONDS = 8
"""Seconds after which the server ends the watch. It sends a bookmark two seconds before; by then
it has the current version from etcd, which reports it every five seconds (kubeadm's etcd)."""
GRACE_SECONDS = 10.0

Key = tuple[str, str]
"""Namespace and name."""


class _Event(Struct, frozen=True):
    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: msgspec.Raw


class _Bookmark(Struct, frozen=True):
    metadata: ListMetadata


# Watches are read by several threads, and msgspec 0.22 crashes the process if several threads
# are the first to decode a type. So these decoders are created while there is one thread.
for _kind in (_Event, _Bookmark):
    msgspec.json.Decoder(_kind)


OF_KUBERNETES = ("kubernetes.io/", "k8s.io/")
"""Parts of label keys that Kubernetes and its proxies read."""


@dataclass(frozen=True, slots=True)
class Selecting:
    """The label keys that selectors of the cluster's objects name."""

    keys: frozenset[str]
    every: bool
    """Whether every key counts, because not all selectors of policies are read."""

    @classmethod
    def of(cls, objects: ApiObjects) -> Selecting:
        """Return the keys of the selectors of Services and DaemonSets."""
        keys = {key for service in objects.services for key in service.spec.selector}
        for selector in (each.spec.selector for each in objects.daemon_sets):
            keys |= {*selector.match_labels, *(e.key for e in selector.match_expressions)}
        has_policies = bool(objects.network_policies or objects.other_policies)
        return cls(frozenset(keys), every=has_policies)

    def any_of(self, keys: Iterable[str]) -> bool:
        """Return whether something may select by one of the keys."""
        return self.every or any(
            key in self.keys or any(part in key for part in OF_KUBERNETES) for key in keys
        )


def _different(then: Mapping[str, str], now: Mapping[str, str]) -> set[str]:
    return {key for key in then.keys() | now.keys() if then.get(key) != now.get(key)}


@dataclass(slots=True)
class _Differences:
    """How the objects of one resource differ from `before` in relevant fields."""

    before: dict[Key, Object]
    selecting: Selecting
    words: dict[Key, list[str]] = field(default_factory=dict)
    objects: dict[Key, Object] = field(default_factory=dict)

    def now(self, new: Object) -> None:
        """Compare the current state of an object with the earlier one."""
        old = self.before.get(_key(new))
        if old is None:
            self._add(new, ["added"])
        elif old.metadata.uid != new.metadata.uid:
            self._add(old, ["replaced"])
        elif old.metadata.resource_version != new.metadata.resource_version:
            then, now = _what_counts(old), _what_counts(new)
            words = [name for name in now if then[name] != now[name]]
            if "labels" in words and not self.selecting.any_of(
                _different(old.metadata.labels, new.metadata.labels)
            ):
                words[words.index("labels")] = OTHER_LABELS
            self._add(old, words)

    def gone(self, last: Object) -> None:
        """Note that an object was deleted."""
        self._add(self.before.get(_key(last), last), ["deleted"])

    def _add(self, item: Object, words: Iterable[str]) -> None:
        for word in words:
            known = self.words.setdefault(_key(item), [])
            if word not in known:
                known.append(word)
            self.objects[_key(item)] = item


def changes_since(api: Api, before: ApiObjects) -> list[Change]:
    """The objects that were added, deleted or changed in a relevant field since `before`.

    A changed EndpointSlice is a change of its Service too. Raises ApiError if the API can no
    longer be read.
    """
    resources = [each for each in RESOURCES if each.plural in before.resource_versions]
    if not resources:
        return []
    selecting = Selecting.of(before)
    calls = [partial(_differences, api, before, selecting, each) for each in resources]
    found = _concurrently(calls)
    return _of_all(resources, found, before)


def _concurrently(calls: Iterable[Callable[[], _Differences]]) -> list[_Differences]:
    """The results of the calls, which run concurrently.

    An interrupt does not wait for them, as a pool would: a server that does not respond would
    delay the end of the program.
    """
    futures = []
    for call in calls:
        future: Future[_Differences] = Future()
        threading.Thread(target=_fulfil, args=(future, call), name="changes", daemon=True).start()
        futures.append(future)
    return results_of(futures)


def _fulfil(future: Future[_Differences], call: Callable[[], _Differences]) -> None:
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)


def changes_between(before: ApiObjects, after: ApiObjects) -> list[Change]:
    """The changes between two complete reads of one cluster."""
    found = []
    selecting = Selecting.of(before)
    for resource in RESOURCES:
        differences = _Differences(
            {_key(each): each for each in getattr(before, resource.attribute)}, selecting
        )
        now = {_key(each): each for each in getattr(after, resource.attribute)}
        for item in now.values():
            differences.now(item)
        for key, item in differences.before.items():
            if key not in now:
                differences.gone(item)
        found.append(differences)
    return _of_all(RESOURCES, found, before)


def _of_all(
    resources: Iterable[Resource], found: Collection[_Differences], before: ApiObjects
) -> list[Change]:
    changes = {}
    for resource, differences in zip(resources, found, strict=True):
        for change in _changes(resource.kind, differences):
            changes[change.kind, change.namespace, change.name] = change
    for change in list(_of_services(found, before)):
        key = (change.kind, change.namespace, change.name)
        what = [changes[key].what] if key in changes else []
        changes[key] = msgspec.structs.replace(change, what=", ".join([*what, change.what]))
    return [changes[key] for key in sorted(changes)]


def _differences(
    api: Api, before: ApiObjects, selecting: Selecting, resource: Resource
) -> _Differences:
    objects = {_key(item): item for item in getattr(before, resource.attribute)}
    if len(objects) > SHORT:
        watched = _Differences(objects, selecting)
        if _watch(api, resource, before.resource_versions[resource.plural], watched):
            return watched
    listed = _Differences(objects, selecting)
    now, _ = api.objects(resource)
    for item in now:
        listed.now(item)
    present = {_key(item) for item in now}
    for key, item in objects.items():
        if key not in present:
            listed.gone(item)
    return listed


def _watch(api: Api, resource: Resource, version: str, differences: _Differences) -> bool:
    """Apply the events since `version`; False if the watch did not reach the current version.

    410 (the version is too old), missing permission to watch and a watch that ends too early
    all mean that the list has to be read again.
    """
    try:
        end = api.version_now(resource)
        if _at_least(version, end):
            return True
        for event, reached in _events(api, resource, version):
            if event is not None:
                deleted, item = event
                (differences.gone if deleted else differences.now)(item)
            if _at_least(reached, end):
                return True
    except ApiError:
        pass
    return False


def _events(
    api: Api, resource: Resource, version: str
) -> Iterator[tuple[tuple[bool, Object] | None, str]]:
    """(whether deleted, the object), or None for a bookmark; and its version."""
    query = {
        "watch": "true",
        "resourceVersion": version,
        "allowWatchBookmarks": "true",
        "timeoutSeconds": str(WATCH_SECONDS),
    }
    decoded = api.connection.decoded
    what = f"the watch of {resource.plural}"
    limit = WATCH_SECONDS + GRACE_SECONDS
    for line in api.connection.lines(resource.path, what, query, resource.rule, limit):
        event = decoded(line, _Event, what)
        if event.type == "ERROR":
            return
        if event.type == "BOOKMARK":
            bookmark = decoded(event.object, _Bookmark, what)
            yield None, bookmark.metadata.resource_version
            continue
        item: Object = decoded(event.object, resource.type, what)
        without_free_text(item.metadata)
        yield (event.type == "DELETED", item), item.metadata.resource_version


def _at_least(version: str, end: str) -> bool:
    """Whether `version` is `end` or later.

    Versions of one resource may be compared as integers: Kubernetes guarantees it since 1.35
    (KEP-5504), and it was always true with etcd. Others are only compared for equality.
    """
    if version.isdecimal() and end.isdecimal():
        return int(version) >= int(end)
    return version == end


def _changes(kind: str, differences: _Differences) -> Iterator[Change]:
    for (namespace, name), words in differences.words.items():
        uid = differences.objects[namespace, name].metadata.uid
        yield Change(kind, name, namespace, uid, ", ".join(words))


def _of_services(found: Iterable[_Differences], before: ApiObjects) -> Iterator[Change]:
    """The Services whose EndpointSlices changed."""
    uids = {_key(service): service.metadata.uid for service in before.services}
    services = {
        (item.metadata.namespace, item.metadata.labels.get(SERVICE_NAME, ""))
        for differences in found
        for item in differences.objects.values()
        if isinstance(item, EndpointSliceObject)
    }
    for namespace, name in sorted(services):
        if name:
            yield Change("Service", name, namespace, uids.get((namespace, name), ""), "endpoints")


def _key(item: Object) -> Key:
    return (item.metadata.namespace, item.metadata.name)


def _what_counts(item: Object) -> dict[str, object]:
    """The fields that checks use, without those that change constantly (heartbeats)."""
    metadata = item.metadata
    common: dict[str, object] = {
        "deletionTimestamp": metadata.deletion_timestamp,
        "labels": metadata.labels,
        "annotations": metadata.annotations,
    }
    match item:
        case NodeObject(spec=spec, status=status):
            return common | {
                "podCIDRs": (spec.pod_cidr, spec.pod_cidrs),
                "unschedulable": spec.unschedulable,
                "addresses": status.addresses,
                "nodeInfo": status.node_info,
                "ready": is_ready(status.conditions),
                "networkUnavailable": is_true(status.conditions, "NetworkUnavailable"),
            }
        case PodObject(spec=spec, status=status):
            return common | {
                "nodeName": spec.node_name,
                "phase": status.phase,
                "podIPs": (status.pod_ip, status.pod_ips),
                "ready": is_ready(status.conditions),
            }
        case ServiceObject(spec=spec, status=status):
            return common | {"spec": spec, "status": status}
        case EndpointSliceObject(endpoints=endpoints, ports=ports):
            return common | {
                "addressType": item.address_type,
                "endpoints": endpoints,
                "ports": ports,
            }
        case NetworkPolicyObject(spec=spec):
            return common | {"spec": spec}
