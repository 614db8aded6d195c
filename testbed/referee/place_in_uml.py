"""A kernel in user mode that has IPVS, as this machine's may not have it."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed import processes, uml
from testbed.access import client_key, host_key
from testbed.commands import Ended, TestbedError, attempt
from testbed.components_of_referee import program_of
from testbed.referee.place import ALONE, inside_lines
from testbed.referee.slot import Slot
from testbed.state import State, write_atomically

_PATIENCE = 120.0
_MEMORY = "1024M"
_IN_SLOT = Path("/run/slot")
_IN_BIN = Path("/run/bin")
_SETTINGS = "kube-proxy.yaml"
_LOG = "/run/kube-proxy.log"
_PID = "/run/kube-proxy.pid"


class Uml:
    """A kernel in user mode, a neighbour of the API server; all commands share one connection.

    It sees the slot's folder and that of the binaries as they are here.
    """

    def __init__(self, here: State, slot: Slot) -> None:
        self.here = here
        self.slot = slot
        self._way = [
            *("-F", "/dev/null", "-i", str(client_key(here))),
            *("-o", f"ControlPath={slot.folder / 'ssh'}"),
            *("-o", f"UserKnownHostsFile={slot.folder / 'known_hosts'}"),
            *("-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"),
            *("-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "ConnectTimeout=10"),
        ]

    def boot(self) -> None:
        """Start the kernel, and wait until there is a connection to it."""
        self.end()
        uml.make_tap(self.slot.link, self.slot.bridge)
        kernel = uml.start(self._argv(), self._log_file)
        self.slot.pid_file("uml").write_text(str(kernel.pid))
        kind, key = host_key(self.here, uml.NAME).with_suffix(".pub").read_text().split(" ")[:2]
        write_atomically(
            self.slot.folder / "known_hosts", f"{self.slot.node_address} {kind} {key}\n"
        )
        self._connect(kernel)

    def _argv(self) -> list[str]:
        settings = {
            "name": uml.NAME,
            "address": f"{self.slot.node_address}/28",
            "gateway": self.slot.address,
            "bin": self.here.bin,
            "slot": self.slot.folder,
        }
        options = [
            f"mem={_MEMORY}",
            *("root=/dev/root", "rootfstype=hostfs", f"rootflags={uml.root(self.here)}", "ro"),
            *("init=/usr/local/sbin/wc-uml-init", f"uml_dir={self.slot.folder}", self._mark),
            *(f"testbed.{name}={value}" for name, value in settings.items()),
        ]
        return uml.argv(self.here, self.slot.link, _processor(self.slot), options)

    def _connect(self, kernel: subprocess.Popen[bytes]) -> None:
        """Open the connection."""
        keep = ["-M", "-N", self._login]
        limit = time.monotonic() + _PATIENCE
        master: subprocess.Popen[bytes] | None = None
        while attempt(["ssh", *self._way, "-O", "check", self._login]).status:
            if kernel.poll() is not None or time.monotonic() > limit:
                raise TestbedError(f"no connection into {uml.NAME}: see {self._log_file}")
            if master is None or master.poll() is not None:
                master = processes.start(["ssh", *self._way, *keep], self.slot.folder / "ssh.log")
                self.slot.pid_file("ssh").write_text(str(master.pid))
            time.sleep(0.2)

    def end(self) -> None:
        """End the kernel and with it all that runs on it."""
        processes.end(self.slot.pid_file("ssh"), tuple(self._way))
        processes.end(self.slot.pid_file("uml"), (self._mark,))
        attempt(["ip", "link", "del", self.slot.link])

    def look(self, command: str, timeout: float) -> Ended:
        """Run a shell's line inside, where no process but its own is to be seen."""
        return self._ssh(shlex.join([*ALONE, "sh", "-c", command]), timeout)

    def kubeconfig(self, here: Path) -> Path:
        """Where the kubeconfig `here`, a file of the slot, is found from inside."""
        return _IN_SLOT / here.relative_to(self.slot.folder)

    def start(self, version: str, settings: str) -> None:
        """Start a kube-proxy inside, in place of one that runs."""
        (self.slot.folder / _SETTINGS).write_text(settings)
        program = _IN_BIN / program_of(version)
        self.run(
            f"{_STOP}; setsid nohup {program} --config={_IN_SLOT / _SETTINGS}"
            f" >{_LOG} 2>&1 </dev/null & echo $! >{_PID}"
        )

    def log(self) -> str:
        """What kube-proxy has said last."""
        return self.run(f"tail -c 3000 {_LOG}")

    def run(self, line: str) -> str:
        """Run a shell's line of ours inside."""
        ended = self._ssh(line, _PATIENCE)
        if ended.status:
            raise TestbedError(f"in {uml.NAME} `{line[:160]}`: {ended.stderr.strip()[-600:]}")
        return ended.stdout

    def _ssh(self, line: str, timeout: float) -> Ended:
        return attempt(["ssh", *self._way, self._login, line], timeout=timeout)

    @property
    def _login(self) -> str:
        return f"root@{self.slot.node_address}"

    @property
    def _mark(self) -> str:
        return f"umid={uml.NAME}-{self.slot.number}"

    @property
    def _log_file(self) -> Path:
        return self.slot.folder / "uml.log"


# Only the process that was started here: its command line names our file.
_STOP = (
    f"pid=$(cat {_PID} 2>/dev/null);"
    f' if [ -n "$pid" ] && grep -qs {_SETTINGS} /proc/$pid/cmdline; then kill $pid;'
    " while [ -e /proc/$pid ]; do sleep 0.2; done; fi"
)


def _processor(slot: Slot) -> int:
    ours = sorted(os.sched_getaffinity(0))
    return ours[-1 - slot.number % len(ours)]


@contextmanager
def in_uml(here: State, slot: Slot, addresses: Sequence[str]) -> Iterator[Uml]:
    """A kernel in user mode with the node's addresses; `uml.make` must have been called."""
    place = Uml(here, slot)
    try:
        place.boot()
        place.run("set -e; " + "; ".join(inside_lines(addresses)))
        yield place
    finally:
        place.end()
