"""`ServiceTable`: what one node does with new connections to Services.

For a frontend and a kind of client it has a `Handling`: forwarded to these backends with these
shares, rejected, dropped, or not programmed. Expected tables (`expected`) and tables read on a
node (`iptables`, `nftables`, `ipvs`) have the same type, so that `compare` knows no dataplane.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct, field

from wirecheck.api_index.backend import Backend, ServicePort, with_port


class Client(StrEnum):
    """Where a connection comes from, as far as Services treat clients differently."""

    POD = "pods on this node"
    NODE = "the node itself"
    REMOTE_POD = "pods on other nodes"
    OUTSIDE = "clients outside the cluster"


class Frontend(NamedTuple):
    """What a client connects to.

    `address` is empty for a node port at the node's own address of the family: the one that the
    Node object shows first.
    """

    family: int
    """4 or 6."""
    address: str
    protocol: str
    """`tcp`, `udp` or `sctp`."""
    port: int

    @property
    def is_node_port(self) -> bool:
        return not self.address

    def __str__(self) -> str:
        """`10.96.0.10:53/udp`, `node port 30080/tcp`."""
        if self.is_node_port:
            family = " (IPv6)" if self.family == 6 else ""
            return f"node port {self.port}/{self.protocol}{family}"
        return f"{with_port(self.address, self.port)}/{self.protocol}"


class Verdict(StrEnum):
    """How a new connection ends."""

    FORWARD = "forwarded"
    REJECT = "rejected"
    DROP = "dropped"
    NOTHING = "not handled"
    """No rule matches it: it follows the routing table."""
    UNTRACKED = "exempt from NAT"
    """NOTRACK before the Service rules: the node itself answers (NodeLocal DNSCache)."""
    MIXED = "handled differently by client address"
    NOT_UNDERSTOOD = "unrecognised"
    UNDECIDED = "inconclusive"
    """A feature handles it that is not compared; `reason` names it."""


SAME_PRIORITY = (
    "a third-party chain with the same priority as kube-proxy's handles it, and the kernel asks "
    "the one first that was loaded last, which the node does not show"
)
"""The reason of a handling that depends on the order of two chains."""

OF_TABLE = "nftables table "
"""How rules of another program's nftables table begin as evidence: `nftables table inet docker: …`.
"""


def table_in(rule: str) -> str:
    """Return `inet docker` for such a rule; empty for other rules."""
    return rule.removeprefix(OF_TABLE).partition(":")[0] if rule.startswith(OF_TABLE) else ""


class Masquerade(StrEnum):
    """Whether forwarded connections get the node's source address."""

    ALWAYS = "masqueraded"
    NEVER = "not masqueraded"
    DROPPED = "dropped after the translation"
    """By the rules that should masquerade them or leave them alone."""
    SOMETIMES = "masqueraded for some backends or clients only"
    UNKNOWN = "unknown"
    """Not compared: kube-proxy's configuration was not seen, or eBPF maps do not show it."""


RuleText = str | Callable[[], str]
"""A rule as its tool prints it, or a function that writes it: few are shown. Equal rules, equal
texts."""


def text_of(rule: RuleText) -> str:
    """The rule as its tool prints it."""
    return rule if isinstance(rule, str) else rule()


