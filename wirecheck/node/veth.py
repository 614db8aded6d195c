"""Veth pairs between pods and the node, and pairs without a pod."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from wirecheck.addresses import IPAddress, contains
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import Ref
from wirecheck.network.registry import OWN_DEVICES
from wirecheck.node.netns import Interface, Netns

PORT_STATES = {0: "disabled", 1: "listening", 2: "learning", 4: "blocking"}
"""The states of a bridge port, except 3, forwarding."""


@dataclass(frozen=True)
class End:
    """One end of a pod's pair."""

    ref: Ref
    interface: Interface


@dataclass(frozen=True)
class Veth:
    """The pair between a pod's interface and the node; `outer` is None where it does not exist.

    An index alone is ambiguous (every pod's eth0 has index 2 or 3), so the peer of the node
    side must also be in the pod's netns, by the nsid that the node's netns has for it.
    """

    pod: Pod
    netns: Netns
    inner: Interface
    outer: Interface | None
    host: Netns

    @property
    def ref(self) -> Ref:
        """The pod, with the name of its interface."""
        return replace(self.pod.ref, part=self.inner.name)

    @property
    def ends(self) -> Iterator[End]:
        """The ends that exist: in the pod, on the node."""
        yield End(self.ref, self.inner)
        if self.outer:
            yield End(replace(self.pod.ref, part=self.outer.name), self.outer)

    @property
    def points_back(self) -> bool:
        """Whether the peer of the node side is the pod's interface, in the pod's netns."""
        if self.outer is None:
            return False
        back = self.outer.link
        known = self.netns.nsid is not None and back.peer_nsid is not None
        return back.peer_index == self.inner.index and (
            not known or back.peer_nsid == self.netns.nsid
        )

    @property
    def actual_peer(self) -> str:
        """The peer of the node side."""
        if self.outer is None:
            return "no interface"
        back = self.outer.link
        return f"{self.outer.name} points to interface {back.peer_index} of netns {back.peer_nsid}"

    @property
    def _bridge(self) -> Interface | None:
        """The node's bridge whose network contains an address of the pod."""
        return next(
            (
                each
                for each in self.host.interfaces
                if each.is_bridge
                and any(contains(each.networks, address) for address in self.pod.addresses)
            ),
            None,
        )

    @property
    def lacks_hairpin(self) -> bool:
        """Whether the bridge does not send packets of the pod back to it (hairpin)."""
        if self.outer is None or self.outer.link.port_hairpin is not False:
            return False
        return self.master is None or "PROMISC" not in self.master.link.flags

    @property
    def blocked_by_bridge(self) -> str:
        """The state of the bridge port if it does not forward; empty if it does, or is down."""
        if self.outer is None or not (self.inner.is_up and self.outer.is_up):
            return ""
        state = self.outer.link.port_state
        return PORT_STATES.get(state, "") if state is not None else ""

    @property
    def master(self) -> Interface | None:
        """The bridge or switch that the node side is a port of."""
        return self.host.master_of(self.outer) if self.outer else None

    @property
    def is_switched(self) -> bool:
        """Whether the node side is a port of Open vSwitch, which delivers to the pod."""
        return self.master is not None and self.master.is_open_vswitch

    @property
    def is_bridged(self) -> bool:
        """Whether the node side is a port of the bridge in the pod's network.

        A bridge may have no address: then any bridge counts.
        """
        if self.master is None or not self.master.is_bridge:
            return False
        return self._bridge in (None, self.master)

    @property
    def is_routed(self) -> bool:
        """Whether the node has a route to each of the pod's addresses through the node side."""
        if self.outer is None or self.master is not None:
            return False
        routes = self.host.host_routes
        return all(self.outer.index in routes.get(each, ()) for each in self.pod.addresses)

    @property
    def near(self) -> Interface | None:
        """The interface of the node at which its packets arrive; None if it is not known."""
        return self.master if self.is_bridged else self.outer if self.is_routed else None

    @property
    def is_attached(self) -> bool:
        """Whether packets for the pod reach the node side."""
        return self.is_switched or self.is_bridged or self.is_routed

    def expected_attachment(self, among: Iterable[Veth]) -> str:
        """Return where the node side must be attached, like the other pods of the node."""
        name = self.outer.name if self.outer else "the node side"
        if (bridge := self._bridge) is not None:
            return f"{name} on bridge {bridge.name}"
        attached = [each for each in among if each.is_attached]
        switches = [each.master for each in attached if each.is_switched and each.master]
        if switches and len(switches) == len(attached):
            return f"{name} on {switches[0].name}"
        return f"a route to the pod's address through {name}"

    @property
    def actual_attachment(self) -> str:
        """Where the node side is attached."""
        master = self.outer.link.master if self.outer else None
        if master is None:
            return "on no bridge, and not the device of a route to the pod"
        holder = self.host.by_index.get(master)
        return f"on {holder.name if holder else f'interface {master}'}"


@dataclass(frozen=True)
class Orphan:
    """A veth on the node whose peer belongs to no pod."""

    node: str
    interface: Interface
    peer: str

    @property
    def ref(self) -> Ref:
        """The interface as a part of the node: its name is random."""
        return Ref("Node", self.node, part=self.interface.name)


def orphans(
    node: str,
    host: Netns,
    live_nsids: frozenset[int],
    uplinks: frozenset[IPAddress],
    is_outside: Callable[[int], bool],
) -> Iterator[Orphan]:
    """Yield veths on the node whose peer is in no live netns; both ends of a pair on the node.

    `uplinks` are the node's own addresses: a node that is itself a container has them on a veth.
    The peers of its uplinks are outside of it, in a netns where the node sees no process.
    `is_outside` says whether a netns is certainly not one of the node's.
    """
    pairs = [each for each in host.interfaces if each.is_paired]
    outside = {each.link.peer_nsid for each in pairs if _is_uplink(each, uplinks)} - {None}
    for each in pairs:
        if each.name.startswith(OWN_DEVICES) or _is_uplink(each, uplinks):
            continue
        nsid = each.link.peer_nsid
        if nsid is None:
            peer = host.at(each.link.peer_index)
            if not _is_joined(host, each, peer):
                yield Orphan(
                    node, each, f"{peer.name if peer else 'no interface'}, also on the node"
                )
        elif nsid not in live_nsids | outside and not is_outside(nsid):
            yield Orphan(node, each, f"in netns {nsid}, which has no process")


def _is_uplink(each: Interface, uplinks: frozenset[IPAddress]) -> bool:
    """Whether the device joins the node to a network, and not to a pod.

    The node's end of a pod's pair has no address, or single ones, as of the plugin `ptp`.
    """
    return bool(each.addresses & uplinks) or any(n.num_addresses > 1 for n in each.networks)


def _is_joined(host: Netns, one: Interface, other: Interface | None) -> bool:
    """Whether a pair with both ends on the node is in use: by bridges, addresses or routes.

    Weave Net and OpenShift SDN join a bridge to a switch in this way.
    """
    if one.addresses or (other and other.addresses):
        return True
    if {one.index, other.index if other else one.index} & host.devices_of_routes:
        return True
    return other is not None and None not in (host.master_of(one), host.master_of(other))
