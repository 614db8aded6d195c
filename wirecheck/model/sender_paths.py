"""Packets of a node and its pods to Services, and out of the cluster.

Each class of the node's pods, and the node itself, are followed to one Service; one class to one
Service of each kind. What rules do with single Services is compared by `services.*`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.model.pod_classes import PodClasses, policy_of
from wirecheck.model.service_kinds import ServiceKinds, ServiceTarget
from wirecheck.model.traced import (
    REFUSED,
    SELECTED,
    Followed,
    Traced,
    is_refused,
    pods_of,
    why_open,
    worst_of,
)
from wirecheck.node.seen import NodeSeen
from wirecheck.paths.answer import Path, follows_policies
from wirecheck.paths.ends import SOMEBODY, Destination
from wirecheck.paths.journey import Result
from wirecheck.paths.outside import answered_from_outside
from wirecheck.paths.start import from_sender
from wirecheck.policy.connections import Connections

API = ("default", "kubernetes")
MOST_NODES = 32
"""Nodes of a run from which Services are followed: nodes of one cluster are much alike."""
MOST_SENDERS = 40
FEW = f"Services are followed from {MOST_NODES} nodes of a large cluster, and compared on all"
HTTPS = 443


@dataclass(frozen=True)
class Sender:
    """A pod, or without one the node itself, and how many such pods there are."""

    pod: Pod | None
    count: int

    @property
    def refs(self) -> tuple[Ref, ...]:
        return (self.pod.ref,) if self.pod else ()


@dataclass(frozen=True)
class SenderPaths:
    """The packets that one node and its pods send to what is not a pod."""

    seen: NodeSeen
    classes: PodClasses

    @property
    def to_dns(self) -> Followed:
        """Packets to the cluster's DNS. Raises NotApplicable without such a Service."""
        addresses = self.seen.cluster.dns.service_addresses
        return self._to(lambda each: each.to.address in addresses)

    @property
    def to_api_server(self) -> Followed:
        """Packets to Service `kubernetes`. Raises NotApplicable without it."""
        return self._to(lambda each: each.key == API)

    @property
    def to_services(self) -> Followed:
        """Packets to one Service of each kind. Raises NotApplicable if there are none."""
        self._require_turn()
        return Followed.of([*self._of_each_kind()])

    @property
    def out_of_the_cluster(self) -> Followed:
        """Packets to an address outside. Raises NotApplicable without a route to it."""
        return Followed.of([e for family in (4, 6) for e in self._outward(family)])

    def _to(self, wanted: Callable[[ServiceTarget], bool]) -> Followed:
        self._require_turn()
        found = [each for each in self._kinds.all if wanted(each)]
        if not found:
            raise NotApplicable("the cluster has no such Service with endpoints")
        first, *others = found
        sent = [self._traced(each, first) for each in self._senders(first)]
        return Followed.of([*sent, *(self._traced(self._senders(e)[0], e) for e in others)])

    def _require_turn(self) -> None:
        places = self.seen.cluster.places
        step = -(-len(places) // MOST_NODES)
        if places[self.seen.name] % step:
            raise NotApplicable(FEW)

    def _of_each_kind(self) -> Iterator[Traced]:
        known: set[int] = set()
        for of in self._kinds.by_kind.values():
            for is_here in (True, False):
                here = [each for each in of if (self.seen.name in each.nodes) is is_here]
                if not here or (here[0].kind.is_local and not is_here):
                    continue
                first, *others = self._senders(here[0])
                for sender in (first, *others) if here[0].kind.family not in known else (first,):
                    traced = self._traced(sender, here[0])
                    yield replace(traced, count=sender.count * len(here))
                known.add(here[0].kind.family)

    def _senders(self, to: ServiceTarget) -> Sequence[Sender]:
        """The classes of pods of a family, and the node itself."""
        return self._senders_of(to.kind.family)

    def _senders_of(self, family: int) -> Sequence[Sender]:
        found = [
            Sender(end[1], len(each.ends))
            for each in self.classes.near(family)[:MOST_SENDERS]
            if (end := each.chosen(self.classes.is_free))
        ]
        has_family = any(each.version == family for each in self.seen.addresses)
        return [*found, *([Sender(None, 1)] if has_family else ())] or [Sender(None, 1)]

    def _traced(self, sender: Sender, to: ServiceTarget) -> Traced:
        refs = (*sender.refs, to.ref)
        made = Traced(self.seen.name, sender.pod, to.to, sender.count, concerns=refs)
        cluster = self.seen.cluster
        if sender.pod and policy_of(cluster, sender.pod) and not follows_policies(cluster):
            return replace(made, unknown=SELECTED)
        return self._followed(made)

    def _followed(self, made: Traced) -> Traced:
        """With its path: the worst branch of those that policies allow."""
        world = self.classes.world
        start = from_sender(world, self.seen.name, made.source, made.to)
        if isinstance(start, str):
            return replace(made, unknown=start)
        found = [e for e in answered_from_outside(world, start) if not self._denied(e)]
        if not found:
            return replace(made, unknown="policies do not allow the connection, or may not")
        worst = worst_of(found)
        if is_refused(worst):
            return replace(made, path=worst, unknown=REFUSED)
        if worst.result is not Result.UNDECIDED:
            return replace(made, path=worst)
        ends = pods_of(world, made.source, worst)
        is_selected = worst.open and any(policy_of(self.seen.cluster, e) for e in ends)
        why = SELECTED if is_selected else why_open(worst, self.classes.host)
        return replace(made, path=worst, unknown=why)

    def _denied(self, path: Path) -> bool:
        """Whether the path dies, and policies do not allow the connection for certain."""
        sent, got = path.there.sent, path.there.packet
        if path.result is not Result.DIES or sent is None:
            return False
        source = got.source if sent.source.is_unspecified else sent.source
        policies = Connections.of(self.seen.cluster)
        return not policies.allow(source, got.destination, got.protocol, got.port)

    def _outward(self, family: int) -> Iterator[Traced]:
        to = Destination("an address outside of the cluster", SOMEBODY[family], HTTPS, "tcp")
        route, _ = self.classes.host.routing.decision(to.address)
        if route is None or not (route.gateway or route.hops):
            return  # Without a router nobody may be there.
        for sender in self._senders_of(family):
            made = Traced(self.seen.name, sender.pod, to, sender.count, concerns=sender.refs)
            if sender.pod and policy_of(self.seen.cluster, sender.pod):
                yield replace(made, unknown=SELECTED)
            else:
                yield self._followed(made)

    @cached_property
    def _kinds(self) -> ServiceKinds:
        return ServiceKinds.of(self.seen.cluster)

    @cached_property
    def _connections(self) -> Connections:
        return Connections.of(self.seen.cluster)
