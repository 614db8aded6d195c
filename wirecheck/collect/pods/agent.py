"""The commands of an agent pod: `wirecheck-agent wait`, and `wirecheck-agent visit` per visit.

The node program is the same as the one sent by ssh, but it comes from the image, and enters the
node's mount and cgroup namespaces first. So it reads the node's files and runs the node's tools.
Tools that the node lacks are taken from the image, and its iptables if the node's is too old to
print what kube-proxy wrote. Otherwise the node's own shows what an administrator sees there.
"""

from __future__ import annotations

import base64
import ctypes
import encodings.ascii
import encodings.idna
import encodings.latin_1
import json
import os
import shutil
import signal
import sys
import threading
import zlib
from collections.abc import Sequence

from wirecheck.collect.node_program import NOT_LET_IN, OTHER_PROGRAM, digest
from wirecheck.collect.on_node import commands, visit

PRELOADED = (encodings.ascii, encodings.idna, encodings.latin_1)
"""Modules that are imported early: the node's mount namespace has another Python, or none."""

ENTERED = (("cgroup", 0x02000000), ("mnt", 0x00020000))
"""Namespaces of process 1; the cgroup one, because /proc shows paths relative to the reader's."""

_libc = ctypes.CDLL(None, use_errno=True)


class NotLetInError(Exception):
    """The pod lacks what it needs to see the node."""


def main(arguments: Sequence[str] | None = None) -> None:
    """`wait SECONDS` (0: for ever) or `visit DIGEST PLAN`."""
    match list(sys.argv[1:] if arguments is None else arguments):
        case ["wait", seconds]:
            wait(float(seconds))
        case ["visit", wanted, plan]:
            visit_node(wanted, plan)
        case _:
            sys.exit("usage: wirecheck-agent wait SECONDS | visit DIGEST PLAN")


def wait(seconds: float) -> None:
    """Wait for a signal to end, or until the time has passed."""
    ended = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: ended.set())
    # A wait without a limit would block signals.
    left = seconds or float("inf")
    while left > 0 and not ended.wait(min(left, 3600.0)):
        left -= 3600.0


def visit_node(wanted: str, plan: str) -> None:
    """Visit the node, and print its document on standard output."""
    if wanted != digest():
        sys.exit(OTHER_PROGRAM)
    task = json.loads(zlib.decompress(base64.b64decode(plan)))
    if os.geteuid() != 0:
        sys.exit(visit.NOT_ROOT)
    try:
        enter_node()
    except NotLetInError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_LET_IN)
    visit.main(task)


def enter_node() -> None:
    """Enter the node's mount and cgroup namespaces. Raises NotLetInError."""
    own = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    tools = {argv[0] for argv in commands.TABLE.values()}
    lent = {tool for tool in tools if shutil.which(tool, path=commands.PATH)}
    try:
        namespaces = [
            (os.open(f"/proc/1/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), flag)
            for name, flag in ENTERED
            # Linux has cgroup namespaces since 4.6.
            if os.path.exists(f"/proc/self/ns/{name}")  # noqa: PTH110
        ]
    except OSError as error:
        raise NotLetInError(f"/proc/1/ns: {error.strerror}") from None
    if os.fstat(namespaces[-1][0]).st_ino == os.fstat(own).st_ino:
        raise NotLetInError("process 1 is the pod's own: hostPID is not set")
    for descriptor, flag in namespaces:
        enter(descriptor, flag)
    # Modules that are not loaded yet would be searched among the node's files.
    sys.path.clear()
    commands.LENT.update(lent)
    commands.LENDER = lambda: enter(own, ENTERED[-1][1])


def enter(descriptor: int, flag: int) -> None:
    """Move this process into the namespace behind `descriptor`. Raises NotLetInError."""
    if _libc.setns(descriptor, flag) != 0:
        raise NotLetInError(f"setns: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    main()
