"""The system call bpf, by which programs are listed and maps are read."""

import ctypes
import os
import sys
from typing import Any

SYSTEM_CALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}

_libc = ctypes.CDLL(None, use_errno=True)


def call(command: int, attr: Any) -> int:
    """What the kernel returns; -1 for an error, whose number ctypes.get_errno() has then."""
    number = SYSTEM_CALL.get(os.uname().machine)
    if number is None or sys.maxsize < 1 << 32:
        ctypes.set_errno(38)  # ENOSYS
        return -1
    return int(_libc.syscall(number, command, ctypes.byref(attr), len(attr)))
