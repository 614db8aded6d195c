"""The filters of one node that packets between pods meet, with the sets that their rules use.

Rules count by what they do: no chain is known by its name. Table nat and kube-proxy's own nftables
tables are left out: they are about addresses of Services, and policies apply after translation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

from wirecheck.catalogue.findings import FactMissingError
from wirecheck.dataplane.iptables.base_chains import (
    FORWARD,
    POSTROUTING,
    PREROUTING,
    TABLES,
    VARIANTS,
)
from wirecheck.dataplane.iptables.reader import shared_text
from wirecheck.dataplane.iptables.rules import steps_of
from wirecheck.dataplane.nftables.tables import stages_of
from wirecheck.dataplane.rules.chains import ChainCache, Chains
from wirecheck.dataplane.rules.dispatch import pod_chains
from wirecheck.dataplane.rules.followed_packets import kept
from wirecheck.dataplane.rules.ruleset import Stage, reachable
from wirecheck.dataplane.rules.set_members import IpsetMembers, Port
from wirecheck.dataplane.rules.steps import Jump, Step
from wirecheck.node.firewall import Firewall
from wirecheck.node.iptables import Iptables
from wirecheck.node.seen import NodeSeen
from wirecheck.policy.queues import Queue, queues_of

HOOKS = {
    hook: {table: priority for table, priority in TABLES[hook].items() if table != "nat"}
    for hook in (PREROUTING, FORWARD, POSTROUTING)
}
"""The hooks that forwarded packets meet, with the tables of iptables that filter there, and their
priorities."""
SETS = "ipset-save"
DPORTS = re.compile(r"dports? (.*)")
NUMBER = re.compile(r"(?<![\w.:/])(\d{1,5})(?:[:-](\d{1,5}))?(?![\w./])")
LAST = 65535
MOST_PORTS = 1_000
TRANSPORT = ("tcp", "udp", "sctp")


@dataclass(frozen=True)
class PacketFilters:
    """The filters of one node.

    Raises FactMissingError if rules were not read or are malformed.
    """

    seen: NodeSeen
    iptables: Iptables
    firewall: Firewall

    def stages(self, family: int) -> tuple[Stage, ...]:
        """The base chains in the order in which forwarded packets meet them."""
        if family not in self._kept:
            self._kept[family] = tuple(
                stage
                for hook in HOOKS
                for stage in sorted(self._at(hook, family), key=lambda each: each.priority)
            )
        return self._kept[family]

    @cached_property
    def _kept(self) -> dict[int, tuple[Stage, ...]]:
        return {}

    def _at(self, hook: str, family: int) -> Iterator[Stage]:
        own, step_of = self.iptables, self.seen.cluster.readers.step_of
        cache = self.seen.cluster.readers.rules.chains
        for variant, texts in zip(VARIANTS, (own.rules, own.legacy), strict=True):
            dump = own.dump(texts[family])
            for name, priority in HOOKS[hook].items():
                if (chain := dump.chain(name, hook.upper())) is None:
                    continue
                chains = Chains(
                    f"{variant} {name}",
                    dump.tables[name].chains,
                    partial(steps_of, step_of=step_of, resolve=kept),
                    shared_text,
                    self._chains,
                )
                yield Stage(hook.upper(), chains, chain.policy, priority=priority)
        for stage in stages_of(hook, family, self.firewall.other_tables, cache):
            if not stage.translates:
                yield stage

    @cached_property
    def _chains(self) -> ChainCache:
        """Apart from other readers' chains: here conditions on sets are kept."""
        return self.seen.cluster.kept(_PolicyChains, _PolicyChains)

    @cached_property
    def sets(self) -> Mapping[str, IpsetMembers]:
        """The ipsets of the node by name; none if they were not read."""
        record = self.seen.facts.commands.get(SETS)
        if record is None or not record.is_whole:
            return {}
        return {name: IpsetMembers(each) for name, each in self.seen.ipsets.items()}

    def used_sets(self, family: int) -> Mapping[str, IpsetMembers]:
        """The sets that rules on the way match."""
        names = {test.name for step in self._steps(family) for test in step.sets}
        return {name: each for name, each in self.sets.items() if name in names}

    def _steps(self, family: int) -> Iterator[Step]:
        for stage in self.stages(family):
            for chain in reachable(stage):
                yield from chain.steps

    @cached_property
    def queues(self) -> tuple[Queue, ...]:
        """The queues to programs that decide about packets."""
        return tuple(queues_of(step for family in (4, 6) for step in self._steps(family)))

    def hosts(self, family: int) -> frozenset[str]:
        """The single addresses that rules name as the destination."""
        return frozenset(each.host for each in self._steps(family) if each.host)

    def source_ranges(self, family: int) -> frozenset[str]:
        """The ranges and addresses that rules name as the source."""
        return frozenset(
            text
            for step in self._steps(family)
            for test in step.sources
            if test.kind == "network"
            for text in test.value.split(",")
        )

    def named_ports(self, family: int, addresses: frozenset[str]) -> frozenset[Port]:
        """The ports that rules for any of these addresses, or for all, name.

        Raises FactMissingError if there are too many to try.
        """
        found: set[Port] = set()
        for step in self._steps(family):
            if not step.host or step.host in addresses:
                found |= _ports_of(step)
        for each in self.used_sets(family).values():
            found |= set(each.ports)
        if len(found) > MOST_PORTS:
            raise FactMissingError(
                f"{self.seen.name}: the rules for pods name {len(found)} ports; at most "
                f"{MOST_PORTS} are compared with NetworkPolicies."
            )
        return frozenset(found)

    def concern_pods(self, addresses: frozenset[str], devices: frozenset[str]) -> bool:
        """Whether rules are about single pods of the node, by their addresses or devices."""
        return any(
            _is_about(stage, addresses, devices)
            for stages in self.firewall.forward_chains.values()
            for stage in (each.stage for each in stages)
        )


class _PolicyChains(ChainCache):
    """The chains of all nodes, with their conditions on sets."""


def _is_about(stage: Stage, addresses: frozenset[str], devices: frozenset[str]) -> bool:
    """Whether the stage has chains for single pods. One rule with a pod's device is a person's."""
    return bool(pod_chains(stage, addresses)) or any(
        test.value in devices
        for chain in reachable(stage)
        for step in chain.steps
        if any(isinstance(each, Jump) for each in step.actions)
        for test in step.sources
    )


def _ports_of(step: Step) -> set[Port]:
    """The ports that the step names, and those around ranges that it names."""
    protocols = (step.protocol,) if step.protocol in TRANSPORT else TRANSPORT
    if step.protocol and step.protocol not in TRANSPORT:
        return set()
    numbers = {step.port} if step.port else set()
    if step.tests and (after := DPORTS.search(step.text)):
        for first, last in NUMBER.findall(after.group(1)):
            ends = (int(first), int(last or first))
            numbers |= {ends[0] - 1, *ends, ends[1] + 1}
    return {(protocol, n) for protocol in protocols for n in numbers if 1 <= n <= LAST}
