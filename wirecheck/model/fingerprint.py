"""What is kept of each node to compare it with the others, after its document is freed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wirecheck.addresses import IPAddress
from wirecheck.api_index.grouping import grouped
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.dataplane.compare.differences import RULES_UNKNOWN, Kind
from wirecheck.model.pools import settings_of
from wirecheck.model.unlike_tunnels import tunnels_of
from wirecheck.policy.policies_on_node import PoliciesOnNode
from wirecheck.text import listed, plural

if TYPE_CHECKING:
    from wirecheck.model.node import Node

MOST_NAMES = 3
"""How many nodes are named in each group."""

MOST_DEVIATIONS = 500
"""The limit for one node: with more deviations, read the node's own findings instead."""

AS_ASKED = "as the API asks"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """How one node forwards Services, and its settings.

    `unknown` is the reason why its forwarding is unknown; empty if it is known.
    """

    forwarding: Mapping[Ref, str] = field(default_factory=dict)
    """The Service ports that it does not handle as the API asks, and how it handles them."""
    claims: Mapping[Ref, str] = field(default_factory=dict)
    """The frontends that several Services claim, and how the node handles them."""
    unknown: str = ""
    pods_elsewhere: str = ""
    """Why connections of its pods were not compared; empty if they were."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """The settings that nodes of one pool share, by name."""
    bound: BoundAddresses | None = None
    """None if the node's addresses were not read."""
    pools_masqueraded: Mapping[int, bool] = field(default_factory=dict)
    """By family whether the plugin masquerades pods of its pools, which were not read."""
    tunnels: Mapping[str, str] = field(default_factory=dict)
    """The VNI and port of the plugin's VXLAN devices, by their names."""
    policies: PoliciesOnNode = field(default_factory=PoliciesOnNode)
    """Which NetworkPolicies take effect."""


@dataclass(frozen=True, slots=True)
class BoundAddresses:
    """Some of the addresses on a node's interfaces."""

    ref: Ref
    single: Mapping[IPAddress, str] = field(default_factory=dict)
    """Addresses that only one node may have at a time, with their interfaces."""


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A Service port that nodes handle differently, though the API asks the same of them."""

    ref: Ref
    handlings: Mapping[str, tuple[str, ...]]
    """The nodes by how they handle it."""

    @property
    def found(self) -> str:
        """`wc-w1: not handled; 3 other nodes: as the API asks`: the smallest group first."""
        groups = sorted(self.handlings.items(), key=lambda each: (len(each[1]), each))
        *others, (most, nodes) = groups
        parts = [f"{listed(names, MOST_NAMES)}: {handling}" for handling, names in others]
        return "; ".join([*parts, f"{plural(len(nodes), 'other node')}: {most}"])


def fingerprint_of(node: Node) -> Fingerprint:
    """Return the fingerprint of a node that was visited."""
    found = Fingerprint(
        settings=settings_of(node),
        bound=_bound_addresses(node),
        pools_masqueraded=_pools_masqueraded(node),
        tunnels=tunnels_of(node),
        policies=node.policies,
    )
    try:
        dataplane = node.dataplane
    except (FactMissingError, NotApplicable) as reason:
        return replace(found, unknown=str(reason))
    deviations: dict[Ref, list[str]] = defaultdict(list)
    for every in dataplane.common():
        part = replace(every.ref, kind="Cluster", name="all Services", uid="")
        deviations[part].append(every.found)
    for each in dataplane.of(*(kind for kind in Kind if kind not in RULES_UNKNOWN)):
        about = replace(each.ref, name="") if each.ref.kind == "Node" else each.ref
        if len(deviations) < MOST_DEVIATIONS or about in deviations:
            deviations[about].append(each.found)
    forwarding = {ref: "; ".join(dict.fromkeys(said)) for ref, said in deviations.items()}
    return replace(
        found,
        forwarding=forwarding,
        claims=dict(dataplane.claims),
        pods_elsewhere=dataplane.pods_elsewhere,
    )


def _bound_addresses(node: Node) -> BoundAddresses | None:
    try:
        return BoundAddresses(node.ref, node.foreign_addresses.single)
    except (FactMissingError, NotApplicable):
        return None


def _pools_masqueraded(node: Node) -> Mapping[int, bool]:
    try:
        return node.egress.pools_masqueraded
    except (FactMissingError, NotApplicable):
        return {}


def disagreements(fingerprints: Mapping[str, Fingerprint]) -> Iterator[Disagreement]:
    """Yield where nodes differ from each other; nodes with unknown forwarding are left out."""
    known = {name: each for name, each in sorted(fingerprints.items()) if not each.unknown}
    deviating = {ref for each in known.values() for ref in each.forwarding}
    for ref in sorted(deviating):
        yield from _differing(ref, {n: t.forwarding.get(ref, AS_ASKED) for n, t in known.items()})
    contested = {ref for each in known.values() for ref in each.claims} - deviating
    for ref in sorted(contested):
        yield from _differing(ref, {n: t.claims[ref] for n, t in known.items() if ref in t.claims})


def _differing(ref: Ref, handling_of: Mapping[str, str]) -> Iterator[Disagreement]:
    handlings = grouped((handling, node) for node, handling in handling_of.items())
    if len(handlings) > 1:
        yield Disagreement(ref, handlings)
