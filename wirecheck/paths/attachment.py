"""How a pod is attached to its node, without what differs for every pod.

Pods of one node that are attached alike, and whose addresses its rules do not tell apart, send and
receive alike. Addresses, MACs and names of the pod itself are left out; everything else that a
trace reads about a pod is compared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from msgspec.structs import astuple

from wirecheck.addresses import IPAddress, address
from wirecheck.node.netns import Interface
from wirecheck.paths.named_prefixes import iptables_blocks, nft_listings
from wirecheck.paths.neighbours import USABLE, lasting_state
from wirecheck.paths.place import Place
from wirecheck.paths.source_check import setting
from wirecheck.snapshot.netns import Address, Link, Neighbour, Route

DECIDING = ("accept_local", "arp_filter", "arp_ignore", "forwarding", "proxy_arp", "rp_filter")
"""The settings of a device that decide about packets."""
VARYING = re.compile(
    r"^#.*$|\[\d+:\d+\]|\"handle\": ?\d+|\"(?:packets|bytes)\": ?\d+", re.MULTILINE
)
"""What a listing of rules has beside them: when it was made, and counters."""
COMMENT = re.compile(r' -m comment --comment (?:"[^"]*"|\S+)')
"""Calico's comments begin with a hash of the rule, which has the device's name."""
OWN = "own"


@dataclass(frozen=True)
class Attachments:
    """The attachments of one node's pods."""

    host: Place

    def shape(self, place: Place) -> Hashable:
        """Equal for pods that are attached alike."""
        record = place.netns.record
        own = {each.address for each in record.addresses}
        names = {each.index: each.name for each in record.links}
        return (
            tuple(self._device(place, each) for each in place.links.values()),
            tuple(sorted(_address(each, names) for each in record.addresses)),
            frozenset(_route(each, own) for each in (*record.routes, *record.local_routes)),
            tuple(_without(astuple(each), own) for each in record.rules),
            frozenset(self._entries(place)),
            frozenset(self._entries_for(place)),
            tuple(record.filters or ()) if record.filters is not None else None,
            tuple((k, VARYING.sub("", e.output)) for k, e in sorted(record.listings.items())),
            None if record.xfrm_policies is None else tuple(map(astuple, record.xfrm_policies)),
            frozenset((record.settings or {}).items()),
            record.error,
        )

    def _device(self, place: Place, device: Interface) -> Hashable:
        """A device of the pod with its other end on the node."""
        found = place.peer_of(device)
        there, other = found or (None, None)
        settings = tuple(
            setting(there, f"net/ipv{family}/conf/{other.name}/{name}")
            for name in (DECIDING if there and other else ())
            for family in (4, 6)
            if there and other
        )
        ends = ((place, device), *((found,) if found else ()))
        return (
            device.name,
            tuple(_link(each.link) for _, each in ends),
            tuple(_programs(where, each) for where, each in ends),
            None if there is None or other is None else self._master(there, other),
            settings,
            self._rules_of(other.name) if there is self.host and other else (),
        )

    @staticmethod
    def _master(place: Place, device: Interface) -> str:
        found = place.links.get(device.link.master or 0)
        return found.name if found else ""

    def _rules_of(self, device: str) -> tuple[str, ...]:
        """The rules of the node that name the device, or chains that are named after it."""
        return tuple(each.replace(device, OWN) for each in self._lines.get(device, ()))

    @cached_property
    def _lines(self) -> Mapping[str, list[str]]:
        """Rules by the device of a pod in them."""
        names = [e.name for e in self.host.links.values() if e.is_paired]
        if not names:
            return {}
        wanted = re.compile("|".join(sorted(map(re.escape, names), key=len, reverse=True)))
        found: dict[str, list[str]] = {}
        for block in iptables_blocks(self.host):
            for line in filter(wanted.search, block.splitlines()):
                rule = COMMENT.sub("", line)
                for name in dict.fromkeys(wanted.findall(line)):
                    found.setdefault(name, []).append(rule)
        for text in nft_listings(self.host):
            for name, times in Counter(wanted.findall(text)).items():
                found.setdefault(name, []).append(f"{times} times in one table of nftables")
        return found

    def _entries(self, place: Place) -> Iterator[Hashable]:
        """Neighbour entries in the pod, without correct ones that none of its routes needs."""
        gateways = {each.gateway for each in place.netns.record.routes}
        for each in place.netns.record.neighbours:
            is_right = self._is_right(each)
            if each.address in gateways or is_right is False or each.state not in USABLE:
                yield (
                    each.address,
                    lasting_state(each.state),
                    is_right,
                    is_right is None and each.mac,
                )

    def _is_right(self, entry: Neighbour) -> bool | None:
        """Whether the MAC is of a device with the address; None if no device here has it."""
        found = self._macs.get(entry.address)
        return entry.mac in found if found else None

    @cached_property
    def _macs(self) -> Mapping[str, frozenset[str]]:
        """By address, the MACs of all devices of the node and its pods that have it."""
        found: dict[str, set[str]] = {}
        for place in self.host.machine.places.values():
            for each in place.netns.record.addresses:
                device = place.links.get(each.index)
                found.setdefault(each.address, set()).add(device.link.mac if device else "")
        return {key: frozenset(each) for key, each in found.items()}

    def _entries_for(self, place: Place) -> Iterator[Hashable]:
        """What the node has for the pod: entries of neighbours and of bridges, and routes."""
        own = {address(e.address) for e in place.netns.record.addresses if e.scope == "global"}
        for where in own:
            yield where.version, self._delivery(place, where)
        macs = {each.link.mac for each in place.links.values() if each.link.mac}
        for entry in self._fdb:
            if entry[0] in macs:
                yield entry[1:]

    @cached_property
    def _fdb(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """Static entries of bridges: learned ones come and go."""
        return tuple(
            (each.mac, each.state, tuple(each.flags))
            for each in self.host.netns.record.fdb
            if each.state in ("permanent", "static") and not each.destination
        )

    def _delivery(self, place: Place, where: IPAddress) -> Hashable:
        """The route to the address, and the neighbour entry for it."""
        route, _ = self.host.routing.decision(where)
        device = self.host.links.get(route.index or 0) if route else None
        if route is None or device is None:
            return route and (route.type, route.table)
        known = self.host.neighbour(device, where)
        entry = known and (lasting_state(known[1]), known[0] in self._macs.get(str(where), ()))
        ends = (place.peer_of(each) for each in place.links.values())
        is_own = any(found is not None and found[1] is device for found in ends)
        return (
            *(route.type, route.table, route.scope, route.gateway, route.onlink),
            OWN if is_own else device.name,
            entry,
        )


def _link(link: Link) -> Hashable:
    """A device without its name, index and addresses."""
    return (
        *(link.kind, frozenset(link.flags), link.mtu, link.port_kind, link.port_state),
        *(link.port_hairpin, link.port_isolated, link.port_flooded, link.vlan_filtering),
        *(link.vxlan_id, bool(link.peer_index), bool(link.master)),
    )


def _programs(place: Place, device: Interface) -> Hashable:
    found = place.netns.record.programs
    if found is None:
        return None
    return tuple((e.hook, e.kind, e.name) for e in found if e.index == device.index)


def _address(each: Address, names: Mapping[int, str]) -> tuple[str, str]:
    """An address by its device, prefix length and state."""
    return names.get(each.index, ""), f"{each.prefix} {each.scope} {sorted(each.flags)}"


def _route(route: Route, own: set[str]) -> Hashable:
    destination = route.destination.partition("/")[0]
    return (
        OWN if destination in own else route.destination,
        *(route.family, route.table, route.type, route.gateway, route.index is None),
        *(OWN if route.source in own else route.source, route.scope, route.metric, route.onlink),
        str(route.hops),
    )


def _without(values: tuple[object, ...], own: set[str]) -> Hashable:
    return tuple(OWN if str(e).partition("/")[0] in own else str(e) for e in values)
