"""Redaction of eBPF maps: other addresses, the same entries otherwise, nothing else left."""

import base64
from ipaddress import ip_address

import pytest
from msgspec.structs import replace

from tests.dataplane.ebpf.recorded_maps import maps_of
from wirecheck.addresses import IPAddress
from wirecheck.dataplane.ebpf.known_addresses import endpoints_of, ipcache_of
from wirecheck.dataplane.ebpf.layouts import ADDRESS_LAYOUTS, LAYOUTS, POLICY_LAYOUTS
from wirecheck.dataplane.ebpf.maps import CiliumMaps, cilium_maps
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps
from wirecheck.snapshot.redact_addresses import AddressMap
from wirecheck.snapshot.redact_maps import ADDRESSES, OF_BOTH_FAMILIES, redacted_map
from wirecheck.snapshot.redact_maps import POLICIES as OF_PODS


@pytest.fixture
def addresses() -> AddressMap:
    return AddressMap(b"k" * 32)


def redacted(addresses: AddressMap, document: EbpfMaps) -> EbpfMaps:
    maps = [redacted_map(addresses, document.byte_order, each) for each in document.maps]
    return replace(document, maps=maps)


def test_every_layout_has_its_place_of_addresses() -> None:
    assert ADDRESSES.keys() == LAYOUTS.keys()
    assert OF_BOTH_FAMILIES.keys() == ADDRESS_LAYOUTS.keys()


@pytest.mark.parametrize("recording", ["healthy", "dual-stack"])
def test_the_maps_of_addresses_keep_everything_else(addresses: AddressMap, recording: str) -> None:
    before = maps_of(recording, "td-w1")
    after = redacted(addresses, before)

    def text(known: str) -> str:
        return str(addresses.address(ip_address(known))) if known else ""

    old, new = ipcache_of(before), ipcache_of(after)
    assert dict(new.addresses) == {
        text(address): known._replace(tunnel=text(known.tunnel))
        for address, known in old.addresses.items()
    }
    assert {length for _, length in new.ranges} == {length for _, length in old.ranges}
    assert any(each.tunnel for each in new.ranges.values())
    assert dict(endpoints_of(after)) == {
        text(address): known for address, known in endpoints_of(before).items()
    }


def test_maps_of_policies_have_no_addresses_and_stay(addresses: AddressMap) -> None:
    before = maps_of("healthy", "td-w1")
    (own,) = (each for each in before.maps if each.name == "cilium_policy_v3_00189")
    assert redacted_map(addresses, before.byte_order, own) == own
    for other in (replace(own, name="cilium_policy_v9_00189"), replace(own, value_size=16)):
        assert redacted_map(addresses, before.byte_order, other) == other.without_data
    assert all(OF_PODS[0].fullmatch(f"{name}_00189") for name, _, _ in POLICY_LAYOUTS)
    assert [(key, value) for _, key, value in POLICY_LAYOUTS] == [OF_PODS[1:]]


def test_macs_are_left_out(addresses: AddressMap) -> None:
    before = maps_of("healthy", "td-w1")
    (data,) = (each.data for each in before.maps if each.name == "cilium_lxc")
    mac = bytes.fromhex("0e125c52e2cc")  # of shop/gateway
    assert mac in data
    after = redacted(addresses, before)
    assert not any(mac in each.data for each in after.maps if each.columns)


@pytest.mark.parametrize("name", ["cilium_ipcache_v2", "cilium_lxc"])
def test_an_unknown_family_may_have_an_address_anywhere(addresses: AddressMap, name: str) -> None:
    (key, value) = next((k, v) for own, k, v in ADDRESS_LAYOUTS if own == name)
    data = base64.b64encode(bytes(key + value)).decode()
    odd = EbpfMap(name, 1, key, value, 10, count=1, entries=data)
    for each in (odd, odd.with_data(odd.data)):
        assert has_no_entries(redacted_map(addresses, "little", each))


def has_no_entries(found: EbpfMap) -> bool:
    return found.entries == found.columns == ""


def addresses_in(found: CiliumMaps) -> set[IPAddress]:
    texts = {each.address for each in (*found.frontends, *found.backends.values())}
    texts |= {where for where, _ in found.reverse_nat.values()}
    return set(map(ip_address, texts))


@pytest.mark.parametrize("recording", ["healthy", "dual-stack"])
def test_addresses_are_replaced_one_by_one_and_nothing_else(
    addresses: AddressMap, recording: str
) -> None:
    before = maps_of(recording, "td-w1")
    old, new = cilium_maps(before), cilium_maps(redacted(addresses, before))
    assert addresses_in(new) == {addresses.address(each) for each in addresses_in(old)}
    assert len(new.frontends) == len(old.frontends)
    for place, entry in old.frontends.items():
        where = str(addresses.address(ip_address(place.address)))
        assert new.frontends[place._replace(address=where)] == entry
    assert new.affinity == old.affinity
    for key, backend in old.backends.items():
        where = str(addresses.address(ip_address(backend.address)))
        assert new.backends[key] == backend._replace(address=where)


def test_ranges_stay_ranges(addresses: AddressMap) -> None:
    before = maps_of("healthy", "td-w1")
    old, new = cilium_maps(before), cilium_maps(redacted(addresses, before))
    for key, ranges in old.source_ranges.items():
        assert set(new.source_ranges[key]) == {addresses.network(each) for each in ranges}


def test_a_map_of_unknown_layout_loses_its_entries(addresses: AddressMap) -> None:
    secret = EbpfMap(
        "cilium_lb4_services_v9", 1, 2, 2, 10, 1, entries=base64.b64encode(b"\n`\0\1").decode()
    )
    after = redacted_map(addresses, "little", secret)
    assert has_no_entries(after)
    assert (after.count, after.name) == (1, secret.name)
    assert has_no_entries(redacted_map(addresses, "little", secret.with_data(b"\n`\0\1")))


@pytest.mark.parametrize("entries", ["Ä", "AAAA", "not base64"])
def test_damaged_entries_are_left_out(addresses: AddressMap, entries: str) -> None:
    known = EbpfMap("cilium_lb4_backends_v3", 1, 4, 12, 10, 1, entries=entries)
    assert has_no_entries(redacted_map(addresses, "little", known))
    assert has_no_entries(redacted_map(addresses, "little", replace(known, columns=entries)))


def test_a_prefix_that_is_too_long_does_not_stop_redaction(addresses: AddressMap) -> None:
    entry = (200).to_bytes(4, "little") + bytes(4) + bytes([10, 1, 2, 3, 0])
    known = EbpfMap(
        "cilium_lb4_source_range", 11, 12, 1, 10, 1, entries=base64.b64encode(entry).decode()
    )
    after = redacted_map(addresses, "little", known).data
    assert after[:8] == entry[:8]
    assert after[8:12] == addresses.address(ip_address("10.1.2.3")).packed
