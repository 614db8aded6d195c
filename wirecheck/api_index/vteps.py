"""flannel's VXLAN tunnel endpoints (VTEPs), as nodes announce them in annotations.

flannel writes, for each other node, a permanent neighbour (the first address of its range, with
the MAC of its VXLAN device) and an FDB entry (that MAC, at that node's own address).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_addresses import pod_ranges
from wirecheck.api_index.node_ref import node_ref
from wirecheck.api_index.pod_ranges import BACKEND
from wirecheck.catalogue.findings import FactMissingError, Ref
from wirecheck.snapshot.objects.node import NodeObject

PREFIX = "flannel.alpha.coreos.com/"
ANNOTATIONS = {4: ("backend-data", "public-ip"), 6: ("backend-v6-data", "public-ipv6")}
OVERWRITE = {4: PREFIX + "public-ip-overwrite", 6: PREFIX + "public-ipv6-overwrite"}
"""Annotations with which an administrator sets the address that flannel announces."""

Pair = tuple[str, str]


@dataclass(frozen=True)
class Vtep:
    """A node's tunnel endpoint in one family, as its annotations announce it."""

    node: NodeObject
    family: int
    vni: int
    mac: str
    endpoint: IPAddress
    """The address that the other nodes send to."""
    gateway: IPAddress
    """The gateway of routes through the tunnel: the first address of the node's range."""

    @property
    def neighbour(self) -> Pair:
        """The (address, MAC) of the neighbour entry that every other node has for it."""
        return str(self.gateway), self.mac

    @property
    def fdb(self) -> Pair:
        """The (MAC, destination) of the FDB entry that every other node has for it."""
        return self.mac, str(self.endpoint)

    @property
    def name(self) -> str:
        return self.node.metadata.name

    @property
    def ref(self) -> Ref:
        return node_ref(self.node)


def vteps_of(node: NodeObject) -> Iterator[Vtep]:
    """Yield the endpoints that a node announces, one per family.

    Raises FactMissingError for an annotation that cannot be parsed.
    """
    notes = node.metadata.annotations
    if notes.get(BACKEND) != "vxlan":
        return
    ranges = pod_ranges(node)
    for family, (data, endpoint) in ANNOTATIONS.items():
        range_ = next((each for each in ranges if each.version == family), None)
        text = notes.get(PREFIX + data, "")
        if range_ is None or text in ("", "null") or PREFIX + endpoint not in notes:
            continue
        try:
            announced = json.loads(text)
            yield Vtep(
                node,
                family,
                int(announced["VNI"]),
                str(announced["VtepMAC"]).lower(),
                address(notes[PREFIX + endpoint]),
                range_.network_address,
            )
        except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
            raise FactMissingError(
                f"Annotations {PREFIX}{data} and {endpoint} of node {node.metadata.name} cannot be "
                f"parsed: {text[:200]!r}, {notes[PREFIX + endpoint][:50]!r}. Check whether "
                "flanneld on the node still runs and writes them."
            ) from error


def readable_vteps(node: NodeObject) -> tuple[Vtep, ...] | None:
    """Return the endpoints that a node announces; None if an annotation cannot be parsed."""
    try:
        return tuple(vteps_of(node))
    except FactMissingError:
        return None


@dataclass(frozen=True)
class AnnouncedEntries:
    """All entries of one family that the nodes announce, those of every node included."""

    neighbours: frozenset[Pair]
    fdb: frozenset[Pair]
    nodes: int

    @classmethod
    def by(cls, vteps: Iterable[Vtep]) -> AnnouncedEntries:
        """Index the endpoints of one family."""
        vteps = tuple(vteps)
        fdb = frozenset(each.fdb for each in vteps)
        return cls(frozenset(each.neighbour for each in vteps), fdb, len(vteps))

    def is_all_but(self, own: Vtep, neighbours: Set[Pair], fdb: Set[Pair]) -> bool:
        """Return whether these are exactly the entries of all nodes except `own`."""
        others = self.nodes - 1
        return (
            len(neighbours) == len(fdb) == others
            and len(self.neighbours) == len(self.fdb) == self.nodes
            and own.neighbour not in neighbours
            and own.fdb not in fdb
            and neighbours <= self.neighbours
            and fdb <= self.fdb
        )
