"""The node that is changed, and what its rules can be about."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.referee.dice import Dice
from testbed.trace_referee.pair import NODES
from testbed.trace_referee.world import ALONE, NODE_ADDRESS, PODS, PlacedNode, PlacedPod

SERVICE = "10.96.0.50"
PORTS = (80, 8080, 9090)


@dataclass(frozen=True)
class Site:
    """The node that is changed, and what its rules can be about."""

    node: PlacedNode = ALONE
    addresses: tuple[str, ...] = (*(each.address for each in PODS), NODE_ADDRESS, SERVICE)
    is_pair: bool = False
    family: int = 4

    @property
    def pods(self) -> tuple[PlacedPod, ...]:
        return self.node.pods

    @property
    def own_node(self) -> str:
        """The node's address in the family."""
        return self.node.address if self.family == 4 else self.node.address6

    def own(self, pod: PlacedPod) -> str:
        """The pod's address in the family."""
        return pod.address if self.family == 4 else pod.address6 or self.addresses[0]


ONE = Site()


def site_of(node: PlacedNode, family: int) -> Site:
    """A node of a pair."""
    pods = [each for other in NODES for each in other.pods if family == 4 or each.address6]
    nodes = (each.address if family == 4 else each.address6 for each in NODES)
    every = (*(each.address if family == 4 else each.address6 for each in pods), *nodes)
    return Site(node, every, is_pair=True, family=family)


def where_in(dice: Dice, site: Site) -> str:
    """A prefix of a command: in a pod's netns, or on the node."""
    pod = dice.choice(["", *(each.name for each in site.pods)])
    return f"ip netns exec {pod} " if pod else ""
