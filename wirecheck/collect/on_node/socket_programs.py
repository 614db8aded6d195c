"""Lists the programs on the node's cgroup that translate connections at their sockets."""

import os
from typing import Dict, Iterator, List

from wirecheck.collect.on_node import device_programs

ROOTS = ("/proc/1/root", "")
MOUNTS = "/proc/1/mountinfo"
HOOKS = (
    (10, "connect4"),
    (11, "connect6"),
    (12, "post_bind4"),
    (13, "post_bind6"),
    (14, "sendmsg4"),
    (15, "sendmsg6"),
    (19, "recvmsg4"),
    (20, "recvmsg6"),
    (29, "getpeername4"),
    (30, "getpeername6"),
)
"""By the kernel's enum bpf_attach_type."""
MOST_MOUNTS = 20


def read_all() -> Dict[str, List[str]]:
    """The names of the programs at each hook that has any, on the roots of cgroup v2."""
    found = {}  # type: Dict[str, List[str]]
    for path in _mounts():
        for root in ROOTS:
            try:
                descriptor = os.open(root + path, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            try:
                _add(found, descriptor)
            finally:
                os.close(descriptor)
            break
    return found


def _mounts() -> Iterator[str]:
    """Where cgroup v2 is mounted. Cilium's own mount is one of them."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split() for line in file]
    except OSError:
        return
    paths = [each[4] for each in lines if "-" in each and each[each.index("-") + 1] == "cgroup2"]
    for path in paths[:MOST_MOUNTS]:
        if "\\" not in path:
            yield path


def _add(found: Dict[str, List[str]], descriptor: int) -> None:
    for kind, hook in HOOKS:
        for identity in device_programs.query(descriptor, kind) or ():
            names = found.setdefault(hook, [])
            name = device_programs.name_of(identity)
            if name not in names:
                names.append(name)
