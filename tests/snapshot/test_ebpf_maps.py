"""The entries of an eBPF map: in columns, and one after the other as older programs sent them."""

import base64
import random
import struct
import zlib

import msgspec
import pytest
from msgspec.structs import replace

from tests.dataplane.ebpf.recorded_maps import maps_of
from wirecheck.collect.on_node.ebpf_maps import in_columns
from wirecheck.snapshot.ebpf_maps import EbpfMap


def map_of(count: int = 5, key: int = 2, value: int = 6) -> EbpfMap:
    data = random.Random(count).randbytes(count * (key + value))
    return EbpfMap("cilium_lb4_reverse_nat", 1, key, value, 100).with_data(data)


def sent(of: EbpfMap) -> EbpfMap:
    """The same as the node program sends it."""
    columns = in_columns(of.data, of.key_size + of.value_size)
    return replace(of, entries="", columns=base64.b64encode(columns).decode())


@pytest.mark.parametrize("count", [0, 1, 2, 257])
def test_what_the_node_program_sends_is_what_it_read(count: int) -> None:
    given = map_of(count)
    rows = replace(given, columns="", entries=base64.b64encode(given.data).decode())
    assert given.count == count
    assert sent(rows).data == rows.data == given.data
    assert sent(rows) == given


@pytest.mark.parametrize("recording", ["healthy", "dual-stack"])
def test_recorded_maps_are_the_same_in_columns(recording: str) -> None:
    recorded = [each for each in maps_of(recording, "td-w1").maps if each.entries]
    assert recorded
    assert [each.with_data(each.data).data for each in recorded] == [e.data for e in recorded]


def test_entries_of_many_services_take_half_the_bytes_in_columns() -> None:
    """An agent numbers Services as it hears of them, and their backends one after the other."""
    order = random.Random(1).sample(range(1_000), 1_000)
    rows = [
        struct.pack(">IHHBBxxIHHBBH", 0x0A600000 + number, 80, slot, 6, 0, *of, at, 0, 0, 0)
        for number, at in enumerate(order)
        for slot in range(4)
        for of in [(3 * at + slot, 0) if slot else (0, 3)]
    ]
    now = EbpfMap("cilium_lb4_services_v2", 1, 12, 12, 9_000).with_data(b"".join(rows))
    before = replace(now, columns="", entries=base64.b64encode(b"".join(rows)).decode())
    assert packed(now) < packed(before) / 2


def packed(found: EbpfMap) -> int:
    return len(zlib.compress(msgspec.json.encode(found), 6))


@pytest.mark.parametrize("field", ["entries", "columns"])
@pytest.mark.parametrize(
    ("text", "reason"),
    [("AAAA", "3 bytes are not 5 entries of 8 bytes"), ("AAA", "padding"), ("Ä", "ASCII")],
)
def test_damaged_entries_name_the_damage(field: str, text: str, reason: str) -> None:
    damaged = replace(map_of().without_data, **{field: text})
    with pytest.raises(ValueError, match=reason):
        _ = damaged.data
