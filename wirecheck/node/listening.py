"""Whether the pods of one node listen at the ports that Services forward to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.endpoint_ports import EndpointPort
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.iptables import Iptables
from wirecheck.node.netns import Netns
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.attempts import Contact
from wirecheck.snapshot.netns import Listener
from wirecheck.text import listed, plural

VIRTUAL_MACHINE_KINDS = frozenset({"tun", "macvtap", "bridge"})
"""Kinds of interfaces with which the netns of a virtual machine's pod passes its packets on."""
REDIRECTS = (
    r"--dports? (?:[\d:]{{1,11}},){{0,15}}{port}(?:,[\d:]{{1,11}}){{0,15}} "
    r"[^\n]{{0,1000}}-j (?:DNAT|REDIRECT|TPROXY)"
)
"""multiport takes at most 15 ports, and rules are shorter; without limits, a long line with many
ports would take forever."""
MESH = "sidecar.istio.io/status"
SHOWN = 5


@dataclass(frozen=True)
class UnservedPort:
    """A port of a Service at which a Ready pod of the node has no listening socket."""

    port: EndpointPort
    found: str
    evidence: tuple[str, ...] = ()
    inconclusive: str = ""


@dataclass(frozen=True)
class Listening:
    """The listening sockets of one node's pods, compared with the ports of Services."""

    seen: NodeSeen
    namespaces: PodNamespaces
    iptables: Iptables

    def unserved(self, least_age: float) -> Iterator[UnservedService]:
        """The ports without a listening socket, of pods that are Ready for `least_age` seconds."""
        groups: dict[tuple[object, ...], list[UnservedPort]] = {}
        for each in self._unserved(least_age):
            port = each.port
            key = (port.ref, port.number, port.address.version, each.found, each.inconclusive)
            groups.setdefault(key, []).append(each)
        for pods in groups.values():
            netns = self._netns_by_uid.get(pods[0].port.pod.ref.uid)
            path = (netns.record.mounted or "/proc/1/ns/net") if netns else ""
            yield UnservedService(pods[0], tuple(pods), path)

    def _unserved(self, least_age: float) -> Iterator[UnservedPort]:
        self._require_sockets()
        ports = self.seen.cluster.tcp_ports_by_node.get(self.seen.name, ())
        if not ports:
            raise NotApplicable("no Ready pod of the node is a TCP endpoint of a Service")
        for port in ports:
            if port.number is None:
                name = port.port.target_port
                yield UnservedPort(port, f"no container of the pod has a port named {name}")
            elif reason := self._unknown(port.pod, port.address):
                yield UnservedPort(port, "unknown", inconclusive=reason)
            elif not self._is_served(port):
                yield self._without_listener(port, port.number, least_age)

    @property
    def has_served(self) -> bool:
        """Whether a port of any pod is known to be served."""
        ports = self.seen.cluster.tcp_ports_by_node.get(self.seen.name, ())
        return any(
            each.number is not None
            and not self._unknown(each.pod, each.address)
            and self._is_served(each)
            for each in ports
        )

    def _is_served(self, port: EndpointPort) -> bool:
        """Whether a socket accepts connections there, or one from the node was accepted."""
        return any(accepts(each, port) for each in self._sockets(port.pod)) or any(
            (each.source, each.address, each.port) == ("", str(port.address), port.number)
            and each.made
            for each in self.seen.facts.contacts or ()
        )

    def _require_sockets(self) -> None:
        namespaces = self.seen.facts.namespaces
        found = next((each for each in namespaces if each.listeners is not None), None)
        self.seen.required(found, Fact.LISTENERS, "listening sockets were not read on this node")

    def _without_listener(self, port: EndpointPort, number: int, age: float) -> UnservedPort:
        reason = self._redirected(port.pod, number) or self._too_young(port.pod, age)
        sockets = self._sockets(port.pod)
        same_port = [each for each in sockets if each.port == number]
        found = "nothing listens there"
        if same_port:
            found = f"it listens only at {listed([_text(each) for each in same_port], SHOWN)}"
        return UnservedPort(port, found, tuple(self._evidence(port, number)), reason)

    def _evidence(self, port: EndpointPort, number: int) -> Iterator[str]:
        others = listed([_text(each) for each in self._sockets(port.pod)], SHOWN)
        yield f"{port.pod.ref} listens at: {others or 'no TCP port'}"
        contacts = self.seen.facts.contacts or ()
        refused = {each.address for each in contacts if _is_refused(each, number)}
        if str(port.address) in refused:
            yield f"A connection from {self.seen.name} to {_place(port)} was refused."

    # What decides.

    @cached_property
    def _netns_by_uid(self) -> dict[str, Netns | None]:
        return {
            pod.ref.uid: self.seen.host if pod.on_host_network else self.namespaces.netns_of(pod)
            for pod in self.seen.pods
        }

    def _sockets(self, pod: Pod) -> list[Listener]:
        netns = self._netns_by_uid.get(pod.ref.uid)
        return (netns.record.listeners or []) if netns else []

    def _unknown(self, pod: Pod, where: IPAddress) -> str:
        """Return why the pod's sockets are unknown; empty if they were read."""
        if reason := pod.why_hidden:
            return reason
        netns = self._netns_by_uid.get(pod.ref.uid)
        if netns is None or netns.record.error or netns.record.listeners is None:
            return "pods whose sockets could not be read"
        if not pod.on_host_network and where not in netns.addresses:
            return "pods whose address is not on an interface of their network namespace"
        return ""

    def _redirected(self, pod: Pod, number: int) -> str:
        """Return what may pass the port's connections to another port; empty if nothing does."""
        netns = self._netns_by_uid[pod.ref.uid]
        assert netns
        if netns.record.listeners_cut:
            return "network namespaces with more sockets than are listed"
        if pod.on_host_network:
            return self._redirected_by_the_node(number)
        kinds = {each.link.kind for each in netns.interfaces}
        has_class, sockets = pod.object.spec.runtime_class_name, netns.record.listeners
        reasons = {
            "pods whose packet filter tables could not be read": netns.record.filters is None,
            "pods with packet filter tables in their network namespace, as a mesh adds them": (
                netns.record.filters
            ),
            "pods of a service mesh": MESH in pod.object.metadata.annotations,
            "pods that pass packets on to a virtual machine or a network of their own": (
                kinds & VIRTUAL_MACHINE_KINDS
            ),
            "pods of a runtime class, whose sockets may be inside a sandbox": (
                has_class and not sockets
            ),
        }
        return next((reason for reason, applies in reasons.items() if applies), "")

    def _redirected_by_the_node(self, number: int) -> str:
        pattern = re.compile(REDIRECTS.format(port=number))
        try:
            texts = [*self.iptables.rules.values(), *self.iptables.legacy.values()]
        except FactMissingError:
            return "pods on the host network, while the node's rules could not be read"
        if any(pattern.search(each) for each in texts):
            return "pods on the host network, at a port that a rule of the node redirects"
        return ""

    def _too_young(self, pod: Pod, least_age: float) -> str:
        """A pod without a readiness probe is Ready while its program still starts."""
        since = [
            each.last_transition_time
            for each in pod.object.status.conditions
            if each.type == "Ready"
        ]
        try:
            age = self.seen.facts.started - datetime.fromisoformat(since[0]).timestamp()
        except (IndexError, ValueError):
            return ""
        return "pods that have only just become Ready" if 0 <= age < least_age else ""


