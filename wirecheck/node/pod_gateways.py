"""Whether the node answers for the gateway of each routed pod.

The node's end of a routed pair often has no address. The gateway of the pod, such as 169.254.1.1,
exists nowhere: the kernel answers for it by proxy ARP, or the plugin adds a permanent neighbour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, address
from wirecheck.catalogue.findings import Ref
from wirecheck.network.plugin import Attachment
from wirecheck.node.outside import OUTSIDE
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.route_conflicts import UNRESOLVED
from wirecheck.node.routing import Routing
from wirecheck.node.seen import NodeSeen
from wirecheck.node.veth import Veth
from wirecheck.snapshot.netns import Neighbour

PROXY_ARP = "/proc/sys/net/ipv4/conf/{}/proxy_arp"
PERMANENT = frozenset({"PERMANENT", "NOARP"})
"""States of neighbour entries for which the kernel asks nobody."""


@dataclass(frozen=True)
class SilentGateway:
    """A pod's gateway for which nobody answers."""

    ref: Ref
    gateway: IPAddress
    device: str
    found: str


@dataclass(frozen=True)
class PodGateways:
    """The gateways of the routed pods of one node."""

    seen: NodeSeen
    namespaces: PodNamespaces

    @property
    def silent(self) -> Iterator[SilentGateway]:
        """Gateways without an answer. Pairs that are down or without a route are left out."""
        if self.seen.cni.attachment is Attachment.EBPF:
            return
        for pair in self.namespaces.veths:
            if pair.outer and pair.is_routed and pair.inner.is_up and pair.outer.is_up:
                yield from self._of(pair, pair.outer.name)

    def _of(self, pair: Veth, device: str) -> Iterator[SilentGateway]:
        routing = Routing(pair.netns)
        for family in sorted({each.version for each in pair.pod.addresses}):
            gateway = _gateway(pair, routing, family)
            if gateway is None or gateway in pair.host.addresses:
                continue
            entry = _entry(pair, gateway)
            state = entry.state if entry else ""
            lacks = family == 4 and state not in PERMANENT and self._is_off(device)
            if lacks or state in UNRESOLVED:
                found = [f"proxy_arp is 0 on {device}"] * lacks
                found += [f"{gateway} is {state} in the pod"] * (state in UNRESOLVED)
                yield SilentGateway(pair.ref, gateway, device, "; ".join(found))

    def _is_off(self, device: str) -> bool:
        """Whether proxy ARP is off for a device; the kernel also asks the value of `all`."""
        files = self.seen.files
        values = [files.get(PROXY_ARP.format(each)) for each in (device, "all")]
        return values[0] is not None and all((each or "0").strip() == "0" for each in values)


def _gateway(pair: Veth, routing: Routing, family: int) -> IPAddress | None:
    """The gateway of the pod's default route through the pair."""
    route = routing.route_to(OUTSIDE[family])
    if route is None or route.index != pair.inner.index or not route.gateway:
        return None
    return address(route.gateway)


def _entry(pair: Veth, gateway: IPAddress) -> Neighbour | None:
    known = (e for e in pair.netns.record.neighbours if e.index == pair.inner.index)
    return next((each for each in known if address(each.address) == gateway), None)
