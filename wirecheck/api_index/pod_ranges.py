"""Nodes' ranges of pod addresses, as all other nodes look at them: worked out once for all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, IPNetwork, addresses, network
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.node import NodeObject

BACKEND = "flannel.alpha.coreos.com/backend-type"
PUBLIC = "flannel.alpha.coreos.com/public-ip"


@dataclass(frozen=True, slots=True)
class PodRange:
    """One range of one node."""

    node: NodeObject
    range: IPNetwork
    family: int
    length: int
    start: int
    end: int
    """Its first and last address as numbers."""
    first: IPAddress
    first_text: str
    backend: str | None
    """flannel's, where the node has it."""
    nodes_addresses: frozenset[IPAddress]
    """What a gateway may be that leads to the node itself."""

    @property
    def ref(self) -> Ref:
        """The node's name."""
        return Ref("Node", self.node.metadata.name, uid=self.node.metadata.uid)


def pod_ranges_of(nodes: Iterable[NodeObject]) -> Iterator[PodRange]:
    """All ranges, in the order of the nodes; raises ValueError for one that is none."""
    for node in nodes:
        listed = dict.fromkeys(filter(None, [node.spec.pod_cidr, *node.spec.pod_cidrs]))
        for each in map(network, listed):
            yield PodRange(
                node,
                each,
                each.version,
                each.prefixlen,
                int(each.network_address),
                int(each.broadcast_address),
                each.network_address,
                str(each.network_address),
                node.metadata.annotations.get(BACKEND),
                _addresses_of(node),
            )


def _addresses_of(node: NodeObject) -> frozenset[IPAddress]:
    notes = node.metadata.annotations
    announced = [notes.get(f"{PUBLIC}{family}", "") for family in ("", "v6")]
    listed = [each.address for each in node.status.addresses if each.type.endswith("IP")]
    return addresses([*listed, *announced])
