"""Base chains that packets traverse on a node, and the packets that these drop."""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.dataplane.iptables.base_chains import VARIANTS
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.dataplane.table import table_in
from wirecheck.parse.iptables import IptablesDump, parse_rule


@dataclass(frozen=True)
class Dropped:
    """A packet of pods that the node's filter refuses for certain, and the rule that does."""

    what: str
    packet: ForwardedPacket
    rule: str
    variant: str = ""
    """The variant of iptables that has the rule: nft or legacy, if both have rules."""
    is_mixed: bool = False
    """Whether Kubernetes' rules are in the other variant only."""
    inconclusive: str = ""
    """Why the packet may never get to the rule."""

    @property
    def other_variant(self) -> str:
        """The variant that does not have the rule; empty if there is only one."""
        return next((each for each in VARIANTS if self.variant and each != self.variant), "")

    @property
    def table(self) -> str:
        """The nftables table of another program that has the rule; empty for other rules."""
        return table_in(self.rule)

    @property
    def found(self) -> str:
        """`tcp from 10.244.0.9 to 10.244.1.9 is dropped`, with the cause where it is a mix."""
        other = f"; Kubernetes accepts it in the {self.other_variant} variant only"
        by = f" in the {self.variant} variant of iptables" if self.variant else ""
        return f"{self.packet} is dropped{by}{other if self.is_mixed else ''}"


@dataclass(frozen=True)
class ForwardChain:
    """A base chain that forwarded packets traverse."""

    stage: Stage
    variant: str = ""
    """The variant of iptables: nft or legacy, if both have rules."""
    is_mixed: bool = False
    """Whether Kubernetes' rules are in the other variant only."""
    is_early: bool = False
    """Whether packets meet it before they are translated."""


@dataclass(frozen=True)
class TableFilter:
    """Table filter of one family and variant of iptables."""

    family: int
    is_legacy: bool
    dump: IptablesDump

    @property
    def has_kubernetes(self) -> bool:
        """Whether kube-proxy's rules are in this variant; the kubelet's may be in both."""
        return self.dump.chain("filter", "KUBE-FORWARD") is not None

    def calls(self, base_chain: str, target: str) -> bool:
        """Whether a rule of the base chain jumps to the target."""
        chain = self.dump.chain("filter", base_chain)
        return any(parse_rule(line).target == target for line in (chain.rules if chain else ()))
