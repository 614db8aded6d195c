"""Rules in the form that the rule engine follows, the same for iptables and nftables.

`iptables/rules.py` and `nftables/rules.py` turn rules into steps. A step contains nothing that
differs between nodes: equal rules of many nodes are translated once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from msgspec import Struct

from wirecheck.dataplane.table import Frontend, RuleText, Verdict, text_of


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


IN, OUT = "interface", "output"
"""The kinds of conditions on the device by which a packet comes in, and leaves."""
LOOPBACK = "lo"


class SourceTest(Struct, frozen=True, gc=False):
    """A condition that matches some clients and not others.

    `kind` is `network` (one or several, with commas between them), `local` (an address of the
    node), `interface` (where the packet comes in), `output` (where it leaves), `packet` (its source
    port and the like), `set` (an ipset that is not known), or `other`: an unrecognised condition.
    The only assumption about these is that they treat all connections of one client alike.
    """

    kind: str
    value: str
    negated: bool

    @property
    def name(self) -> str:
        """The same for a condition and its negation."""
        return f"{self.kind} {self.value}".strip()

    def names_device(self, name: str) -> bool:
        """Whether its value stands for the interface: `eth0`, or `cali+` for all that begin so."""
        prefix = self.value.removesuffix("+")
        return name == self.value or (prefix != self.value and name.startswith(prefix))


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
    """Continue in another chain; after `goto` its end does not return here."""

    chain: str
    goto: bool = False


class SetMark(Struct, frozen=True, gc=False):
    """mark = (mark & ~clear) ^ flip."""

    clear: int
    flip: int

    def of(self, mark: int) -> int:
        """The mark after the action."""
        return (mark & ~self.clear) ^ self.flip


class Dnat(Struct, frozen=True, gc=False):
    """The connection goes to this backend; port 0 keeps the port. The address may be `HERE`."""

    address: str
    port: int


HERE = "this node"
"""Instead of an address of `Dnat`: the node's own, by which a program on it gets the packet."""


BY_PROGRAM = "a program gets them, and decides"
"""How the text of `Opaque` begins where a program on the node decides about packets."""


class End(Struct, frozen=True, gc=False):
    """The packet ends here with this verdict; NOTHING accepts it: it passes this hook."""

    verdict: Verdict


class Return(Struct, frozen=True, gc=False):
    """Back to the calling chain."""


class Source(Struct, frozen=True, gc=False):
    """The packet gets the node's source address (MASQUERADE)."""


class Remember(Struct, frozen=True, gc=False):
    """The client is remembered under this name from now on."""

    name: str


class Opaque(Struct, frozen=True, gc=False):
    """An unrecognised action: its effect is unknown."""

    text: str


class Lookup(Struct, frozen=True, gc=False):
    """The action for the packet's key; without an entry it has no effect."""

    key: Callable[[Packet], object]
    actions: Mapping[object, Action]
    members: tuple[Frontend, ...]
    """The frontends that have entries."""


class Choose(Struct, frozen=True, gc=False):
    """One of the actions at random, with these shares; without shares all are equal."""

    actions: tuple[Action, ...]
    shares: tuple[float, ...] = ()


Action = Jump | SetMark | Dnat | End | Return | Source | Remember | Opaque | Lookup | Choose


class Step(Struct, frozen=True, gc=False):
    """One rule: the actions in their order, for packets that match all conditions."""

    rule: RuleText
    actions: tuple[Action, ...] = ()
    never: bool = False
    """It cannot match the first packet of a connection before DNAT."""
    first: bool = True
    """Whether it can match that packet after DNAT."""
    later: bool | None = True
    """Whether it can match later packets in both directions; None where that is not known."""
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
    restores_mark: bool = False
    """Whether it gives the packet the connection's mark, which a new connection does not have."""
    restores: int = 0
    """The bits of the packet's mark that it replaces by those of the connection's."""
    saves_mark: bool = False
    """Whether it gives the connection a mark."""
    sets: tuple[SetTest, ...] = ()
    """Not yet resolved."""
    own: str = ""
    """The only source address that it matches, where the step only sets a mark."""

    @property
    def text(self) -> str:
        """The rule as its tool prints it."""
        return text_of(self.rule)


def own_address(sources: tuple[SourceTest, ...], actions: tuple[Action, ...]) -> str:
    """`Step.own` for a step with these conditions and actions."""
    if len(sources) != 1 or len(actions) != 1 or not isinstance(actions[0], Jump | SetMark):
        return ""
    source = sources[0]
    address, _, length = source.value.partition("/")
    is_one = source.kind == "network" and not source.negated and length in ("32", "128")
    return address if is_one else ""