class Handling(Struct, frozen=True, gc=False):
    """What happens to connections of one kind of client to one frontend.

    Except for `verdict` and `reason` the fields have meaning for FORWARD only; `allowed`
    also where some sources are refused before the verdict.
    """

    verdict: Verdict
    backends: tuple[Backend, ...] = ()
    """Sorted. With affinity also those that only returning clients reach (share 0)."""
    shares: tuple[float, ...] = ()
    """Of new connections, in the order of `backends`; exactly 1/n where the split is even."""
    affinity: tuple[int, ...] = (0,)
    """Seconds that a client stays with its backend, 0 for not at all; several where they differ."""
    masquerade: Masquerade = Masquerade.NEVER
    hairpin: frozenset[Backend] = frozenset()
    """Backends whose own connections through the Service back to themselves are masqueraded."""
    draining: frozenset[Backend] = frozenset()
    """Backends that get no new connections and keep existing ones (IPVS weight 0)."""
    allowed: tuple[str, ...] | None = None
    """Source ranges with this handling, all others are dropped; None for every source."""
    scheduler: str = ""
    """Read side: the scheduler of IPVS, if it is not the configured one."""
    reason: str = ""
    """The reason, as a sentence: of NOT_UNDERSTOOD, MIXED and UNDECIDED, and of a broken entry."""
    parts: tuple[Handling, ...] = ()
    """For MIXED: the handling of each set of sources (`allowed`)."""
    evidence: tuple[tuple[RuleText, ...], ...] = ()
    """The rules for each backend, in the order of `backends`; without backends for the verdict."""
    third_party: bool = False
    """Whether the rule that decides is in a chain of neither kube-proxy nor the kubelet."""
    of_others: bool = False
    """For FORWARD: whether third-party rules alone choose the backends."""
    by_source: bool = False
    """Whether a third-party rule on the path has a condition on the source or the mark."""
    by_mark: bool = False
    """For NOTHING: whether a rule accepts packets that another one has marked."""
    deciding: tuple[RuleText, ...] = ()
    """The third-party rules that decide about its masquerading."""
    refusing: tuple[RuleText, ...] = ()
    """The rules that refuse the sources outside of `allowed`."""
    banned: tuple[str, ...] = ()
    """Sources outside the cluster that third-party rules refuse, whatever Service they connect to.
    They are left out of everything else."""
    admitted: tuple[str, ...] = ()
    """With `banned`, and without `allowed`: the sources that have this handling."""

    @property
    def lines(self) -> tuple[str, ...]:
        """All rules of the evidence, each once, in their order."""
        return tuple(dict.fromkeys(text_of(each) for rules in self.evidence for each in rules))

    def lines_to(self, backend: Backend) -> tuple[str, ...]:
        """The rules that forward to one of the backends."""
        if not self.evidence:
            return ()
        return tuple(text_of(each) for each in self.evidence[self.backends.index(backend)])


NOTHING = Handling(Verdict.NOTHING)


class Entry(Struct, frozen=True, gc=False):
    """One frontend.

    The expected side has `owner` and `known`: the Service port, and every endpoint in its
    EndpointSlices, whatever its condition. The read side has `programmed_by`: the chain, map or
    tool that the frontend was found in.
    """

    frontend: Frontend
    handlings: Mapping[Client, Handling]
    owner: ServicePort | None = None
    known: frozenset[Backend] = frozenset()
    programmed_by: str = ""

    @property
    def is_handled(self) -> bool:
        """Whether rules handle any kind of client."""
        return any(each.verdict is not Verdict.NOTHING for each in self.handlings.values())

    @property
    def is_decided(self) -> bool:
        """Whether rules handle any kind of client, or would without a third-party rule."""
        return self.is_handled or any(each.third_party for each in self.handlings.values())


class ServiceTable(Struct, frozen=True):
    """All frontends of one node."""

    entries: Mapping[Frontend, Entry] = field(default_factory=dict)
    contested: Mapping[Frontend, tuple[Entry, ...]] = field(default_factory=dict)
    """Expected side: frontends that several Services claim; kube-proxy programs any of them."""
    ambiguous: Mapping[Frontend, tuple[Entry, ...]] = field(default_factory=dict)
    """Expected side: the alternatives of one Service whose slices contradict each other."""
    local_backends: frozenset[Backend] = frozenset()
    """Expected side: endpoints on this node, whose hairpin connections are compared."""
    health_check_ports: frozenset[tuple[int, int]] = frozenset()
    """healthCheckNodePorts, with family, that rules must accept or do accept on this node."""
    ignored: tuple[str, ...] = ()
    """Read side: unrecognised third-party rules that no frontend depends on."""
    problems: tuple[str, ...] = ()
    """Problems that concern no single frontend, as sentences."""

    def handling(self, frontend: Frontend, client: Client) -> Handling:
        """What happens to connections of `client` to `frontend`."""
        entry = self.entries.get(frontend)
        return entry.handlings.get(client, NOTHING) if entry else NOTHING
