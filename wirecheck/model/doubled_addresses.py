"""Addresses on several nodes that only one node may have at a time: two leaders, a split brain."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from wirecheck.addresses import IPAddress
from wirecheck.catalogue.findings import Ref
from wirecheck.model.fingerprint import BoundAddresses


@dataclass(frozen=True, slots=True)
class DoubledAddress:
    """An address on one node that is on others as well."""

    ref: Ref
    address: IPAddress
    others: tuple[Ref, ...]

    @property
    def found(self) -> str:
        """`also on wc-w2, wc-w3`."""
        return f"also on {', '.join(each.name for each in self.others)}"


def doubled_addresses(bound: Iterable[BoundAddresses]) -> Iterator[DoubledAddress]:
    """Yield each such address once for each node that has it."""
    holders: dict[IPAddress, dict[Ref, str]] = defaultdict(dict)
    for node in bound:
        for address, device in node.single.items():
            holders[address][node.ref] = device
    doubled = {address: nodes for address, nodes in holders.items() if len(nodes) > 1}
    for address, nodes in sorted(doubled.items(), key=lambda each: str(each[0])):
        for ref, device in sorted(nodes.items()):
            others = tuple(each for each in sorted(nodes) if each != ref)
            yield DoubledAddress(replace(ref, part=f"{address} on {device}"), address, others)
