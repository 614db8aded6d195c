"""Host ports of pods on one node, compared with the rules of the programs that implement them.

These programs add their rules once, when a pod's network is set up. Rules that another program
flushes are lost, and rules that outlast their pod keep forwarding the port's connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import address, contains
from wirecheck.api_index.host_ports import HostPort, host_ports
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.node.cni import Cni
from wirecheck.node.host_port_rules import (
    CRIO,
    FOR_PODS,
    HOOKS,
    NFT_LISTINGS,
    WRITERS,
    PortMapping,
    lines_of,
    mappings_in,
    mappings_in_nftables,
)
from wirecheck.node.iptables import Iptables
from wirecheck.node.nftables import OTHER, has_target, other_tables, table_names
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.iptables import IptablesDump, parse_rule

NFT_TABLES = re.compile(r"(?:ip|ip6|inet) (\S*(?:hostport|portmap|docker|netavark|crio)\S*)")
"""nftables tables that may have host ports: `cni_hostport` of portmap from 1.6, `crio-hostports`.

Snapshots of older versions have none of their rules.
"""


@dataclass(frozen=True)
class HostPortMismatch:
    """A host port with a missing or wrong rule, or a rule without a host port."""

    ref: Ref
    expected: str
    found: str
    rule: str = ""
    unknown: str = ""
    """Why it cannot be decided whether the port has a rule; empty if it can."""


@dataclass(frozen=True)
class PortMappings:
    """The host ports of one node. Raises NotApplicable where their rules cannot be read."""

    seen: NodeSeen
    iptables: Iptables
    cni: Cni

    @property
    def mismatches(self) -> Iterator[HostPortMismatch]:
        """The host ports with missing or wrong rules, then the stale rules.

        Raises NotApplicable if nothing is known about any of them.
        """
        written = any(each.chain in FOR_PODS for each in self._mappings)
        if not self._ports and not written:
            raise NotApplicable("no pod of the node has a host port")
        found = [each for pod, port in self._ports if (each := self._of_port(pod, port))]
        unknown = [each.unknown for each in found if each.unknown]
        if len(unknown) == len(self._ports) and not written:
            raise NotApplicable(unknown[0])
        yield from found
        yield from self._stale

    def _of_port(self, pod: Pod, port: HostPort) -> HostPortMismatch | None:
        """How the rules differ from one host port; None if they do not."""
        matching = [each for each in self._mappings if each.matches(port)]
        known = [each for each in matching if each.chain]
        if not known:
            # An unknown program's rule may have conditions, so only the right one counts.
            if any(each.target == target_of(port) for each in matching):
                return None
            return self._of(pod, port, "no rule", unknown=self._why_unknown(port))
        if known[0].target != target_of(port):
            return self._of(pod, port, known[0].target, known[0].rule)
        if known[0].chain in WRITERS and (hook := self._missing_hook(port.family, known[0].chain)):
            return self._of(pod, port, f"no jump to {known[0].chain} from {hook}")
        return None

    def _of(
        self, pod: Pod, port: HostPort, found: str, rule: str = "", unknown: str = ""
    ) -> HostPortMismatch:
        ref = Ref(
            "Pod",
            pod.name,
            pod.namespace,
            f"host port {port.port}/{port.protocol}",
            uid=pod.ref.uid,
            workload=pod.ref.workload,
        )
        return HostPortMismatch(ref, f"translated to {target_of(port)}", found, rule, unknown)

    @property
    def _stale(self) -> Iterator[HostPortMismatch]:
        """Rules for deleted pods: those with a target in the node's pod ranges."""
        wanted = {target_of(port) for _, port in self._ports}
        for each in self._mappings:
            where = address(each.target.rpartition(":")[0].strip("[]"))
            is_for_pod = each.chain in FOR_PODS and contains(self.seen.pod_ranges, where)
            if is_for_pod and each.target not in wanted:
                ref = self.seen.part(f"{each.name} to {each.target}")
                yield HostPortMismatch(
                    ref, "a pod of the node with that host port", "no such pod", each.rule
                )

    @cached_property
    def _ports(self) -> tuple[tuple[Pod, HostPort], ...]:
        running = (each for each in self.seen.pods if each.is_running)
        return tuple((pod, port) for pod in running for port in host_ports(pod.object))

    def _why_unknown(self, port: HostPort) -> str:
        """Why a port without a rule may be right; empty if it needs one."""
        if reason := self._in_other_table(port):
            return reason
        if self._writers & FOR_PODS:
            return ""
        if self._runs_cri_o:
            # Its option disable_hostport_mapping is for plugins that have their own host ports.
            if self.seen.bypasses_routing and not self._has_chain(CRIO, port.family):
                return f"{self.seen.cni} may provide the node's host ports"
            return ""
        if any("portmap" in each.plugins for each in self.cni.in_force):
            return ""
        others = sorted(WRITERS.get(each, each) for each in self._writers)
        return f"{' and '.join(others) or 'portmap'} does not provide the node's host ports"

    def _in_other_table(self, port: HostPort) -> str:
        """Why another program's nftables table may have the rule; empty if none has it."""
        if table := self._nft_table:
            return f"its rule may be in nftables table {table}, which is not read"
        if has_target(self.seen, port.pod_address, port.pod_port, among=OTHER):
            return "a rule of another program's nftables table forwards to the pod's port"
        return ""

    @cached_property
    def _writers(self) -> frozenset[str]:
        """The chains with the right rule for some pod: their program is in use on the node."""
        wanted = {target_of(port) for _, port in self._ports}
        return frozenset(e.chain for e in self._mappings if e.chain and e.target in wanted)

    @property
    def _runs_cri_o(self) -> bool:
        """Whether the runtime is CRI-O, which writes host ports itself and gives portmap none."""
        runtime = self.seen.object.status.node_info.container_runtime_version
        if runtime:
            return runtime.startswith("cri-o")
        return any(each.runtime == "crio" for each in self.seen.pod_processes)

    def _has_chain(self, chain: str, family: int) -> bool:
        return any(dump.chain("nat", chain) is not None for dump in self._dumps[family])

    @cached_property
    def _nft_table(self) -> str:
        """An nftables table that may have host ports and was not read; empty if there is none."""
        found = filter(None, map(NFT_TABLES.fullmatch, table_names(self.seen)))
        read = {each.label for each in other_tables(self.seen)}
        unread = (e[1] for e in found if e[0] not in read and not self._is_listed(e[0], e[1]))
        return next(unread, "")

    def _is_listed(self, of_family: str, name: str) -> bool:
        for_v4, for_v6 = NFT_LISTINGS.get(name, ("", ""))
        families = {f"ip {name}": for_v4, f"ip6 {name}": for_v6}
        record = self.seen.facts.commands.get(families.get(of_family, ""))
        return record is not None and not record.problem

    def _missing_hook(self, family: int, chain: str) -> str:
        """Return the base chain that does not call the writer's chain; empty if all do."""
        calling = [
            (hook, parse_rule(line).target)
            for dump in self._dumps[family]
            for hook in HOOKS
            for line in lines_of(dump, hook)
        ]
        return next((hook for hook in HOOKS if (hook, chain) not in calling), "")

    @cached_property
    def _mappings(self) -> tuple[PortMapping, ...]:
        """The translations in the order of evaluation, then those in nftables' own tables."""
        in_iptables = [
            mapping
            for dumps in self._dumps.values()
            for dump in dumps
            for mapping in mappings_in(dump)
        ]
        return (*in_iptables, *self.in_nftables)

    def has_read(self, table: str) -> bool:
        """Whether the host ports of an nftables table were read: `ip cni_hostport`."""
        return self._is_listed(table, table.partition(" ")[2])

    @property
    def in_nftables(self) -> Iterator[PortMapping]:
        """The host ports in nftables' own tables."""
        for table, commands in NFT_LISTINGS.items():
            for command in commands:
                record = self.seen.facts.commands.get(command)
                if record is not None and record.problem != "missing":
                    listing = self.seen.output_if_asked(command)
                    try:
                        yield from mappings_in_nftables(table, listing)
                    except ParseError as error:
                        raise FactMissingError(f"{self.seen.name}: {error}") from error

    @cached_property
    def _dumps(self) -> dict[int, list[IptablesDump]]:
        """The rules of both variants, by family."""
        own, rules = self.iptables, self.iptables.rules_in("nat")
        return {
            family: [own.dump(each[family]) for each in (rules, own.legacy)] for family in rules
        }


def target_of(port: HostPort) -> str:
    """Where the port's connections are forwarded: `10.244.0.3:8080`."""
    where = f"[{port.pod_address}]" if port.family == 6 else port.pod_address
    return f"{where}:{port.pod_port}"
