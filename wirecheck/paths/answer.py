"""From end to end: a packet's way, the socket at its end, and the way of the answer back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wirecheck.addresses import IPAddress, address
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.node.netns import Interface
from wirecheck.paths.cilium_policies import past_policy_maps
from wirecheck.paths.journey import Hop, Journey, Received, Result, Sends
from wirecheck.paths.packet import Phase, Segment
from wirecheck.paths.place import Place, World
from wirecheck.paths.walk import followed
from wirecheck.snapshot.netns import Listener

ANY = ("0.0.0.0", "::")
STAGE = "socket"
UNHEARD = "no process listens"


@dataclass(frozen=True)
class Path:
    """One branch of a connection: its way, and the way of the answer."""

    there: Journey
    back: Journey | None
    """None if the packet does not arrive, or if nobody asked."""

    @property
    def result(self) -> Result:
        """The result of both ways; what was not read leaves an arrival undecided."""
        last = self.back or self.there
        is_open = bool(self.open) and last.result is Result.REACHES
        return Result.UNDECIDED if is_open else last.result or Result.UNDECIDED

    @property
    def open(self) -> tuple[str, ...]:
        """What was not read and may stop the packet or its answer."""
        own = (*self.there.open, *(self.back.open if self.back else ()))
        return tuple(dict.fromkeys(own))

    @property
    def reason(self) -> str:
        """Why it dies or cannot be decided; empty if it reaches."""
        last = self.back or self.there
        if last.result is Result.REACHES:
            return self.open[0] if self.open else ""
        return last.reason

    @property
    def decisive(self) -> Hop | None:
        """The hop at which it dies or is not known any more."""
        last = self.back or self.there
        return None if last.result is Result.REACHES else last.hops[-1]

    @property
    def backend(self) -> tuple[object, ...]:
        """What rules chose on the way: equal for the same branch of two paths."""
        return tuple(each.after for each in self.there.translations if each.is_destination)

    @property
    def share(self) -> float:
        return self.back.share if self.back else self.there.share


def paths(world: World, start: Journey, *, one_way: bool = False) -> tuple[Path, ...]:
    """Every branch of a connection that the journey starts."""
    found: list[Path] = []
    for each in followed(world, start):
        there = _at_socket(_at_owner(world, _under_policies(world, start, each)))
        if there.result is not Result.REACHES or one_way:
            found.append(Path(there, None))
        else:
            found += [Path(there, back) for back in _answers(world, start, there)]
    return tuple(found)


def _under_policies(world: World, start: Journey, there: Journey) -> Journey:
    """The journey; a policy leaves it open that the packet arrives, whoever enforces it.

    Not where the plugin enforces policies by rules that packets meet: the path has met them. Nor
    where Cilium's maps of both ends were read.
    """
    if follows_policies(world.cluster):
        return there
    there, is_followed = past_policy_maps(world, there.sent or start.packet, there)
    if is_followed:
        return there
    unread = world.cluster.unread_policies
    reasons = [f"there may be {unread}"] if unread else []
    policies = world.cluster.pod_index.policies
    for where in (start.packet.source, there.packet.destination):
        pod = world.pod_with(where)
        if pod is None:
            continue
        if found := policies.about(pod.object):
            reasons.append(f"{found} selects pod {pod.namespace}/{pod.name}, and is not followed")
    return there.doubting(*reasons)


def follows_policies(cluster: ClusterSeen) -> bool:
    """Whether a plugin enforces policies by rules that packets meet, so that paths meet them."""
    return any(each.filter_chains or each.nftables_filter[0] for each in cluster.cni_agents)


def _at_owner(world: World, there: Journey) -> Journey:
    """The journey at the pod or node that has the address in the API: another one takes nothing."""
    if there.result is not Result.REACHES:
        return there
    place, where = there.at.place, there.packet.destination
    pod = world.pod_with(where)
    owner = world.place_of(pod) if pod else world.node_with(where)
    if not owner or (isinstance(owner, Place) and owner.key == place.key):
        return there
    if pod is None and (owner == place.node and place.is_host):
        return there
    name = f"pod {pod.namespace}/{pod.name}" if pod else f"node {owner}"
    if pod and isinstance(owner, str) and not place.is_host:
        return there.doubting(f"whether {place.name} is {name}: {owner}")
    why = f"{place.name} on {place.node} has the address {where} and takes the packet of {name}"
    devices = (each.name for each in place.links.values() if where in _addresses(place, each))
    lines = [f"{where} dev {each}" for each in devices]
    if not lines and (route := place.local_route(where)):
        lines = [place.routing.text_of(route)]
    return replace(there, result=None).dies(STAGE, why, *lines)


def _addresses(place: Place, device: Interface) -> frozenset[IPAddress]:
    own = (each for each in place.netns.record.addresses if each.index == device.index)
    return frozenset(address(each.address) for each in own)


def _at_socket(there: Journey) -> Journey:
    """The journey at the socket: a port without a listening process refuses connections."""
    if there.result is not Result.REACHES or there.packet.protocol != "tcp":
        return there
    record, packet = there.at.place.netns.record, there.packet
    where = f"{there.at.place.name} on {there.at.place.node}"
    if record.listeners is None:
        return there.doubting(f"whether a process in {where} listens on port {packet.port}")
    listening = [each for each in record.listeners if each.port == packet.port]
    own = str(packet.destination)
    if any(takes(each, own) for each in listening):
        return there.noted(STAGE, f"a process listens on port {packet.port}")
    if record.listeners_cut:
        return there.doubting(f"whether a process in {where} listens on port {packet.port}")
    why = f"{UNHEARD} on port {packet.port}: the connection is refused"
    return there.dies(STAGE, why)


def takes(listener: Listener, own: str) -> bool:
    """Whether a listening socket takes connections to an address of its netns."""
    where = listener.address
    if where in (own, f"::ffff:{own}"):
        return True
    is_dual = where == "::" and listener.v6only is not True
    return where in ANY and ((":" in where) is (":" in own) or is_dual)


def _answers(world: World, start: Journey, there: Journey) -> Iterator[Journey]:
    sender = start.at.place
    for each in followed(world, answer_to(start, there)):
        yield at_sender(each, start.packet, sender)


def answer_to(start: Journey, there: Journey) -> Journey:
    """The beginning of the answer to a packet that has arrived."""
    packet = there.packet
    answer = Segment(
        packet.destination,
        packet.source,
        packet.protocol,
        packet.source_port,
        packet.port,
        phase=Phase.ANSWER,
        length=start.packet.length,
    )
    return Journey(
        Sends(there.at.place),
        answer,
        share=there.share,
        translations=there.translations,
        tracked=there.tracked,
        unseen=there.untracked,
        learned=there.learned,
        overlooked=there.overlooked,
    )


def at_sender(back: Journey, asked: Segment, sender: Place) -> Journey:
    """The answer has to come to the sender, from the address that was asked."""
    if back.result is not Result.REACHES:
        return back
    is_sender = isinstance(back.at, Received) and back.at.place.key == sender.key
    if not is_sender and (isinstance(back.at, Received) or back.packet.destination != asked.source):
        back = replace(back, result=None)
        return back.dies(STAGE, f"the answer comes to {back.at.place.name}, which did not ask")
    got = (back.packet.source, back.packet.source_port)
    if got != (asked.destination, asked.port):
        back = replace(back, result=None)
        why = f"the answer comes from {got[0]} port {got[1]}, and {asked.target} was asked"
        return back.dies(STAGE, why)
    return back
