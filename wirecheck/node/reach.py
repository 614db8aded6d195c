"""The TCP connections from a node and its pods, and the objects that they connect to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.node_kinds import why_left_out
from wirecheck.api_index.nodes import CONTROL_PLANE
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref, Unanswered
from wirecheck.node import conditions
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.port_owners import PortOwner, owner_of
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.attempts import Contact
from wirecheck.snapshot.index import VisitStatus

ENOUGH = 64 * 1024
ANSWERED_HERE = "the node has the target's address itself and answers in its place"
"""See nodes.no_foreign_addresses."""


@dataclass(frozen=True)
class Reached:
    """One connection, with the objects at both ends."""

    ref: Ref
    contact: Contact
    source: Pod | None
    """None for the node itself."""
    target: Pod | None
    """None for anything that is not a pod: a node, a Service."""
    concerns: tuple[Ref, ...]
    restricted_by: str
    """A policy that may block it, or why it proves nothing; empty if neither."""
    is_answered_here: bool = False
    """Whether the target is on another node, but its address is on this one: it proves nothing."""
    is_restricted_by_policy: bool = False
    """Whether `restricted_by` is a policy."""

    @property
    def expected(self) -> str:
        """What the connection must achieve."""
        contact = self.contact
        if contact.messages:
            return f"{contact.messages} answers to {contact.messages} messages of 4 KiB"
        if contact.times > 1:
            return f"{contact.times} of {contact.times} TCP connections"
        return "a TCP connection"

    @cached_property
    def problem(self) -> str:
        """The failure; empty if it succeeded. Raises FactMissingError if it was not tried."""
        contact = self.contact
        if not contact.tries:
            raise FactMissingError(
                f"No connection to {contact.address} port {contact.port} was tried: the visit "
                "ended early. Raise `limits.node` in the inventory."
            )
        if contact.made == contact.times:
            return ""
        if contact.messages:
            return (
                f"{contact.replies} answers, {contact.received:,} bytes received and "
                f"{contact.sent:,} sent, then {contact.error}"
            )
        if contact.times > 1:
            return f"{contact.made} of {contact.tries}, others: {contact.error}"
        return f"{contact.error} in {contact.tries} of {contact.tries} tries"

    @property
    def is_refused(self) -> bool:
        """Whether the connection was refused.

        The kernel of the target refuses it where nothing listens, and the rules of a Service
        without endpoints do. In both cases the path to the target works.
        """
        return self.contact.error == "refused"

    @property
    def sent(self) -> Unanswered:
        """What the connection sent."""
        contact = self.contact
        source = self.source.ref if self.source else None
        return Unanswered(contact.address, contact.port, "tcp", source, self.is_refused)

    @property
    def is_small(self) -> bool:
        """Whether the answers were small: then the path back is not proven for large packets."""
        return self.contact.received < ENOUGH


@dataclass(frozen=True)
class NodeReach:
    """All connections of one visit. Raises NotApplicable where none were requested."""

    seen: NodeSeen
    namespaces: PodNamespaces

    def of(self, purpose: str) -> tuple[Reached, ...]:
        """Return the connections of one purpose. Raises NotApplicable without any."""
        contacts = self.seen.facts.contacts
        if contacts is None:
            raise NotApplicable("no TCP connections were made in this round")
        found = tuple(self.reached(each) for each in contacts if each.purpose == purpose)
        if not found:
            raise NotApplicable("there is nothing to connect from, or nothing to connect to")
        if all(each.is_answered_here for each in found):
            raise NotApplicable(ANSWERED_HERE)
        return found

    @property
    def of_pods(self) -> Iterator[Reached]:
        """The connections that were tried from pods."""
        for each in self.seen.facts.contacts or ():
            if each.source in self._pods_by_uid and each.tries:
                yield self.reached(each)

    @property
    def to_nodes(self) -> Iterator[tuple[Reached, str]]:
        """The connections to kubelets of other nodes, each with why its failure is inconclusive.

        Only the control plane needs the kubelet's port, and hardened nodes close it to others. So
        it decides nothing about a node that other connections from here reach.
        """
        is_control_plane = self._is_control_plane
        for each in self.of("node"):
            is_closed = not each.is_answered_here and each.problem and not is_control_plane
            yield each, self._why_closed(each) if is_closed else ""

    def _why_closed(self, failed: Reached) -> str:
        where = address(failed.contact.address)
        if self.seen.cluster.pod_index.by_address.get(where):
            return "addresses of nodes that are those of pods"
        node = self.seen.cluster.nodes.get(self.seen.cluster.node_index.by_address.get(where, ""))
        if node is None:
            return ""
        is_alive = conditions.is_ready(node)
        others = self._others_to(node.metadata.name, where)
        if any(map(_has_arrived, others)) or (failed.is_refused and is_alive):
            return "the kubelet's port, which only the control plane needs: the node is reached"
        visit = self.seen.cluster.round.visits.get(node.metadata.name)
        is_visited = visit is not None and visit.status is VisitStatus.SEEN
        if is_visited and is_alive and not others:
            return "the kubelet's port, which only the control plane needs: nothing else was tried"
        return ""

    def _others_to(self, node: str, where: IPAddress) -> tuple[Contact, ...]:
        """The other connections from here to the node and to pods on it.

        One that a policy may block counts only if it arrived.
        """
        tried = (
            e
            for e in self.seen.facts.contacts or ()
            if e.purpose != "node" and e.tries and (not e.source or e.source in self._pods_by_uid)
        )
        found = (self.reached(e) for e in tried if self._node_behind(e, where) == node)
        return tuple(
            each.contact
            for each in found
            if not each.is_answered_here and (_has_arrived(each.contact) or not each.restricted_by)
        )

    def _node_behind(self, contact: Contact, where: IPAddress) -> str:
        """The node that a connection arrived at; empty for Services and all that is not known.

        A connection to another address of the node does not count: its network may be another one.
        """
        cluster, to = self.seen.cluster, address(contact.address)
        if to == where:
            return cluster.node_index.by_address.get(to, "")
        for pod in (*cluster.pod_index.by_address.get(to, ()), *self._helpers.get(to, ())):
            return pod.node_name
        follows = cluster.follows_node_ranges(self.seen.cni)
        range_ = cluster.node_index.pod_range_with(to) if follows else None
        return range_.node.metadata.name if range_ else ""

    @property
    def _is_control_plane(self) -> bool:
        """Whether an API server runs here: it needs every kubelet's port, for logs and exec."""
        labels = self.seen.object.metadata.labels
        return any(each in labels for each in CONTROL_PLANE) or not self.seen.addresses.isdisjoint(
            self.seen.cluster.destinations.api_servers
        )

    def reached(self, contact: Contact) -> Reached:
        cluster = self.seen.cluster
        where = address(contact.address)
        source = self._pods_by_uid.get(contact.source) if contact.source else None
        if contact.source and source is None:
            raise FactMissingError(f"The API has no pod with uid {contact.source}.")
        pods = self._helpers.get(where, ()) or cluster.pod_index.by_address.get(where, ())
        target = pods[0] if pods else None
        port = owner_of(cluster.destinations, contact, where)
        behind = [target] if target else port.pods if port else self._backends(where)
        policies = cluster.pod_index.policies
        ingress = (policies.ingress_of(pod.object) for pod in behind)
        hidden = [why for e in (source, *behind) if e and (why := self.namespaces.why_hidden(e))]
        policy = (source.restricted_by if source else "") or next(filter(None, ingress), "")
        return Reached(
            ref=self.seen.part(
                f"from {self._start(source)} to {self._end(where, contact.port, port)}"
            ),
            contact=contact,
            source=source,
            target=target,
            concerns=tuple(each.ref for each in (source, *behind) if each is not None)
            + self._nodes_at(where)
            + (port.owner if port else ()),
            restricted_by=policy or next(iter(hidden), "") or self._why_left_out(where),
            is_restricted_by_policy=bool(policy) and not hidden,
            is_answered_here=where in self._local and self._is_elsewhere(where, target),
        )

    def _is_elsewhere(self, where: IPAddress, target: Pod | None) -> bool:
        """Whether the address belongs to another node, or to a pod on another node."""
        if target:
            return not target.on_host_network and target.node_name != self.seen.name
        nodes = self.seen.cluster.node_index
        own = nodes.announced_by.get(self.seen.name, ())
        return where in nodes.by_address and where not in own

    @cached_property
    def _local(self) -> frozenset[IPAddress]:
        host = self.seen.facts.namespaces[:1]
        return frozenset(address(each.address) for netns in host for each in netns.addresses)

    def _end(self, where: IPAddress, number: int, port: PortOwner | None) -> str:
        """Return the name of the target; for a helper pod only what stays the same between runs."""
        for pod in self._helpers.get(where, ()):
            there = "on the same node" if pod.node_name == self.seen.name else f"on {pod.node_name}"
            return f"the helper pod {there} by IPv{where.version}"
        end = f"{self._name(where)} {_spelled(where)}:{number}"
        return f"{port.name} at {end}" if port else end

    def _name(self, where: IPAddress) -> str:
        """Return what has the address, such as `Pod shop/web-0 (wc-w2)` or `Service shop/web`."""
        cluster = self.seen.cluster
        for pod in cluster.pod_index.by_address.get(where, ()):
            there = "on the same node" if pod.node_name == self.seen.name else pod.node_name
            return f"Pod {pod.namespace}/{pod.name} ({there})"
        if service := cluster.destinations.services_by_address.get(where):
            return f"Service {service[0]}/{service[1]}"
        for ref in self._nodes_at(where):
            return str(ref)
        return "API server" if where in cluster.destinations.api_servers else "address"

    def _why_left_out(self, where: IPAddress) -> str:
        """Return why the node with the address need not answer; empty if it must."""
        cluster = self.seen.cluster
        node = cluster.nodes.get(cluster.node_index.by_address.get(where, ""))
        return why_left_out(node) if node else ""

    def _nodes_at(self, where: IPAddress) -> tuple[Ref, ...]:
        found = self.seen.cluster.node_index.by_address.get(where)
        return () if found is None else (Ref("Node", found),)

    def _backends(self, where: IPAddress) -> Sequence[Pod]:
        cluster = self.seen.cluster
        key = cluster.destinations.services_by_address.get(where)
        return cluster.destinations.pods_behind.get(key, ()) if key else ()

    @cached_property
    def _pods_by_uid(self) -> Mapping[str, Pod]:
        helpers = self.seen.cluster.pod_index.helpers_by_node.get(self.seen.name, ())
        return {pod.cgroup_uid: pod for pod in (*self.seen.pods, *helpers)}

    def _start(self, source: Pod | None) -> str:
        if source is None:
            return "the node"
        if source.ref.uid in self._helper_uids:
            return "the helper pod"
        return f"{source.namespace}/{source.name}"

    @cached_property
    def _helper_uids(self) -> Set[str]:
        return frozenset(each.ref.uid for each in self.seen.cluster.pod_index.helpers)

    @property
    def _helpers(self) -> Mapping[IPAddress, Sequence[Pod]]:
        return self.seen.cluster.pod_index.helpers_by_address


def _has_arrived(contact: Contact) -> bool:
    """Whether the target answered: the kernel of the target refuses a connection, too."""
    return contact.made > 0 or contact.error == "refused"


def _spelled(where: IPAddress) -> str:
    return f"[{where}]" if where.version == 6 else str(where)
