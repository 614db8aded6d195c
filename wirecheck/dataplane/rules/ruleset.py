"""The rules of one family in the order in which packets traverse them, from any tool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from wirecheck.addresses import IPAddress, canonical, number_of
from wirecheck.dataplane.kube_chains import is_kubernetes
from wirecheck.dataplane.rules.chains import Chain, Chains
from wirecheck.dataplane.rules.dependencies import Translated
from wirecheck.dataplane.rules.handlings import Masquerading
from wirecheck.dataplane.rules.post_dnat import refusal
from wirecheck.dataplane.rules.steps import IN, Packet, SourceTest
from wirecheck.dataplane.table import Frontend, RuleText


class MakePacket(Protocol):
    """Makes the first packet to a frontend."""

    def __call__(
        self, frontend: Frontend, node_address: IPAddress | None, *, is_local: bool
    ) -> Packet:
        """As `packet_to`."""


def packet_to(frontend: Frontend, node_address: IPAddress | None, *, is_local: bool) -> Packet:
    """The first packet to a frontend, which for a node port goes to the node's address."""
    destination = str(node_address) if node_address else canonical(frontend.address)
    return Packet(
        frontend.family,
        destination,
        number_of(destination),
        frontend.protocol,
        frontend.port,
        is_local,
    )


@dataclass(frozen=True)
class Stage:
    """A base chain, and the chains that its rules can name."""

    base_chain: str
    chains: Chains[Any]
    policy: str = "ACCEPT"
    """What happens to packets that no rule accepts or refuses: `ACCEPT` or `DROP`."""
    diverts: bool = True
    """Whether it is searched for frontends: not in tables that only hold third-party policy."""
    tied: tuple[Stage, ...] = ()
    """Stages of the same hook and priority. The kernel asks the one first that was loaded last."""
    priority: int = 0
    """In the order of the kernel, the lowest first."""
    refuses_rest: bool = False
    """Whether its policy counts for Services: those of iptables' filters are the firewall's."""
    translates: bool = True
    """Whether it sees first packets only, before one of its kind has translated them."""


@dataclass(frozen=True)
class Ruleset:
    """The stages of one family by the path of a packet, in their order.

    Filtering after DNAT is left out on purpose: a forwarded connection is subject to network
    policy, which is not the Service's. Only what refuses all connections counts (`refuses`).
    """

    family: int
    arriving: tuple[Stage, ...]
    """Until the routing decision."""
    to_node: tuple[Stage, ...]
    """After it, for addresses of the node."""
    through_node: tuple[Stage, ...]
    """After it, for all other addresses."""
    sent: tuple[Stage, ...]
    """For the node's own packets; for those to its own addresses, `to_node` follows."""
    masquerading: Masquerading
    owner: str = ""
    """The only program that writes these rules; empty if several share the tables."""
    packet_to: MakePacket = packet_to
    """Makes packets, the same ones for several nodes if a cache does."""
    without_filters: Ruleset | None = None
    """The same rules without some stages that divert nothing: it names the same frontends."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All of them."""
        return (*self.arriving, *self.to_node, *self.through_node, *self.sent)

    @cached_property
    def chains(self) -> Mapping[str, Chains[Any]]:
        """By label."""
        return {stage.chains.label: stage.chains for stage in self.stages}

    @cached_property
    def named(self) -> dict[Frontend, str]:
        """The frontends that rules name, each with the owner and the first chain that names it."""
        if self.without_filters is not None:
            return self.without_filters.named
        found: dict[Frontend, str] = {}
        for stage in self.stages:
            if not stage.diverts:
                continue
            for chain in reachable(stage):
                by = f"{stage.chains.owner} {chain.name}".strip()
                for host, protocol, port in chain.destinations:
                    found.setdefault(Frontend(self.family, host, protocol, port), by)
                for frontend in chain.members:
                    found.setdefault(frontend, by)
        return found

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The addresses of these frontends."""
        if self.without_filters is not None:
            return self.without_filters.hosts
        return frozenset(each.address for each in self.named if each.address)

    @cached_property
    def packets(self) -> dict[Frontend, Packet]:
        """The packet to each of them on a node that has none of these addresses."""
        if self.without_filters is not None:
            return self.without_filters.packets
        return {
            each: self.packet_to(each, None, is_local=False) for each in self.named if each.address
        }

    @cached_property
    def node_ports(self) -> tuple[Frontend, ...]:
        """The node ports among them."""
        return tuple(each for each in self.named if not each.address)

    def interfaces_beside(self, test: SourceTest) -> tuple[SourceTest, ...]:
        """This condition on the input interface, and all others in chains that have it.

        A plugin with a rule for each pod's interface has them in few chains.
        """
        return self._interfaces.get(test.name, (test,))

    @cached_property
    def _interfaces(self) -> Mapping[str, tuple[SourceTest, ...]]:
        found: dict[str, dict[str, SourceTest]] = {}
        for chains in self.chains.values():
            for chain in chains.all.values():
                tests = {e.name: e for s in chain.steps for e in s.sources if e.kind == IN}
                for name in tests:
                    found.setdefault(name, {}).update(tests)
        return {name: tuple(beside.values()) for name, beside in found.items()}

    def rule_with(self, condition: str) -> RuleText | None:
        """The third-party rule with a condition on clients; None if Kubernetes' rules have it."""
        found: RuleText | None = None
        for chains in self.chains.values():
            for chain in chains.all.values():
                for step in chain.steps:
                    if any(each.name == condition for each in step.sources):
                        if not chains.is_third_party(chain.name):
                            return None
                        (found,) = chains.named((step.rule,))
        return found

    @cached_property
    def hooks(self) -> tuple[object, ...]:
        """Equal for rule sets with the same hooks in the same order."""
        paths = (self.arriving, self.to_node, self.through_node, self.sent)
        return tuple(
            tuple((s.chains.label, s.base_chain, s.refuses_rest, len(s.tied)) for s in path)
            for path in paths
        )

    def refuses(self, connection: Translated) -> RuleText | None:
        """The rule that refuses all such connections after DNAT, if there is one."""
        if connection not in self._refusals:
            self._refusals[connection] = next(self._refusing(connection), None)
        return self._refusals[connection]

    @cached_property
    def _refusals(self) -> dict[Translated, RuleText | None]:
        return {}

    def _refusing(self, connection: Translated) -> Iterator[RuleText]:
        start = self.sent if connection.from_node else self.arriving
        forth, back = start[connection.stage + 1 :], self.through_node
        if connection.from_node:
            forth += self.to_node if connection.to_node else ()
            back = self.to_node
        elif connection.stage < len(start):
            # IPVS translates packets on their way to the node, and sends them on from there.
            forth += self.to_node if connection.to_node else self.through_node
        for stages, is_first in ((forth, True), (() if connection.to_node else back, False)):
            for stage in stages:
                mark = connection.mark if is_first else 0
                counts = bool if self.owner and stage.chains.owner else is_kubernetes
                rule = refusal(
                    stage.chains, stage.base_chain, mark, is_first=is_first, counts=counts
                )
                if rule is not None:
                    yield rule


def reachable(stage: Stage) -> Iterator[Chain]:
    """The chains that rules can jump to, each once.

    Chains with jumps for one destination only are left out: these jumps name the destination.
    """
    seen: set[str] = {stage.base_chain}
    waiting = [stage.base_chain]
    while waiting:
        chain = stage.chains.find(waiting.pop())
        if chain is None:
            continue
        yield chain
        for name in chain.open_jumps:
            if name not in seen:
                seen.add(name)
                waiting.append(name)
