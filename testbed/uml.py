"""User Mode Linux: a kernel with IPVS that runs as a process, at the machine's own speed.

The referee's kernels and the virtual machine node are started here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from testbed import access, host, processes, rootfs
from testbed.access import host_key
from testbed.commands import TestbedError, run
from testbed.layout import NodeSpec
from testbed.state import SOURCE, State, is_fresh, key_of, mark_fresh, mark_stale

NAME = "wc-uml"
"""Its host key's name, and its own."""

_PACKAGE = "user-mode-linux"
_INIT = SOURCE / "virtual/uml-init"


def kernel(here: State) -> Path:
    """The kernel, a program of this machine."""
    return _folder(here) / "linux.uml"


def root(here: State) -> Path:
    """The root file system: a node's with the kernel's modules, which nobody writes to."""
    return _folder(here) / "root"


def root_key(here: State) -> str:
    """What the root file system was made from."""
    return root(here).with_suffix(".key").read_text()


def _folder(here: State) -> Path:
    return here.root / "uml"


def argv(here: State, tap: str, processor: int, options: Sequence[str]) -> list[str]:
    """The command line of a kernel whose network device is the other end of `tap`."""
    return [
        # On one processor: to wake the other at each system call takes four times as long.
        *("taskset", "-c", str(processor), str(kernel(here)), *options),
        *("con=null", "con0=null,fd:1", "quiet", f"vec0:transport=tap,ifname={tap}"),
    ]


def start(argv: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a kernel, whose memory is a file in the machine's."""
    started = processes.start(argv, log, TMPDIR="/dev/shm")
    with suppress(PermissionError):
        # It is woken for each system call; to wait for its turn each time takes ages.
        os.sched_setscheduler(started.pid, os.SCHED_RR, os.sched_param(1))
    return started


def make_tap(name: str, bridge: str) -> None:
    """Make a network device for a kernel, on a bridge."""
    run(["ip", "tuntap", "add", name, "mode", "tap"])
    run(["ip", "link", "set", name, "master", bridge, "up"])


def make(here: State) -> None:
    """Make kernel and root file system, or find them made; Kubernetes must be built."""
    missing = host.missing_packages(host.PACKAGES)
    if missing:
        host.install(missing, here)
    access.make_keys(here, [NodeSpec(NAME, "")])
    rootfs.bootstrap(here)
    rootfs.furnish(here)
    public_key = host_key(here, NAME).with_suffix(".pub").read_text()
    key = key_of([_version(), rootfs.overlay_key(here), public_key, _INIT, SOURCE / "uml.py"])
    if is_fresh(root(here), key):
        return
    mark_stale(root(here))
    shutil.rmtree(_folder(here), ignore_errors=True)
    _folder(here).mkdir(parents=True)
    unpacked = _unpack(here)
    shutil.copy(unpacked / "usr/bin/linux.uml", kernel(here))
    _make_root(here, unpacked)
    shutil.rmtree(unpacked)
    mark_fresh(root(here), key)


def _version() -> str:
    """The version that apt would install."""
    listed = run(["apt-cache", "policy", _PACKAGE])
    found = re.search(r"Candidate: (\S+)", listed)
    if not found or found[1] == "(none)":
        raise TestbedError(f"apt does not know {_PACKAGE}: run `apt-get update`")
    return found[1]


def _unpack(here: State) -> Path:
    folder = _folder(here)
    run(["apt-get", "download", _PACKAGE], cwd=folder, timeout=600)
    (package,) = folder.glob("*.deb")
    unpacked = folder / "unpacked"
    run(["dpkg-deb", "--extract", str(package), str(unpacked)], timeout=120)
    package.unlink()
    return unpacked


def _make_root(here: State, unpacked: Path) -> None:
    tree = root(here)
    run(["cp", "--archive", "--link", str(here.rootfs), str(tree)], timeout=300)
    (modules,) = (unpacked / "usr/lib/uml/modules").iterdir()
    shutil.copytree(modules, tree / "usr/lib/modules" / modules.name, symlinks=True)
    run(["chroot", str(tree), "depmod", modules.name], timeout=120)
    # Its nf_tables know no family that the other iptables could use.
    for name in ("iptables", "ip6tables"):
        choice = ["update-alternatives", "--set", name, f"/usr/sbin/{name}-legacy"]
        run(["chroot", str(tree), *choice])
    shutil.copy(_INIT, tree / "usr/local/sbin/wc-uml-init")
    access.install_host_key(here, NAME, tree)
