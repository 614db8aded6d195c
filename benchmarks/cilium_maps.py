"""The maps that Cilium's own load balancer programs for many Services, on one node and on others.

Agents number backends and frontends in the order in which they hear of them, so the same Services
have other numbers, and other bytes, on every node.
"""

from __future__ import annotations

import gzip
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import structs

from benchmarks import service_objects
from testbed import components
from testbed.commands import TestbedError
from testbed.referee.cilium_process import LOAD_BALANCER, CiliumProcess, cilium_process
from testbed.referee.scene import Scene
from testbed.state import state
from wirecheck.dataplane.ebpf.layouts import LAYOUTS, Subject
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.objects.config_map import ConfigMapObject
from wirecheck.snapshot.objects.metadata import Metadata

_NODE = Path(__file__).parents[1] / "tests/recorded/networks/cilium-healthy/look-1/nodes"
SETTINGS = ConfigMapObject(
    Metadata("cilium-config", namespace="kube-system"),
    {"kube-proxy-replacement": "true", "enable-service-topology": "false"},
)
ROOM = ("--bpf-lb-map-max=262144",)
PAUSE, PATIENCE = 5.0, 900.0


def programmed(services: int, endpoints: int, of_nodes: int) -> NodeDocument:
    """A recorded node of Cilium's, with the maps of so many Services."""
    scene = Scene(
        service_objects.nodes(1)[0],
        tuple(service_objects.services(services)),
        tuple(service_objects.endpoint_slices(services, endpoints, of_nodes)),
    )
    program = components.build(LOAD_BALANCER, state())
    address = service_objects.node_address(0)
    with (
        tempfile.TemporaryDirectory() as folder,
        cilium_process(program, Path(folder), [address], ROOM) as process,
    ):
        process.bring(scene)
        _wait_until_settled(process)
        began, clock = time.process_time(), time.monotonic()
        maps = process.maps()
        seconds = time.monotonic() - clock
        click.echo(f"  read with {time.process_time() - began:.2f} s of CPU in {seconds:.2f} s")
    document = msgspec.json.decode(
        gzip.decompress((_NODE / "td-w1.json.gz").read_bytes()), type=NodeDocument
    )
    return structs.replace(document, ebpf=maps, seconds={"eBPF maps": seconds})


def _wait_until_settled(process: CiliumProcess) -> None:
    """Wait until two looks in a row show as many entries."""
    before, limit = -1, time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        entries = sum(each.count for each in process.maps().maps)
        if entries and entries == before:
            return
        before = entries
        time.sleep(PAUSE)
    raise TestbedError(f"Cilium's load balancer is not ready after {PATIENCE:.0f} s")


def renumbered(maps: EbpfMaps, chance: random.Random) -> EbpfMaps:
    """The same maps, as another agent has numbered them."""
    backends = _shuffled({row[0] for row in _rows(maps, Subject.BACKENDS)}, chance)
    frontends = _shuffled({row[0] for row in _rows(maps, Subject.REVERSE_NAT)}, chance)

    def change(subject: Subject, row: tuple[Any, ...]) -> tuple[Any, ...]:
        match subject:
            case Subject.BACKENDS:
                return (backends[row[0]], *row[1:])
            case Subject.REVERSE_NAT:
                return (frontends[row[0]], *row[1:])
            case Subject.SERVICES:
                first = backends.get(row[5], row[5]) if row[2] else row[5]
                return (*row[:5], first, row[6], frontends.get(row[7], row[7]), *row[8:])
        return row

    return _changed(maps, change)


def redirected(maps: EbpfMaps, count: int, chance: random.Random) -> EbpfMaps:
    """The same, with another backend in a slot of `count` Services."""
    slots = [row for row in _rows(maps, Subject.SERVICES) if row[2]]
    others = [row[0] for row in _rows(maps, Subject.BACKENDS)]
    chosen = {row[:5] for row in chance.sample(slots, min(count, len(slots)))}

    def change(subject: Subject, row: tuple[Any, ...]) -> tuple[Any, ...]:
        if subject is Subject.SERVICES and row[:5] in chosen:
            return (*row[:5], chance.choice(others), *row[6:])
        return row

    return _changed(maps, change)


def _shuffled(numbers: set[int], chance: random.Random) -> Mapping[int, int]:
    known = sorted(numbers)
    return dict(zip(known, chance.sample(known, len(known)), strict=True))


def _rows(maps: EbpfMaps, subject: Subject) -> Iterator[tuple[Any, ...]]:
    for each in maps.maps:
        layout = LAYOUTS[each.name, each.key_size, each.value_size]
        if layout.subject is subject:
            yield from layout.entries(maps.byte_order).iter_unpack(each.data)


def _changed(maps: EbpfMaps, change: Any) -> EbpfMaps:
    return structs.replace(maps, maps=[_map(each, maps.byte_order, change) for each in maps.maps])


def _map(found: EbpfMap, byte_order: str, change: Any) -> EbpfMap:
    layout = LAYOUTS[found.name, found.key_size, found.value_size]
    form = layout.entries(byte_order)
    rows = form.iter_unpack(found.data)
    return found.with_data(
        b"".join(sorted(form.pack(*change(layout.subject, row)) for row in rows))
    )
