"""What the entries of one node's Services mean, without the numbers that its agent has given.

Agents number backends and reverse NAT entries in the order in which they hear of them, so the same
Services have other bytes on every node. With the backend in place of its number, entries can be
compared between nodes, without decoding them.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import compress
from operator import ne
from struct import Struct

from wirecheck.dataplane.ebpf.entries import address_of, data_of, in_use, net16
from wirecheck.dataplane.ebpf.layouts import NAMES, Layout, Subject, layout_of
from wirecheck.dataplane.ebpf.maps import READERS, CiliumMaps, Flags, require_referred
from wirecheck.dataplane.ebpf.required import require_services
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps

WORD = 4
OF_THIS_NODE = Flags.AFFINITY | Flags.SOURCE_RANGES
"""Frontends with these depend on the number of their reverse NAT entry."""
NO_BACKEND, NONE = b"", bytes(2)
AT_ONCE = 256
"""Entries that are compared together."""
LENGTHS = {4: 4, 6: 16}
"""Of addresses, with which keys begin."""


@dataclass(frozen=True)
class ContentsOfFamily:
    """What each entry of a map of Services stands for."""

    data: bytes
    key_size: int
    size: int
    """Of a key and its value."""
    meanings: Sequence[object]
    """By entry; equal ones, equal handling."""

    @cached_property
    def columns(self) -> Sequence[array[int]]:
        """The keys, cut into words: those of two nodes are quickly compared like this."""
        words = array("I", self.data)
        step = self.size // WORD
        return [words[at::step] for at in range(self.key_size // WORD)]

    @property
    def by_key(self) -> Mapping[bytes, object]:
        """The meanings by key."""
        rest = self.size - self.key_size
        keys = Struct(f"{self.key_size}s{rest}x").iter_unpack(self.data)
        return {key: each for (key,), each in zip(keys, self.meanings, strict=True)}

    def changed_since(self, before: ContentsOfFamily) -> Iterable[bytes]:
        """The keys that do not have the same meaning, or that are on one side only."""
        if self.columns == before.columns:
            places = (number * self.size for number in self._numbers_changed(before))
            return [self.data[at : at + self.key_size] for at in places]
        old, new = before.by_key, self.by_key
        found = [key for key, meaning in new.items() if old.get(key, MISSING) != meaning]
        return [*found, *(old.keys() - new.keys())]

    def _numbers_changed(self, before: ContentsOfFamily) -> Iterator[int]:
        """The entries that mean something else, where both have the same keys.

        Lists are compared at once, which is quick: most of them are equal.
        """
        for start in range(0, len(self.meanings), AT_ONCE):
            new, old = (of.meanings[start : start + AT_ONCE] for of in (self, before))
            if new != old:
                yield from compress(range(start, start + len(new)), map(ne, new, old))


MISSING = object()
Contents = Mapping[int, ContentsOfFamily]
"""By family."""


@dataclass(frozen=True)
class ServiceEntries:
    """The maps of one node that decide where connections to Services go, cut into entries."""

    byte_order: str
    maps: tuple[tuple[EbpfMap, Layout, bytes], ...]
    """The bytes are the keys and values of a map."""
    document: EbpfMaps

    @classmethod
    def of(cls, document: EbpfMaps) -> ServiceEntries:
        """Raises ParseError for a map that is incomplete, damaged, unknown or missing."""
        maps = in_use(document.maps, NAMES)
        found = tuple((each, layout_of(each), data_of(each)) for each in maps)
        require_services(document)
        return cls(document.byte_order, found, document)

    def contents(self) -> Contents:
        """What every entry of the maps of Services stands for."""
        return {
            layout.family: ContentsOfFamily(
                data, each.key_size, each.key_size + each.value_size, self._meanings(layout, data)
            )
            for each, layout, data in self._about(Subject.SERVICES)
        }

    def _meanings(self, layout: Layout, data: bytes) -> Sequence[object]:
        backend = self._by_number.get((Subject.BACKENDS, layout.family), {}).get
        reply = self._by_number.get((Subject.REVERSE_NAT, layout.family), {}).get
        of_this_node, flags, length = object(), int(OF_THIS_NODE), LENGTHS[layout.family]

        # A frontend is alike on all nodes if replies get its address, or if there are none. All in
        # one expression: a call for each entry takes longer than what it finds out.
        return [
            backend(first, NO_BACKEND)
            if slot
            else (first, count, rest)
            if (count == NONE or reply(number) == where or not any(where[:length]))
            and not rest[0] & flags
            else of_this_node
            for where, slot, first, count, number, rest in _parts(layout).iter_unpack(data)
        ]

    def decoded(self, addresses: Collection[bytes]) -> CiliumMaps:
        """The maps, of Services only the entries at these addresses with what belongs to them.

        Raises ParseError for entries that are invalid, or depend on a map that is not pinned.
        """
        found = CiliumMaps()
        backends: set[bytes] = set()
        replies: set[bytes] = set()
        for each, layout, data in self._about(Subject.SERVICES):
            chosen = b"".join(_entries_at(each, layout, data, addresses))
            self._read(found, layout, chosen)
            for _, slot, first, _, number, _ in _parts(layout).iter_unpack(chosen):
                replies.add(number)
                if slot:
                    backends.add(first)
        numbered = {Subject.BACKENDS: backends, Subject.REVERSE_NAT: replies}
        for _, layout, data in self.maps:
            if layout.subject in numbered:
                known = self._by_number[layout.subject, layout.family]
                numbers = numbered[layout.subject].intersection(known)
                self._read(found, layout, b"".join(each + known[each] for each in numbers))
            elif layout.subject is not Subject.SERVICES:
                self._read(found, layout, data)
        require_referred(found, self.document)
        return found

    def _read(self, found: CiliumMaps, layout: Layout, data: bytes) -> None:
        entries = layout.entries(self.byte_order).iter_unpack(data)
        READERS[layout.subject](found, layout.family, entries, net16(self.byte_order))

    def _about(self, subject: Subject) -> Iterator[tuple[EbpfMap, Layout, bytes]]:
        return (each for each in self.maps if each[1].subject is subject)

    @cached_property
    def _by_number(self) -> Mapping[tuple[Subject, int], Mapping[bytes, bytes]]:
        """The values of the maps whose keys are numbers, by subject and family."""
        return {
            (layout.subject, layout.family): dict(_parts(layout).iter_unpack(data))
            for subject in (Subject.BACKENDS, Subject.REVERSE_NAT)
            for _, layout, data in self._about(subject)
        }


def differing(before: Contents, now: Contents) -> set[bytes]:
    """The addresses with an entry that is not the same, before and now."""
    found: set[bytes] = set()
    for family in before.keys() | now.keys():
        old, new = before.get(family), now.get(family)
        one = new or old
        keys = new.changed_since(old) if new and old else one.by_key if one else ()
        found.update(key[: LENGTHS[family]] for key in keys)
    return found


def texts_of(addresses: Collection[bytes]) -> set[str]:
    """The addresses as they are written."""
    return set(map(address_of, addresses))


def _entries_at(
    of: EbpfMap, layout: Layout, data: bytes, addresses: Collection[bytes]
) -> Iterator[bytes]:
    size, length = of.key_size + of.value_size, LENGTHS[layout.family]
    heads = Struct(f"{length}s{size - length}x").iter_unpack(data)
    for number, (address,) in enumerate(heads):
        if address in addresses:
            yield data[number * size : (number + 1) * size]


def _parts(layout: Layout) -> Struct:
    return Struct("<" + layout.parts)
