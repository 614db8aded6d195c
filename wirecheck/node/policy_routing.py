"""Routing rules for a source address that take packets away from pods.

Many programs add such rules for nodes with several networks: NetworkManager's nm-cloud-setup,
ec2-net-utils, CNI plugins of clouds. Their tables often have a default route only. The kernel
looks up the route of a connection twice, at first without a source (ip_route_connect), so that a
missing route to a pod shows only with the source that it has chosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from wirecheck.addresses import IPAddress, network
from wirecheck.api_index.pod import Pod
from wirecheck.network.plugin import AddressSource
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.routing import DEFAULT, EVERYTHING, LOCAL, MAIN, Routing, leads_on, length_of
from wirecheck.node.routing_rules import RoutingRules, rule_text
from wirecheck.node.rule_selectors import Origin
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import Route, Rule

THE_NODE = "the node"
"""The sender of the node's own packets."""
MOST_PEERS = 16
"""At most so many pods of other nodes, one of each node, are looked up."""
MOST_NEIGHBOURS = 4
"""At most so many pods of the same node are looked up for each pod."""


@dataclass(frozen=True)
class DivertedTo:
    """Packets that a rule takes away from the route to a pod."""

    rule: Rule
    sender: str
    """`the node` or `Pod shop/web`."""
    source: IPAddress
    to: IPAddress
    pod: Pod
    route: str
    """The route to the pod."""
    taken: str
    """The route that the rule leads to."""

    @property
    def expected(self) -> str:
        pod = f"Pod {self.pod.namespace}/{self.pod.name} {self.to}"
        return f"{self.sender} sends to {pod} by {self.route}"

    @property
    def found(self) -> str:
        return f"{rule_text(self.rule)}: with source {self.source} by {self.taken}"


@dataclass(frozen=True)
class PolicyRouting:
    """Rules for source addresses on one node."""

    seen: NodeSeen
    routes: NodeRoutes
    rules: RoutingRules

    @property
    def _routing(self) -> Routing:
        return self.routes.routing

    @property
    def diverted(self) -> Iterator[DivertedTo]:
        """The first packet that each rule diverts: of the node itself, and of its pods."""
        if not self._source_rules:
            return
        reported: set[tuple[int, int, bool]] = set()
        for each in [*self._from_node(), *self._from_pods()]:
            key = each.rule.family, each.rule.priority, each.sender == THE_NODE
            if key not in reported:
                reported.add(key)
                yield each

    @cached_property
    def _source_rules(self) -> tuple[Rule, ...]:
        return tuple(
            rule
            for rules in self.rules.by_family.values()
            for rule in rules
            if rule.source and not (rule.iif or rule.oif or rule.mark)
        )

    def _from_node(self) -> Iterator[DivertedTo]:
        for target, pod in [*self._own_pods, *self._pods_of_others()]:
            route = self._routing.route_to(target)
            if route is None:
                continue
            sources = [self.routes.source_of(route), self._source_to_services.get(target.version)]
            for source in dict.fromkeys(each for each in sources if each is not None):
                yield from self._diverted(THE_NODE, Origin(source=source), target, pod, route)

    @cached_property
    def _source_to_services(self) -> Mapping[int, IPAddress]:
        """The source of connections to Services, by family: that of the route to a cluster IP.

        kube-proxy then translates the destination, and the kernel looks up the route to the pod
        with the same source (ip_route_me_harder). Programs that replace kube-proxy translate
        before the source is chosen.
        """
        if self.seen.proxy_replacement:
            return {}
        found: dict[int, IPAddress] = {}
        for block in self.seen.cluster.service_blocks:
            known = next(iter(block.members.values()))
            if known.version not in found and known not in self._routing.own:
                route = self._routing.route_to(known)
                if route is not None and (source := self.routes.source_of(route)):
                    found[known.version] = source
        return found

    def _from_pods(self) -> Iterator[DivertedTo]:
        """From pods that a rule selects, to other pods of the node."""
        if self.seen.bypasses_routing:
            return
        for source, sender in self._own_pods:
            if not any(_selects(rule, source) for rule in self._source_rules):
                continue
            back = self._routing.route_to(source)
            device = self._routing.device_of(back) if back else None
            origin = Origin(source=source, interface=device.name if device else "")
            others = (e for e in self._own_pods if e[1] is not sender)
            others = (e for e in others if e[0].version == source.version)
            for target, pod in islice(others, MOST_NEIGHBOURS):
                route = self._routing.route_to(target)
                if route is not None:
                    name = f"Pod {sender.namespace}/{sender.name}"
                    yield from self._diverted(name, origin, target, pod, route)

    def _diverted(
        self, sender: str, origin: Origin, target: IPAddress, pod: Pod, route: Route
    ) -> Iterator[DivertedTo]:
        if route.type != "unicast" or not length_of(route):
            return
        taken, rule = self._routing.decision(target, origin=origin)
        is_diverted = taken is None or not leads_on(taken) or length_of(taken) < length_of(route)
        is_for_source = rule is not None and rule in self._source_rules
        if is_diverted and rule is not None and is_for_source and origin.source is not None:
            yield DivertedTo(
                rule,
                sender,
                origin.source,
                target,
                pod,
                self._routing.text_of(route),
                self._routing.text_of(taken),
            )

    @cached_property
    def _own_pods(self) -> tuple[tuple[IPAddress, Pod], ...]:
        return tuple(
            (each, pod)
            for pod in self.seen.pods
            if pod.has_own_netns
            for each in sorted(pod.addresses, key=str)
        )

    def _pods_of_others(self) -> Iterator[tuple[IPAddress, Pod]]:
        """One pod of each other node, in each of its families."""
        by_node = self.seen.cluster.pod_index.by_node
        names = [name for name in self.seen.cluster.nodes if name != self.seen.name]
        for name in names[:MOST_PEERS]:
            pod = next((each for each in by_node.get(name, ()) if each.has_own_netns), None)
            if pod is not None:
                for each in sorted(pod.addresses, key=str):
                    yield each, pod

    @property
    def empty_tables(self) -> Iterator[tuple[Pod, Rule]]:
        """Pods with a rule for their address, and a table that leads nowhere.

        The plugins of clouds use such a rule for the pods of a further network interface, whose
        packets the cloud drops at any other interface.
        """
        by_address = dict(self._own_pods)
        needs_default = self.seen.cni.addresses is AddressSource.NODE_NETWORK
        for rule in self._source_rules:
            range_ = network(rule.source)
            pod = by_address.get(range_.network_address)
            is_for_pod = pod is not None and range_.num_addresses == 1
            if rule.action != "lookup" or not is_for_pod or rule.table in (LOCAL, MAIN, DEFAULT):
                continue
            whole = needs_default and not rule.destination
            found = self._routing.route_in(rule.table, EVERYTHING[rule.family].network_address)
            is_empty = not self._routing.has_routes(rule.table, rule.family)
            if pod is not None and (is_empty or (whole and not leads_on(found))):
                yield pod, rule


def _selects(rule: Rule, source: IPAddress) -> bool:
    range_ = network(rule.source)
    return range_.version == source.version and source in range_
