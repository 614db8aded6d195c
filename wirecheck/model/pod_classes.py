"""The pods that a node treats alike: its own, and those of other nodes.

The pods of a node are one class where they are attached alike and no rule tells them apart, those
of other nodes where the node sends packets to them alike.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.model.path_world import path_nodes
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.node.seen import NodeSeen
from wirecheck.paths.attachment import Attachments
from wirecheck.paths.named_prefixes import Span, filtered_spans, routed_spans
from wirecheck.paths.onward import Onward
from wirecheck.paths.place import Place, World
from wirecheck.paths.pod_addresses import PodAddresses, Section

End = tuple[IPAddress, Pod]


@dataclass(frozen=True)
class PodClass:
    """Pods whose packets a node treats alike."""

    ends: Sequence[End]

    def chosen(self, is_free: Callable[[Pod], bool], without: Pod | None = None) -> End | None:
        """One of them, if possible one that no policy selects."""
        others = [each for each in self.ends if each[1] is not without]
        return next((e for e in others if is_free(e[1])), others[0] if others else None)


@dataclass(frozen=True)
class PodClasses:
    """The classes of pods for one node."""

    seen: NodeSeen

    def near(self, family: int) -> Sequence[PodClass]:
        """The classes of the node's own pods: without policies and with many pods first."""
        found: dict[Hashable, list[End]] = {}
        for section in self._sections:
            if section.peer.name == self.seen.name and section.family == family:
                for end in section.pods:
                    shape = self._shape(end[1])
                    if shape is not None:
                        key = (self.is_free(end[1]), shape, section.inside)
                        found.setdefault(key, []).append(end)
        return sorted(map(PodClass, found.values()), key=self._place)

    def _place(self, of: PodClass) -> tuple[bool, int]:
        return not self.is_free(of.ends[0][1]), -len(of.ends)

    def far(self, family: int) -> Sequence[PodClass]:
        """The classes of other nodes' pods, those of the next node in the order first."""
        onward = Onward(self.host, self.filtered)
        found: dict[Hashable, list[Section]] = {}
        for each in self._others:
            if each.family == family:
                found.setdefault(onward.shape(each), []).append(each)
        return [PodClass([e for section in of for e in section.pods]) for of in found.values()]

    @cached_property
    def _others(self) -> Sequence[Section]:
        """The sections of other nodes, beginning with those of the next one in the order."""
        places, name = self.seen.cluster.places, self.seen.name
        own, count = places[name], len(places)
        found = [each for each in self._sections if each.peer.name != name]
        return sorted(found, key=lambda each: (each.peer.place - own) % count)

    @cached_property
    def _sections(self) -> Sequence[Section]:
        """Without pods of nodes that were not visited, or that are no ordinary nodes."""
        known = PodAddresses.of(self.seen.cluster)
        routed = routed_spans(self.host, known.ranges)
        return [*known.sections(routed, self.filtered)]

    @cached_property
    def filtered(self) -> frozenset[Span]:
        return filtered_spans(self.host)

    def _shape(self, pod: Pod) -> Hashable:
        """How the pod is attached; None if that was not seen."""
        key = pod.ref.object_key
        if key not in self._shapes:
            self._shapes[key] = self._attached(pod)
        return self._shapes[key]

    @cached_property
    def _shapes(self) -> dict[tuple[str, str, str], Hashable]:
        return {}

    def _attached(self, pod: Pod) -> Hashable:
        place = self.world.place_of(pod)
        return None if isinstance(place, str) else self._attachments.shape(place)

    @cached_property
    def _attachments(self) -> Attachments:
        return Attachments(self.host)

    def is_free(self, pod: Pod) -> bool:
        """Whether no policy selects or restricts the pod."""
        return not policy_of(self.seen.cluster, pod)

    @cached_property
    def world(self) -> World:
        """The nodes of the round."""
        return path_nodes(self.seen.cluster).world

    @cached_property
    def host(self) -> Place:
        """The node's own netns. Raises FactMissingError or NotApplicable without a visit."""
        assert self.seen.facts, "a node that was not visited raises why"
        found = self.world.visited(self.seen.name)
        if isinstance(found, str):
            raise FactMissingError(found)
        return found.host


def policy_of(cluster: ClusterSeen, pod: Pod) -> str:
    """A policy that selects the pod or restricts it; empty if none does."""
    return cluster.pod_index.policies.about(pod.object)
