"""Random single changes of Cilium's maps: each is reported, or shown to be harmless."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace

from testbed.referee.cilium_duel import CiliumSight
from testbed.referee.dice import Dice
from testbed.referee.harmless_cilium import Change, why_harmless
from testbed.referee.results import Tally
from wirecheck.addresses import network
from wirecheck.dataplane.ebpf.maps import CiliumMaps, Flags, Place

FLAGS = (Flags.AFFINITY, Flags.ROUTABLE, Flags.SOURCE_RANGES, Flags.TWO_SCOPES)

Make = Callable[[Dice, CiliumMaps], Change | None]


def _delete_frontend(dice: Dice, maps: CiliumMaps) -> Change:
    place = dice.choice(sorted(maps.frontends))
    del maps.frontends[place]
    return Change("delete frontend", place)


def _slot(dice: Dice, maps: CiliumMaps) -> tuple[Place, int] | None:
    places = sorted(place for place, slots in maps.slots.items() if slots)
    if not places:
        return None
    place = dice.choice(places)
    return place, dice.choice(sorted(maps.slots[place]))


def _delete_slot(dice: Dice, maps: CiliumMaps) -> Change | None:
    if (chosen := _slot(dice, maps)) is None:
        return None
    place, slot = chosen
    del maps.slots[place][slot]
    return Change("delete slot", place, str(slot))


def _redirect_slot(dice: Dice, maps: CiliumMaps) -> Change | None:
    if (chosen := _slot(dice, maps)) is None:
        return None
    place, slot = chosen
    others = sorted(identity for family, identity in maps.backends if family == place.family)
    maps.slots[place][slot] = dice.choice(others)
    return Change("redirect slot", place, str(slot))


def _lower_count(dice: Dice, maps: CiliumMaps) -> Change | None:
    places = sorted(place for place, entry in maps.frontends.items() if entry.active)
    if not places:
        return None
    place = dice.choice(places)
    entry = maps.frontends[place]
    maps.frontends[place] = entry._replace(active=entry.active - 1)
    return Change("lower count", place)


def _other_reverse_nat(dice: Dice, maps: CiliumMaps) -> Change:
    place = dice.choice(sorted(maps.frontends))
    entry = maps.frontends[place]
    other = dice.choice(sorted(number for _, number in maps.reverse_nat))
    maps.frontends[place] = entry._replace(reverse_nat=other)
    return Change("other reverse NAT", place)


def _delete_reverse_nat(dice: Dice, maps: CiliumMaps) -> Change:
    family, number = dice.choice(sorted(maps.reverse_nat))
    address, port = maps.reverse_nat.pop((family, number))
    return Change("delete reverse NAT", _place_of(maps, family, number, (address, port)))


def _place_of(maps: CiliumMaps, family: int, number: int, where: tuple[str, int]) -> Place:
    for place, entry in maps.frontends.items():
        if (place.family, entry.reverse_nat) == (family, number):
            return place
    return Place(family, where[0], "any", where[1])


def _change_affinity(dice: Dice, maps: CiliumMaps) -> Change:
    place = dice.choice(sorted(maps.frontends))
    entry = maps.frontends[place]
    maps.frontends[place] = entry._replace(affinity=entry.affinity + 60)
    return Change("other affinity", place)


def _delete_affinity(dice: Dice, maps: CiliumMaps) -> Change | None:
    if not maps.affinity:
        return None
    backend, number = dice.choice(sorted(maps.affinity))
    maps.affinity.remove((backend, number))
    found = [place for place, entry in maps.frontends.items() if entry.reverse_nat == number]
    return Change("delete affinity", found[0], str(backend)) if found else None


def _delete_range(dice: Dice, maps: CiliumMaps) -> Change | None:
    keys = sorted(key for key, ranges in maps.source_ranges.items() if ranges)
    if not keys:
        return None
    key = dice.choice(keys)
    gone = maps.source_ranges[key].pop(dice.randrange(len(maps.source_ranges[key])))
    return Change("delete range", _place_of(maps, *key, ("", 0)), str(gone))


def _add_range(dice: Dice, maps: CiliumMaps) -> Change | None:
    keys = sorted(maps.source_ranges)
    if not keys:
        return None
    key = dice.choice(keys)
    fresh = network("192.0.2.0/24" if key[0] == 4 else "2001:db8:ffff::/48")
    maps.source_ranges[key].append(fresh)
    return Change("add range", _place_of(maps, *key, ("", 0)), str(fresh))


def _delete_backend(dice: Dice, maps: CiliumMaps) -> Change | None:
    used = sorted(
        {(place.family, each) for place, slots in maps.slots.items() for each in slots.values()}
    )
    if not used:
        return None
    family, identity = dice.choice(used)
    del maps.backends[family, identity]
    return Change("delete backend", Place(family, "", "any", 0), str(identity))


def _toggle_flag(dice: Dice, maps: CiliumMaps) -> Change:
    place = dice.choice(sorted(maps.frontends))
    flag = dice.choice(FLAGS)
    entry = maps.frontends[place]
    maps.frontends[place] = entry._replace(flags=entry.flags ^ flag)
    return Change("toggle flag", place, str(flag.name))


MAKERS: tuple[Make, ...] = (
    *(_delete_frontend, _delete_slot, _redirect_slot, _lower_count, _other_reverse_nat),
    *(_delete_reverse_nat, _change_affinity, _delete_affinity, _delete_range, _add_range),
    *(_delete_backend, _toggle_flag),
)


def try_mutations(dice: Dice, sight: CiliumSight, count: int, tally: Tally) -> Iterator[str]:
    """Try some mutations of a sight without disagreement; yields the ones that are missed."""
    done = 0
    while done < count:
        maps = copy.deepcopy(sight.maps)
        change = dice.choice(MAKERS)(dice, maps)
        if change is None:
            continue
        done += 1
        if replace(sight, maps=maps).disagreements:
            tally.reported += 1
        elif why := why_harmless(change, sight.maps, maps, sight.is_doubtful):
            tally.harmless[why] = tally.harmless.get(why, 0) + 1
        else:
            tally.missed += 1
            yield f"missed: {change.kind} {change.place} {change.detail}"
