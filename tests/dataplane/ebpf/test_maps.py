"""Decoding of Cilium's maps: every layout, both byte orders, and what is damaged or unknown."""

import base64
import struct

import pytest
from msgspec.structs import replace

from tests.dataplane.ebpf.recorded_maps import maps_of
from wirecheck.addresses import network
from wirecheck.dataplane.ebpf.layouts import LAYOUTS, NAMES, layout_of
from wirecheck.dataplane.ebpf.maps import Flags, MapBackend, MapFrontend, Place, cilium_maps
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps

SERVICES = "cilium_lb4_services_v2"
BACKENDS = "cilium_lb4_backends_v3"


def map_of(name: str, *entries: bytes) -> EbpfMap:
    sizes = next((key, value) for known, key, value in LAYOUTS if known == name)
    data = base64.b64encode(b"".join(entries)).decode()
    return EbpfMap(name, 1, *sizes, 65536, count=len(entries), entries=data)


def both(*maps: EbpfMap, byte_order: str = "little") -> EbpfMaps:
    present = {each.name for each in maps}
    empty = [map_of(name) for name, _, _ in LAYOUTS if name not in present and "6" not in name]
    return EbpfMaps(byte_order, [*maps, *empty])


@pytest.mark.parametrize(("name", "key", "value"), LAYOUTS)
@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_layouts_have_the_sizes_of_their_maps(
    name: str, key: int, value: int, byte_order: str
) -> None:
    assert LAYOUTS[name, key, value].entries(byte_order).size == key + value
    assert NAMES.fullmatch(name)


@pytest.mark.parametrize("byte_order", ["little", "big"])
def test_ports_and_ids_are_in_network_order_and_counts_are_not(byte_order: str) -> None:
    host = "<" if byte_order == "little" else ">"
    key = bytes([10, 96, 0, 1]) + struct.pack(">H", 443) + struct.pack(f"{host}HBBxx", 0, 6, 0)
    value = (
        struct.pack(f"{host}IH", 3600, 2)
        + struct.pack(">H", 300)
        + struct.pack(f"{host}BBH", 0x90, 0x40, 1)
    )
    found = cilium_maps(both(map_of(SERVICES, key + value), byte_order=byte_order))
    flags = Flags.AFFINITY | Flags.SOURCE_RANGES | Flags.DENIES_RANGES
    assert found.frontends == {
        Place(4, "10.96.0.1", "tcp", 443): MapFrontend(3600, 2, 1, 300, flags)
    }


def test_the_algorithm_is_not_taken_for_seconds() -> None:
    key = bytes([10, 96, 0, 1]) + struct.pack(">H", 443) + struct.pack("<HBBxx", 0, 6, 0)
    value = struct.pack("<IHHBBH", 2 << 24 | 60, 0, 0, 0, 0, 0)
    (found,) = cilium_maps(both(map_of(SERVICES, key + value))).frontends.values()
    assert found.affinity == 60


def test_entries_for_all_protocols_are_another_version_of_cilium() -> None:
    key = bytes([10, 96, 0, 1]) + struct.pack(">H", 443) + struct.pack("<HBBxx", 0, 0, 0)
    with pytest.raises(ParseError, match="443/any has no protocol"):
        cilium_maps(both(map_of(SERVICES, key + bytes(12))))


def test_a_real_node_of_both_families() -> None:
    found = cilium_maps(maps_of("dual-stack", "td-w1"))
    assert found.families == {4, 6}
    place = next(each for each in found.frontends if each.family == 6 and each.port == 80)
    slots = found.slots[place]
    assert sorted(slots) == list(range(1, found.frontends[place].active + 1))
    backend = found.backends[6, slots[1]]
    assert isinstance(backend, MapBackend)
    assert (backend.port, backend.protocol, backend.state, backend.cluster) == (8080, "tcp", 0, 0)
    assert found.reverse_nat[6, found.frontends[place].reverse_nat] == (place.address, 80)


def test_a_real_load_balancer_has_its_ranges() -> None:
    found = cilium_maps(maps_of("healthy", "td-w1"))
    entry = found.frontends[Place(4, "172.29.0.200", "tcp", 80)]
    ranges = found.source_ranges[4, entry.reverse_nat]
    assert set(ranges) == {network("172.29.0.0/16"), network("10.244.0.0/16")}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"name": "cilium_lb4_services_v9"},
            ("cilium_lb4_services_v9", "12 bytes", "unknown layout"),
        ),
        ({"key_size": 16}, (SERVICES, "16 bytes", "12 bytes", "unknown layout")),
        ({"value_size": 14}, (SERVICES, "12 bytes", "14 bytes", "unknown layout")),
        ({"problem": "permission denied"}, (SERVICES, "permission denied")),
        ({"is_complete": False}, (SERVICES, "before a limit")),
        ({"count": 2}, (SERVICES, "2 entries")),
        ({"entries": "Ä"}, (SERVICES, "damaged")),
        ({"entries": "AAAA"}, (SERVICES, "3 bytes are not 1 entries of 24 bytes")),
    ],
)
def test_what_cannot_be_decoded_is_an_error_that_names_the_map(
    changes: dict, words: tuple[str, ...]
) -> None:
    known = map_of(SERVICES, bytes(24))
    with pytest.raises(ParseError) as error:
        cilium_maps(EbpfMaps("little", [replace(known, **changes), map_of(BACKENDS)]))
    for each in words:
        assert each in str(error.value)


@pytest.mark.parametrize("missing", [SERVICES, BACKENDS])
def test_a_map_that_is_not_pinned_is_an_error(missing: str) -> None:
    maps = [map_of(name) for name in (SERVICES, BACKENDS) if name != missing]
    with pytest.raises(ParseError, match="is pinned"):
        cilium_maps(EbpfMaps("little", maps))


def test_the_map_of_an_earlier_version_may_be_left() -> None:
    old = replace(map_of(SERVICES), name="cilium_lb4_services_v1", key_size=8)
    assert cilium_maps(both(old)).frontends == {}


def test_other_maps_are_left_alone() -> None:
    other = EbpfMap("cilium_ct4_global", 9, 14, 56, 500_000, count=7)
    assert cilium_maps(both(other)).frontends == {}
    with pytest.raises(ParseError):
        layout_of(other)


def test_a_source_range_longer_than_an_address_is_an_error() -> None:
    entry = struct.pack("<I", 32 + 33) + bytes(9)
    with pytest.raises(ParseError, match="prefix 65"):
        cilium_maps(both(map_of("cilium_lb4_source_range", entry)))
