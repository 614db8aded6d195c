"""What is kept of each node to be compared with the others, once its document is let go."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.model.pools import settings_of

if TYPE_CHECKING:
    from wirecheck.model.node import Node

MOST_DEVIATIONS = 500
"""Of one node: with more than that, each node's own findings are the better reading."""

AS_ASKED = "as the API asks"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How one node forwards and is set up, in as far as nodes can differ in it.

    `unknown` says why it could not be told how it forwards.
    """

    forwarding: Mapping[Ref, str] = field(default_factory=dict)
    """Service ports that it handles otherwise than asked, and how."""
    claims: Mapping[Ref, str] = field(default_factory=dict)
    """Frontends that several Services claim, and whose backends it took."""
    unknown: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    """What nodes of one pool have in common, by name."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A Service port that nodes handle differently, though the API asks the same of them."""

    ref: Ref
    ways: Mapping[str, tuple[str, ...]]
    """Nodes by what they do."""

    @property
    def found(self) -> str:
        """`wc-w1: not handled; 3 other nodes: as the API asks`: the smallest group first."""
        groups = sorted(self.ways.items(), key=lambda each: (len(each[1]), each))
        *others, (most, nodes) = groups
        said = [f"{_listed(names)}: {way}" for way, names in others]
        return "; ".join([*said, f"{len(nodes):,} other node{'s' * (len(nodes) > 1)}: {most}"])


def fingerprint_of(node: Node) -> Fingerprint:
    """The fingerprints of a node that was visited."""
    try:
        dataplane = node.dataplane
    except (FactMissingError, NotApplicable) as reason:
        return Fingerprint(unknown=str(reason), settings=settings_of(node))
    deviations: dict[Ref, list[str]] = defaultdict(list)
    for every in dataplane.common():
        part = replace(every.ref, kind="Cluster", name="all Services", uid="")
        deviations[part].append(every.found)
    for each in dataplane.of():
        about = replace(each.ref, name="") if each.ref.kind == "Node" else each.ref
        if len(deviations) < MOST_DEVIATIONS or about in deviations:
            deviations[about].append(each.found)
    forwarding = {ref: "; ".join(dict.fromkeys(said)) for ref, said in deviations.items()}
    return Fingerprint(
        forwarding=forwarding, claims=dict(dataplane.claims), settings=settings_of(node)
    )


def disagreements(fingerprints: Mapping[str, Fingerprint]) -> Iterator[Disagreement]:
    """Where nodes differ from each other; nodes of which nothing is known are left out."""
    known = {name: each for name, each in sorted(fingerprints.items()) if not each.unknown}
    told = {ref for each in known.values() for ref in each.forwarding}
    for ref in sorted(told):
        yield from _differing(ref, {n: t.forwarding.get(ref, AS_ASKED) for n, t in known.items()})
    contested = {ref for each in known.values() for ref in each.claims} - told
    for ref in sorted(contested):
        yield from _differing(ref, {n: t.claims[ref] for n, t in known.items() if ref in t.claims})


def _differing(ref: Ref, way_of: Mapping[str, str]) -> Iterator[Disagreement]:
    ways: dict[str, list[str]] = defaultdict(list)
    for node, way in way_of.items():
        ways[way].append(node)
    if len(ways) > 1:
        yield Disagreement(ref, {way: tuple(nodes) for way, nodes in ways.items()})


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3])
    return f"{shown} and {len(names) - 3:,} more" if len(names) > 3 else shown
