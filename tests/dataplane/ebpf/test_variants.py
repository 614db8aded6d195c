"""Maps as other clusters have them: other sizes, types, versions, families, or some are missing.

Each is the recording of a real node with one thing changed, read as a first and as a further node.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from tests.dataplane.ebpf.recorded_maps import differences, maps_of
from tests.dataplane.ebpf.test_recorded import WEB
from tests.dataplane.ebpf.test_shared import Reader, of_services, outcome
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.ebpf.layouts import LAYOUTS
from wirecheck.dataplane.ebpf.maps import cilium_maps
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps

Edit = Callable[[EbpfMap], EbpfMap | None]
NODE = "td-w1"
HASH, LRU_HASH = 1, 9


def edited(document: EbpfMaps, edit: Edit) -> EbpfMaps:
    return replace(document, maps=[new for old in document.maps if (new := edit(old)) is not None])


def without(*names: str) -> Edit:
    return lambda found: None if found.name in names else found


def verdicts(document: EbpfMaps, recording: str = "healthy") -> tuple[object, object]:
    """What is found on the first node, and after another one was read."""
    further = Reader(recording)
    further.differences(NODE, maps_of(recording, NODE))
    return outcome(Reader(recording), NODE, document), outcome(further, NODE, document)


def of_family(family: int) -> tuple[str, ...]:
    return tuple(name for name, _, _ in LAYOUTS if f"lb{family}_" in name)


SAME: dict[str, Edit] = {
    "other limits": lambda e: replace(e, max_entries=3 * e.max_entries + 1),
    "LRU maps": lambda e: replace(e, type=LRU_HASH if e.type == HASH else e.type),
    "entries in columns": lambda e: e.with_data(e.data) if e.entries else e,
    "only counted": lambda e: e.without_data if e.name not in {n for n, _, _ in LAYOUTS} else e,
    "no maps of addresses": without("cilium_ipcache_v2", "cilium_lxc"),
}


@pytest.mark.parametrize("edit", SAME.values(), ids=SAME)
@pytest.mark.parametrize("recording", ["healthy", "dual-stack"])
def test_what_means_the_same_is_the_same(recording: str, edit: Edit) -> None:
    document = edited(maps_of(recording, NODE), edit)
    assert document != maps_of(recording, NODE)
    assert verdicts(document, recording) == (set(), set())


MISSING = {
    "cilium_lb4_backends_v3": "no eBPF map cilium_lb4_backends is pinned",
    "cilium_lb6_services_v2": "no eBPF map cilium_lb6_services is pinned",
    "cilium_lb6_reverse_nat": "no eBPF map cilium_lb6_reverse_nat is pinned",
    "cilium_lb_affinity_match": "no eBPF map cilium_lb_affinity_match is pinned, on which",
    "cilium_lb4_source_range": "no eBPF map cilium_lb4_source_range is pinned, on which",
}


@pytest.mark.parametrize("name", MISSING)
def test_a_map_that_is_missing_is_an_error_and_not_an_empty_map(name: str) -> None:
    for found in verdicts(edited(maps_of("dual-stack", NODE), without(name)), "dual-stack"):
        assert MISSING[name] in str(found)


def test_a_map_that_no_frontend_depends_on_may_be_missing() -> None:
    document = edited(maps_of("dual-stack", NODE), without("cilium_lb6_source_range"))
    assert verdicts(document, "dual-stack") == (set(), set())


@pytest.mark.parametrize("family", [4, 6])
def test_a_node_of_one_family_has_the_maps_of_one(family: int) -> None:
    document = edited(maps_of("dual-stack", NODE), without(*of_family(10 - family)))
    maps = cilium_maps(document)
    assert maps.families == {family}
    assert {place.family for place in maps.frontends} == {family}
    assert differences("dual-stack", NODE, maps) == ()


def emptied(name: str) -> Edit:
    return lambda found: found.with_data(b"") if found.name == name else found


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("cilium_lb4_services_v2", {Kind.FRONTEND_MISSING}),
        ("cilium_lb4_backends_v3", {Kind.VERDICT}),
        ("cilium_lb4_reverse_nat", {Kind.VERDICT}),
        ("cilium_lb_affinity_match", {Kind.AFFINITY}),
        ("cilium_lb4_source_range", {Kind.VERDICT, Kind.SOURCES}),
    ],
)
def test_an_empty_map_is_a_fault(name: str, kinds: set[Kind]) -> None:
    for found in verdicts(edited(of_services("healthy"), emptied(name))):
        assert isinstance(found, set)
        assert found
        assert {each.kind for each in found} <= kinds


def beside(name: str, other: str, **changes: int) -> EbpfMaps:
    """The healthy maps, and another version of one of them."""
    document = maps_of("healthy", NODE)
    (known,) = (each for each in document.maps if each.name == name)
    left = replace(known.with_data(b""), name=other, **changes)
    return replace(document, maps=[left, *document.maps])


@pytest.mark.parametrize(
    ("name", "older"),
    [
        ("cilium_lb4_services_v2", "cilium_lb4_services"),
        ("cilium_lb4_backends_v3", "cilium_lb4_backends_v2"),
        ("cilium_lb4_backends_v3", "cilium_lb4_backends"),
    ],
)
def test_an_older_version_that_is_left_over_changes_nothing(name: str, older: str) -> None:
    assert verdicts(beside(name, older, value_size=8)) == (set(), set())


@pytest.mark.parametrize(
    ("name", "newer"),
    [
        ("cilium_lb4_services_v2", "cilium_lb4_services_v3"),
        ("cilium_lb4_backends_v3", "cilium_lb4_backends_v10"),
        ("cilium_lb4_reverse_nat", "cilium_lb4_reverse_nat_v2"),
    ],
)
def test_beside_a_newer_version_it_is_unclear_which_is_used(name: str, newer: str) -> None:
    for found in verdicts(beside(name, newer, value_size=20)):
        assert newer in str(found)
        assert "which of them Cilium uses is unclear" in str(found)


@pytest.mark.parametrize(
    ("name", "other", "changes"),
    [
        ("cilium_lb4_backends_v3", "cilium_lb4_backends_v2", {"value_size": 8}),
        ("cilium_lb4_services_v2", "cilium_lb4_services", {"key_size": 8}),
        ("cilium_lb6_services_v2", "cilium_lb6_services_v3", {}),
        ("cilium_lb4_services_v2", "cilium_lb4_services_v2", {"value_size": 16}),
    ],
)
def test_another_layout_is_named_with_its_sizes(
    name: str, other: str, changes: dict[str, int]
) -> None:
    def edit(found: EbpfMap) -> EbpfMap:
        return replace(found, name=other, **changes) if found.name == name else found

    document = maps_of("dual-stack", NODE)
    (known,) = (each for each in map(edit, document.maps) if each.name == other)
    words = f"{other} with keys of {known.key_size} bytes and values of {known.value_size} bytes"
    for found in verdicts(edited(document, edit), "dual-stack"):
        assert words in str(found)


def test_a_map_of_another_type_is_an_error() -> None:
    """A per-CPU hash has one value for each CPU."""

    def edit(found: EbpfMap) -> EbpfMap:
        if found.name != "cilium_lb4_backends_v3":
            return found
        reason = "maps of type 5 have no single value for each key"
        return replace(found.without_data, type=5, count=0, problem=reason)

    for found in verdicts(edited(maps_of("healthy", NODE), edit)):
        assert (
            found
            == "eBPF map cilium_lb4_backends_v3: maps of type 5 have no single value for each key"
        )


def test_a_map_that_is_there_twice_is_an_error() -> None:
    document = of_services("healthy")
    for found in verdicts(replace(document, maps=[*document.maps, document.maps[0]])):
        assert "is there twice" in str(found)


def test_a_backend_of_another_cluster_is_inconclusive() -> None:
    """Clusters of a ClusterMesh may have the same addresses for other pods."""
    maps = cilium_maps(maps_of("healthy", NODE))
    backend = maps.slots[WEB][1]
    (name, offset) = ("cilium_lb4_backends_v3", 12)

    def edit(found: EbpfMap) -> EbpfMap:
        if found.name != name:
            return found
        data = bytearray(found.data)
        for at in range(0, len(data), 16):
            if data[at : at + 4] == struct.pack("<I", backend):
                data[at + offset : at + offset + 2] = struct.pack("<H", 7)
        return found.with_data(bytes(data))

    for found in verdicts(edited(of_services("healthy"), edit)):
        assert isinstance(found, set)
        reasons = {each.found for each in found if each.kind is Kind.UNDECIDED}
        assert found
        assert {each.kind for each in found} == {Kind.UNDECIDED}
        assert all("cluster 7 of a ClusterMesh" in each for each in reasons)
