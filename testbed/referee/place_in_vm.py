"""A network namespace in the test cluster's virtual machine, whose kernel has IPVS."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from testbed import processes
from testbed.commands import Ended, TestbedError, attempt
from testbed.components_of_referee import program_of
from testbed.layout import VM, Layout
from testbed.referee.place import ALONE, inside_lines
from testbed.referee.slot import Slot
from testbed.state import State

_NETNS = "wc-referee"
_FOLDER = "/var/lib/wc-referee"
_CONFIG = f"{_FOLDER}/kube-proxy.yaml"
_NUMBER = 30
"""The last part of the netns's own address in the nodes' network."""
_PATIENCE = 300.0
"""The machine is emulated, and others work on it."""


class VmNetns:
    """A netns of the virtual machine, a neighbour of the machine's own in the nodes' network.

    All commands share one connection: to open another takes the machine many seconds where
    it is busy.
    """

    def __init__(self, here: State, slot: Slot) -> None:
        self.here = here
        self.slot = slot
        self._way = ["-F", str(here.ssh_config), "-o", f"ControlPath={slot.folder / 'ssh'}"]

    def connect(self) -> None:
        """Open the connection."""
        self.disconnect()
        keep = ["-M", "-N", "-o", f"ConnectTimeout={_PATIENCE:.0f}"]
        process = processes.start(["ssh", *self._way, *keep, f"root@{VM}"], self._log_file)
        self.slot.pid_file("ssh").write_text(str(process.pid))
        limit = time.monotonic() + _PATIENCE
        while attempt(["ssh", *self._way, "-O", "check", VM]).status:
            if process.poll() is not None or time.monotonic() > limit:
                raise TestbedError(f"no connection to {VM}: {self._log_file.read_text().strip()}")
            time.sleep(0.5)

    def disconnect(self) -> None:
        """Close the connection."""
        processes.end(self.slot.pid_file("ssh"), tuple(self._way))

    def look(self, command: str, timeout: float) -> Ended:
        """Run a shell's line inside, where no process but its own is to be seen."""
        inside = ["ip", "netns", "exec", _NETNS, *ALONE, "sh", "-c", command]
        return self._ssh(shlex.join(inside), "", timeout + _PATIENCE)

    def kubeconfig(self, here: Path) -> Path:
        """Put the kubeconfig there."""
        there = f"{_FOLDER}/kubeconfig"
        self.run(f"umask 077; cat > {there}", here.read_text())
        return Path(there)

    def start(self, version: str, settings: str) -> None:
        """Start a kube-proxy inside, in place of one that runs."""
        program = self._bring(version)
        self.run(f"cat > {_CONFIG}", settings)
        # Before the machine's own work: it is slow enough.
        inside = f"nice -n -5 ip netns exec {_NETNS} {program} --config={_CONFIG}"
        self.run(
            f"{_STOP}; setsid nohup {inside} > {_FOLDER}/log 2>&1 < /dev/null & "
            f"echo $! > {_FOLDER}/pid"
        )

    def log(self) -> str:
        """What kube-proxy has said last."""
        return self.run(f"tail -c 3000 {_FOLDER}/log")

    def run(self, line: str, stdin: str = "") -> str:
        """Run a shell's line of ours on the machine."""
        ended = self._ssh(line, stdin, _PATIENCE)
        if ended.status:
            raise TestbedError(f"on {VM} `{line[:160]}`: {ended.stderr.strip()[-600:]}")
        return ended.stdout

    def _ssh(self, line: str, stdin: str, timeout: float) -> Ended:
        return attempt(["ssh", *self._way, f"root@{VM}", line], stdin=stdin, timeout=timeout)

    def _bring(self, version: str) -> str:
        """Copy the program there, unless it is there."""
        source = self.here.bin / program_of(version)
        there = f"{_FOLDER}/{source.name}"
        size = source.stat().st_size
        if self.run(f"stat -c %s {there} || true").strip() != str(size):
            copy = ["scp", "-q", "-C", *self._way, str(source), f"root@{VM}:{there}"]
            ended = attempt(copy, timeout=1200)
            if ended.status:
                raise TestbedError(f"cannot copy kube-proxy to {VM}: {ended.stderr.strip()}")
        return there

    @property
    def _log_file(self) -> Path:
        return self.slot.folder / "ssh.log"


# Only the process that was started here: its command line names our folder.
_STOP = (
    f"pid=$(cat {_FOLDER}/pid 2>/dev/null);"
    f' if [ -n "$pid" ] && grep -qs {_CONFIG} /proc/$pid/cmdline; then kill $pid;'
    " while [ -e /proc/$pid ]; do sleep 0.2; done; fi"
)
_REMOVE = f"{_STOP}; ip netns del {_NETNS} 2>/dev/null || true"


@contextmanager
def netns_in_vm(here: State, slot: Slot, addresses: Sequence[str]) -> Iterator[VmNetns]:
    """A netns with the node's addresses; the virtual machine must run."""
    record = here.record()
    if record is None or not record.vm:
        raise TestbedError("there is no virtual machine: `make cluster VM=1` starts one")
    layout = Layout(record.subnet)
    lines = [
        *inside_lines(f"{layout.at(_NUMBER)}/24", addresses),
        f"ip route add default via {layout.gateway}",
    ]
    place = VmNetns(here, slot)
    try:
        place.connect()
        place.run(
            f"{_REMOVE}; set -e; mkdir -p {_FOLDER}; ip netns add {_NETNS}; "
            # A MAC address of its own on the machine's own link.
            "ip link add wcr0 link eth0 type macvlan mode bridge; "
            f"ip link set wcr0 netns {_NETNS} name eth0; "
            + "; ".join(f"ip netns exec {_NETNS} {line}" for line in lines)
        )
        yield place
    finally:
        try:
            place.run(_REMOVE)
        finally:
            place.disconnect()
