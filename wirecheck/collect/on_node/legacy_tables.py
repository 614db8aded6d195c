"""Whether tables of the legacy variant have rules, asked of the kernel where no tool lists them.

Some images list both variants to find out which one the node uses. That loads empty tables.
"""

import ctypes
import os
import socket
import struct
from typing import List

GET_INFO, GET_ENTRIES = 64, 65  # IPT_SO_GET_INFO, IPT_SO_GET_ENTRIES, and the same for IPv6
INFO = struct.Struct("=32sI40xII")  # ipt_getinfo: name, valid_hooks, …, num_entries, size
ENTRIES = struct.Struct("=32sI4x")  # ipt_get_entries: name, size; the entries follow
ACCEPT = -2  # -NF_ACCEPT - 1
RAW = 255
# Family, level, and the length of an entry's conditions (ipt_entry, ip6t_entry).
FAMILIES = {
    "ip_tables_names": (socket.AF_INET, 0, 112),
    "ip6_tables_names": (socket.AF_INET6, 41, 168),
}
VERDICT, TARGET, ERROR_TARGET = 32, 40, 64
"""Where the verdict is in a standard target, and the lengths of both kinds of target."""


def are_empty(names: str, tables: List[str]) -> bool:
    """Whether these tables, which are loaded, have no rules and accept by policy."""
    try:
        return all(_is_empty(names, each) for each in tables)
    except (OSError, struct.error):
        return False


def _is_empty(names: str, table: str) -> bool:
    family, level, conditions = FAMILIES[names]
    asked = table.encode("ascii")
    with socket.socket(family, socket.SOCK_RAW, RAW) as kernel:
        info = INFO.pack(asked, 0, 0, 0)
        _, hooks, number, size = INFO.unpack(_get(kernel, level, GET_INFO, info))
        # A policy is an entry for each hook, and an error entry ends the table.
        policies = bin(hooks).count("1")
        length = conditions + TARGET
        if number != policies + 1 or size != policies * length + conditions + ERROR_TARGET:
            return False
        wanted = ENTRIES.pack(asked, size) + bytes(size)
        found = _get(kernel, level, GET_ENTRIES, wanted)[ENTRIES.size :]
    at = conditions + VERDICT
    verdicts = [struct.unpack_from("=i", found, at + i * length)[0] for i in range(policies)]
    return verdicts == [ACCEPT] * policies


def _get(kernel: socket.socket, level: int, option: int, value: bytes) -> bytes:
    """Like getsockopt, which in Python passes nothing to the kernel."""
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(value, len(value))
    size = ctypes.c_uint(len(value))
    if libc.getsockopt(kernel.fileno(), level, option, buffer, ctypes.byref(size)):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return buffer.raw
