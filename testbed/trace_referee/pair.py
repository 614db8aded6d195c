"""Two nodes in namespaces of their own, joined by a wire: their pods by a tunnel or by routes.

All have addresses of both families. The tunnel is a VXLAN device without learning, with an entry
for the other node, as flannel's.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from testbed.trace_referee.world import PlacedNode, PlacedPod, Seen, World, running

TUNNEL, ROUTES = "tunnel", "routes"
JOINED = (TUNNEL, ROUTES)
MACS = ("02:00:00:00:01:01", "02:00:00:00:01:02")


def _pods(number: int, names: str) -> tuple[PlacedPod, ...]:
    """Two on the bridge, and one with a route of its own, which has no IPv6."""
    first, second, third = tuple(names)
    uid = "00000000-0000-4000-8000-00000000000"
    return (
        PlacedPod(first, f"{uid}{first}", f"10.244.{number}.2", "veth2",
                  address6=f"fd00:244:{number}::2"),
        PlacedPod(second, f"{uid}{second}", f"10.244.{number}.3", "veth3",
                  address6=f"fd00:244:{number}::3"),
        PlacedPod(third, f"{uid}{third}", f"10.245.{number}.4", "veth4", routed=True),
    )  # fmt: skip


def _node(number: int, names: str) -> PlacedNode:
    return PlacedNode(
        f"n{number}",
        f"192.0.2.{number}",
        _pods(number, names),
        gateway=f"10.244.{number}.1",
        gateway6=f"fd00:244:{number}::1",
        address6=f"fd00:2::{number}",
        has_uplink=False,
    )


NODES = (_node(1, "abc"), _node(2, "def"))


@dataclass(frozen=True)
class Pair:
    """Two running nodes."""

    worlds: tuple[World, World]

    def of(self, node: str) -> World:
        """The node with that name."""
        return next(each for each in self.worlds if each.placed.name == node)

    def visit(self) -> Seen:
        """What the node program reports of both, once all their addresses are usable."""
        for each in self.worlds:
            each.run(_usable(each.placed))
        with ThreadPoolExecutor() as pool:
            texts = [*pool.map(World.reported, self.worlds)]
        # msgspec crashes if threads decode a type for the first time.
        first, second = (e.seen(text) for e, text in zip(self.worlds, texts, strict=True))
        return Seen({**first.documents, **second.documents})


@contextlib.contextmanager
def running_pair(joined: str) -> Iterator[Pair]:
    """Two nodes, which end with the block."""
    with running(NODES[0]) as first, running(NODES[1]) as second:
        inside = ["nsenter", "--target", str(first.pid), "--net", "--"]
        link = "ip link add uplink type veth peer name uplink netns"
        subprocess.run([*inside, *link.split(), str(second.pid)], check=True)
        pair = Pair((first, second))
        for own, other in ((0, 1), (1, 0)):
            for command in _commands(own, other, joined):
                pair.worlds[own].run(command)
        yield pair


def _usable(node: PlacedNode) -> str:
    """A command that waits until no address is tentative.

    The kernel asks for no neighbour by a device whose link-local address it still verifies. An
    address of a device without a carrier stays tentative; nothing is sent there.
    """
    inside = ("ip", *(f"ip -n {each.name}" for each in node.pods))
    tentative = "; ".join(f"{each} -6 address show tentative" for each in inside)
    return f'for _ in $(seq 100); do [ -z "$({tentative})" ] && exit; sleep 0.1; done'


def _commands(own: int, other: int, joined: str) -> Iterator[str]:
    """What joins a node to the other one."""
    here, there = own + 1, other + 1
    yield f"ip address add 192.0.2.{here}/24 dev uplink"
    yield f"ip address add fd00:2::{here}/64 dev uplink nodad"
    yield "ip link set uplink up"
    # Without a route to what it asks for, proxy_arp answers nobody.
    yield "ip route add default via 192.0.2.254"
    yield "sysctl -qw net.ipv4.neigh.uplink.proxy_delay=0"
    if joined == ROUTES:
        yield f"ip route add 10.244.{there}.0/24 via 192.0.2.{there}"
        yield f"ip route add 10.245.{there}.0/24 via 192.0.2.{there}"
        yield f"ip -6 route add fd00:244:{there}::/64 via fd00:2::{there}"
        return
    mac, gateway = MACS[other], f"10.244.{there}.0"
    yield (
        f"ip link add flannel.1 address {MACS[own]} type vxlan id 1 dev uplink "
        f"local 192.0.2.{here} dstport 8472 nolearning"
    )
    yield f"ip address add 10.244.{here}.0/32 dev flannel.1"
    yield "ip link set flannel.1 up"
    for where in (gateway, f"fd00:244:{there}::"):
        yield f"ip neigh replace {where} lladdr {mac} dev flannel.1 nud permanent"
    yield f"bridge fdb append {mac} dev flannel.1 dst 192.0.2.{there}"
    for prefix in (f"10.244.{there}.0/24", f"10.245.{there}.0/24"):
        yield f"ip route add {prefix} via {gateway} dev flannel.1 onlink"
    yield f"ip -6 route add fd00:244:{there}::/64 via fd00:244:{there}:: dev flannel.1 onlink"
