"""What one node's pods send outside the cluster: the source address that it leaves with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

from wirecheck.addresses import IPAddress
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.iptables.reader import shared_text
from wirecheck.dataplane.iptables.rules import steps_of
from wirecheck.dataplane.nftables.tables import stages_of
from wirecheck.dataplane.rules.chains import Chain as RuleChain
from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.egress import Masqueraded, ended_by, masquerades
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.node.egress_settings import EgressSetting, EgressSettings
from wirecheck.node.firewall import Firewall
from wirecheck.node.iptables import Iptables
from wirecheck.node.outside import OUTSIDE
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.iptables import Chain

POSTROUTING = "POSTROUTING"

OF_AGENT = re.compile(r"^-A (IP-MASQ(?:-AGENT)?) .*-j MASQUERADE", re.MULTILINE)
"""The last rule of ip-masq-agent's chain, behind a RETURN for each of its nonMasqueradeCIDRs."""

OF_POOLS = "cali-nat-outgoing"
"""The chain in which Calico masquerades the pods of its IPPools with natOutgoing."""

IN_NFTABLES = f"nat-{OF_POOLS}"
"""The same in Calico's own nftables table."""

WITHIN_CLUSTER = tuple(
    (f"-m set {sign}--match-set {name} dst", bool(sign))
    for name in ("cilium_node_set_v4", "cilium_node_set_v6", "weaver-no-masq-local")
    for sign in ("", "! ")
)
"""Matches on ipsets of Cilium with the nodes' addresses, and of Weave with those of the node's own
containers, each with whether an address outside the cluster passes it."""

CHAINS = (
    *("FLANNEL-POSTRTG", "KIND-MASQ-AGENT", "IP-MASQ-AGENT", "AWS-SNAT-CHAIN-0"),
    *(OF_POOLS, IN_NFTABLES, "CILIUM_POST_nat", "WEAVE"),
)
"""Chains in which plugins masquerade what pods send."""


@dataclass(frozen=True)
class Egress:
    """A pod's packets to outside of the cluster."""

    pod: IPAddress
    why: str
    """What says that they are masqueraded."""
    answer: Masqueraded
    unread: tuple[str, ...]
    """nftables tables that were not read, and could masquerade them."""
    doubt: str = ""
    """Why it may be correct that no rule masquerades them."""
    ended_by: str = ""
    """The rule that ends table nat for them before any rule masquerades."""

    @property
    def found(self) -> str:
        if self.ended_by:
            return f"not masqueraded: a rule ends chain POSTROUTING for {self.pod} first"
        return f"not masqueraded: no rule of POSTROUTING matches {self.pod}"

    @property
    def inconclusive(self) -> str:
        """Why this is not known; empty if it is."""
        if self.answer is Masqueraded.UNKNOWN:
            return "the rule that masquerades depends on a condition that is not known"
        if self.answer is Masqueraded.NO and self.unread:
            return "the rules of further nftables tables were not read"
        return self.doubt


