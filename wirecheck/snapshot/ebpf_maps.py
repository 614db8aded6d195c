"""eBPF maps of a node, as the node program read them: keys and values are not decoded there."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated

from msgspec.structs import replace

from wirecheck.snapshot.part import FEW, Output, SnapshotPart, Word


class EbpfMap(SnapshotPart, frozen=True):
    """One map, opened by its pin and read-only."""

    name: Word
    """The name of its pin: the kernel cuts names to 15 characters."""
    type: int = 0
    """A number of the kernel's enum bpf_map_type."""
    key_size: int = 0
    value_size: int = 0
    max_entries: int = 0
    count: int = 0
    """The number of entries."""
    is_complete: bool = True
    """Whether `count` are all entries; otherwise a limit of the node program ended it."""
    entries: Output = ""
    """Every key followed by its value, sorted, in base64. Only in documents of older programs."""
    columns: Output = ""
    """The same entries in columns: the first byte of each, then the second of each, and so on.

    Neighbouring entries have many bytes in common, so this compresses to a fraction of `entries`.
    Empty for a map that is only counted.
    """
    problem: Word = ""
    """Why it could not be read."""

    @property
    def data(self) -> bytes:
        """Every key followed by its value. Raises ValueError if they are damaged.

        Only for a map whose sizes are known: it takes a step for each byte of an entry.
        """
        size = self.key_size + self.value_size
        data = binascii.a2b_base64(self.columns or self.entries, strict_mode=True)
        if len(data) != self.count * size:
            raise ValueError(f"{len(data)} bytes are not {self.count} entries of {size} bytes")
        return _in_rows(data, self.count, size) if self.columns else data

    def with_data(self, data: bytes) -> EbpfMap:
        """The map with these entries, which have its sizes."""
        size = self.key_size + self.value_size
        columns = b"".join(data[at::size] for at in range(size))
        text = base64.b64encode(columns).decode()
        return replace(self, count=len(data) // size, entries="", columns=text)

    @property
    def without_data(self) -> EbpfMap:
        """The map without its entries."""
        return replace(self, entries="", columns="")


def _in_rows(columns: bytes, count: int, size: int) -> bytes:
    rows = bytearray(len(columns))
    for at in range(size):
        rows[at::size] = columns[at * count : (at + 1) * count]
    return bytes(rows)


class EbpfMaps(SnapshotPart, frozen=True):
    """The maps of the CNI plugin. None of them means that the plugin has pinned none."""

    byte_order: Word
    """`little` or `big`, as in Python's sys.byteorder."""
    maps: Annotated[list[EbpfMap], FEW] = []
    problem: Word = ""
    """Why none could be read: no bpffs is mounted, a capability is missing."""
    counted: bool = False
    """Whether the entries of all other maps of the plugin were counted; older programs did not."""
    not_counted: int = 0
    """Further pins that a limit of the node program left out."""
    unsupported: Annotated[list[EbpfMap], FEW] = []
    """The maps of Services of another plugin, whose entries were only counted."""
    sockets: Annotated[dict[Word, Annotated[list[Word], FEW]], FEW] | None = None
    """The programs on the node's cgroup by hook, such as `connect4`; None in older documents. The
    kernel keeps 15 characters of a name."""
    policies_read: bool = False
    """Whether the maps of policies have their entries; older programs only counted them."""
    audited: Annotated[dict[Word, bool], FEW] | None = None
    """By the number of Cilium's endpoint whether its policies are only audited; None if unread."""
    audit_problem: Word = ""
    """Why that could not be read."""
