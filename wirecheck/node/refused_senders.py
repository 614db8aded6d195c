"""Pods of one node whose packets a routing rule for their device refuses.

Nothing else on the node shows it: the same destinations are reached from the node itself and from
all other pods. Rules for a source address are part of `policy_routing.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.netns import Interface
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.routing import REFUSING, UNSPECIFIED, Routing
from wirecheck.node.rule_selectors import Origin
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Route, Rule

MOST_PODS = 8
"""How many pods are reported per route or rule."""
MOST_TARGETS = 16
"""DNS replicas and pods, one of each node, that are looked up for each pod."""


@dataclass(frozen=True)
class Blackhole:
    """A destination without a route, or with one that refuses packets."""

    name: str
    """Ends with the address or the range."""
    route: Route | None
    sender: str = ""
    """`Pod shop/web`; empty for the node's own packets."""
    arguments: str = ""
    """What `ip route get` needs after the address, to show it for that sender."""
    inconclusive: str = ""
    """Why it cannot be decided."""

    @property
    def part(self) -> str:
        """`to 10.244.1.0/24`, `from Pod shop/web to kube-system/coredns 10.244.1.7`."""
        return f"from {self.sender} to {self.name}" if self.sender else f"to {self.name}"

    @property
    def is_rule(self) -> bool:
        """Whether a routing rule refuses the packets itself; the route only stands for it."""
        return self.route is not None and self.route.table == UNSPECIFIED

    @property
    def address(self) -> str:
        """The arguments of `ip route get` that show it: the address, with the sender's options."""
        return self.name.rpartition(" ")[2].partition("/")[0] + self.arguments


@dataclass(frozen=True)
class RefusedSenders:
    """Pods that rules with an input device refuse, themselves or by a route of their table."""

    seen: NodeSeen
    routes: NodeRoutes

    @property
    def blackholes(self) -> Iterator[Blackhole]:
        """The first destination that is refused for each pod; a few pods for each rule."""
        if not self._rules or self.seen.bypasses_routing:
            return
        reported: dict[tuple[int, int], int] = {}
        for pod in self.seen.pods:
            if pod.has_own_netns and pod.is_running:
                for each, rule in self._of_pod(pod):
                    key = rule.family, rule.priority
                    reported[key] = reported.get(key, 0) + 1
                    if reported[key] <= MOST_PODS:
                        yield each

    @cached_property
    def _rules(self) -> tuple[Rule, ...]:
        return tuple(each for each in self.seen.host.record.rules if each.iif)

    def _of_pod(self, pod: Pod) -> Iterator[tuple[Blackhole, Rule]]:
        for source in sorted(pod.addresses, key=str):
            back = self._routing.route_to(source)
            device = self._routing.device_of(back) if back else None
            if device is None:
                continue
            origin = Origin(source=source, interface=device.name)
            for name, target in self._targets:
                if target.version != source.version or not self._is_routed(target, device):
                    continue
                route, rule = self._routing.decision(target, origin=origin)
                if route is not None and route.type in REFUSING and rule in self._rules:
                    how = f" from {source} iif {device.name}"
                    yield Blackhole(name, route, f"Pod {pod.namespace}/{pod.name}", how), rule
                    break

    def _is_routed(self, target: IPAddress, device: Interface) -> bool:
        """Whether packets from the device to the target are forwarded: not within a bridge."""
        route = self._routing.route_to(target)
        return route is None or route.index != device.index

    @cached_property
    def _targets(self) -> tuple[tuple[str, IPAddress], ...]:
        """DNS replicas and a pod of each node, this one included, which DNAT can forward to.

        The pod ranges of other nodes follow, as these nodes may have no pods.
        """
        cluster = self.seen.cluster
        of_nodes = cluster.pod_index.by_node.values()
        pods = [each for of in of_nodes for each in of if each.has_own_netns and each.is_running]
        first = {each.node_name: each for each in reversed(pods)}
        own = [each for each in pods if each.node_name == self.seen.name][:2]
        replicas = [each for each in cluster.dns.replicas if not each.on_host_network]
        found = [
            (name_of(pod, where), where)
            for pod in [*replicas, *own, *first.values()]
            for where in sorted(pod.addresses, key=str)
        ]
        return (*tuple(dict.fromkeys(found))[:MOST_TARGETS], *self._peers)

    @property
    def _peers(self) -> Iterator[tuple[str, IPAddress]]:
        try:
            routes = self.routes.peer_routes
        except NotApplicable:
            return
        for each in routes[:MOST_TARGETS]:
            yield f"the pods of {each.node.metadata.name} {each.to.first}", each.to.first

    @property
    def _routing(self) -> Routing:
        return self.routes.routing


def name_of(pod: Pod, where: IPAddress) -> str:
    """Return `shop/web 10.244.1.7`."""
    return f"{pod.namespace}/{pod.name} {where}"
