"""The nodes' ranges of pod addresses, indexed once because every node needs all of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, IPNetwork
from wirecheck.api_index.node_addresses import all_addresses, pod_ranges, valid_addresses
from wirecheck.api_index.node_ref import node_ref
from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.node import NodeObject

BACKEND = "flannel.alpha.coreos.com/backend-type"
PUBLIC = "flannel.alpha.coreos.com/public-ip"


@dataclass(frozen=True, slots=True)
class PodRange:
    """One range of pod addresses of one node."""

    node: NodeObject
    range: IPNetwork
    family: int
    length: int
    start: int
    end: int
    """The first and the last address as integers."""
    first: IPAddress
    first_text: str
    backend: str | None
    """The backend of flannel; None on a node without flannel's annotation."""
    nodes_addresses: frozenset[IPAddress]
    """Addresses of the node, any of which may be the gateway of a route to it."""

    @property
    def ref(self) -> Ref:
        """The node."""
        return node_ref(self.node)


def pod_ranges_of(nodes: Iterable[NodeObject]) -> Iterator[PodRange]:
    """Every range, in the order of the nodes."""
    for node in nodes:
        for each in pod_ranges(node):
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
    annotations = node.metadata.annotations
    announced = [annotations.get(f"{PUBLIC}{family}", "") for family in ("", "v6")]
    return frozenset([*all_addresses(node), *valid_addresses(announced)])
