"""Entries of Services that the maps of many nodes have alike, read once for all of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from wirecheck.dataplane.ebpf.contents import Contents, ServiceEntries, differing, texts_of
from wirecheck.dataplane.ebpf.maps import SURROGATES, CiliumMaps, cilium_maps
from wirecheck.dataplane.ebpf.node_view import CiliumNode
from wirecheck.dataplane.ebpf.reader import read_cilium
from wirecheck.dataplane.table import Entry, Frontend, ServiceTable
from wirecheck.snapshot.ebpf_maps import EbpfMaps

Kind = tuple[bool, bool]
"""Whether a node is little-endian, and whether Cilium replaces kube-proxy there."""


@dataclass(frozen=True)
class Known:
    """The entries of one node that other nodes may have, too."""

    contents: Contents = field(default_factory=dict)
    entries: Mapping[Frontend, Entry] = field(default_factory=dict)
    others: frozenset[str] = frozenset()
    """The addresses with a frontend that is not among the entries."""


@dataclass(frozen=True)
class Reading:
    """One node's maps, as far as they have to be read."""

    kind: Kind
    maps: CiliumMaps
    """With the entries at `addresses`."""
    addresses: frozenset[str] | None
    """Where frontends have to be read; None for everywhere."""
    known: Mapping[Frontend, Entry]
    """The entries at all other addresses."""
    contents: Contents
    own: frozenset[str]
    """The node's addresses: how frontends there are read depends on the node."""

    def table(self, node: CiliumNode, wanted: Iterable[Frontend]) -> ServiceTable:
        """The same table as `read_cilium` returns."""
        missing = [each for each in wanted if each not in self.known]
        read = read_cilium(self.maps, node, missing, self.addresses)
        return ServiceTable(entries={**self.known, **read.entries})


class SharedEntries:
    """The entries of the last node for the next one; one evaluation owns it.

    Only those are kept that do what the API asks: what is reported of others has numbers of their
    node, such as those of backends.
    """

    def __init__(self) -> None:
        self._known: dict[Kind, Known] = {}

    def reading(
        self, document: EbpfMaps, own: Collection[str], *, replaces_kube_proxy: bool
    ) -> Reading:
        """What has to be read of a node with these addresses.

        Raises ParseError for a map that is incomplete, damaged, unknown or missing.
        """
        kind = (document.byte_order == "little", replaces_kube_proxy)
        entries = ServiceEntries.of(document)
        contents, own = entries.contents(), frozenset(own)
        known = self._known.get(kind)
        if known is None:
            return Reading(kind, cilium_maps(document), None, {}, contents, own)
        changed = differing(known.contents, contents)
        addresses = frozenset(texts_of(changed) | own | known.others)
        # What the node sends to a node port of its own may meet the entry for any address.
        decoded = entries.decoded({ip_address(each).packed for each in addresses | ANY_NODE})
        kept = {at: each for at, each in known.entries.items() if at.address not in addresses}
        return Reading(kind, decoded, addresses, kept, contents, own)

    def keep(self, reading: Reading, found: ServiceTable, differing: Iterable[Frontend]) -> None:
        """Keep the entries of a node for the next one, except those that differ from the API."""
        entries, others = dict(reading.known), set(reading.own)
        for frontend, entry in found.entries.items():
            if entries.get(frontend) is not entry:
                is_own = not frontend.address or frontend.address in reading.own
                if is_own or not entry.is_handled:
                    others.add(frontend.address)
                else:
                    entries[frontend] = entry
        for frontend in differing:
            if entries.pop(frontend, None) is not None:
                others.add(frontend.address)
        others.discard("")
        self._known[reading.kind] = Known(reading.contents, entries, frozenset(others))


ANY_NODE = frozenset(SURROGATES.values())
