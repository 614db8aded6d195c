"""Where the referee's node is: a network namespace on this machine, or one elsewhere."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from testbed import processes
from testbed.commands import Ended, TestbedError, attempt, run
from testbed.components_of_referee import program_of
from testbed.referee.slot import Slot


class Place(Protocol):
    """A network namespace with the node's addresses, from which the API server is reached."""

    def look(self, command: str, timeout: float) -> Ended:
        """Run a shell's line inside, where no process but its own is to be seen."""

    def kubeconfig(self, here: Path) -> Path:
        """Where the kubeconfig `here` is found from inside."""

    def start(self, version: str, settings: str) -> None:
        """Start a kube-proxy inside, in place of one that runs."""

    def log(self) -> str:
        """What kube-proxy has said last."""


class HereNetns:
    """A network namespace on this machine."""

    def __init__(self, slot: Slot, programs: Path) -> None:
        self.slot = slot
        self.programs = programs

    def run(self, argv: Sequence[str], timeout: float = 60) -> Ended:
        """Run a command inside, to its end."""
        return attempt(["ip", "netns", "exec", self.slot.netns, *argv], timeout=timeout)

    def look(self, command: str, timeout: float) -> Ended:
        """Run a shell's line inside, where no process but its own is to be seen.

        Otherwise process 1, whose netns counts as the node's, would be this machine's.
        """
        return self.run([*ALONE, "sh", "-c", command], timeout)

    def kubeconfig(self, here: Path) -> Path:
        """Where the kubeconfig `here` is found from inside."""
        return here

    def start(self, version: str, settings: str) -> None:
        """Start a kube-proxy inside, in place of one that runs."""
        self.stop()
        flag = _written(self.slot, settings)
        program = self.programs / program_of(version)
        argv = ["ip", "netns", "exec", self.slot.netns, str(program), flag]
        process = processes.start(argv, self._log_file)
        self.slot.pid_file("kube-proxy").write_text(str(process.pid))

    def log(self) -> str:
        """What kube-proxy has said last."""
        return self._log_file.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End the kube-proxy."""
        processes.end(self.slot.pid_file("kube-proxy"), (_flag(self.slot),))

    @property
    def _log_file(self) -> Path:
        return self.slot.folder / "kube-proxy.log"


ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")


def _flag(slot: Slot) -> str:
    return f"--config={slot.folder / 'kube-proxy.yaml'}"


def _written(slot: Slot, settings: str) -> str:
    (slot.folder / "kube-proxy.yaml").write_text(settings)
    return _flag(slot)


@contextmanager
def netns_here(slot: Slot, programs: Path, addresses: Sequence[str]) -> Iterator[HereNetns]:
    """A netns on this machine with the node's addresses, and a cable to the API server."""
    place = HereNetns(slot, programs)
    _remove(place)
    try:
        run(["ip", "netns", "add", slot.netns])
        cable = ["type", "veth", "peer", "eth0", "netns", slot.netns]
        run(["ip", "link", "add", slot.link, *cable])
        run(["ip", "link", "set", slot.link, "master", slot.bridge, "up"])
        own = ["ip link set lo up", f"ip addr add {slot.node_address}/28 dev eth0"]
        for line in (*own, *inside_lines(addresses)):
            ended = place.run(shlex.split(line))
            if ended.status:
                raise TestbedError(f"`{line}` in {slot.netns}: {ended.stderr.strip()}")
        yield place
    finally:
        _remove(place)


def inside_lines(addresses: Sequence[str]) -> Iterator[str]:
    """The commands that make eth0 the node's interface."""
    yield "sysctl -qw net.ipv6.conf.eth0.accept_dad=0 net.ipv6.conf.all.forwarding=1"
    yield "ip link set eth0 up"
    for each in addresses:
        yield f"ip addr add {each}/{128 if ':' in each else 32} dev eth0"


def _remove(place: HereNetns) -> None:
    place.stop()
    # The cable first: with its netns it would go away only after a while.
    attempt(["ip", "link", "del", place.slot.link])
    attempt(["ip", "netns", "del", place.slot.netns])
