"""Calico's address blocks: which node each belongs to, by the two objects that say so.

An IPAMBlock has the addresses, and felix routes by its affinity. A BlockAffinity is a node's claim
to the block, by which the node assigns addresses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPNetwork, network
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.calico_block import BlockAffinityObject, IpamBlockObject

HOST = "host:"
CONFIRMED = "confirmed"


@dataclass(frozen=True)
class AddressBlock:
    """One block, with the node to which its addresses are routed."""

    name: str
    uid: str
    range: IPNetwork
    node: str

    @property
    def ref(self) -> Ref:
        return Ref("IPAMBlock", self.name, uid=self.uid)


@dataclass(frozen=True)
class OddBlock:
    """A block whose two objects disagree, or whose node is gone."""

    block: AddressBlock
    expected: str
    found: str


@dataclass(frozen=True)
class AddressBlocks:
    """All blocks of the cluster."""

    blocks: tuple[AddressBlock, ...]
    claims: Mapping[IPNetwork, frozenset[str]]
    """The nodes with a confirmed claim to each block."""

    @classmethod
    def of(
        cls, blocks: Iterable[IpamBlockObject], claims: Iterable[BlockAffinityObject]
    ) -> AddressBlocks:
        """Index the objects; those with an unusable range are left out."""
        nodes: dict[IPNetwork, set[str]] = {}
        for each in claims:
            with suppress(ValueError):
                claimed = nodes.setdefault(network(each.spec.cidr), set())
                claimed |= {each.spec.node} if each.spec.state == CONFIRMED else set()
        return cls(
            tuple(_blocks(blocks)), {range_: frozenset(found) for range_, found in nodes.items()}
        )

    @cached_property
    def by_range(self) -> Mapping[IPNetwork, AddressBlock]:
        return {each.range: each for each in self.blocks}

    def odd(self, nodes: Iterable[str]) -> Iterator[OddBlock]:
        """The blocks of which it is unclear which node they belong to. `nodes` are all nodes."""
        known = frozenset(nodes)
        for each in self.blocks:
            claimed = self.claims.get(each.range, frozenset())
            if each.node not in known:
                yield OddBlock(
                    each,
                    f"block {each.range} of a node of the cluster",
                    f"affinity {HOST}{each.node}, a node that does not exist",
                )
            elif claimed and each.node not in claimed:
                owners = ", ".join(sorted(claimed))
                yield OddBlock(
                    each,
                    f"block {each.range} of node {owners}, as its BlockAffinity says",
                    f"affinity {HOST}{each.node}",
                )


def _blocks(objects: Iterable[IpamBlockObject]) -> Iterator[AddressBlock]:
    for each in objects:
        spec, metadata = each.spec, each.metadata
        if spec.affinity.startswith(HOST) and not spec.deleted:
            with suppress(ValueError):
                range_ = network(spec.cidr)
                node = spec.affinity.removeprefix(HOST)
                yield AddressBlock(metadata.name, metadata.uid, range_, node)
