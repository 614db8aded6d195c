"""Changes of Cilium's maps: a harmless one has a reason that is true of the maps."""

import copy

import pytest

from testbed.referee.cilium_duel import for_cilium
from testbed.referee.dice import Dice
from testbed.referee.harmless_cilium import Change, why_harmless
from testbed.referee.mutate_cilium import MAKERS
from testbed.referee.random_scenes import random_scenes
from tests.dataplane.ebpf.recorded_maps import differences, maps_of
from wirecheck.dataplane.ebpf.maps import (
    EXTERNAL,
    INTERNAL,
    CiliumMaps,
    Flags,
    MapBackend,
    MapFrontend,
    Place,
    cilium_maps,
)

WEB = Place(4, "10.96.107.131", "tcp", 80)
STICKY = Place(4, "10.96.154.197", "tcp", 80)
EMPTY = Place(4, "10.96.32.159", "tcp", 80)
LOCAL = Place(4, "172.29.0.202", "tcp", 80)
ANY_LOCAL = Place(4, "0.0.0.0", "tcp", 30081)


@pytest.fixture
def maps() -> CiliumMaps:
    return cilium_maps(maps_of("healthy", "td-w1"))


def test_each_change_is_reported_or_harmless(maps: CiliumMaps) -> None:
    dice, kinds = Dice(7), set()
    for _ in range(150):
        changed = copy.deepcopy(maps)
        change = dice.choice(MAKERS)(dice, changed)
        assert change is not None
        kinds.add(change.kind)
        if not differences("healthy", "td-w1", changed):
            assert why_harmless(change, maps, changed), change
    assert len(kinds) == len(MAKERS)


@pytest.mark.parametrize(
    "change",
    [
        Change("delete slot", WEB, "2"),
        Change("lower count", WEB),
        Change("delete frontend", WEB),
        Change("other affinity", STICKY),
        Change("delete affinity", STICKY, "26"),
        Change("delete backend", Place(4, "", "any", 0), "26"),
        Change("toggle flag", LOCAL, Flags.TWO_SCOPES.name or ""),
    ],
    ids=lambda change: change.kind,
)
def test_what_does_harm_has_no_reason(maps: CiliumMaps, change: Change) -> None:
    assert why_harmless(change, maps, copy.deepcopy(maps)) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Change("delete frontend", Place(4, "10.96.0.10", "any", 0)), "no other entry"),
        (Change("other reverse NAT", EMPTY), "refuses everybody"),
        (Change("other affinity", WEB), "no affinity"),
        (Change("delete slot", ANY_LOCAL, "1"), "no client"),
        (Change("delete slot", WEB, "9"), "not spread"),
        (Change("delete backend", Place(4, "", "any", 0), "999"), "no slot"),
    ],
)
def test_what_is_harmless_has_its_reason(maps: CiliumMaps, change: Change, reason: str) -> None:
    assert reason in why_harmless(change, maps, copy.deepcopy(maps))


@pytest.mark.parametrize(
    "change",
    [
        Change("delete affinity", LOCAL._replace(scope=INTERNAL), "26"),
        Change("delete slot", LOCAL._replace(scope=INTERNAL), "1"),
        Change("other affinity", LOCAL._replace(scope=INTERNAL)),
    ],
    ids=lambda change: change.kind,
)
def test_an_inner_entry_that_is_left_behind_is_met_by_nobody(
    maps: CiliumMaps, change: Change
) -> None:
    assert "outer" not in why_harmless(change, maps, copy.deepcopy(maps))
    half = copy.deepcopy(maps)
    del half.frontends[LOCAL]
    assert "outer one is gone" in why_harmless(change, half, half)


def test_a_backend_of_an_inner_entry_that_is_left_behind_is_used_by_nobody() -> None:
    entry = MapFrontend(0, 1, 0, 5, Flags.NODE_PORT | Flags.TWO_SCOPES)
    inner = Place(4, "172.29.0.11", "tcp", 30082, INTERNAL)
    maps = CiliumMaps(
        {inner: entry}, {inner: {1: 9}}, {(4, 9): MapBackend("10.244.1.2", 80, "tcp", 0, 0)}
    )
    change = Change("delete backend", Place(4, "", "any", 0), "9")
    assert "no slot" in why_harmless(change, maps, maps)
    maps.frontends[inner._replace(scope=EXTERNAL)] = entry
    assert why_harmless(change, maps, maps) == ""


def test_a_scene_for_cilium_lacks_what_it_does_not_ask_for() -> None:
    drawn = next(random_scenes(3, 200, contested=False))
    scene = for_cilium(drawn)
    labels = [set(each["metadata"]["labels"]) for each in (*scene.services, *scene.slices)]
    assert not any("service.kubernetes.io/service-proxy-name" in each for each in labels)
    assert len(scene.services) < len(drawn.services)
    ranges = [
        each
        for service in scene.services
        for each in service["spec"].get("loadBalancerSourceRanges", ())
    ]
    assert ranges
    assert all(each == each.strip() for each in ranges)