def accepts(listener: Listener, port: EndpointPort) -> bool:
    """Whether the socket accepts connections to the endpoint's address and port."""
    if listener.port != port.number:
        return False
    try:
        where = address(listener.address)
    except ValueError:
        return False
    if where.version == 6 and where.ipv4_mapped:
        where = where.ipv4_mapped
    if not where.is_unspecified:
        return where == port.address
    # An IPv6 socket at all addresses accepts IPv4 too, unless it was opened with IPV6_V6ONLY.
    return where.version == port.address.version or (where.version == 6 and not listener.v6only)


def _is_refused(contact: Contact, number: int) -> bool:
    """Whether the node itself was refused; a time-out can have other causes."""
    return (contact.source, contact.error, contact.port) == ("", "refused", number)


def _text(listener: Listener) -> str:
    where = f"[{listener.address}]" if ":" in listener.address else listener.address
    return f"{where}:{listener.port}" + (" (IPv6 only)" if listener.v6only else "")


def _place(port: EndpointPort) -> str:
    where = f"[{port.address}]" if port.address.version == 6 else str(port.address)
    return f"{where}:{port.number}"


@dataclass(frozen=True)
class UnservedService:
    """The pods of one node that do not serve one port of a Service, all for the same reason."""

    first: UnservedPort
    pods: tuple[UnservedPort, ...]
    netns: str
    """Where the first pod's netns is mounted."""

    @property
    def found(self) -> str:
        names = [f"{each.port.pod.namespace}/{each.port.pod.name}" for each in self.pods]
        return f"{self.first.found}: {plural(len(names), 'pod')} {listed(names, SHOWN)}"

    @property
    def expected(self) -> str:
        port, version = self.first.port, self.first.port.address.version
        if port.number is None:
            return f"a container port named {port.port.target_port} in each Ready pod"
        return f"each Ready pod listens at TCP port {port.number} of its IPv{version} address"

    @property
    def evidence(self) -> tuple[str, ...]:
        return tuple(line for each in self.pods[:SHOWN] for line in each.evidence)

    @property
    def key(self) -> str:
        port = self.first.port
        return (
            f"{port.number or port.port.target_port} IPv{port.address.version} {self.first.found}"
        )
