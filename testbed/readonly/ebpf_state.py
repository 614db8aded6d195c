"""Run on a node, with nothing but Python: its pinned eBPF maps as JSON, section → what → value.

The contents are compared only of maps that an agent writes. Maps of connections, NAT and counters
change with every packet, so only their sizes are compared.
"""

import ctypes
import hashlib
import json
import os
import re
import struct
import sys
from collections.abc import Iterator

PINS = "/sys/fs/bpf"
MOST_PINS = 20_000
WRITTEN = re.compile(
    r"cilium_(?:lb[46]_(?:services|backends|reverse_nat|source_range)|lb_affinity_match|ipcache"
    r"|lxc|node_map|policy_v\d+_\d+)(?:_v\d+)?"
)
NUMBERS = {"x86_64": 321, "aarch64": 280}
NEXT, LOOKUP, OPEN, INFO = 4, 1, 7, 15
READ_ONLY = 1 << 3
MOST_ENTRIES = 600_000
LIBC = ctypes.CDLL(None, use_errno=True)


def bpf(command: int, attributes: bytes) -> int:
    """The system call; -1 for an error."""
    attr = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    return int(LIBC.syscall(NUMBERS[os.uname().machine], command, attr, 128))


def opened(path: str) -> int:
    """A read-only descriptor; -1 if the pin is not a map."""
    name = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(OPEN, struct.pack("=QII", ctypes.addressof(name), 0, READ_ONLY))


def sizes(descriptor: int) -> tuple[int, ...]:
    """Type, id, size of keys, size of values, and the most entries; nothing for a program."""
    info = ctypes.create_string_buffer(256)
    if bpf(INFO, struct.pack("=IIQ", descriptor, 80, ctypes.addressof(info))) < 0:
        return ()
    return struct.unpack_from("=IIIII", info.raw)


def entries(descriptor: int, key_size: int, value_size: int) -> Iterator[bytes]:
    """Every key followed by its value."""
    key, after = (ctypes.create_string_buffer(key_size) for _ in range(2))
    value = ctypes.create_string_buffer(value_size)
    before = 0
    for _ in range(MOST_ENTRIES):
        asked = struct.pack("=IIQQQ", descriptor, 0, before, ctypes.addressof(after), 0)
        if bpf(NEXT, asked) < 0:
            return
        key.raw = after.raw
        before = ctypes.addressof(key)
        asked = struct.pack("=IIQQQ", descriptor, 0, before, ctypes.addressof(value), 0)
        if bpf(LOOKUP, asked) == 0:
            yield key.raw + value.raw


def described(path: str, name: str) -> str:
    """What a pin is, with the number of its entries and their digest where they stand still."""
    descriptor = opened(path)
    if descriptor < 0:
        return f"not opened: {os.strerror(ctypes.get_errno())}"
    try:
        found = sizes(descriptor)
        text = f"sizes {', '.join(map(str, found))}"
        if not found or not WRITTEN.fullmatch(name):
            return text
        _, _, key, value, _ = found
        content = sorted(entries(descriptor, key, value))
        digest = hashlib.sha256(b"".join(content)).hexdigest()
        return f"{text}; entries: {len(content)}; sha256 {digest}"
    finally:
        os.close(descriptor)


def state() -> dict[str, dict[str, str]]:
    """Every pin; empty where no bpffs is mounted."""
    found: dict[str, str] = {}
    for folder, _, names in os.walk(PINS):
        for name in sorted(names):
            found[f"{folder}/{name}"] = described(f"{folder}/{name}", name)
        if len(found) > MOST_PINS:
            sys.exit(f"more than {MOST_PINS} files below {PINS}")
    return {"eBPF pins": found} if found else {}


if __name__ == "__main__":
    json.dump(state(), sys.stdout)
