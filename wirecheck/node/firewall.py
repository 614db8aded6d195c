"""The firewall of one node: its effect on packets of pods, and the managers that write its rules.

It reads the tables of both iptables variants, and the nftables tables of kube-proxy and of other
programs. In snapshots of older versions the latter are known by name only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.iptables import reader as iptables_reader
from wirecheck.dataplane.iptables.base_chains import VARIANTS
from wirecheck.dataplane.kube_chains import has_kubernetes_chains, is_kubernetes_rule
from wirecheck.dataplane.nftables import reader as nftables_reader
from wirecheck.dataplane.nftables.tables import NamedTable, stages_of
from wirecheck.dataplane.rules.chains import concerns_destination
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket, packet_at, refusal_of
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage, reachable
from wirecheck.dataplane.rules.steps import End
from wirecheck.dataplane.table import Verdict
from wirecheck.network.plugin import Attachment
from wirecheck.node.anchors import (
    MissingAnchor,
    anchors_in_iptables,
    missing_in_nftables,
    plugins_of,
)
from wirecheck.node.filter_chains import Dropped, ForwardChain, TableFilter
from wirecheck.node.host_port_rules import NFT_LISTINGS
from wirecheck.node.iptables import Iptables
from wirecheck.node.nftables import has_listings, kube_proxy_tables, other_tables, table_names
from wirecheck.node.pod_packets import PodPackets
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError

OTHERS = {"ufw-before-forward": "ufw", "FORWARD_direct": "firewalld", "FWD_public": "firewalld"}
IPTABLES_TABLES = ("raw", "mangle", "nat", "filter", "security")
READ = frozenset(
    f"{family} {name}" for family in ("ip", "ip6") for name in (*IPTABLES_TABLES, "kube-proxy")
)
"""The nftables tables that are read otherwise: iptables' nft variant prints its own."""
PREROUTING = "PREROUTING"
BY_SOURCE = (" -s ", " -i ", " saddr ", " iifname ", " iif ", " --match-set ")
"""Conditions of iptables and nftables on where a packet comes from."""
OF_SOURCES = (" -s ", " saddr ", " --match-set ")
FURTHER_HOOKS = {
    "forward": ("prerouting", "postrouting"),
    "input": ("prerouting",),
    "output": ("postrouting",),
}
"""Hooks of nftables before and behind the one that a path is named after."""
CALICO_EBPF = "bpfin.cali"
"""The device that Calico creates for its eBPF dataplane."""
FORWARDING = frozenset({"inet", "ip", "ip6", "netdev"})
"""Families of nftables tables that forwarded packets traverse."""


