"""Routing rules that a cloud's plugin adds for each pod, and that somebody has removed.

The AWS VPC CNI adds `512: from all to POD lookup main` for every pod with an interface of its own
kind, and `1536: from POD lookup TABLE` for those of a further network interface. Without the second
one packets leave by the first interface, and the cloud drops them there. Which interface an address
belongs to shows on the node only if the interfaces are in different networks. Otherwise nobody can
know whether a pod without the second rule has lost it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, contains, network
from wirecheck.api_index.pod import Pod
from wirecheck.network.plugin import AddressSource
from wirecheck.node.netns import Interface
from wirecheck.node.outside import OUTSIDE
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.routing import MAIN, length_of
from wirecheck.node.rule_selectors import Origin
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Rule

SEVERAL_INTERFACES = (
    "several network interfaces are in the pod's network, and the node does not show which one has "
    "its address: whether a routing rule is missing is not known"
)


@dataclass(frozen=True)
class LostRule:
    """A pod without a rule that the plugin has added."""

    pod: Pod
    expected: str
    found: str
    inconclusive: str = ""
    """Why it may never have had it."""


@dataclass(frozen=True)
class PodRules:
    """The plugin's rules for the pods of one node."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def lost(self) -> Iterator[LostRule]:
        """The first rule that each pod lacks, then those that some pods may lack."""
        if self.seen.cni.addresses is not AddressSource.NODE_NETWORK:
            return
        pods = [pod for pod in self.seen.pods if pod.has_own_netns and pod.is_running]
        for pod in pods:
            yield from self._of_pod(pod)
        for pod in pods:
            yield from self._unknown_of(pod)

    def _unknown_of(self, pod: Pod) -> Iterator[LostRule]:
        """The rule for a further interface, if nobody can know whether the pod has lost it."""
        for where in sorted(pod.addresses, key=str):
            near = self._uplinks_near(where)
            device = self._device_to(where) if len(near) > 1 else None
            leaving = self._leaving(where, device) if device else None
            if leaving is not None and not self._selects(where):
                expected = f"packets from {where} leave by the interface that has it"
                names = " or ".join(each.name for each in near)
                found = f"by {leaving.name}; it may be {names}"
                yield LostRule(pod, expected, found, SEVERAL_INTERFACES)

    def _selects(self, where: IPAddress) -> bool:
        """Whether a rule chooses a table for what the pod sends."""
        ranges = (network(each.source) for each in self._rules if each.source and each.table)
        return contains(ranges, where)

    def _of_pod(self, pod: Pod) -> Iterator[LostRule]:
        for where in sorted(pod.addresses, key=str):
            device = self._device_to(where)
            if device is None or any(each.iif == device.name for each in self._rules):
                # A branch interface: its rules are for the device.
                continue
            own = self._uplink_of(where)
            leaving = self._leaving(where, device)
            if own is not None and leaving is not None and leaving.name != own.name:
                expected = f"packets from {where} leave by {own.name}, whose network has it"
                yield LostRule(pod, expected, f"they leave by {leaving.name}: no rule selects them")
                return
            if self._common and where not in self._to_pods:
                expected = f"`{self._common.priority}: from all to {where} lookup main`"
                yield LostRule(pod, expected, "no such rule, which other pods of the node have")
                return

    @property
    def _rules(self) -> list[Rule]:
        return self.seen.host.record.rules

    @cached_property
    def _to_pods(self) -> dict[IPAddress, Rule]:
        """The rules for packets to one of the node's pods."""
        pods = {each for pod in self.seen.pods if pod.has_own_netns for each in pod.addresses}
        found = {}
        for rule in self._rules:
            if rule.destination and rule.table == MAIN and not (rule.source or rule.iif):
                range_ = network(rule.destination)
                if range_.num_addresses == 1 and range_.network_address in pods:
                    found[range_.network_address] = rule
        return found

    @cached_property
    def _common(self) -> Rule | None:
        """An example of them; None if most pods have none."""
        pods = [pod for pod in self.seen.pods if pod.has_own_netns and pod.is_running]
        with_rule = [pod for pod in pods if pod.addresses & self._to_pods.keys()]
        is_usual = 2 * len(with_rule) >= len(pods)
        return next(iter(self._to_pods.values()), None) if is_usual else None

    def _device_to(self, where: IPAddress) -> Interface | None:
        """The device of the pod's own route; packets for a branch interface have none."""
        route = self.routes.routing.route_to(where)
        if route is None or length_of(route) < where.max_prefixlen:
            return None
        return self.routes.routing.device_of(route)

    def _leaving(self, source: IPAddress, device: Interface) -> Interface | None:
        origin = Origin(source=source, interface=device.name)
        route = self.routes.routing.route_to(OUTSIDE[source.version], origin=origin)
        return self.routes.routing.device_of(route) if route else None

    def _uplink_of(self, where: IPAddress) -> Interface | None:
        """The one network interface whose network has the address, if it is a further one."""
        found = self._uplinks_near(where)
        return found[0] if len(found) == 1 else None

    def _uplinks_near(self, where: IPAddress) -> list[Interface]:
        """The network interfaces whose network has the address."""
        return [
            each
            for each in self.seen.host.interfaces
            if not each.link.kind and contains(each.networks, where)
        ]
