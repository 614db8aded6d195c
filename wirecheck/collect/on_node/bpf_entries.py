"""Reads the entries of one eBPF map, in batches where the kernel has them for its type."""

import ctypes
import errno
import os
import struct
from typing import Any, Iterator, Tuple

from wirecheck.collect.on_node import bpf_calls

GET_NEXT_KEY, LOOKUP, LOOKUP_BATCH = 4, 1, 24
AT_ONCE = 4096
NOT_SUPPORTED = (errno.EINVAL, errno.EOPNOTSUPP, 524)
"""Errors of kernels before 5.6, and of types of maps without batches; 524 is ENOTSUPP."""

Entry = Tuple[bytes, bytes]


def entries(descriptor: int, key_size: int, value_size: int, most: int) -> Iterator[Entry]:
    """Each key with its value."""
    try:
        for entry in _in_batches(descriptor, key_size, value_size):
            yield entry
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        for entry in _one_by_one(descriptor, key_size, value_size, 2 * most):
            yield entry


def sizes(descriptor: int, key_size: int, value_size: int, most: int) -> Iterator[int]:
    """The numbers of entries that the kernel returns at once."""
    try:
        for size, _, _ in _batches(descriptor, key_size, value_size):
            yield size
    except OSError as error:
        if error.errno not in NOT_SUPPORTED:
            raise
        for _ in _keys(descriptor, key_size, 2 * most):
            yield 1


def _in_batches(descriptor: int, key_size: int, value_size: int) -> Iterator[Entry]:
    for count, keys, values in _batches(descriptor, key_size, value_size):
        own, of = keys.raw, values.raw
        for at in range(count):
            key = own[at * key_size : (at + 1) * key_size]
            yield key, of[at * value_size : (at + 1) * value_size]


def _batches(descriptor: int, key_size: int, value_size: int) -> Iterator[Tuple[int, Any, Any]]:
    """The number of entries in each batch, with the buffers of their keys and values."""
    keys = ctypes.create_string_buffer(key_size * AT_ONCE)
    values = ctypes.create_string_buffer(value_size * AT_ONCE)
    buffers = (ctypes.addressof(keys), ctypes.addressof(values), AT_ONCE, descriptor)
    # Where the kernel is in the map: the number of a bucket, or a key.
    places = [ctypes.create_string_buffer(max(key_size, 8)) for _ in range(2)]
    before = 0
    while True:
        head = struct.pack("=QQQQII", before, ctypes.addressof(places[0]), *buffers)
        attr = ctypes.create_string_buffer(head, 56)
        is_last = bpf_calls.call(LOOKUP_BATCH, attr) < 0
        if is_last and ctypes.get_errno() != errno.ENOENT:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        yield min(struct.unpack_from("=I", attr.raw, 32)[0], AT_ONCE), keys, values
        if is_last:
            return
        before = ctypes.addressof(places[0])
        places.reverse()


def _one_by_one(descriptor: int, key_size: int, value_size: int, most: int) -> Iterator[Entry]:
    """Without batches."""
    value = ctypes.create_string_buffer(value_size)
    for key in _keys(descriptor, key_size, most):
        if _element(LOOKUP, descriptor, ctypes.addressof(key), value) == 0:
            yield key.raw, value.raw


def _keys(descriptor: int, key_size: int, most: int) -> Iterator[Any]:
    """Each key. `most` ends it: the kernel begins again if the last key vanishes."""
    key, following = (ctypes.create_string_buffer(key_size) for _ in range(2))
    before = 0
    for _ in range(most):
        if _element(GET_NEXT_KEY, descriptor, before, following) < 0:
            if ctypes.get_errno() == errno.ENOENT:
                return
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        key.raw = following.raw
        before = ctypes.addressof(key)
        yield key


def _element(command: int, descriptor: int, key: int, into: Any) -> int:
    head = struct.pack("=IxxxxQQQ", descriptor, key, ctypes.addressof(into), 0)
    return bpf_calls.call(command, ctypes.create_string_buffer(head, 32))
