"""The part of a cluster that a run is about: some nodes, the objects of some namespaces. Pure.

What a selected node or namespace has is evaluated exactly as without a selection: an address that a
pod shares with a pod of another namespace is found. Only findings about other objects do not count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from msgspec.structs import replace

from wirecheck.catalogue.findings import Finding, Findings, Ref
from wirecheck.catalogue.registry import Check
from wirecheck.model.cluster import Cluster
from wirecheck.results.records import FindingRecord, ItemResult, Object
from wirecheck.text import listed, plural


@dataclass(frozen=True, slots=True)
class Selection:
    """Globs for names; without any, everything is selected."""

    nodes: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is left out."""
        return bool(self.nodes or self.namespaces)

    def has_node(self, name: str) -> bool:
        """Whether the node is selected."""
        return not self.nodes or _matches(name, self.nodes)

    def has_namespace(self, name: str) -> bool:
        """Whether the namespace is selected. What has none (a node) belongs to each of them."""
        return not (self.namespaces and name) or _matches(name, self.namespaces)

    @property
    def globs(self) -> str:
        """`node w*, namespaces shop, ops`: what was asked for."""
        kinds = (("node", self.nodes), ("namespace", self.namespaces))
        some = (f"{k}{'s' * (len(of) > 1)} {', '.join(of)}" for k, of in kinds if of)
        return ", ".join(some)

    def words(self, matching: Collection[str], known: int) -> str:
        """`2 of 12 nodes (w1, w2), namespaces shop, cart`; empty without a selection."""
        if not self.nodes:
            return self.globs
        names = f"{len(matching):,} of {plural(known, 'node')} ({listed(sorted(matching), 5)})"
        return ", ".join(filter(None, [names, Selection(namespaces=self.namespaces).globs]))


EVERYTHING = Selection()


class Selected:
    """Decides which findings count, knowing which node a pod is on."""

    def __init__(self, selection: Selection, cluster: Cluster | None) -> None:
        self._selection = selection
        self.left_out: set[tuple[str, tuple[Ref, str, str]]] = set()
        """The findings that do not count, by their checks; the same in several rounds once."""
        pods = cluster.pods if selection.nodes and cluster else ()
        self._node_of = {(pod.namespace, pod.name): pod.node_name for pod in pods}

    def applied(self, check: Check) -> Check:
        """The check without its findings about other objects."""
        if not self._selection:
            return check

        of_cluster = check.scope == "cluster"

        def function(subject: Any) -> Findings:
            for each in check.function(subject):
                if isinstance(each, Finding) and not self.has(each, of_cluster=of_cluster):
                    self.left_out.add((check.id, each.identity))
                else:
                    yield each

        return dataclasses.replace(check, function=function)

    def has(self, finding: Finding, *, of_cluster: bool) -> bool:
        """Whether the finding counts. One `of_cluster` may be about any node.

        A finding about two objects counts if one of them is selected.
        """
        refs = (finding.subject, *finding.concerns)
        return self._is_in_namespaces(refs) and (not of_cluster or self._is_on_nodes(refs))

    def _is_in_namespaces(self, refs: Sequence[Ref]) -> bool:
        subject = _namespace(refs[0])
        others = filter(None, map(_namespace, refs[1:]))
        return any(map(self._selection.has_namespace, (subject, *others)))

    def _is_on_nodes(self, refs: Sequence[Ref]) -> bool:
        if not self._selection.nodes or not self._node(refs[0]):
            return True  # a Service concerns every node
        return any(self._selection.has_node(name) for ref in refs if (name := self._node(ref)))

    def _node(self, ref: Ref) -> str:
        """The node of the object; empty if it has none."""
        if ref.kind == "Node":
            return ref.name
        return self._node_of.get((ref.namespace, ref.name), "") if ref.kind == "Pod" else ""


def within(selection: Selection, items: Sequence[ItemResult]) -> list[ItemResult]:
    """The items of an earlier run of the whole cluster, as far as the selection reaches.

    Where a pod was is no longer known, so findings of the cluster about pods are left out if only
    some nodes are selected.
    """
    if not selection:
        return list(items)
    return [
        replace(item, findings=[each for each in item.findings if _reaches(selection, item, each)])
        for item in items
        if not item.node or selection.has_node(item.node)
    ]


def _reaches(selection: Selection, item: ItemResult, finding: FindingRecord) -> bool:
    about = finding.object
    if not selection.has_namespace(_namespace(about)):
        return False
    if item.node or not selection.nodes:
        return True
    return about.kind != "Pod" and (about.kind != "Node" or selection.has_node(about.name))


def _namespace(ref: Ref | Object) -> str:
    return ref.name if ref.kind == "Namespace" else ref.namespace


def _matches(name: str, globs: Collection[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
