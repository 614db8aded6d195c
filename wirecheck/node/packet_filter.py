"""What an iptables filter does for certain to a packet: the first of a connection between pods.

A rule may ask for what is not known of the packet (a set, a rate, a label). It then neither
drops nor spares the packet for certain: only a packet that is dropped in any case counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, network
from wirecheck.parse.iptables import IptablesDump, Option, Rule, parse_rule

PROTOCOLS = {"6": "tcp", "17": "udp"}
REFUSING = frozenset({"DROP", "REJECT"})
NOT_SEEN_AGAIN = frozenset({"ACCEPT", "QUEUE", "NFQUEUE"})
MARKING = frozenset({"MARK", "CONNMARK", "CONNSECMARK"})
DEEPEST = 32


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection. Devices that are not known are empty.

    Without a `port` it stands for connections to any port: rules about some port are for others.
    """

    source: IPAddress
    destination: IPAddress
    iif: str = ""
    oif: str = ""
    protocol: str = "tcp"
    port: int | None = None

    def __str__(self) -> str:
        """`tcp from 10.244.0.9 to 10.244.1.9`."""
        port = f" port {self.port}" if self.port else ""
        return f"{self.protocol} from {self.source} to {self.destination}{port}"


@dataclass(frozen=True)
class Refusal:
    """Where a packet is dropped or rejected."""

    rule: str


@dataclass(frozen=True)
class Filter:
    """Table filter of one family and variant."""

    dump: IptablesDump

    @cached_property
    def _parsed(self) -> dict[str, tuple[Rule, ...]]:
        return {}

    def _rules(self, name: str) -> tuple[Rule, ...] | None:
        if name not in self._parsed:
            chain = self.dump.chain("filter", name)
            if chain is None:
                return None
            self._parsed[name] = tuple(map(parse_rule, chain.rules))
        return self._parsed[name]

    def refuses(self, base_chain: str, packet: Packet) -> Refusal | None:
        """Where the packet ends, if it certainly does; None where it may pass."""
        chain = self.dump.chain("filter", base_chain)
        if chain is None:
            return None
        walk = _Walk(self, packet)
        end = walk.through(base_chain, 0)
        if isinstance(end, Refusal):
            return end
        if end is None and chain.policy == "DROP" and walk.is_certain:
            return Refusal(f"policy DROP of {base_chain}: no rule accepts it")
        return None

    def leads(self, base_chain: str, target: str) -> bool:
        """Whether a rule of the base chain jumps to the target."""
        return any(rule.target == target for rule in self._rules(base_chain) or ())


class _Walk:
    """One packet on its way through the chains."""

    def __init__(self, filter_: Filter, packet: Packet) -> None:
        self.filter = filter_
        self.packet = packet
        self.mark_known = True
        self.is_certain = True

    def through(self, name: str, depth: int) -> Refusal | str | None:
        """A refusal, `accepted` where it may be, or None where it comes out of the chain."""
        for rule in self.filter._rules(name) or ():
            matched = self._matches(rule)
            if matched is False:
                continue
            certain = bool(matched) and self.is_certain
            if rule.target in NOT_SEEN_AGAIN:
                return "accepted"
            if rule.target in REFUSING:
                if certain:
                    return Refusal(rule.text)
                continue
            if rule.target == "RETURN":
                if matched:
                    return None
                self.is_certain = False
            elif rule.target in MARKING:
                self.mark_known = False
            elif depth < DEEPEST and self.filter._rules(rule.target) is not None:
                end = self._called(rule, depth, certain=bool(matched))
                if end is not None or (rule.goto and matched):
                    return end
        return None

    def _called(self, rule: Rule, depth: int, *, certain: bool) -> Refusal | str | None:
        before = self.is_certain
        self.is_certain = before and certain
        end = self.through(rule.target, depth + 1)
        # What comes back, whether it went through the whole chain or a part, goes on here.
        self.is_certain = before and (certain or not rule.goto)
        return end

    def _matches(self, rule: Rule) -> bool | None:
        """Whether it concerns the packet; None where that is not known."""
        if rule.problem:
            return None
        answers = [self._holds(option) for option in rule.options]
        if False in answers:
            return False
        return None if None in answers else True

    def _holds(self, option: Option) -> bool | None:
        holds = self._plainly(option)
        return holds if holds is None else holds != option.negated

    def _plainly(self, option: Option) -> bool | None:
        packet, value = self.packet, "".join(option.values[:1])
        holds: bool | None = None
        match option.name:
            case "-s":
                holds = _within(packet.source, value)
            case "-d":
                holds = _within(packet.destination, value)
            case "-i":
                holds = _device(packet.iif, value)
            case "-o":
                holds = _device(packet.oif, value)
            case "-p":
                holds = value == "all" or PROTOCOLS.get(value, value) == packet.protocol
            case "--ctstate" | "--state":
                holds = _is_new({*value.split(",")})
            case "--dport" | "--dports":
                holds = any(_in_ports(packet.port, each) for each in value.split(","))
            case "--mark" if self.mark_known:
                wanted, _, mask = value.partition("/")
                # What goes from pod to pod carries no mark when it enters the filter.
                holds = int(wanted, 0) & int(mask or "0xffffffff", 0) == 0
        return holds


def _is_new(states: set[str]) -> bool | None:
    """Whether a connection's first packet is in one of the states; it may be translated."""
    if "NEW" in states:
        return True
    return None if states & {"DNAT", "SNAT"} else False


def _within(address: IPAddress, range_: str) -> bool:
    wanted = network(range_)
    return address.version == wanted.version and address in wanted


def _device(name: str, pattern: str) -> bool | None:
    if not name:
        return None
    return name.startswith(pattern[:-1]) if pattern.endswith("+") else name == pattern


def _in_ports(port: int | None, ports: str) -> bool:
    if port is None:
        return False
    first, _, last = ports.partition(":")
    return first.isdigit() and int(first) <= port <= int(last or first)
