"""What one node's pods send to pods of other nodes: whether it keeps the pods' addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wirecheck.dataplane.rules.egress import Masqueraded, masquerades, masquerading_rule
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.node.egress import POSTROUTING, WITHIN_CLUSTER, NodeEgress
from wirecheck.node.firewall import Firewall
from wirecheck.text import listed

TO = "to "
"""How the packets are named that pods of the node send."""
MOST_NAMED = 3
UNKNOWN = "the rule that masquerades depends on a condition that is not known"


@dataclass(frozen=True)
class HiddenSource:
    """Packets to pods that leave with the node's address, or may do so."""

    family: int
    to: tuple[str, ...]
    """`pods of n2`."""
    packet: ForwardedPacket
    """The first of them."""
    rule: str = ""

    @property
    def found(self) -> str:
        """`masqueraded: pods of n2 see the node's address instead of 10.244.0.254`."""
        if not self.rule:
            return "not known"
        who = listed(self.to, MOST_NAMED)
        return f"masqueraded: {who} see the node's address instead of {self.packet.source}"


@dataclass(frozen=True)
class HiddenSources:
    """The packets of pods to pods of other nodes that rules of one node masquerade."""

    firewall: Firewall
    egress: NodeEgress

    @property
    def all(self) -> Iterator[HiddenSource]:
        """One for each rule that masquerades; one of each family where that is not known.

        Raises NotApplicable if no pods of other nodes are known.
        """
        by_rule: dict[tuple[int, str], HiddenSource] = {}
        for what, packet in self.firewall.packets.between_pods:
            if not what.startswith(TO):
                continue
            answer, rule = self._of(self._with_known(packet))
            if answer is not Masqueraded.NO:
                key, to = (packet.source.version, rule), what.removeprefix(TO)
                known = by_rule.get(key)
                by_rule[key] = (
                    replace(known, to=(*known.to, to))
                    if known
                    else HiddenSource(packet.source.version, (to,), packet, rule)
                )
        yield from by_rule.values()

    def _of(self, packet: ForwardedPacket) -> tuple[Masqueraded, str]:
        """Whether a table masquerades the packet, and the rule that does."""
        family = packet.source.version
        tables = [(each, POSTROUTING) for each in self.egress.tables(family)]
        tables += [(each.chains, each.base_chain) for each in self.egress.stages(family)]
        answers = [masquerades(chains, base, packet) for chains, base in tables]
        if Masqueraded.YES in answers:
            chains, base = tables[answers.index(Masqueraded.YES)]
            return Masqueraded.YES, masquerading_rule(chains, base, packet)
        return (Masqueraded.UNKNOWN if Masqueraded.UNKNOWN in answers else Masqueraded.NO), ""

    def _with_known(self, packet: ForwardedPacket) -> ForwardedPacket:
        sets = self.egress.settings.set_memberships(packet.source, packet.destination)
        return replace(packet, known=(*sets, *WITHIN_CLUSTER))
