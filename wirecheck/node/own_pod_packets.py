"""What one node and its own pods send to each other, as examples for its packet filter.

The kubelet probes pods from the node. Their answers arrive in chain INPUT, and so does what pods
send to programs on the host network, the API server among them. Chain FORWARD is not on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from wirecheck.addresses import IPAddress, address, canonical, contains
from wirecheck.api_index.backend import Backend
from wirecheck.api_index.node_addresses import internal_addresses
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.node.filter_chains import Dropped
from wirecheck.node.firewall import Firewall
from wirecheck.node.seen import NodeSeen
from wirecheck.node.ways_in import way_out
from wirecheck.text import listed

MOST_PODS = 3
"""Rules name a bridge, a prefix of devices or a range: a few pods represent all."""
MOST_ENDPOINTS = 16
MOST_NAMED = 3
PROTOCOLS = ("tcp", "udp")


class OwnPod(NamedTuple):
    """A pod of the node, as the node's packet filter sees its packets."""

    pod: IPAddress
    own: IPAddress
    """The node's address that the pod is probed from."""
    device: str
    """Between the node and the pod; empty if it is not known."""
    way_in: str
    """The same for what the pod sends, which eBPF may redirect."""


@dataclass(frozen=True)
class Refused:
    """Packets between the node and all its pods that a rule refuses."""

    part: str
    expected: str
    dropped: Dropped
    also: str = ""
    """Further endpoints, for which the same rule decides."""


@dataclass(frozen=True)
class OwnPodPackets:
    """Packets between one node and its own pods."""

    seen: NodeSeen
    firewall: Firewall

    @property
    def refused(self) -> Iterator[Refused]:
        """What the packet filter refuses for certain, whichever pod it is from or for.

        Raises NotApplicable if no filter was read, or no pod is known that no policy restricts.
        """
        _ = self.firewall.forward_chains
        known = {family: tuple(islice(self._pods(family), MOST_PODS)) for family in (4, 6)}
        if not any(known.values()):
            raise NotApplicable("no pod of the node is known that no policy restricts")
        for pods in known.values():
            probes = [self._probe(each) for each in pods]
            answers = [self._answer(each) for each in pods]
            if found := self._all_refused("output", probes):
                yield Refused("OUTPUT to its pods", "the node connects to its own pods", found)
            if found := self._all_refused("input", answers):
                expected = "pods answer what the node sends, such as the kubelet's probes"
                yield Refused("INPUT from its pods", expected, found)
            elif pods:
                yield from self._endpoints_refused(pods)

    # The packets.

    def _probe(self, each: OwnPod) -> ForwardedPacket:
        return ForwardedPacket(
            each.own, each.pod, oif=each.device, is_direct=True, is_of_program=True
        )

    def _answer(self, each: OwnPod) -> ForwardedPacket:
        return ForwardedPacket(
            *(each.pod, each.own, each.way_in), is_direct=True, is_received=True, is_answer=True
        )

    def _connection(self, each: OwnPod, to: Backend, protocol: str) -> ForwardedPacket:
        return ForwardedPacket(
            *(each.pod, address(to.address), each.way_in, "", protocol, to.port), is_received=True
        )

    def _pods(self, family: int) -> Iterator[OwnPod]:
        """The running pods that no policy restricts."""
        for pod in self.seen.pods:
            if pod.has_own_netns and pod.is_running and not self._is_restricted(pod):
                for where in sorted(pod.addresses, key=int):
                    own = self._own(where) if where.version == family else None
                    if own is not None:
                        device = way_out(self.seen, str(where))
                        way_in = "" if self.seen.bypasses_routing else device
                        yield OwnPod(where, own, device, way_in)

    def _is_restricted(self, pod: Pod) -> bool:
        policies = self.seen.cluster.pod_index.policies
        return bool(pod.restricted_by or policies.selecting(pod.object))

    def _own(self, pod: IPAddress) -> IPAddress | None:
        """The node's address in the pod's network, or its first one."""
        near = (e for e in self.seen.host.interfaces if contains(e.networks, pod))
        known = (where for each in near for where in sorted(each.addresses, key=str))
        every = (*known, *internal_addresses(self.seen.object))
        return next((each for each in every if each.version == pod.version), None)

    # What becomes of them.

    def _all_refused(self, hook: str, packets: Sequence[ForwardedPacket]) -> Dropped | None:
        """The first of the packets, if all of them are refused."""
        found = list(self.firewall.refused_at(hook, ((hook, each) for each in packets)))
        return found[0] if found and len(found) == len(packets) else None

    def _endpoints_refused(self, pods: Sequence[OwnPod]) -> Iterator[Refused]:
        """One for each rule that keeps the pods from endpoints of Services on the node."""
        by_rule: dict[str, dict[Backend, tuple[str, Dropped]]] = {}
        for backend in self._endpoints(pods[0].pod.version):
            for protocol in PROTOCOLS:
                packets = [self._connection(each, backend, protocol) for each in pods]
                found = self._all_refused("input", packets)
                name = self._service_at(backend, protocol) if found else ""
                if found and name:
                    by_rule.setdefault(found.rule, {}).setdefault(backend, (name, found))
        for of in by_rule.values():
            names = [f"{name} at {backend}" for backend, (name, _) in of.items()]
            first, dropped = next(iter(of.values()))
            also = listed(names[1:], MOST_NAMED) if names[1:] else ""
            expected = f"pods reach the endpoint of Service {names[0]}"
            yield Refused(f"INPUT from its pods to {first}", expected, dropped, also)

    def _endpoints(self, family: int) -> Iterable[Backend]:
        """Endpoints of Services at the node's own addresses; those of the API server name none."""
        by_node = self.seen.cluster.service_index.backends_by_node
        own = {*map(str, self.seen.host.addresses), *map(str, self.seen.addresses)}
        known = {*by_node.get(self.seen.name, ()), *by_node.get("", ())}
        here = (each for each in sorted(known) if canonical(each.address) in own)
        return islice((e for e in here if address(e.address).version == family), MOST_ENDPOINTS)

    def _service_at(self, backend: Backend, protocol: str) -> str:
        """The first Service with the endpoint, if it is usable; empty if there is none."""
        ports = self.seen.cluster.service_index.ports
        having = (e for e in ports if e.protocol == protocol and backend in e.known)
        usable = (
            each
            for each in having
            if any(end.backend == backend and end.ready for end in each.endpoints)
        )
        first = next(usable, None)
        return str(first.owner) if first else ""
