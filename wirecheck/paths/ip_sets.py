"""Whether a packet is in an ipset that a rule of iptables asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, network
from wirecheck.dataplane.rules.set_members import IpsetMembers, Ranges
from wirecheck.parse.ipset import Ipset
from wirecheck.paths.packet import EPHEMERAL, Segment

MATCH = re.compile(r"-m set (! )?--match-set (\S+) (src|dst)((?:,(?:src|dst))*)$")
ADDRESSES, PORTS = frozenset({"ip", "net"}), frozenset({"port"})
MOST_ENTRIES = 20_000
"""Of a set with several fields, whose entries are compared one by one."""


@dataclass(frozen=True)
class IpSets:
    """The sets of one netns by name."""

    sets: Mapping[str, Ipset]

    def matches(self, condition: str, packet: Segment) -> bool | None:
        """Whether the packet matches `-m set [!] --match-set NAME src,dst`; None if unknown."""
        found = MATCH.fullmatch(condition)
        if found is None or (members := self._members.get(found.group(2))) is None:
            return None
        fields = (found.group(3), *found.group(4).split(",")[1:])
        is_member = members.has(fields, packet)
        return None if is_member is None else is_member is not bool(found.group(1))

    @cached_property
    def _members(self) -> Mapping[str, _Members]:
        return {name: _Members(each) for name, each in self.sets.items()}


NO_SETS = IpSets({})


@dataclass(frozen=True)
class _Members:
    ipset: Ipset

    def has(self, fields: tuple[str, ...], packet: Segment) -> bool | None:
        """Whether the fields of the packet are in the set; None for kinds that are not known."""
        kinds = tuple(self.ipset.type.partition(":")[2].split(","))
        if self.ipset.type.startswith("list:") or len(kinds) != len(fields):
            return None
        if not set(kinds) <= ADDRESSES | PORTS or self.ipset.excluded:
            return None
        if len(kinds) == 1 and kinds[0] in ADDRESSES:
            return self._has_address(_address(fields[0], packet))
        if len(self.ipset.entries) > MOST_ENTRIES:
            return None
        found = [_is_entry(each, kinds, fields, packet) for each in self.ipset.entries]
        return True if True in found else None if None in found else False

    def _has_address(self, where: IPAddress) -> bool | None:
        return None if self._ranges is None else self._ranges.has(where)

    @cached_property
    def _ranges(self) -> Ranges | None:
        """The networks; None if an entry is not one."""
        return IpsetMembers(self.ipset).addresses


def _address(field: str, packet: Segment) -> IPAddress:
    return packet.source if field == "src" else packet.destination


def _is_entry(
    entry: str, kinds: tuple[str, ...], fields: tuple[str, ...], packet: Segment
) -> bool | None:
    """Whether every field of the packet is that of the entry, such as `10.96.0.1,tcp:443`."""
    parts = entry.split(",")
    if len(parts) != len(kinds):
        return None
    found = [_is_part(*each, packet) for each in zip(parts, kinds, fields, strict=True)]
    return False if False in found else None if None in found else True


def _is_part(part: str, kind: str, field: str, packet: Segment) -> bool | None:
    if kind in ADDRESSES:
        try:
            one = network(part)
        except ValueError:
            return None
        where = _address(field, packet)
        return where.version == one.version and where in one
    protocol, _, number = part.rpartition(":")
    if protocol and protocol != packet.protocol:
        return False
    port = packet.source_port if field == "src" else packet.port
    low, _, high = number.partition("-")
    if port == EPHEMERAL or not low.isdecimal() or not (high or low).isdecimal():
        return None
    return int(low) <= port <= int(high or low)
