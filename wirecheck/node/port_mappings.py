"""Host ports of pods on one node, compared with the rules of the CNI plugin portmap.

portmap adds its rules once, when a pod's network is set up. Rules that another program flushes
are lost, and rules that outlast their pod keep forwarding the port's connections.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import address, canonical, contains, network
from wirecheck.api_index.host_ports import HostPort, host_ports
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.node.cni import Cni
from wirecheck.node.iptables import Iptables
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.iptables import IptablesDump, Rule, parse_rule

CHAIN = "CNI-HOSTPORT-DNAT"
HOOKS = ("PREROUTING", "OUTPUT")
"""The base chains that must call it, for incoming connections and for the node's own."""
NFT_TABLE = "cni_hostport"
"""The table of portmap 1.6 and later with nftables, which is not read."""


@dataclass(frozen=True)
class Mapping:
    """One rule that translates a port of the node."""

    protocol: str
    host_address: str
    """Empty for all addresses of the node."""
    port: int
    target: str
    """`10.244.1.3:8080`, `[fd00::3]:8080`."""
    rule: str

    def matches(self, port: HostPort) -> bool:
        """Return whether it translates connections to the port, in the port's family."""
        is_same = (self.protocol, self.port) == (port.protocol, port.port)
        return is_same and self.family == port.family and self._overlaps(port.host_address)

    def _overlaps(self, host_address: str) -> bool:
        return not self.host_address or self.host_address == host_address

    @property
    def family(self) -> int:
        return 6 if self.target.startswith("[") else 4

    @property
    def name(self) -> str:
        """`host port 8088/tcp`."""
        return f"host port {self.port}/{self.protocol}"


@dataclass(frozen=True)
class HostPortMismatch:
    """A host port with a missing or wrong rule, or a rule without a host port."""

    ref: Ref
    expected: str
    found: str
    rule: str = ""


@dataclass(frozen=True)
class PortMappings:
    """The host ports of one node. Raises NotApplicable where portmap does not provide them."""

    seen: NodeSeen
    iptables: Iptables
    cni: Cni

    @property
    def mismatches(self) -> Iterator[HostPortMismatch]:
        """The host ports with missing or wrong rules, then the stale rules."""
        if not self._ports and not self._mappings:
            raise NotApplicable("no pod of the node has a host port")
        if not self._mappings and not self._is_provided_by_portmap:
            raise NotApplicable("portmap does not provide the node's host ports")
        for pod, port in self._ports:
            matching = [each for each in self._mappings if each.matches(port)]
            if matching and matching[0].target != _target(port):
                yield self._of(pod, port, matching[0].target, matching[0].rule)
            elif not matching and not self._may_be_in_nftables:
                yield self._of(pod, port, "no rule")
            elif matching and (hook := self._missing_hook(port.family)):
                yield self._of(pod, port, f"no jump to {CHAIN} from {hook}")
        yield from self._stale

    def _of(self, pod: Pod, port: HostPort, found: str, rule: str = "") -> HostPortMismatch:
        ref = Ref(
            "Pod",
            pod.name,
            pod.namespace,
            f"host port {port.port}/{port.protocol}",
            uid=pod.ref.uid,
            workload=pod.ref.workload,
        )
        return HostPortMismatch(ref, f"translated to {_target(port)}", found, rule)

    @property
    def _stale(self) -> Iterator[HostPortMismatch]:
        """Rules for deleted pods: those with a target in the node's pod ranges."""
        wanted = {_target(port) for _, port in self._ports}
        for each in self._mappings:
            where = address(each.target.rpartition(":")[0].strip("[]"))
            if each.target not in wanted and contains(self.seen.pod_ranges, where):
                ref = self.seen.part(f"{each.name} to {each.target}")
                yield HostPortMismatch(
                    ref, "a pod of the node with that host port", "no such pod", each.rule
                )

    @cached_property
    def _ports(self) -> tuple[tuple[Pod, HostPort], ...]:
        running = (each for each in self.seen.pods if each.is_running)
        return tuple((pod, port) for pod in running for port in host_ports(pod.object))

    @property
    def _is_provided_by_portmap(self) -> bool:
        if self._may_be_in_nftables:
            raise NotApplicable(
                f"portmap's rules are in nftables table {NFT_TABLE}, which is not read"
            )
        return any("portmap" in each.plugins for each in self.cni.configurations[:1])

    @cached_property
    def _may_be_in_nftables(self) -> bool:
        tables = self.seen.output_if_asked("nft-tables").splitlines()
        return any(each.split()[-1:] == [NFT_TABLE] for each in tables)

    def _missing_hook(self, family: int) -> str:
        """Return the base chain that does not call portmap's chain; empty if all do."""
        calling = [
            (hook, parse_rule(line).target)
            for dump in self._dumps[family]
            for hook in HOOKS
            for line in _lines(dump, hook)
        ]
        return next((hook for hook in HOOKS if (hook, CHAIN) not in calling), "")

    @cached_property
    def _mappings(self) -> tuple[Mapping, ...]:
        """The translations in the order of evaluation."""
        return tuple(
            mapping
            for dumps in self._dumps.values()
            for dump in dumps
            for jump in _lines(dump, CHAIN)
            for line in _lines(dump, parse_rule(jump).target)
            for mapping in _mappings_of(parse_rule(line))
        )

    @cached_property
    def _dumps(self) -> dict[int, list[IptablesDump]]:
        """The rules of both variants, by family."""
        own = self.iptables
        return {
            family: [own.dump(each[family]) for each in (own.rules, own.legacy)]
            for family in own.rules
        }


def _lines(dump: IptablesDump, name: str) -> list[str]:
    chain = dump.chain("nat", name)
    return chain.rules if chain else []


def _mappings_of(rule: Rule) -> Iterator[Mapping]:
    """Parse a translation of portmap: `-d HOST -p tcp --dport 8088 -j DNAT --to-destination …`.

    A rule with further conditions is not one of portmap's.
    """
    if rule.target != "DNAT" or rule.problem or any(each.negated for each in rule.options):
        return
    words = {each.name: "".join(each.values[:1]) for each in rule.options}
    target = next((e.values[0] for e in rule.target_options if e.name == "--to-destination"), "")
    where, colon, _ = target.rpartition(":")
    if not words.get("--dport", "").isdigit() or not colon:
        return
    host = words.get("-d", "")
    yield Mapping(
        words.get("-p", ""),
        canonical(str(network(host).network_address)) if host else "",
        int(words["--dport"]),
        target if where.startswith("[") else f"{canonical(where)}:{target.rpartition(':')[2]}",
        rule.text,
    )


def _target(port: HostPort) -> str:
    where = f"[{port.pod_address}]" if port.family == 6 else port.pod_address
    return f"{where}:{port.pod_port}"
