"""What enforces policies on one node, as far as comparing it with the policies takes."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple, Protocol

from wirecheck.addresses import IPAddress, IPNetwork
from wirecheck.dataplane.rules.followed_packets import Fates
from wirecheck.dataplane.rules.set_members import Port
from wirecheck.policy.reach import Direction
from wirecheck.policy.ways import Way


class Told(Protocol):
    """Which addresses of one family an enforcer tells apart."""

    def of(self, address: IPAddress) -> object:
        """Equal for addresses that it does not tell apart."""

    @property
    def ranges(self) -> Sequence[IPNetwork]:
        """Ranges that it names."""

    @property
    def members(self) -> Sequence[IPAddress]:
        """Single addresses that it has, and that may be left of former pods."""


class Telling(NamedTuple):
    """What an enforcer tells apart of addresses where it decides about one pod."""

    key: Hashable
    """Equal for pods for which it is the same."""
    of: Callable[[object], object]
    """Of what `Told.of` returns: what matters for these pods."""


class Enforcer(Protocol):
    """Raises FactMissingError if what it decides by was not read or is not recognised."""

    @property
    def needs_routes(self) -> bool:
        """Whether it meets only packets that the node routes."""

    @property
    def bans_nobody(self) -> bool:
        """Whether it refuses for policies only, never because somebody has banned an address."""

    def refused_to_node(self, address: IPAddress) -> tuple[str, ...]:
        """Why the node cannot reach a pod of its own, if it should, whatever policies say.

        Empty if it can, or if that is not known.
        """

    def told(self, family: int) -> Told:
        """The addresses that it tells apart."""

    def telling(self, address: IPAddress, direction: Direction) -> Telling:
        """What it tells apart of addresses where it decides about one pod of the node."""

    def named_ports(self, family: int, address: IPAddress) -> frozenset[Port]:
        """The ports that it names for the pod of the node with an address."""

    def fates(self, way: Way) -> Fates:
        """What it does with connections."""

    def evidence(self, way: Way, at: int, port: Port, *, is_open: bool) -> tuple[str, ...]:
        """What decides about the connections between the pod and one of the peers to a port."""
