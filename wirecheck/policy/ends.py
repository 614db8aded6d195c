"""One end of connections that a node forwards for its pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

from wirecheck.addresses import IPAddress
from wirecheck.api_index.pod import Pod
from wirecheck.policy.peers import Peer


@dataclass(frozen=True)
class End:
    """One end of connections; the address stands for all of `pods`, or for addresses outside."""

    address: IPAddress
    peer: Peer
    pods: tuple[Pod, ...] = ()
    device: str = ""
    """The node's device towards it; empty if that is not known."""
    is_local: bool = False
    is_bridged: bool = False
    """Whether the device is a bridge that the pod is a port of."""
    is_left: bool = False
    """Whether it is an address for pods, and no pod has it."""
    is_named: bool = True
    """Whether it stands for pods, or for addresses that policies name; others only rules name."""
    told: object = ()
    """Equal for addresses that the rules of the node do not tell apart."""
    further: tuple[Peer, ...] = ()
    """Further classes of pods that it stands for."""

    @property
    def kinds(self) -> tuple[Peer, ...]:
        """All classes of pods that it stands for."""
        return tuple(dict.fromkeys((self.peer, *self.further)))

    @property
    def name(self) -> str:
        """`shop/web-0`, or the address."""
        if self.is_left:
            return f"{self.address} (no pod has this address)"
        if not self.pods:
            return str(self.address)
        return f"{self.pods[0].namespace}/{self.pods[0].name}"

    @property
    def count(self) -> int:
        return max(len(self.pods), 1)


def joined(ends: Sequence[End]) -> End:
    """One end for all of them, which are alike."""
    first = ends[0]
    if len(ends) == 1:
        return first
    kinds = dict.fromkeys(chain.from_iterable((each.peer, *each.further) for each in ends))
    pods = tuple(chain.from_iterable(each.pods for each in ends))
    return replace(first, pods=pods, further=tuple(kinds)[1:])
