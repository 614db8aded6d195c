"""The packet filter of one node as what enforces policies: rules of iptables and nftables."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.dataplane.rules.followed_packets import Fates, followed
from wirecheck.dataplane.rules.many_packets import ManyPackets
from wirecheck.dataplane.rules.set_members import Port
from wirecheck.node.firewall import Firewall
from wirecheck.node.seen import BRIDGE_SYSCTLS, NodeSeen
from wirecheck.policy.cluster_pods import ClusterPods
from wirecheck.policy.enforcer import Telling
from wirecheck.policy.filter_addresses import AddressesTold
from wirecheck.policy.packet_filters import PacketFilters
from wirecheck.policy.reach import Direction
from wirecheck.policy.ways import Way

MOST_EVIDENCE = 4
EVERYTHING = Telling(None, lambda told: told)


@dataclass(frozen=True)
class FilterEnforcer:
    """The rules and sets that packets of the node's pods meet."""

    seen: NodeSeen
    filters: PacketFilters
    firewall: Firewall
    needs_routes: bool = True
    bans_nobody: bool = False

    def refused_to_node(self, _: IPAddress) -> tuple[str, ...]:
        """Nothing: what nodes send to their own pods is not forwarded."""
        return ()

    def told(self, family: int) -> AddressesTold:
        """The addresses that rules and sets tell apart."""
        return AddressesTold(self.filters, family)

    def telling(self, _: IPAddress, __: Direction) -> Telling:
        """Everything: rules for any pod are rules on the way of each."""
        return EVERYTHING

    def named_ports(self, family: int, _: IPAddress) -> frozenset[Port]:
        """The ports that rules for any pod of the node name: it is quicker to look once."""
        if family not in self._named:
            own = ClusterPods.of(self.seen.cluster).by_node.get((self.seen.name, family), ())
            addresses = frozenset(str(each.address) for each in own)
            self._named[family] = self.filters.named_ports(family, addresses)
        return self._named[family]

    @cached_property
    def _named(self) -> dict[int, frozenset[Port]]:
        return {}

    def fates(self, way: Way) -> Fates:
        """What the rules do with the connections."""
        family = way.subject.address.version
        fates = followed(self.filters.stages(family), way.packets, self.filters.sets)
        bypassing = self._bypassing(way, family)
        fates.passed |= bypassing
        fates.refused &= ~bypassing
        fates.unknown &= ~bypassing
        if unread := [*self.firewall.unread_filters]:
            fates.unknown |= fates.passed
            why = f"the rules of nftables tables were not read: {', '.join(unread)}"
            fates.doubts.append((fates.passed, why))
        return fates

    def _bypassing(self, way: Way, family: int) -> int:
        """The packets that a bridge forwards without asking iptables."""
        bridged = way.packets.of_ends(lambda each: each.is_bridged)
        return bridged if bridged and self._bridges_alone[family] else 0

    @cached_property
    def _bridges_alone(self) -> dict[int, bool]:
        """Whether bridges forward between their ports without iptables, by family."""
        return {f: self.seen.sysctl(name) != "1" for f, name in BRIDGE_SYSCTLS.items()}

    def evidence(self, way: Way, at: int, port: Port, *, is_open: bool) -> tuple[str, ...]:
        """The rule that decides about one connection, and its memberships in sets."""
        one = ManyPackets((way.packets.ends[at],), (port,))
        family = way.subject.address.version
        if one.ends[0].is_bridged and self._bridges_alone[family]:
            name = BRIDGE_SYSCTLS[family]
            return (f"{name} is not 1: bridged packets do not meet the packet filter",)
        fates = followed(self.filters.stages(family), one, self.filters.sets)
        if not is_open:
            return (*fates.refused_by[-1:], *fates.lacking)[:MOST_EVIDENCE]
        return (*fates.accepted_by[-1:], *fates.members)[:MOST_EVIDENCE] or ("no rule refuses it",)
