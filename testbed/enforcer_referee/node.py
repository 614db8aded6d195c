"""The node: namespaces of its own with pods, the enforcer, and a netns for everybody elsewhere."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from testbed import host
from testbed.commands import TestbedError, attempt, run
from testbed.components import build
from testbed.enforcer_referee.scenes import NODE, NODE_ADDRESS, PLACED
from testbed.networks.pod_network import network_named
from testbed.referee.control_plane import SERVICE_RANGES
from testbed.referee.slot import Slot
from testbed.state import State
from testbed.trace_referee.world import World, running

NETWORK = network_named("kube-router")
(KUBE_ROUTER,) = NETWORK.components
VERSION = NETWORK.images[0].tag.removeprefix("v")
PACKAGES = {"ip": "iproute2", "iptables": "iptables", "ipset": "ipset"}
ELSEWHERE = "elsewhere"
UPLINK_MACS = ("02:00:00:00:31:10", "02:00:00:00:31:01")
"""Of the node's end of the wire, and of the other end."""
_SETTINGS = (
    f"--hostname-override={NODE}",
    "--run-router=false",
    "--run-firewall=true",
    "--run-service-proxy=false",
    # Its rules for IPv6 name sets that do not exist (kube-router 1653), and no sync succeeds.
    "--enable-ipv6=false",
    f"--service-cluster-ip-range={SERVICE_RANGES[0]}",
    "--health-port=0",
    # It writes everything again after changes only: mutations stay as long as they are tried.
    "--iptables-sync-period=24h",
    "--v=1",
)
_WIRE = (
    f"ip netns add {ELSEWHERE}",
    f"ip link add uplink address {UPLINK_MACS[0]} type veth peer name eth0"
    f" address {UPLINK_MACS[1]} netns {ELSEWHERE}",
    f"ip address add {NODE_ADDRESS}/24 dev uplink",
    "ip link set uplink up",
    f"ip -n {ELSEWHERE} link set eth0 up",
    # Nobody there answers: what arrives is captured.
    f"ip neigh replace 172.31.0.1 lladdr {UPLINK_MACS[1]} dev uplink nud permanent",
    "ip route add default via 172.31.0.1 dev uplink",
)


@dataclass(frozen=True)
class EnforcingNode:
    """A node whose kube-router runs."""

    world: World
    log_file: Path
    process: subprocess.Popen[bytes]

    def log(self) -> str:
        """What kube-router has written last."""
        return self.log_file.read_text(errors="replace")[-3000:]

    def has_synchronised(self) -> bool:
        """Whether no sync is under way. Raises TestbedError if kube-router has ended."""
        if self.process.poll() is not None:
            raise TestbedError(f"kube-router has ended: {self.log()}")
        text = self.log_file.read_text(errors="replace")
        begun, done = text.count("Starting sync of iptables"), text.count("sync iptables took")
        return 0 < begun == done


def prepare(here: State) -> Path:
    """Install the programs that kube-router calls, and build it; returns its path."""
    host.check_user()
    if missing := host.missing_packages(PACKAGES):
        host.install(missing, here)
    return build(KUBE_ROUTER, here)


@contextmanager
def enforcing_node(program: Path, slot: Slot, kubeconfig: Path) -> Iterator[EnforcingNode]:
    """A node with a kube-router that follows the API; both end with the block."""
    with running(PLACED) as world:
        _connect(world, slot)
        try:
            for each in _WIRE:
                world.run(each)
            log = slot.folder / "kube-router.log"
            argv = [str(program), f"--kubeconfig={kubeconfig}", *_SETTINGS]
            with log.open("wb") as sink:
                inside = ["nsenter", "--target", str(world.pid), "--all", "--"]
                process = subprocess.Popen([*inside, *argv], stdout=sink, stderr=sink)
            try:
                yield EnforcingNode(world, log, process)
            finally:
                process.terminate()
                process.wait(timeout=30)
        finally:
            attempt(["ip", "link", "del", slot.link])


def _connect(world: World, slot: Slot) -> None:
    """A cable from the node to the API server's bridge."""
    attempt(["ip", "link", "del", slot.link])
    far_end = ["type", "veth", "peer", "name", "api0", "netns", str(world.pid)]
    run(["ip", "link", "add", slot.link, *far_end])
    run(["ip", "link", "set", slot.link, "master", slot.bridge, "up"])
    world.run(f"ip address add {slot.node_address}/28 dev api0 && ip link set api0 up")
