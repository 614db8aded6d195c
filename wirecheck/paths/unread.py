"""What a node did not report and what could stop a packet there: it leaves a path undecided."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.node.netns import Interface
from wirecheck.paths.place import Place

OLDER = "the program that took the snapshot did not read it"


def unread_in(place: Place) -> Iterator[str]:
    """What is not known about a netns as a whole."""
    record = place.netns.record
    where = f"{place.name} on {place.node}" if not place.is_host else place.node
    if record.programs is None:
        yield f"programs on the devices of {where}: {OLDER}"
    if not place.is_host and record.filters is None:
        yield f"packet filter rules in {where}: {OLDER}"
    pod_tables = () if place.is_host else place.hooks.unread
    for each in pod_tables:
        yield f"the rules of table {each} in {where} were not read"
    if record.xfrm_policies is None:
        yield f"IPsec policies of {where}: {OLDER}"


def unread_of_port(place: Place, port: Interface) -> Iterator[str]:
    """What is not known about a bridge port."""
    if port.link.port_isolated is None:
        yield f"whether bridge port {port.name} of {place.node} is isolated: {OLDER}"


def unread_of_flooding(place: Place, port: Interface) -> Iterator[str]:
    """What is not known about a port for frames to a MAC that the bridge has no entry for."""
    yield f"whether frames are flooded to bridge port {port.name} of {place.node}: {OLDER}"


def unread_of_bridge(place: Place, bridge: Interface) -> Iterator[str]:
    """What is not known about a bridge, and about the devices of its netns."""
    if place.netns.record.programs is None:
        yield f"programs on the devices of {place.node}: {OLDER}"
    if bridge.link.vlan_filtering is None:
        yield f"whether bridge {bridge.name} of {place.node} filters VLANs: {OLDER}"
    elif bridge.link.vlan_filtering:
        yield f"the VLANs of the ports of {bridge.name} on {place.node} were not read"
