"""The question about packets that leave: do they get the node's source address?

A rule may depend on what is not known about the packet, such as a set. The packet is then
followed both ways.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.engine import RuleEngine
from wirecheck.dataplane.rules.flows import Flow
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket, OnePacket
from wirecheck.dataplane.table import text_of


class Masqueraded(Enum):
    """Whether rules masquerade a packet."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"
    """It depends on a condition that is not known here."""


def masquerades(chains: Chains[Any], chain: str, packet: ForwardedPacket) -> Masqueraded:
    """Whether the rules from a chain on masquerade the packet."""
    engine = RuleEngine(OnePacket(packet), chains)
    left = engine.to_end_of(chain, [Flow(1)])
    if not engine.is_masqueraded and not engine.results:
        return Masqueraded.NO
    # MASQUERADE and SNAT leave no trace on a packet, ACCEPT does.
    passes = any(each.accepted for each in engine.accepted)
    is_sure = not left and not engine.results and not passes
    return Masqueraded.YES if is_sure else Masqueraded.UNKNOWN


def masquerading_rule(chains: Chains[Any], chain: str, packet: ForwardedPacket) -> str:
    """The rule that masquerades the packet for certain; empty if there is none."""
    engine = RuleEngine(OnePacket(packet), chains)
    left = engine.to_end_of(chain, [Flow(1)])
    passes = any(each.accepted for each in engine.accepted)
    is_sure = engine.is_masqueraded and not (left or engine.results or passes)
    return text_of(engine.masqueraded_by[-1]) if is_sure else ""


def ended_by(chains: Chains[Any], chain: str, packet: ForwardedPacket) -> str:
    """The rule that ends a chain for the packet in any case, so that later ones do not see it.

    Empty if there is none, or if a rule masquerades it.
    """
    engine = RuleEngine(OnePacket(packet), chains)
    left = engine.to_end_of(chain, [Flow(1)])
    if engine.is_masqueraded or engine.results:
        return ""
    if engine.accepted and not left:
        return text_of(engine.accepted[-1].accepted[-1].rules[-1])
    if engine.left_by is None or engine.accepted:
        return ""
    return text_of(engine.left_by) if left else ""
