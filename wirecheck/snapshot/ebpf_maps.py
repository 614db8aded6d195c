"""eBPF maps of a node, as the node program read them: keys and values are not decoded there."""

from __future__ import annotations

from typing import Annotated

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
    """Every key followed by its value, sorted, in base64; empty for a map that is only counted."""
    problem: Word = ""
    """Why it could not be read."""


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
