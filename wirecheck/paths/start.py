"""The beginning of a path: the sender's socket, or the node that a packet from outside enters."""

from __future__ import annotations

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.pod import Pod
from wirecheck.paths.ends import (
    OUTSIDE,
    SOMEBODY,
    Destination,
    Named,
    NoSuchEndError,
    node_of,
    pod_of,
)
from wirecheck.paths.journey import Arrives, Journey, Sends
from wirecheck.paths.packet import UNSPECIFIED, Segment
from wirecheck.paths.place import Machine, Place, World


def start(world: World, source: Named, to: Destination) -> Journey | str:
    """The journey's beginning, or why it is not known.

    Raises NoSuchEndError if the source does not exist, or has no address of the family.
    """
    if source.kind == "pod":
        return from_pod(world, pod_of(world.cluster, source), to)
    if source.kind == "node":
        return from_node(world, node_of(world.cluster, source), to)
    if source.kind == OUTSIDE:
        return _from_outside(world, SOMEBODY[to.address.version], to)
    if source.kind != "address":
        raise NoSuchEndError(f"{source.label} sends no packets: name a pod, a node or an address.")
    return _of_address(world, address(source.name), to)


def from_pod(world: World, pod: Pod, to: Destination) -> Journey | str:
    """The beginning at a pod's socket, or why it is not known.

    Raises NoSuchEndError if the pod has no address of the family.
    """
    family = to.address.version
    own = sorted((each for each in pod.addresses if each.version == family), key=int)
    if not own:
        raise NoSuchEndError(f"pod {pod.namespace}/{pod.name} has no IPv{family} address.")
    place = world.place_of(pod)
    return place if isinstance(place, str) else _sends(place, own[0], to)


def from_node(world: World, name: str, to: Destination) -> Journey | str:
    """The beginning at a socket of the node, or why it is not known."""
    machine = world.visited(name)
    if isinstance(machine, str):
        return machine
    return _sends(machine.host, UNSPECIFIED[to.address.version], to)


def from_sender(world: World, node: str, pod: Pod | None, to: Destination) -> Journey | str:
    """The beginning at a pod of the node, or without one at the node itself.

    Raises NoSuchEndError as `from_pod`.
    """
    return from_pod(world, pod, to) if pod else from_node(world, node, to)


def _of_address(world: World, where: IPAddress, to: Destination) -> Journey | str:
    """From an address of a pod, of a node, or outside of the cluster."""
    if where.version != to.address.version:
        raise NoSuchEndError(f"{where} and {to.address} are of different families.")
    pod = world.pod_with(where)
    if pod is not None:
        place = world.place_of(pod)
        return place if isinstance(place, str) else _sends(place, where, to)
    if node := world.node_with(where):
        machine = world.visited(node)
        return machine if isinstance(machine, str) else _sends(machine.host, where, to)
    return _from_outside(world, where, to)


def _from_outside(world: World, where: IPAddress, to: Destination) -> Journey | str:
    """A packet from outside enters the node whose address it is sent to."""
    name = world.node_with(to.address)
    if not name:
        return f"It is not known on which node packets from {where} to {to.address} come in."
    machine = world.visited(name)
    if isinstance(machine, str):
        return machine
    return _arrives(machine, where, to)


def _arrives(machine: Machine, where: IPAddress, to: Destination) -> Journey | str:
    host = machine.host
    device = next((e for e in host.netns.interfaces if to.address in e.addresses), None)
    if device is None:
        return f"No device of {host.node} has the address {to.address}."
    return Journey(Arrives(host, device), Segment(where, to.address, to.protocol, to.port))


def _sends(place: Place, own: IPAddress, to: Destination) -> Journey:
    return Journey(Sends(place), Segment(own, to.address, to.protocol, to.port))
