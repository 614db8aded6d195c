"""The node that is a virtual machine: a kernel of its own, cgroup v2, and IPVS.

It is User Mode Linux, a kernel that runs as a process, so it needs no hardware for machines.
"""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from pathlib import Path

from testbed import nodes, processes, uml
from testbed.commands import Ended, attempt, run
from testbed.layout import BRIDGE, TAP, VM, Layout
from testbed.readiness import VanishedError, wait_for
from testbed.state import State
from testbed.vm_disk import disk

_MEMORY = "2048M"
_BOOT_LIMIT = 180.0


def _pid_file(here: State) -> Path:
    return here.vm / "kernel.pid"


def _mark(here: State) -> tuple[str, ...]:
    """The arguments by which our kernel is known."""
    return (f"umid={VM}", f"uml_dir={here.vm}")


def is_running(here: State) -> bool:
    """Whether the machine runs."""
    return processes.recorded(_pid_file(here), _mark(here)) is not None


def boot(here: State, layout: Layout) -> None:
    """Start the machine in the nodes' network, and wait until one can log in."""
    _remove_tap()
    uml.make_tap(TAP, BRIDGE)
    _changes(here).unlink(missing_ok=True)
    machine = uml.start(_argv(here, layout), _console(here))
    _pid_file(here).write_text(str(machine.pid))
    wait_for(lambda: _unreachable(machine, here), _BOOT_LIMIT, str(_console(here)))


def _unreachable(machine: subprocess.Popen[bytes], here: State) -> list[str]:
    if machine.poll() is not None:
        raise VanishedError(f"the virtual machine ended by itself; its log is {_console(here)}")
    return [] if nodes.run(VM, ["true"], timeout=30).status == 0 else [f"ssh to {VM}"]


def _console(here: State) -> Path:
    return here.log / "vm-console.log"


def _changes(here: State) -> Path:
    """What the machine writes goes here: the disk itself stays as it was made."""
    return here.vm / "changes.img"


def _remove_tap() -> None:
    found = attempt(["ip", "-json", "-details", "link", "show", TAP])
    if found.status == 0 and _is_tap(found):
        run(["ip", "link", "delete", TAP])


def _is_tap(found: Ended) -> bool:
    (link,) = json.loads(found.stdout)
    return bool(link.get("linkinfo", {}).get("info_kind") == "tun")


def _argv(here: State, layout: Layout) -> list[str]:
    settings = {
        "name": VM,
        "address": layout.vm.address,
        "prefix": ipaddress.ip_network(layout.subnet).prefixlen,
        "gateway": layout.gateway,
        "dns": layout.dns,
    }
    options = [
        f"mem={_MEMORY}",
        *(f"ubd0={_changes(here)},{disk(here)}", "root=/dev/ubda", "rw"),
        *("init=/usr/local/sbin/wc-vm-init", *_mark(here)),
        *(f"testbed.{name}={value}" for name, value in settings.items()),
    ]
    return uml.argv(here, TAP, max(os.sched_getaffinity(0)), options)


def remove(here: State) -> None:
    """End the machine, and remove its network device and what it has written."""
    processes.end(_pid_file(here), _mark(here))
    _changes(here).unlink(missing_ok=True)
    _remove_tap()