@dataclass(frozen=True)
class Firewall:
    """Rules of one node, of both families and variants."""

    seen: NodeSeen
    iptables: Iptables
    routes: NodeRoutes

    @cached_property
    def table_filters(self) -> tuple[TableFilter, ...]:
        """Table filter of both families and variants, if it has rules or a policy."""
        own = self.iptables
        return tuple(
            TableFilter(family, is_legacy, dump)
            for is_legacy, texts in ((False, own.rules_in("filter")), (True, own.legacy))
            for family, text in texts.items()
            if "filter" in (dump := own.dump(text)).tables
        )

    def _variant(self, each: TableFilter) -> str:
        """`nft` or `legacy` if both have rules in table filter of the family."""
        if not any(o.family == each.family and o is not each for o in self.table_filters):
            return ""
        return VARIANTS[each.is_legacy]

    def _is_mixed(self, each: TableFilter) -> bool:
        """Whether Kubernetes' rules are in the other variant only."""
        others = [o for o in self.table_filters if o.family == each.family and o is not each]
        return not each.has_kubernetes and any(o.has_kubernetes for o in others)

    @cached_property
    def forward_chains(self) -> Mapping[int, tuple[ForwardChain, ...]]:
        """The base chains that forwarded packets traverse, by family.

        Raises NotApplicable if none of them can be read.
        """
        found = self._chains("forward")
        if not any(found.values()):
            raise NotApplicable(f"the node has no iptables rules in table filter{self._unread}")
        return found

    def _chains(self, hook: str) -> Mapping[int, tuple[ForwardChain, ...]]:
        """The same for the hook `forward`, `input` or `output`; empty if none can be read."""
        found: dict[int, list[ForwardChain]] = {4: [], 6: []}
        cache = self.seen.cluster.readers
        for each in self.table_filters:
            ruleset = iptables_reader.ruleset_in(each.family, [each.dump], cache)
            found[each.family] += [
                ForwardChain(stage, self._variant(each), self._is_mixed(each))
                for stage in _stages(ruleset, hook)
            ]
        for family in found:
            others = stages_of(hook, family, self.other_tables, cache.rules.chains)
            found[family] += map(ForwardChain, others)
        tables = kube_proxy_tables(self.seen) if has_listings(self.seen) else {}
        try:
            for family, text in tables.items():
                ruleset = nftables_reader.ruleset_in(family, text, cache)
                found[family] += map(ForwardChain, _stages(ruleset, hook))
        except ParseError as error:
            raise FactMissingError(f"{self.seen.name}: {error}") from error
        return {family: tuple(chains) for family, chains in found.items()}

    @property
    def unread_tables(self) -> tuple[str, ...]:
        """The nftables tables of which only the name is known, and that packets traverse."""
        listing = self.seen.facts.commands.get("nft-tables")
        names = table_names(self.seen) if listing is not None and listing.status == 0 else ()
        known = READ.union(each.label for each in self.other_tables)
        return tuple(e for e in names if e.partition(" ")[0] in FORWARDING and e not in known)

    @property
    def unread_filters(self) -> Iterator[str]:
        """Those of the unread tables that may refuse packets: not those for host ports."""
        return (each for each in self.unread_tables if each.partition(" ")[2] not in NFT_LISTINGS)

    @cached_property
    def other_tables(self) -> tuple[NamedTable, ...]:
        """The nftables tables of other programs that were read."""
        return tuple(other_tables(self.seen))

    @property
    def _unread(self) -> str:
        """The tables of which only the name is known, as the end of a sentence."""
        unread = self.unread_tables
        return f"; rules of nftables tables not read: {', '.join(unread)}" if unread else ""

    def dropped(self, packets: Iterator[tuple[str, ForwardedPacket]]) -> Iterator[Dropped]:
        """The packets that the forward chains do not accept, each once."""
        chains = {
            family: (*known, *self._further_filters("forward", family))
            for family, known in self.forward_chains.items()
        }
        return self._refused(packets, chains, self._around_filter)

    @cached_property
    def dropped_between_pods(self) -> tuple[Dropped, ...]:
        """What pods of the node and of other nodes send to each other, if it is dropped."""
        return tuple(self.dropped(self.packets.between_pods))

    @property
    def dropped_from_outside(self) -> Iterator[Dropped]:
        """What clients outside the cluster send to pods, if all of it is dropped, by family.

        Without what a rule refuses by its source, which firewall.source_bans lists, and without
        rules that refuse packets between pods as well.
        """
        known = {each.rule for each in self.dropped_between_pods}
        here = self.seen.cluster.service_index.backends_by_node.get(self.seen.name, ())
        ports = sorted({each.port for each in here})
        for family in (4, 6):
            sent = [each for each in self.packets.from_outside if each.source.version == family]
            dropped = list(self.dropped(("from outside", each) for each in sent))
            is_ban = any(word in each.rule for each in dropped for word in OF_SOURCES)
            if len(dropped) < len(sent) or is_ban or {each.rule for each in dropped} <= known:
                continue
            if not self.accepts_further_ports("forward", sent[0], ports):
                yield dropped[0]

    def refused_at(
        self, hook: str, packets: Iterator[tuple[str, ForwardedPacket]]
    ) -> Iterator[Dropped]:
        """The packets to or from the node itself (`input`, `output`) that it drops, each once.

        Programs of Cilium leave those of tunnels to the kernel's own devices.
        """
        doubt = self._around_filter if self._has_ebpf_of_calico else ""
        chains = {
            family: (*known, *self._further_filters(hook, family))
            for family, known in self._chains(hook).items()
        }
        return self._refused(packets, chains, doubt)

    def _further_filters(self, path: str, family: int) -> Iterator[ForwardChain]:
        """Chains of other tables and hooks on the path `forward`, `input` or `output`."""
        cache = self.seen.cluster.readers
        for each in self.table_filters:
            if each.family == family:
                for stage in iptables_reader.further_filters(each.dump, cache, path):
                    is_early = stage.base_chain == PREROUTING
                    yield ForwardChain(stage, self._variant(each), is_early=is_early)
        for hook in FURTHER_HOOKS[path]:
            for stage in stages_of(hook, family, self.other_tables, cache.rules.chains):
                if not stage.translates:
                    yield ForwardChain(stage, is_early=hook == "prerouting")

    def accepts_further_ports(
        self, hook: str, packet: ForwardedPacket, ports: Sequence[int]
    ) -> bool:
        """Whether rules of a hook accept packets like this one, and name one of the ports."""
        steps = (
            step
            for each in self._chains(hook)[packet.source.version]
            for chain in reachable(each.stage)
            for step in chain.steps
            if step.protocol == packet.protocol and End(Verdict.NOTHING) in step.actions
        )
        for step in steps:
            named = {step.port} & set(ports) if step.port else ports if step.tests else ()
            if any(concerns_destination(packet_at(packet, port), step) for port in named):
                return True
        return False

    def _refused(
        self,
        packets: Iterator[tuple[str, ForwardedPacket]],
        chains: Mapping[int, tuple[ForwardChain, ...]],
        around: str,
    ) -> Iterator[Dropped]:
        for what, packet in packets:
            for each in chains[packet.source.version]:
                stage = each.stage
                rule = refusal_of(stage.chains, stage.base_chain, stage.policy, packet)
                if rule is not None and not (each.is_early and _is_ban(rule)):
                    doubt = around or self._unsure(packet, each, rule)
                    yield Dropped(what, packet, rule, each.variant, each.is_mixed, doubt)
                    break

    def _unsure(self, packet: ForwardedPacket, chain: ForwardChain, rule: str) -> str:
        """Why the rule may not match the packet: conditions that its tool does not print."""
        if chain.variant == VARIANTS[1]:
            return ""
        return self.iptables.may_lack_conditions(packet.source.version, [rule])

    @property
    def _around_filter(self) -> str:
        """Why packets of pods may not meet chain FORWARD; empty if they do.

        Programs in eBPF redirect them from device to device (bpf_redirect_neigh). Where Cilium
        leaves forwarding to the kernel, as in chaining mode or with legacy host routing, nothing
        that is read here shows it.
        """
        if self.seen.cni.attachment is Attachment.EBPF or self._has_ebpf_of_calico:
            return f"{self.seen.cni} may forward packets of pods in eBPF, past chain FORWARD"
        return ""

    @property
    def _has_ebpf_of_calico(self) -> bool:
        return any(each.name == CALICO_EBPF for each in self.seen.host.interfaces)

    @cached_property
    def packets(self) -> PodPackets:
        """Packets of pods that the node must forward."""
        return PodPackets(self.seen, self.routes)

    @property
    def missing_anchors(self) -> Iterator[MissingAnchor]:
        """The chains of Kubernetes and of the CNI plugin that exist and are not called."""
        plugins, tables = plugins_of(self.seen), self.other_tables
        yield from missing_in_nftables(plugins, tables)
        anchors = tuple(anchors_in_iptables(plugins, tables))
        for each in self._any_table_filters():
            for base, chain, is_plugins in anchors:
                found = each.dump.chain("filter", chain)
                # An older system left those of the legacy variant; kube_proxy checks report them.
                if found is None or not found.rules or each.is_legacy:
                    continue
                if not each.calls(base, chain):
                    yield MissingAnchor(f"IPv{each.family}", base, chain, is_plugins)

    def _any_table_filters(self) -> tuple[TableFilter, ...]:
        if not self.table_filters:
            raise NotApplicable("the node has no iptables rules in table filter")
        return self.table_filters

    @property
    def others(self) -> frozenset[str]:
        """Managers of firewalls that have rules in force on the node."""
        names = table_names(self.seen)
        found = {"firewalld"} if any(each.endswith(" firewalld") for each in names) else set()
        for each in self._any_table_filters():
            for chain, manager in OTHERS.items():
                if each.dump.chain("filter", chain):
                    found.add(manager)
        return frozenset(found)

    @property
    def nft_rules(self) -> Iterator[tuple[int, list[str]]]:
        """Third-party rules of the nft variant, by family, if Kubernetes uses legacy here.

        The kubelet writes its chains with the node's own iptables, and no packet depends on them.
        """
        for family, text in self.iptables.legacy.items():
            rules = [line for line in self.iptables.rules[family].split("\n") if line[:3] == "-A "]
            others = [line for line in rules if not is_kubernetes_rule(line)]
            service_rules = any("KUBE-SERVICES" in line for line in rules)
            if others and not service_rules and "-A KUBE-SERVICES " in text:
                yield family, others

    @property
    def legacy_rules(self) -> Iterator[tuple[int, list[str]]]:
        """The rules of the legacy variant, by family, if Kubernetes uses the nft variant here."""
        for family, text in self.iptables.legacy.items():
            rules = [line for line in text.split("\n") if line.startswith("-A ")]
            # kube_proxy.single_iptables_variant reports Service rules in both.
            service_rules = any("KUBE-SERVICES" in line for line in rules)
            if not rules or service_rules:
                continue
            if has_kubernetes_chains(self.iptables.rules[family]):
                yield family, rules


def _is_ban(rule: str) -> bool:
    """Whether the rule refuses a source, which firewall.source_bans reports."""
    has_destination = " -d " in rule or " daddr " in rule
    return not has_destination and any(words in rule for words in BY_SOURCE)


def _stages(ruleset: Ruleset, hook: str) -> tuple[Stage, ...]:
    """The base chains of the hook `forward`, `input` or `output` that filter."""
    if hook == "output":
        return tuple(each for each in ruleset.sent if not each.translates)
    return ruleset.through_node if hook == "forward" else ruleset.to_node
