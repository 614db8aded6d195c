"""Whether what enforces policies on a node still follows the API, by the age of what it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from wirecheck.api_index.network_policy import name_of
from wirecheck.catalogue.findings import Ref, Since
from wirecheck.policy.enforcement import PolicyEnforcement
from wirecheck.policy.peers import PodClass
from wirecheck.policy.ports import NO_PORTS, PortSet
from wirecheck.policy.ways import Followed
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.text import plural, rfc3339

DEFAULT_RESYNC = 60
"""Seconds, for enforcers that write everything again only after a change."""


@dataclass(frozen=True, slots=True, order=True)
class Dated:
    """An object, and when it was created or, if it is a policy, last written."""

    at: float
    ref: Ref


@dataclass(frozen=True, slots=True)
class Behind:
    """The enforcer of the node lacks everything that came later than something."""

    last: Dated
    """The newest object that it has programmed."""
    first: Dated
    """The oldest one that it has not."""
    lacking: int
    """How many objects it has not programmed."""

    @property
    def since(self) -> Since:
        """Since when the rules lack something."""
        return Since(self.first.at, f"{self.first.ref} was created or changed")

    @property
    def found(self) -> str:
        """`nothing that came after 2026-11-30T16:00:12Z is in the rules: 3 objects`."""
        return (
            f"nothing that came after {rfc3339(self.last.at)} is in the rules "
            f"({plural(self.lacking, 'object')})"
        )


def behind(of: PolicyEnforcement) -> Behind | None:
    """How far the enforcer is behind; None if it has programmed something newer, or all.

    What it lacks of older objects is another fault than an enforcer that does not follow.
    """
    lacking = {found for each in of.all_followed for found in _lacking(of, each)}
    if not lacking or None in lacking:
        return None
    right = (each for each in of.all_followed if not _wrong(each))
    programmed = {found for each in right for found in _programmed(of, each)}
    if not programmed:
        return None
    first, last = min(filter(None, lacking)), max(programmed)
    is_due = _now(of) - first.at >= _resync_seconds(of)
    return Behind(last, first, len(lacking)) if last.at < first.at and is_due else None


def _now(of: PolicyEnforcement) -> float:
    record = of.seen.cluster.round
    return record.api_time or record.started


def _resync_seconds(of: PolicyEnforcement) -> int:
    """After so many seconds the enforcer has written again whatever it has missed."""
    known = [each.policy_resync for each in of.seen.cluster.cni_agents if each.filter_chains]
    return max([DEFAULT_RESYNC, *known])


def _wrong(each: Followed) -> int:
    return each.wrong(is_open=True) | each.wrong(is_open=False)


def _lacking(of: PolicyEnforcement, each: Followed) -> Iterator[Dated | None]:
    """For each peer with wrong connections: the newest object that these depend on."""
    way, wrong = each.way, _wrong(each)
    if not wrong:
        return
    own = [dated(each.pod.object.metadata, each.pod.ref), *_policies(of, each)]
    for at, peer in enumerate(way.peers):
        if not (peer.pods and way.packets.ports_of_end(at, wrong)):
            continue
        # The pods of one peer are alike in the rules: if one is missing, all are.
        of_peer = [dated(pod.object.metadata, pod.ref) for pod in peer.pods]
        known = [found for found in (*own, *of_peer) if found is not None]
        if len(known) < len(own) + len(of_peer):
            yield None
        else:
            yield max(*known[: len(own)], min(known[len(own) :]))


def _programmed(of: PolicyEnforcement, each: Followed) -> Iterator[Dated]:
    """What the rules of the node certainly contain, because they decide as policies do."""
    way = each.way
    if not way.denied or way.denied & ~each.fates.refused:
        return
    yield from filter(None, (dated(each.pod.object.metadata, each.pod.ref), *_policies(of, each)))
    common = _common(reach.allowed_ports for reach in way.own)
    for at, (peer, reach) in enumerate(zip(way.peers, way.own, strict=True)):
        special = way.ports.within(reach.allowed_ports - common)
        passed = way.packets.ports_of_end(at, each.fates.passed & ~each.fates.undecided)
        if special & passed:
            found = (dated(pod.object.metadata, pod.ref) for pod in peer.pods)
            yield from filter(None, found)


def _common(sets: Iterable[PortSet]) -> PortSet:
    """The ports that all of the sets have: every peer may connect to them."""
    distinct = iter(dict.fromkeys(sets))
    found = next(distinct, NO_PORTS)
    for each in distinct:
        found &= each
    return found


def _policies(of: PolicyEnforcement, each: Followed) -> Iterator[Dated | None]:
    subject = each.way.subject.peer
    assert isinstance(subject, PodClass)
    isolation = of.pods.expected.isolation
    for policy, _ in isolation.selecting(subject, each.way.direction):
        kind, _, name = name_of(policy).partition(" ")
        namespace, _, name = name.partition("/")
        yield dated(policy.metadata, Ref(kind, name, namespace))


def dated(metadata: Metadata, ref: Ref) -> Dated | None:
    """The object with its time; None if that cannot be read. Policies count as last written."""
    is_policy = ref.kind == "NetworkPolicy"
    text = (metadata.written if is_policy else "") or metadata.creation_timestamp
    try:
        return Dated(datetime.fromisoformat(text).timestamp(), ref)
    except (ValueError, OverflowError):
        return None
