"""The recorded maps of Cilium's nodes, with the API objects of the same moment."""

import gzip
from functools import cache
from pathlib import Path

import msgspec

from wirecheck.api_index.cilium_services import cilium_ports
from wirecheck.api_index.endpoint_slices import slices_by_service
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference
from wirecheck.dataplane.compare.summary import summarised
from wirecheck.dataplane.ebpf.maps import CiliumMaps, cilium_maps
from wirecheck.dataplane.ebpf.node_view import CiliumNode, cilium_node
from wirecheck.dataplane.ebpf.reader import read_cilium
from wirecheck.dataplane.expected.cilium import expected_for_cilium
from wirecheck.dataplane.table import ServiceTable
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.ebpf_maps import EbpfMaps
from wirecheck.snapshot.objects.node import NodeObject

FOLDER = Path(__file__).parents[2] / "recorded"
NODES = ("td-cp", "td-w1", "td-w2")


@cache
def maps_of(recording: str, node: str) -> EbpfMaps:
    data = gzip.decompress((FOLDER / "cilium-maps" / recording / f"{node}.json.gz").read_bytes())
    return msgspec.json.decode(data, type=EbpfMaps)


@cache
def api_of(recording: str) -> ApiObjects:
    file = FOLDER / "networks" / f"cilium-{recording}" / "look-1" / "api.json.gz"
    return msgspec.json.decode(gzip.decompress(file.read_bytes()), type=ApiObjects)


def node_of(recording: str, name: str) -> NodeObject:
    return next(each for each in api_of(recording).nodes if each.metadata.name == name)


def view_of(recording: str, name: str, maps: CiliumMaps) -> CiliumNode:
    return cilium_node(
        node_of(recording, name),
        (),
        maps,
        replaces_kube_proxy=not recording.startswith("beside-"),
        follows_topology=False,
    )


def tables_of(
    recording: str, name: str, maps: CiliumMaps | None = None
) -> tuple[ServiceTable, ServiceTable]:
    """What the API asks of a node, and what its maps, or those given, do."""
    maps = maps or cilium_maps(maps_of(recording, name))
    api, problems = api_of(recording), []
    ports = cilium_ports(api.services, slices_by_service(api.endpoint_slices), problems)
    assert not problems
    view = view_of(recording, name, maps)
    wanted = expected_for_cilium(ports, view)
    return wanted, read_cilium(maps, view, wanted.entries)


def differences(
    recording: str, name: str, maps: CiliumMaps | None = None
) -> tuple[Difference, ...]:
    wanted, found = tables_of(recording, name, maps)
    assert wanted.entries
    return summarised(wanted, compare(wanted, found)).single
