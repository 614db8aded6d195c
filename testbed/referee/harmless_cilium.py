"""Why a change of Cilium's maps affects no connection that is compared."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from wirecheck.addresses import network
from wirecheck.dataplane.ebpf.maps import (
    EXTERNAL,
    INTERNAL,
    SURROGATES,
    CiliumMaps,
    Flags,
    MapFrontend,
    Place,
)

SLOTS = ("delete slot", "redirect slot")
REVERSE = ("other reverse NAT", "delete reverse NAT")
RANGES = ("delete range", "add range")
AFFINITY = ("other affinity", "delete affinity")


class Change(NamedTuple):
    """One change that was made."""

    kind: str
    place: Place
    detail: str = ""


IsDoubtful = Callable[[Place], bool]
"""Whether slices of the Service contradict each other, so that several handlings are right."""


def why_harmless(
    change: Change,
    before: CiliumMaps,
    after: CiliumMaps,
    is_doubtful: IsDoubtful = lambda _: False,
) -> str:
    """The reason; empty if there is none."""
    if change.kind == "delete backend":
        return _of_backend(change, before, is_doubtful)
    entry = before.frontends.get(change.place)
    if entry is None:
        return "no frontend has the reverse NAT entry"
    if is_doubtful(change.place):
        return DOUBTFUL
    return next(_reasons(change, entry, before, after), "")


DOUBTFUL = "EndpointSlices of the Service contradict each other"


def _reasons(
    change: Change, entry: MapFrontend, before: CiliumMaps, after: CiliumMaps
) -> Iterator[str]:
    place, kind = change.place, change.kind
    if place.is_wildcard:
        yield "it only drops what no other entry of the address is for"
    if entry.flags & Flags.HOST_PORT:
        yield "the entry is of a host port, which no Service has"
    if _is_unmet(place, entry):
        yield "no client that is compared meets the entry"
    if _is_alone(place, before):
        yield "no look-up meets an inner entry whose outer one is gone"
    if _is_closed(place, entry, before) and kind not in ("add range", "toggle flag"):
        yield "its source ranges leave no client outside the cluster"
    if entry.active == 0 and kind in (*REVERSE, *RANGES, *AFFINITY, *SLOTS, "toggle flag"):
        yield "the frontend refuses everybody"
    if kind in SLOTS:
        yield from _of_slot(change, entry, before, after)
    elif kind in REVERSE:
        yield from _of_reverse_nat(place, after)
    elif kind in AFFINITY:
        yield from _of_affinity(change, entry, before)
    elif kind in RANGES:
        yield from _of_range(change, entry, after)
    elif kind == "toggle flag":
        yield from _of_flag(change, entry, before)
    if place.scope == INTERNAL and entry.flags & Flags.NODE_PORT and kind == "delete frontend":
        yield "the entry for any address of nodes takes its place"


def _is_unmet(place: Place, entry: MapFrontend) -> bool:
    """The outer entry of two at any address: clients on the node meet the inner one."""
    is_outer = place.scope == EXTERNAL and bool(entry.flags & Flags.TWO_SCOPES)
    return is_outer and place.address in SURROGATES.values()


def _is_alone(place: Place, maps: CiliumMaps) -> bool:
    """Whether it is an inner entry without the outer one, which each look-up meets first.

    Cilium removes the entries of a frontend one by one, the outer one before the inner one.
    """
    return place.scope == INTERNAL and place._replace(scope=EXTERNAL) not in maps.frontends


def _is_closed(place: Place, entry: MapFrontend, maps: CiliumMaps) -> bool:
    """Whether the outer entry of two has source ranges, but none of its family."""
    is_outer = place.scope == EXTERNAL and bool(entry.flags & Flags.TWO_SCOPES)
    is_checked = bool(entry.flags & Flags.SOURCE_RANGES)
    ranges = maps.source_ranges.get((place.family, entry.reverse_nat))
    return is_outer and is_checked and not ranges


def _of_backend(change: Change, before: CiliumMaps, is_doubtful: IsDoubtful) -> str:
    identity, family = int(change.detail), change.place.family
    for place, slots in before.slots.items():
        entry = before.frontends.get(place)
        if entry is None or place.family != family or _is_unmet(place, entry):
            continue
        if _is_alone(place, before):
            continue
        if entry.flags & Flags.HOST_PORT or _is_closed(place, entry, before):
            continue
        if is_doubtful(place):
            continue
        if any(of == identity and slot <= entry.active for slot, of in slots.items()):
            return ""
    return "no slot that is in use has the backend"


def _of_slot(
    change: Change, entry: MapFrontend, before: CiliumMaps, after: CiliumMaps
) -> Iterator[str]:
    place, slot = change.place, int(change.detail)
    if slot > entry.active:
        yield "new connections are not spread over the slot"
    if change.kind == "redirect slot":
        old, new = (
            maps.backends.get((place.family, maps.slots[place][slot])) for maps in (before, after)
        )
        if old and new and (old.address, old.port) == (new.address, new.port):
            yield "the other backend has the same address and port"


def _of_reverse_nat(place: Place, after: CiliumMaps) -> Iterator[str]:
    number = after.frontends[place].reverse_nat
    if after.reverse_nat.get((place.family, number)) == (place.address, place.port):
        yield "the other entry translates to the same address and port"
    if place.is_surrogate:
        yield "replies are translated by the entry of the node's address"


def _of_affinity(change: Change, entry: MapFrontend, before: CiliumMaps) -> Iterator[str]:
    used = _used(change.place, entry, before)
    if not entry.flags & Flags.AFFINITY:
        yield "the frontend has no affinity"
    if change.kind == "delete affinity" and int(change.detail) not in used:
        yield "new connections do not go to the backend"
    if not any((each, entry.reverse_nat) in before.affinity for each in used):
        yield "there is no backend to return to"


def _used(place: Place, entry: MapFrontend, maps: CiliumMaps) -> set[int]:
    return {of for slot, of in maps.slots.get(place, {}).items() if slot <= entry.active}


def _of_range(change: Change, entry: MapFrontend, after: CiliumMaps) -> Iterator[str]:
    if not entry.flags & Flags.SOURCE_RANGES:
        yield "the ranges of the frontend are not checked"
    if change.place.scope == INTERNAL:
        yield "source ranges do not concern clients on the node"
    others = after.source_ranges[change.place.family, entry.reverse_nat]
    changed = network(change.detail)
    rest = [each for each in others if each != changed or change.kind == "delete range"]
    if any(changed.subnet_of(each) for each in rest):  # type: ignore[arg-type]
        yield "another range contains it"


def _of_flag(change: Change, entry: MapFrontend, before: CiliumMaps) -> Iterator[str]:
    place, flag = change.place, Flags[change.detail]
    if flag is Flags.AFFINITY and not entry.flags & flag:
        yield "the frontend's affinity has no seconds, or no backend to return to"
    if flag is Flags.AFFINITY:
        yield from _of_affinity(change, entry._replace(flags=entry.flags | flag), before)
    is_of_outside = flag in (Flags.SOURCE_RANGES, Flags.ROUTABLE)
    if is_of_outside and (place.is_surrogate or place.scope == INTERNAL):
        yield "the flag does not concern clients on the node"
    if flag is Flags.SOURCE_RANGES and not entry.flags & Flags.ROUTABLE:
        yield "clients outside the cluster are dropped at the address anyway"
    if flag is Flags.ROUTABLE and not entry.flags & flag:
        yield "what clients outside the cluster reach at a cluster IP is not compared"
    if flag is Flags.TWO_SCOPES:
        yield from _of_scopes(place, entry, before)


def _of_scopes(place: Place, entry: MapFrontend, before: CiliumMaps) -> Iterator[str]:
    if place.scope == INTERNAL:
        yield "the flag counts at the outer entry only"
    inner = place._replace(scope=INTERNAL)
    other = before.frontends.get(inner)
    if other and _used(inner, other, before) == _used(place, entry, before):
        yield "both scopes have the same backends"
    if entry.flags & Flags.EXTERNAL_IP and entry.flags & Flags.TWO_SCOPES:
        yield "what pods reach at an external IP with two policies is not compared"
    surrogate = place._replace(address=SURROGATES[place.family])
    if entry.flags & Flags.NODE_PORT and surrogate in before.frontends:
        yield "the entry for any address of nodes takes its place"
