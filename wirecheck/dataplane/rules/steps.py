"""Rules in the form in which they are walked, the same for iptables and nftables.

`iptables_rules.py` and `nftables_rules.py` turn rules into steps; `walk.py` takes a packet
through them. A step holds nothing that differs between nodes, so that equal rules of many
nodes are translated once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec import Struct

from wirecheck.dataplane.table import Frontend, Told, Verdict, text_of


class Packet(Struct, frozen=True, gc=False):
    """The first packet of a connection, without its source, of which there are many."""

    family: int
    address: str
    """The destination, as text and as number."""
    number: int
    protocol: str
    port: int
    is_local: bool
    """Whether the destination is an address of the node."""


Test = Callable[[Packet], bool]


class SourceTest(Struct, frozen=True, gc=False):
    """A condition on where the packet comes from, which splits clients.

    `kind` is `network` (one or several, with commas between them), `local` (an address of the
    node), `interface`, or `other`: a condition that is not understood, of which nothing is
    assumed but that it gives one client the same answer each time.
    """

    kind: str
    value: str
    negated: bool


class MarkTest(NamedTuple):
    """The packet's mark, cut to `mask`, is (not) `value`."""

    value: int
    mask: int
    negated: bool


class SetTest(NamedTuple):
    """The packet is (not) in an ipset by these of its fields; see `ipsets.py`."""

    name: str
    fields: tuple[str, ...]
    negated: bool


class Jump(Struct, frozen=True, gc=False):
    """Go on in another chain; from `goto` its end does not lead back."""

    chain: str
    goto: bool = False


class SetMark(Struct, frozen=True, gc=False):
    """mark = (mark & ~clear) ^ flip."""

    clear: int
    flip: int


class Dnat(Struct, frozen=True, gc=False):
    """The connection goes to this backend; port 0 keeps the port."""

    address: str
    port: int


class End(Struct, frozen=True, gc=False):
    """The connection ends so, or (NOTHING) passes this hook's table without more rules."""

    verdict: Verdict


class Return(Struct, frozen=True, gc=False):
    """Back to the calling chain."""


class Source(Struct, frozen=True, gc=False):
    """The packet gets the node's source address (MASQUERADE)."""


class Remember(Struct, frozen=True, gc=False):
    """The client is remembered under this name from now on."""

    name: str


class Opaque(Struct, frozen=True, gc=False):
    """What happens is not understood."""

    text: str


class Lookup(Struct, frozen=True, gc=False):
    """One of `actions`, by what `key` makes of the packet; no entry, no effect."""

    key: Callable[[Packet], object]
    actions: Mapping[object, Action]
    members: tuple[Frontend, ...]
    """The frontends that there are entries for."""


class Choose(Struct, frozen=True, gc=False):
    """One of the actions at random, with these shares; without any all are the same."""

    actions: tuple[Action, ...]
    shares: tuple[float, ...] = ()


Action = Jump | SetMark | Dnat | End | Return | Source | Remember | Opaque | Lookup | Choose


class Step(Struct, frozen=True, gc=False):
    """One rule: if all conditions hold, the actions in their order."""

    told: Told
    actions: tuple[Action, ...] = ()
    never: bool = False
    """It cannot match a connection's first packet on its way to a Service."""
    first: bool = True
    """Whether it can match that packet once it is translated,"""
    later: bool | None = True
    """and those that follow, both ways; None where that cannot be told."""
    protocol: str = ""
    host: str = ""
    """The only destination address that it matches."""
    port: int = 0
    """The only destination port that it matches."""
    tests: tuple[Test, ...] = ()
    """Further conditions on the packet."""
    sources: tuple[SourceTest, ...] = ()
    marks: tuple[MarkTest, ...] = ()
    probability: float = 1.0
    recalls: tuple[str, int] | None = None
    """Only for clients that were remembered under this name within so many seconds."""
    remembers: str = ""
    """Remembers the client under this name."""
    sets: tuple[SetTest, ...] = ()
    """Not yet resolved."""
    own: str = ""
    """The one address that packets must come from, where the step does nothing but mark."""

    @property
    def text(self) -> str:
        """The rule as its tool prints it."""
        return text_of(self.told)


def own_address(sources: tuple[SourceTest, ...], actions: tuple[Action, ...]) -> str:
    """`Step.own` for a step with these conditions and actions."""
    if len(sources) != 1 or len(actions) != 1 or not isinstance(actions[0], Jump | SetMark):
        return ""
    source = sources[0]
    address, _, length = source.value.partition("/")
    is_one = source.kind == "network" and not source.negated and length in ("32", "128")
    return address if is_one else ""
