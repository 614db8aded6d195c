"""Reads the eBPF maps that the CNI plugin has pinned. They are opened read-only.

Maps are opened by their pins: ids are global to the kernel, and names are cut to 15 characters, so
on a machine where several nodes share a kernel they belong to all of them.
"""

import base64
import ctypes
import errno
import os
import re
import struct
import sys
import time
from typing import Any, Dict, List, Optional, Tuple

from wirecheck.collect.on_node import bpf_access, bpf_calls, bpf_entries

JsonObject = Dict[str, Any]

ROOTS = ("/proc/1/root", "")
FOLDER = "/sys/fs/bpf/tc/globals"
KEPT = re.compile(
    r"cilium_lb[46]_(?:services|backends|reverse_nat|source_range)(?:_v\d+)?"
    r"|cilium_lb_affinity_match(?:_v\d+)?"
)
"""The maps that decide where connections to Services go, of any version."""
OF_ADDRESSES = re.compile(r"cilium_(?:ipcache|lxc)(?:_v\d+)?")
"""The maps of who has an address. Older programs only counted their entries."""
PINNED = re.compile(r"cilium_\w{1,60}", re.ASCII)
OF_CALICO = re.compile(r"cali_v[46]_nat_(?:fe|be)\d{0,3}", re.ASCII)
"""Calico's maps of Services. What their entries mean is not known here, so they are only counted.
"""
OF_CONNECTIONS = re.compile(r"cilium_(?:ct|ct_any|snat_v)[46]_(?:global|external)")
"""LRU maps whose oldest entries are in use: a full one breaks connections."""
OF_PODS = re.compile(r"cilium_policy(?:_v\d+)?_\d{1,5}", re.ASCII)
"""What Cilium enforces for one endpoint: one map for each pod. Older programs only counted their
entries."""
GET_PIN, GET_INFO = 7, 15
READ_ONLY = 1 << 3  # BPF_F_RDONLY
TYPES = (1, 9, 11)
"""hash, LRU hash, LPM trie: those with one value for each key."""
LRU_HASH = 9
MOST_MAPS = 40
MOST_COUNTED = 800
"""Of the maps whose entries are only counted: some tens, and one for each pod."""
COUNTING = 1.5
"""The seconds after which no further entry is counted."""
MOST_ENTRIES = 1000000
COUNTED_ENTRIES = 16000000
MOST_BYTES = 32 << 20
"""Of the keys and values that are kept, of all maps together."""
MOST_BYTES_OF_POLICIES = 8 << 20
"""The same of the maps of pods. A map has at most 16,384 entries of 24 bytes unless configured."""
READING_POLICIES = 2.0
"""The seconds after which no further map of a pod is read."""


def read_all(seconds: float) -> JsonObject:
    """Every map of the plugin, as far as they can be read within `seconds`."""
    ends = time.monotonic() + seconds
    document = {"byte_order": sys.byteorder, "maps": []}  # type: JsonObject
    folder, names = _pinned()
    kept = [each for each in names if KEPT.fullmatch(each)]
    if not kept:
        document["problem"] = folder
        document["unsupported"] = _unsupported(ends)
        return document
    left = MOST_BYTES
    kept += filter(OF_ADDRESSES.fullmatch, names)
    for name in kept[:MOST_MAPS]:
        found = _map("%s/%s" % (folder, name), name, left, ends)
        left -= len(found.get("columns", "")) * 3 // 4
        document["maps"].append(found)
    policies = list(filter(OF_PODS.fullmatch, names))
    others = sorted(set(names).difference(kept, policies))
    room = MOST_COUNTED + len(document["maps"])
    _count_all(document, folder, others, min(ends, time.monotonic() + COUNTING))
    ends = min(ends, time.monotonic() + READING_POLICIES)
    _read_policies(document, folder, policies, room - len(document["maps"]), ends)
    return document


def _unsupported(ends: float) -> List[JsonObject]:
    """The maps of Services of another plugin, without their entries."""
    for root in ROOTS:
        folder = root + FOLDER
        try:
            names = sorted(filter(OF_CALICO.fullmatch, os.listdir(folder)))
        except OSError:
            continue
        if names:
            counted = (_count("%s/%s" % (folder, each), each, ends) for each in names[:MOST_MAPS])
            return [each for each in counted if each is not None]
    return []


def _count_all(document: JsonObject, folder: str, names: List[str], ends: float) -> None:
    """Add the other maps with the numbers of their entries."""
    document["counted"] = True
    counts = []  # type: List[JsonObject]
    for at, name in enumerate(names):
        if len(counts) >= MOST_COUNTED or time.monotonic() > ends:
            document["not_counted"] = len(names) - at
            break
        found = _count("%s/%s" % (folder, name), name, ends)
        if found is not None:
            counts.append(found)
    document["maps"] += counts


