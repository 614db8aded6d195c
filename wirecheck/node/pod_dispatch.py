"""Pods' devices in the chains that choose rules by the device, and in which some are missing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wirecheck.addresses import IPAddress
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import Ref
from wirecheck.dataplane.rules.dispatch import empty_chains, named_devices, unknown_device
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket
from wirecheck.dataplane.rules.ruleset import Stage
from wirecheck.dataplane.rules.steps import IN, OUT
from wirecheck.node.firewall import Firewall
from wirecheck.node.outside import OUTSIDE
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.seen import NodeSeen
from wirecheck.node.veth import Veth

WAYS = {IN: "what the pod sends", OUT: "what is sent to the pod"}


@dataclass(frozen=True)
class DispatchGap:
    """A pod's device without rules in a dispatch chain, in one direction."""

    ref: Ref
    expected: str
    found: str
    way: str
    """`what the pod sends`."""
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class PodDispatch:
    """The chains of one node that send pods' packets to rules of their own by the device."""

    seen: NodeSeen
    namespaces: PodNamespaces
    firewall: Firewall
    routes: NodeRoutes

    @property
    def gaps(self) -> Iterator[DispatchGap]:
        """The devices of pods that dispatch chains lack, or send to a chain without rules."""
        veths = (each for each in self.namespaces.veths if not each.master)
        pairs = [(each, each.outer.name) for each in veths if each.outer]
        for family, chains in self.firewall.forward_chains.items():
            having = [e for e in pairs if any(a.version == family for a in e[0].pod.addresses)]
            for each in chains if having else ():
                for kind, named in named_devices(each.stage).items():
                    if named:
                        yield from self._in_stage(each.stage, kind, named, having, family)

    def _in_stage(
        self,
        stage: Stage,
        kind: str,
        named: frozenset[str],
        pairs: Sequence[tuple[Veth, str]],
        family: int,
    ) -> Iterator[DispatchGap]:
        """`pairs` are those of the pods of a family, each with its device on the node."""
        empty = dict(empty_chains(stage, kind))
        for pair, device in pairs:
            if device in empty:
                chain = empty[device]
                yield DispatchGap(
                    pair.ref,
                    f"rules for {device} in chain {chain}",
                    f"chain {chain} is empty: no policy restricts {WAYS[kind]}",
                    WAYS[kind],
                )
            elif device not in named and (
                rule := self._dropping(stage, kind, pair.pod, device, family)
            ):
                yield DispatchGap(
                    pair.ref,
                    f"a rule for {device} before the one that drops unknown interfaces",
                    f"no such rule: {WAYS[kind]} is dropped",
                    WAYS[kind],
                    (rule,),
                )

    def _dropping(self, stage: Stage, kind: str, of: Pod, device: str, family: int) -> str | None:
        """The rule that drops the packets of a device which no rule names."""
        pod = next(a for a in sorted(of.addresses, key=int) if a.version == family)
        outside = OUTSIDE[family]
        uplink = self._uplink(outside)
        packet = (
            ForwardedPacket(pod, outside, device, uplink, is_direct=True)
            if kind == IN
            else ForwardedPacket(outside, pod, uplink, device, is_direct=True)
        )
        return unknown_device(stage.chains, stage.base_chain, packet, kind)

    def _uplink(self, outside: IPAddress) -> str:
        """The device of the default route, which is not a pod's."""
        routing = self.routes.routing
        route = routing.route_to(outside)
        device = routing.device_of(route) if route else None
        return device.name if device else ""
