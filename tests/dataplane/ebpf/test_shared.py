"""Nodes read one after the other give what each gives alone, and only what differs is read."""

import random
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from benchmarks.cilium_maps import redirected, renumbered
from tests.dataplane.ebpf.recorded_maps import NODES, api_of, maps_of, node_of
from wirecheck.api_index.cilium_services import CiliumPort, cilium_ports
from wirecheck.api_index.endpoint_slices import slices_by_service
from wirecheck.dataplane.compare.comparison import EqualEntries, compare
from wirecheck.dataplane.compare.differences import Difference
from wirecheck.dataplane.ebpf.layouts import NAMES
from wirecheck.dataplane.ebpf.node_view import cilium_node, local_addresses
from wirecheck.dataplane.ebpf.shared import Reading, SharedEntries
from wirecheck.dataplane.expected.cilium import AlikeEntries, expected_for_cilium
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps

RECORDINGS = ("healthy", "entry-deleted", "agent-stopped", "beside-kube-proxy", "dual-stack")
WEB = "10.96.107.131"


def ports_of(recording: str) -> tuple[CiliumPort, ...]:
    api = api_of(recording)
    return cilium_ports(api.services, slices_by_service(api.endpoint_slices), [])


class Reader:
    """Reads nodes of one recording one after the other."""

    def __init__(self, recording: str = "healthy") -> None:
        self.recording = recording
        self.ports = ports_of(recording)
        self.shared, self.equal, self.alike = SharedEntries(), EqualEntries(), AlikeEntries()

    def reading(self, name: str, document: EbpfMaps) -> Reading:
        own = local_addresses(node_of(self.recording, name), ())
        replaces = not self.recording.startswith("beside-")
        return self.shared.reading(document, own, replaces_kube_proxy=replaces)

    def differences(self, name: str, document: EbpfMaps) -> tuple[Difference, ...]:
        reading = self.reading(name, document)
        node = cilium_node(
            node_of(self.recording, name),
            (),
            reading.maps,
            replaces_kube_proxy=reading.kind[1],
            follows_topology=False,
        )
        wanted = expected_for_cilium(self.ports, node, self.alike)
        found = reading.table(node, wanted.entries)
        differences = compare(wanted, found, self.equal)
        self.shared.keep(reading, found, (each.frontend for each in differences))
        return tuple(differences)


def alone(recording: str, name: str, document: EbpfMaps) -> tuple[Difference, ...]:
    return Reader(recording).differences(name, document)


def of_services(recording: str, name: str = "td-w1") -> EbpfMaps:
    found = maps_of(recording, name)
    return EbpfMaps("little", [each for each in found.maps if NAMES.fullmatch(each.name)])


def outcome(reader: Reader, name: str, document: EbpfMaps) -> object:
    """The differences, or the reason why the maps are not readable."""
    try:
        return set(reader.differences(name, document))
    except ParseError as error:
        return str(error)


@pytest.mark.parametrize("recording", RECORDINGS)
def test_each_node_differs_as_it_does_alone(recording: str) -> None:
    reader = Reader(recording)
    for name in (*NODES, *reversed(NODES)):
        document = maps_of(recording, name)
        found = reader.differences(name, document)
        assert set(found) == set(alone(recording, name, document))


def test_a_fault_of_every_node_is_found_on_every_node_with_its_own_numbers() -> None:
    document = of_services("agent-stopped")
    reader = Reader("agent-stopped")
    reader.differences("td-w2", maps_of("agent-stopped", "td-w2"))
    for seed in range(3):
        other = renumbered(document, random.Random(seed))
        found = reader.differences("td-w1", other)
        assert found
        assert set(found) == set(alone("agent-stopped", "td-w1", other))


def test_a_node_that_has_only_other_numbers_is_not_read_again() -> None:
    reader = Reader()
    reader.differences("td-w1", of_services("healthy"))
    other = renumbered(of_services("healthy"), random.Random(1))
    reading = reader.reading("td-w1", other)
    assert reading.addresses is not None
    assert WEB not in reading.addresses
    assert WEB not in {each.address for each in reading.maps.frontends}
    assert WEB in {each.address for each in reading.known}


def test_what_was_redirected_on_one_node_is_read_there_and_on_the_next() -> None:
    healthy, reader = of_services("healthy"), Reader()
    for document in (healthy, redirected(healthy, 4, random.Random(2)), healthy):
        found = reader.differences("td-w1", document)
        assert set(found) == set(alone("healthy", "td-w1", document))


def test_every_damage_is_found_as_on_a_single_node() -> None:
    healthy, chance = of_services("healthy"), random.Random(7)
    reader = Reader()
    reader.differences("td-w1", healthy)
    found = []
    for _ in range(60):
        document = renumbered(healthy, chance) if chance.random() < 0.3 else healthy
        damaged = with_one_other_byte(document, chance)
        found.append(outcome(reader, "td-w1", damaged))
        assert found[-1] == outcome(Reader(), "td-w1", damaged)
        assert outcome(reader, "td-w1", healthy) == set()
    assert sum(map(bool, found)) > len(found) // 4


@pytest.mark.parametrize("before", ["td-w1", "td-w2"])
def test_a_node_port_that_is_missing_is_found_whatever_node_was_read_before(before: str) -> None:
    reader = Reader()
    reader.differences(before, of_services("healthy", before))
    node_port = bytes([172, 29, 0, 11]) + (30080).to_bytes(2, "big")
    document = without(of_services("healthy"), "cilium_lb4_services_v2", [node_port])
    found = reader.differences("td-w1", document)
    assert {each.frontend.port for each in found} == {30080}
    assert set(found) == set(alone("healthy", "td-w1", document))


def test_an_address_that_is_the_nodes_own_is_read_there_and_on_the_next_node() -> None:
    reader, document = Reader(), of_services("healthy")
    reader.differences("td-w1", document)
    reading = reader.shared.reading(document, {WEB}, replaces_kube_proxy=True)
    assert WEB in (reading.addresses or ())
    assert WEB not in {each.address for each in reading.known}


def without(document: EbpfMaps, name: str, keys: Iterable[bytes]) -> EbpfMaps:
    """The same without the entries whose keys begin so."""
    (of,) = (each for each in document.maps if each.name == name)
    entries = [each for each in entries_of(of) if not each.startswith(tuple(keys))]
    other = of.with_data(b"".join(entries))
    return replace(document, maps=[other if each is of else each for each in document.maps])


def entries_of(found: EbpfMap) -> list[bytes]:
    data, size = found.data, found.key_size + found.value_size
    return [data[at : at + size] for at in range(0, len(data), size)]


def with_one_other_byte(document: EbpfMaps, chance: random.Random) -> EbpfMaps:
    of = chance.choice([each for each in document.maps if each.count])
    data = bytearray(of.data)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    other = of.with_data(bytes(data))
    return replace(document, maps=[other if each is of else each for each in document.maps])