def _read_policies(
    document: JsonObject, folder: str, names: List[str], room: int, ends: float
) -> None:
    """Add the maps of pods with their entries."""
    document["policies_read"] = True
    left = MOST_BYTES_OF_POLICIES
    for at, name in enumerate(names):
        if at >= room or time.monotonic() > ends:
            document["not_counted"] = document.get("not_counted", 0) + len(names) - at
            return
        path = "%s/%s" % (folder, name)
        found = _map(path, name, left, ends)
        # Without the pin its pod has ended meanwhile.
        if "problem" not in found or os.path.lexists(path):
            left -= len(found.get("columns", "")) * 3 // 4
            document["maps"].append(found)


def _pinned() -> Tuple[str, List[str]]:
    """The folder of the pins and their names; a reason and nothing without any of Services."""
    reason = ""
    for root in ROOTS:
        folder = root + FOLDER
        try:
            names = sorted(filter(PINNED.fullmatch, os.listdir(folder)))
        except OSError as error:
            reason = reason or bpf_access.missing_folder(FOLDER, error)
            continue
        if any(map(KEPT.fullmatch, names)):
            return folder, names
        reason = "%s has no map of Services" % FOLDER
    return reason, []


def _map(path: str, name: str, most_bytes: int, ends: float) -> JsonObject:
    """One map; with a problem if it cannot be read."""
    descriptor = _open(path)
    if descriptor < 0:
        return {"name": name, "problem": _problem()}
    try:
        return read_map(descriptor, name, most_bytes, ends)
    except OSError as error:
        return {"name": name, "problem": str(error.strerror)}
    finally:
        os.close(descriptor)


def read_map(descriptor: int, name: str, most_bytes: int, ends: float) -> JsonObject:
    """The map behind a descriptor."""
    kind, key_size, value_size, max_entries = map_info(descriptor)[:4]
    found = {"name": name, "type": kind, "key_size": key_size, "value_size": value_size}
    found["max_entries"] = max_entries
    if kind not in TYPES:
        found["problem"] = "maps of type %d have no single value for each key" % kind
        return found
    most = min(MOST_ENTRIES, most_bytes // (key_size + value_size))
    entries = {}  # type: Dict[bytes, bytes]
    for key, value in bpf_entries.entries(descriptor, key_size, value_size, max_entries):
        if len(entries) >= most or time.monotonic() > ends:
            found["is_complete"] = False
            break
        entries[key] = value
    data = b"".join(key + entries[key] for key in sorted(entries))
    columns = in_columns(data, key_size + value_size)
    found["count"], found["columns"] = len(entries), base64.b64encode(columns).decode()
    return found


def in_columns(data: bytes, size: int) -> bytes:
    """The first byte of each entry, then the second of each, and so on.

    Sorted entries differ in few bytes from their neighbours, so this compresses well.
    """
    return b"".join([data[at::size] for at in range(size)])


def _count(path: str, name: str, ends: float) -> Optional[JsonObject]:
    """One map with the number of its entries; None for one that no number describes."""
    descriptor = _open(path)
    if descriptor < 0:
        # Its pod has ended meanwhile, or the pin is not a map.
        is_gone = ctypes.get_errno() in (errno.ENOENT, errno.EINVAL)
        return None if is_gone else {"name": name, "problem": _problem()}
    try:
        return count_map(descriptor, name, ends)
    except OSError as error:
        return {"name": name, "problem": str(error.strerror)}
    finally:
        os.close(descriptor)


def count_map(descriptor: int, name: str, ends: float) -> Optional[JsonObject]:
    """The map behind a descriptor without its entries; None for one that cannot be full.

    A full LRU map takes the place of its oldest entry.
    """
    kind, key_size, value_size, most = map_info(descriptor)[:4]
    if kind not in TYPES or (kind == LRU_HASH and not OF_CONNECTIONS.fullmatch(name)):
        return None
    found = {"name": name, "type": kind, "key_size": key_size}  # type: JsonObject
    found.update(value_size=value_size, max_entries=most, count=0)
    for size in bpf_entries.sizes(descriptor, key_size, value_size, most):
        found["count"] += size
        if found["count"] >= COUNTED_ENTRIES or time.monotonic() > ends:
            found["is_complete"] = False
            break
    return found


def _open(path: str) -> int:
    name = ctypes.create_string_buffer(os.fsencode(path))
    attr = struct.pack("=QII", ctypes.addressof(name), 0, READ_ONLY)
    return bpf_calls.call(GET_PIN, ctypes.create_string_buffer(attr, 16))


def _problem() -> str:
    return bpf_access.problem(ctypes.get_errno())


def map_info(descriptor: int) -> Tuple[int, int, int, int, str]:
    """Type, size of keys, size of values, the most entries, the first characters of its name."""
    info = ctypes.create_string_buffer(256)
    attr = struct.pack("=IIQ", descriptor, len(info), ctypes.addressof(info))
    if bpf_calls.call(GET_INFO, ctypes.create_string_buffer(attr, 16)) < 0:
        raise OSError(ctypes.get_errno(), _problem())
    kind, _, key_size, value_size, most, _, name = struct.unpack_from("=IIIIII16s", info.raw)
    return kind, key_size, value_size, most, name.partition(b"\0")[0].decode(errors="replace")
