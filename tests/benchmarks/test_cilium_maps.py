"""Maps that are numbered otherwise mean the same, and redirected ones differ in a few Services."""

import random

from benchmarks.cilium_maps import redirected, renumbered
from tests.dataplane.ebpf.recorded_maps import maps_of
from wirecheck.dataplane.ebpf.layouts import NAMES
from wirecheck.dataplane.ebpf.maps import CiliumMaps, Place, cilium_maps
from wirecheck.snapshot.ebpf_maps import EbpfMaps


def of_services(recording: str) -> EbpfMaps:
    found = maps_of(recording, "td-w1")
    return EbpfMaps("little", [each for each in found.maps if NAMES.fullmatch(each.name)])


def meaning(maps: CiliumMaps) -> dict[Place, tuple[list[object], object]]:
    """The backends of each frontend, and what replies are translated to."""
    return {
        place: (
            [
                maps.backends.get((place.family, identity))
                for _, identity in sorted(maps.slots.get(place, {}).items())
            ],
            maps.reverse_nat.get((place.family, entry.reverse_nat)),
        )
        for place, entry in maps.frontends.items()
    }


def test_another_numbering_means_the_same() -> None:
    given = of_services("dual-stack")
    other = renumbered(given, random.Random(1))
    old, new = cilium_maps(given), cilium_maps(other)
    assert old.slots != new.slots
    assert meaning(old) == meaning(new)


def test_some_services_get_other_backends() -> None:
    given = of_services("healthy")
    old, new = (
        meaning(cilium_maps(each)) for each in (given, redirected(given, 5, random.Random(3)))
    )
    assert 1 <= sum(old[place] != new[place] for place in old) <= 5
