"""The node that is a virtual machine: a kernel of its own, cgroup v2, and IPVS.

It is emulated in software, so it needs nothing but QEMU.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
from pathlib import Path

from testbed import nodes, processes
from testbed.commands import Ended, attempt, run
from testbed.layout import BRIDGE, TAP, VM, Layout
from testbed.readiness import VanishedError, wait_for
from testbed.state import State
from testbed.vm_disk import disk, initramfs, kernel

_MAC = "52:54:00:77:63:01"
_BOOT_LIMIT = 180.0


def _pid_file(here: State) -> Path:
    return here.vm / "qemu.pid"


def _mark(here: State) -> tuple[str, ...]:
    """The arguments by which our QEMU is known."""
    return (VM, str(_pid_file(here)))


def is_running(here: State) -> bool:
    """Whether the machine runs."""
    return processes.recorded(_pid_file(here), _mark(here)) is not None


def boot(here: State, layout: Layout) -> None:
    """Start the machine in the nodes' network, and wait until one can log in."""
    _make_tap()
    machine = processes.start(_qemu(here, layout), here.log / "qemu.log", TMPDIR=str(here.vm))
    # QEMU writes it too, but later than somebody may interrupt us.
    _pid_file(here).write_text(str(machine.pid))
    wait_for(lambda: _unreachable(machine, here), _BOOT_LIMIT, str(_console(here)))


def _unreachable(machine: subprocess.Popen[bytes], here: State) -> list[str]:
    if machine.poll() is not None:
        logs = f"{here.log / 'qemu.log'} and {_console(here)}"
        raise VanishedError(f"the virtual machine ended by itself; its logs are {logs}")
    return [] if nodes.run(VM, ["true"], timeout=30).status == 0 else [f"ssh to {VM}"]


def _console(here: State) -> Path:
    return here.log / "vm-console.log"


def _make_tap() -> None:
    _remove_tap()
    run(["ip", "tuntap", "add", TAP, "mode", "tap"])
    run(["ip", "link", "set", TAP, "master", BRIDGE, "up"])


def _remove_tap() -> None:
    found = attempt(["ip", "-json", "-details", "link", "show", TAP])
    if found.status == 0 and _is_tap(found):
        run(["ip", "link", "delete", TAP])


def _is_tap(found: Ended) -> bool:
    (link,) = json.loads(found.stdout)
    return bool(link.get("linkinfo", {}).get("info_kind") == "tun")


def _qemu(here: State, layout: Layout) -> list[str]:
    return [
        "qemu-system-x86_64",
        *("-name", VM, "-pidfile", str(_pid_file(here))),
        *("-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "Nehalem"),
        *("-smp", "2", "-m", "2048", "-display", "none", "-no-reboot"),
        *("-serial", f"file:{_console(here)}"),
        *("-kernel", str(kernel(here)), "-initrd", str(initramfs(here))),
        *("-append", _kernel_arguments(layout)),
        # What the machine writes goes into a temporary file that nobody else sees.
        *("-drive", f"file={disk(here)},if=virtio,format=raw,cache=unsafe,snapshot=on"),
        *("-netdev", f"tap,id=net,ifname={TAP},script=no,downscript=no"),
        *("-device", f"virtio-net-pci,netdev=net,mac={_MAC},romfile="),
        *(
            "-object",
            "rng-random,id=rng,filename=/dev/urandom",
            "-device",
            "virtio-rng-pci,rng=rng",
        ),
    ]


def _kernel_arguments(layout: Layout) -> str:
    settings = {
        "name": VM,
        "address": layout.vm.address,
        "prefix": ipaddress.ip_network(layout.subnet).prefixlen,
        "gateway": layout.gateway,
        "dns": layout.dns,
    }
    console = "console=ttyS0 panic=-1 mitigations=off nokaslr quiet net.ifnames=0"
    return f"{console} {' '.join(f'testbed.{name}={value}' for name, value in settings.items())}"


def remove(here: State) -> None:
    """End the machine, and remove its network device."""
    processes.end(_pid_file(here), _mark(here))
    _remove_tap()
