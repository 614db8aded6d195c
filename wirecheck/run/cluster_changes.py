"""What changed in a cluster between two runs: versions, images, kernels, MTUs, sysctls, rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from wirecheck.api_index.pod import Pod
from wirecheck.node.named_values import COUNT, facts_of
from wirecheck.parse.rule_counts import RuleCounts
from wirecheck.results.records import Results
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot, SnapshotError
from wirecheck.text import listed, plural

MOST_VALUES = 3
"""Changes of one fact that are listed one by one; of more, one example is shown."""


@dataclass(frozen=True, slots=True)
class ClusterChange:
    """One change. Without nodes it concerns the whole cluster."""

    what: str
    was: str
    now: str
    nodes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """`kernel on 2 nodes (w1, w2): was 6.1.0, now 6.8.0`."""
        where = f" on {plural(len(self.nodes), 'node')} ({listed(self.nodes, 5)})"
        return f"{self.what}{where if self.nodes else ''}: was {self.was}, now {self.now}"


def changes_between(
    before: Results, now: Results, was: Snapshot | None, seen: Snapshot | None
) -> list[ClusterChange]:
    """All changes: from the results, and from the snapshots if both exist.

    Raises SnapshotError if the API objects of a snapshot cannot be read.
    """
    changes = list(_of_records(before, now))
    if was is not None and seen is not None:
        changes += _of_images(was.api(1), seen.api(1))
        changes += _of_objects(was.api(1), seen.api(1))
        changes += _of_nodes(was, seen)
    return changes


def _of_records(before: Results, now: Results) -> Iterator[ClusterChange]:
    old, new = before.started, now.started
    first, last = before.ended.coverage, now.ended.coverage
    pairs = {
        "cluster": (old.cluster.uid, new.cluster.uid),
        "Kubernetes": (old.cluster.version, new.cluster.version),
        "kube-proxy modes": (
            ", ".join(old.cluster.proxy_modes),
            ", ".join(new.cluster.proxy_modes),
        ),
        "wirecheck": (old.wirecheck, new.wirecheck),
        "number of nodes": (f"{first.nodes_known:,}", f"{last.nodes_known:,}"),
        "number of running pods": (f"{first.pods_known:,}", f"{last.pods_known:,}"),
        "number of Services": (f"{first.services_known:,}", f"{last.services_known:,}"),
    }
    for what, (was, is_now) in pairs.items():
        if was != is_now:
            yield ClusterChange(what, was or "unknown", is_now or "unknown")
    nodes = [{item.node for item in run.items if item.node} for run in (before, now)]
    for what, some in (
        ("nodes added", nodes[1] - nodes[0]),
        ("nodes removed", nodes[0] - nodes[1]),
    ):
        if some:
            yield ClusterChange(what, "-", listed(sorted(some), 10))


def _of_images(was: ApiObjects, now: ApiObjects) -> Iterator[ClusterChange]:
    """Which versions of kube-proxy, CoreDNS, the CNI plugin's agents … run."""
    old, new = _images(was), _images(now)
    for what in sorted(old.keys() | new.keys()):
        if old[what] != new[what]:
            before, since = (", ".join(sorted(some)) or "none" for some in (old[what], new[what]))
            yield ClusterChange(f"image of {what}", before, since)


def _images(api: ApiObjects) -> Mapping[str, set[str]]:
    """The images of the network's components, such as `kube-system DaemonSet/kube-proxy`.

    That is all of kube-system, and wherever it lives what runs on every node's own network.
    """
    found: dict[str, set[str]] = defaultdict(set)
    for pod in map(Pod, api.pods):
        workload = pod.ref.workload
        if workload == f"Node/{pod.node_name}":
            # A static pod, which is called NAME-NODE.
            workload = f"Pod/{pod.name.removesuffix(f'-{pod.node_name}')}"
        is_an_agent = pod.on_host_network and workload.startswith("DaemonSet/")
        if pod.is_running and (pod.namespace == "kube-system" or is_an_agent):
            for each in pod.object.spec.containers:
                found[f"{pod.namespace} {workload} {each.name}"].add(each.image)
    return found


def _of_objects(was: ApiObjects, now: ApiObjects) -> Iterator[ClusterChange]:
    """Changed ConfigMaps, with the names of the changed keys: their text may be long."""
    old = {each.metadata.name: each.data for each in was.config_maps}
    for each in now.config_maps:
        before = old.get(each.metadata.name)
        if before is not None and before != each.data:
            names = sorted(k for k in before | each.data if before.get(k) != each.data.get(k))
            yield ClusterChange(f"ConfigMap {each.metadata.name}", "other", ", ".join(names))


def _of_nodes(was: Snapshot, seen: Snapshot) -> Iterator[ClusterChange]:
    """Changes of each node; for new nodes, values that no earlier node had."""
    old = dict(_facts(was))
    values: dict[str, set[str]] = defaultdict(set)
    for facts in old.values():
        for what, value in facts.items():
            values[what].add(value)
    changed: dict[str, dict[tuple[str, str], list[str]]] = defaultdict(lambda: defaultdict(list))
    for node, facts in _facts(seen):
        for what, before, value in _differing(old.get(node), facts, values):
            changed[what][before, value].append(node)
    for what, some in changed.items():
        yield from _grouped(what, some)


def _differing(
    before: Mapping[str, str] | None, now: Mapping[str, str], values: Mapping[str, set[str]]
) -> Iterator[tuple[str, str, str]]:
    if before is not None:
        for what in dict.fromkeys([*before, *now]):
            # An added or removed interface is shown by its MTU; its sysctls came or went with it.
            passing = ".conf." in what and not (what in before and what in now)
            if before.get(what) != now.get(what) and not passing:
                yield what, before.get(what, "not seen"), now.get(what, "not seen")
        return
    for what, value in now.items():
        known = values.get(what)
        if known and value not in known and not what.startswith(COUNT):
            yield what, f"{listed(sorted(known), 3)} on the earlier nodes", value


def _grouped(what: str, some: Mapping[tuple[str, str], list[str]]) -> Iterator[ClusterChange]:
    if len(some) <= MOST_VALUES:
        for (was, now), nodes in some.items():
            yield ClusterChange(what, was, now, tuple(nodes))
        return
    (was, now), first = max(some.items(), key=lambda each: len(each[1]))
    nodes = sorted(node for each in some.values() for node in each)
    yield ClusterChange(what, f"{was} on {first[0]}", f"{now} there", tuple(nodes))


def _facts(snapshot: Snapshot) -> Iterable[tuple[str, dict[str, str]]]:
    """The facts of each node, one by one: one document is in memory at a time."""
    visits = snapshot.index.looks[0].visits
    counts = RuleCounts()
    for node in sorted(snapshot.api(1).nodes, key=lambda each: each.metadata.name):
        name = node.metadata.name
        visit = visits.get(name)
        document = None
        if visit is not None and visit.status.reached:
            try:
                document = snapshot.document(name)
            except SnapshotError:
                # What the API shows of it is compared all the same; `run` reports the document.
                document = None
        yield name, facts_of(node, visit, document, counts)
