"""The question about a filter: is this one packet refused for certain?

A rule may depend on what is not known about the packet: a set, a rate, a label. The packet is
then followed both ways. It is refused for certain only if it is refused in every case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wirecheck.addresses import IPAddress, network
from wirecheck.dataplane.rules.chains import Chains, concerns_destination
from wirecheck.dataplane.rules.engine import Flows, OfPacket, RuleEngine
from wirecheck.dataplane.rules.flows import Flow, is_refused, split_by_mark
from wirecheck.dataplane.rules.steps import IN, OUT, Packet, SourceTest, Step
from wirecheck.dataplane.table import text_of

ANY_PORT = -1


@dataclass(frozen=True)
class ForwardedPacket:
    """The first packet of a connection that the node forwards, or another one if it says so.

    Unknown devices are empty. Without a `port` it stands for connections to any port: a rule
    for single ports then does not match.
    """

    source: IPAddress
    destination: IPAddress
    iif: str = ""
    oif: str = ""
    protocol: str = "tcp"
    port: int | None = None
    is_direct: bool = False
    """Whether it is sent to `destination` itself. Otherwise it may have been translated."""

    is_received: bool = False
    """Whether the node does not forward it, but has the destination itself."""
    is_sent: bool = False
    """Whether the kernel itself sends it, for a tunnel: it has no socket of a program."""
    is_of_program: bool = False
    """Whether a program of the node sends it, which runs as root."""
    is_answer: bool = False
    """Whether it belongs to an established connection, which was not translated."""
    is_marked: bool = False
    """Whether rules of Services may have marked it already."""
    known: tuple[tuple[str, bool], ...] = ()
    """Matches on sets whose members are known otherwise, each with whether it holds."""

    def device(self, kind: str) -> str:
        """Return the device by which it comes in (`IN`) or leaves (`OUT`)."""
        return self.iif if kind == IN else self.oif

    def __str__(self) -> str:
        """`tcp from 10.244.0.9 to 10.244.1.9`."""
        port = f" port {self.port}" if self.port else ""
        what = f"an answer over {self.protocol}" if self.is_answer else self.protocol
        return f"{what} from {self.source} to {self.destination}{port}"


def packet_at(forwarded: ForwardedPacket, port: int) -> Packet:
    """The same packet to another port, without its source."""
    destination = forwarded.destination
    return Packet(
        destination.version,
        str(destination),
        int(destination),
        forwarded.protocol,
        port,
        is_local=forwarded.is_received,
    )


class OnePacket(OfPacket):
    """One forwarded packet, which has no mark when it enters the filter."""

    def __init__(self, forwarded: ForwardedPacket) -> None:
        self.packet = packet_at(forwarded, ANY_PORT if forwarded.port is None else forwarded.port)
        self.concerns = self._may_match
        self._forwarded = forwarded
        self._is_mark_known = not forwarded.is_marked

    def _may_match(self, step: Step) -> bool:
        """Whether the destination matches and the state of the connection may match."""
        if self._forwarded.is_answer:
            return step.later is not False and concerns_destination(self.packet, step)
        # A rule for translated connections alone (`--ctstate DNAT`) sets only `first`.
        is_other_state = step.never and (self._forwarded.is_direct or not step.first)
        return not is_other_state and concerns_destination(self.packet, step)

    def split(self, step: Step, flows: Flows) -> tuple[Flows, Flows]:
        """Both ways where it is not known whether the step matches."""
        answers = [self._matches(each) for each in step.sources]
        if False in answers:
            return [], flows
        is_sure = None not in answers and self._is_sure(step)
        if step.marks and not self._is_mark_known:
            return flows, flows
        matched, others = split_by_mark(step, flows, is_sure=is_sure)
        if matched and step.restores_mark:
            self._is_mark_known = False
        return matched, others

    def _is_sure(self, step: Step) -> bool:
        # If it is unknown whether the packet was translated, only one of the two is set.
        is_status_known = self._forwarded.is_direct or step.never is not step.first
        is_state_known = step.later is not None and (is_status_known or self._forwarded.is_answer)
        return is_state_known and step.probability == 1.0 and not step.recalls

    def _matches(self, test: SourceTest) -> bool | None:
        packet, answer = self._forwarded, None
        match test.kind:
            case "network":
                answer = any(_within(packet.source, each) for each in test.value.split(","))
            case "local":
                # A tunnel's source is the node's, and no program owns it.
                answer = None if packet.is_sent else packet.is_of_program
            case kind if kind in (IN, OUT):
                device = packet.device(kind)
                answer = test.names_device(device) if device else None
            case "set":
                answer = dict(packet.known).get(test.value)
        return answer if answer is None else answer is not test.negated


def refusal_of(
    chains: Chains[Any], base_chain: str, policy: str, packet: ForwardedPacket
) -> str | None:
    """The rule or policy that refuses the packet, from a base chain on. None if none does.

    `policy` is that of the base chain.
    """
    engine = RuleEngine(OnePacket(packet), chains)
    left = engine.to_end_of(base_chain, [Flow(1)])
    if engine.accepted or not all(map(is_refused, engine.results)):
        return None
    if left:
        return text_of(chains.policy_drop(base_chain)) if policy == "DROP" else None
    return text_of(engine.results[-1].rules[-1]) if engine.results else None


def _within(address: IPAddress, text: str) -> bool:
    wanted = network(text)
    return address.version == wanted.version and address in wanted