@dataclass(frozen=True)
class NodeEgress:
    """The rules that masquerade what the node's pods send."""

    seen: NodeSeen
    iptables: Iptables
    firewall: Firewall
    routes: NodeRoutes

    @property
    def all(self) -> tuple[Egress, ...]:
        """One for each family of pods whose masquerading is configured.

        Raises NotApplicable if no configuration is known.
        """
        found = tuple(self._all())
        if not found:
            raise NotApplicable("nothing on the node shows that pods are to be masqueraded")
        return found

    @property
    def pools_masqueraded(self) -> Mapping[int, bool]:
        """By family whether the chain for natOutgoing has rules, where pools were not read.

        felix writes the same rule on every node if any pool has natOutgoing, and empties the chain
        if none has. Families without pods of the node are left out.
        """
        if self.settings.knows_pools:
            return {}
        found: dict[int, bool] = {}
        for family in (4, 6):
            chains = _of_pools([*self.tables(family), *(e.chains for e in self.stages(family))])
            if self._pods(family) and chains:
                found[family] = any(each.steps for each in chains)
        return found

    @cached_property
    def settings(self) -> EgressSettings:
        """What is configured about it."""
        return EgressSettings(self.seen)

    def _all(self) -> Iterator[Egress]:
        for family in (4, 6):
            if pods := self._chosen(family):
                found = self._of(list(self.tables(family)), list(self.stages(family)), pods)
                yield from sorted(found, key=_severity)[:1]

    def _of(
        self,
        tables: list[Chains[Chain]],
        others: list[Stage],
        pods: Mapping[IPAddress, EgressSetting | None],
    ) -> Iterator[Egress]:
        known = [*tables, *(each.chains for each in others)]
        for pod, setting in pods.items():
            packet = self._packet(pod)
            why = setting.text if setting else _in_chain(known, packet)
            if not why and (doubt := self._doubt(known)):
                unread = self._unread(tables)
                yield Egress(pod, f"chain {OF_POOLS}", Masqueraded.NO, unread, doubt)
            may_exempt = setting is not None and setting.may_exempt
            if not why or (may_exempt and self._agent_leaves_alone(tables, packet)):
                continue
            answers = {masquerades(each, POSTROUTING, packet) for each in tables}
            answers |= {masquerades(each.chains, each.base_chain, packet) for each in others}
            # The first of several tables that translates a packet decides.
            by_severity = (Masqueraded.YES, Masqueraded.UNKNOWN)
            answer = next((each for each in by_severity if each in answers), Masqueraded.NO)
            ends = [ended_by(each, POSTROUTING, packet) for each in tables]
            rule = "" if answer is Masqueraded.YES else next(filter(None, ends), "")
            yield Egress(pod, why, answer, self._unread(tables), ended_by=rule)

    def _doubt(self, tables: list[Chains[Any]]) -> str:
        """Why pods may be masqueraded: Calico keeps its chain empty if no pool has natOutgoing."""
        chains = _of_pools(tables)
        is_empty = bool(chains) and not any(each.steps for each in chains)
        if not is_empty or self.settings.knows_pools:
            return ""
        return "IPPools of Calico were not read, and may have natOutgoing"

    def _chosen(self, family: int) -> Mapping[IPAddress, EgressSetting | None]:
        """The pods whose packets are followed, with the setting that masquerades these.

        Rules are for ranges, so one pod stands for all of its setting, unless each has its own.
        """
        pods = self._pods(family)
        chosen: dict[IPAddress, EgressSetting | None] = {}
        for each in pods:
            setting = self.settings.of(each, OUTSIDE[family])
            if setting and (setting.is_for_each_pod or setting not in chosen.values()):
                chosen[each] = setting
        return chosen or dict.fromkeys(pods[:1])

    def _pods(self, family: int) -> list[IPAddress]:
        """The addresses of the node's pods that have their own netns."""
        pods = (pod for pod in self.seen.pods if pod.has_own_netns)
        found = (each for pod in pods for each in pod.addresses if each.version == family)
        return sorted(found, key=int)

    def _packet(self, pod: IPAddress) -> ForwardedPacket:
        routing = self.routes.routing
        route = routing.route_to(OUTSIDE[pod.version])
        device = routing.device_of(route) if route else None
        known = (*self.settings.set_memberships(pod, OUTSIDE[pod.version]), *WITHIN_CLUSTER)
        oif = device.name if device else ""
        return ForwardedPacket(pod, OUTSIDE[pod.version], "", oif, known=known)

    def tables(self, family: int) -> Iterator[Chains[Chain]]:
        """Table nat of both variants of iptables."""
        cache = self.seen.cluster.readers
        for number, texts in enumerate((self.iptables.rules, self.iptables.legacy)):
            table = self.iptables.dump(texts[family]).tables.get("nat") if texts[family] else None
            if table is not None:
                translate = partial(steps_of, step_of=cache.step_of)
                label = f"egress {number}"
                yield Chains(label, table.chains, translate, shared_text, cache.rules.chains)

    def stages(self, family: int) -> Iterator[Stage]:
        """The chains of nftables tables in which a plugin may masquerade."""
        chains = self.seen.cluster.readers.rules.chains
        for each in stages_of("postrouting", family, self.firewall.other_tables, chains):
            if each.translates:
                yield each

    def _unread(self, tables: list[Chains[Chain]]) -> tuple[str, ...]:
        """The nftables tables in which the plugin may masquerade instead of iptables."""
        listing = self.seen.facts.commands.get("nft-tables")
        uses_iptables = any(table.find(name) for table in tables for name in CHAINS)
        if uses_iptables or (listing is not None and listing.status == 0):
            return self.firewall.unread_tables
        return ("of which nft did not list the names",)

    def _agent_leaves_alone(self, tables: list[Chains[Chain]], packet: ForwardedPacket) -> bool:
        """Whether ip-masq-agent is configured not to masquerade the packet.

        With 0.0.0.0/0 in nonMasqueradeCIDRs, as before Cloud NAT, its chain returns every packet.
        """
        family = packet.source.version
        texts = (self.iptables.rules[family], self.iptables.legacy[family])
        names = {name for text in texts for name in OF_AGENT.findall(text or "")}
        answers = [
            masquerades(table, name, packet)
            for table in tables
            for name in names
            if table.find(name)
        ]
        return bool(answers) and all(each is Masqueraded.NO for each in answers)


def _of_pools(tables: Iterable[Chains[Any]]) -> list[RuleChain]:
    """Calico's chains for natOutgoing."""
    found = (each.find(name) for each in tables for name in (OF_POOLS, IN_NFTABLES))
    return [each for each in found if each]


def _in_chain(tables: list[Chains[Any]], packet: ForwardedPacket) -> str:
    """A chain of a plugin that masquerades the packet, if it gets there."""
    for table in tables:
        for name in CHAINS:
            if table.find(name) and masquerades(table, name, packet) is Masqueraded.YES:
                return f"chain {name}"
    return ""


def _severity(egress: Egress) -> tuple[bool, bool]:
    """Sorts failures first, then what is inconclusive, then what is correct."""
    return egress.answer is Masqueraded.YES, bool(egress.inconclusive)
