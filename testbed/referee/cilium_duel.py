"""Cilium's load balancing control plane against what wirecheck expects, over many scenes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path

import msgspec

from testbed.commands import TestbedError
from testbed.referee.cilium_dump import differences, in_order, of_dump
from testbed.referee.cilium_process import VERSION, CiliumProcess, cilium_process
from testbed.referee.duel import Course, Score, count, refuse_nothing
from testbed.referee.node_object import ADDRESSES, FURTHER
from testbed.referee.random_scenes import random_scenes
from testbed.referee.scene import Object, Scene
from wirecheck.api_index.cilium_services import CiliumPort, cilium_ports
from wirecheck.api_index.endpoint_slices import slices_by_service
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.summary import Summary, summarised
from wirecheck.dataplane.ebpf.maps import CiliumMaps, Place, cilium_maps
from wirecheck.dataplane.ebpf.node_view import CiliumNode, cilium_node
from wirecheck.dataplane.ebpf.reader import read_cilium
from wirecheck.dataplane.expected.cilium import expected_for_cilium
from wirecheck.dataplane.table import Frontend, ServiceTable
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.service import ServiceObject

MODE = "cilium"
SETTINGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "topology": ("--enable-service-topology",),
}
"""How the control plane is started, one after the other."""
NODE_PORTS_AT = (*ADDRESSES, FURTHER[0], FURTHER[2])
"""The addresses of the node's devices, as Cilium sees them."""
PATIENCE, LOOKS, PAUSE = 120.0, 8, 0.5
_LEFT_OUT = ("service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless")
"""Labels of objects that Cilium does not ask the API for."""


@dataclass(frozen=True)
class CiliumSight:
    """One look: the API and the maps, and what becomes of them."""

    scene: Scene
    maps: CiliumMaps
    follows_topology: bool

    @cached_property
    def node(self) -> CiliumNode:
        """The node; Cilium's load balancer alone knows no label of it."""
        node = msgspec.convert(self.scene.node, NodeObject)
        own = (*ADDRESSES, *FURTHER)
        topology = self.follows_topology
        view = cilium_node(
            node, own, self.maps, replaces_kube_proxy=True, follows_topology=topology
        )
        return replace(view, zone="")

    @cached_property
    def ports(self) -> tuple[CiliumPort, ...]:
        """What the API asks for."""
        services = msgspec.convert(self.scene.services, tuple[ServiceObject, ...])
        slices = msgspec.convert(self.scene.slices, tuple[EndpointSliceObject, ...])
        problems: list[str] = []
        found = cilium_ports(services, slices_by_service(slices), problems)
        if problems:
            raise TestbedError(problems[0])
        return found

    @cached_property
    def wanted(self) -> ServiceTable:
        """The handling that the API asks for."""
        return expected_for_cilium(self.ports, self.node)

    def is_doubtful(self, place: Place) -> bool:
        """Whether several handlings of a frontend are right."""
        address = self.node.frontend_address(place.family, place.address)
        places = {address, place.address}
        return any(
            Frontend(place.family, each, place.protocol, place.port) in self.wanted.ambiguous
            for each in places
        )

    @cached_property
    def summary(self) -> Summary:
        """The comparison of the maps with the API."""
        wanted = self.wanted
        found = read_cilium(self.maps, self.node, wanted.entries)
        return summarised(wanted, compare(wanted, found))

    @cached_property
    def disagreements(self) -> tuple[str, ...]:
        """Everything that differs, as lines with both sides."""
        lines = [
            f"{each.kind}: {each.frontend} of {each.owner} for {', '.join(each.clients)}\n"
            f"    expected: {each.expected}\n       found: {each.found}"
            for each in self.summary.single
        ]
        lines += [f"{each.kind}: {each.extent}: {each.found}" for each in self.summary.common]
        return tuple(lines)


def for_cilium(drawn: Scene) -> Scene:
    """The scene as Cilium reads it from the API, and in the one way that it reads alike.

    Cilium ignores a source range with a blank in front, which the API server accepts.
    """
    services = tuple(_without_blanks(each) for each in drawn.services if _is_asked_for(each))
    slices = tuple(each for each in drawn.slices if _is_asked_for(each))
    return replace(drawn, services=services, slices=slices)


def _is_asked_for(each: Object) -> bool:
    return not any(label in each["metadata"]["labels"] for label in _LEFT_OUT)


def _without_blanks(service: Object) -> Object:
    ranges = service["spec"].get("loadBalancerSourceRanges")
    if not ranges:
        return service
    spec = {**service["spec"], "loadBalancerSourceRanges": [each.strip() for each in ranges]}
    return {**service, "spec": spec}


def play(
    program: Path, folder: Path, course: Course
) -> Iterator[tuple[Score, CiliumSight, tuple[str, ...]]]:
    """Each scene as it is played, with the score so far and what disagrees."""
    score = Score(VERSION, MODE, course.seed)
    turn = 0
    while score.services < course.services:
        name = list(SETTINGS)[turn % len(SETTINGS)]
        drawn = islice(
            random_scenes(course.seed + turn, course.size, contested=False),
            course.scenes_in_a_row,
        )
        with cilium_process(program, folder, NODE_PORTS_AT, SETTINGS[name]) as process:
            before = None
            for scene in map(for_cilium, drawn):
                process.bring(scene)
                sight = _settled(process, scene, follows_topology=name == "topology")
                wrong = (*sight.disagreements, *_wrong_dump(process))
                count(score, before, scene, sight.summary.compared)
                score.disagreements += len(wrong)
                yield score, sight, wrong
                before = scene
        turn += 1


def _settled(process: CiliumProcess, scene: Scene, *, follows_topology: bool) -> CiliumSight:
    """The first look without a disagreement, or the last of several with the same one."""
    limit = time.monotonic() + PATIENCE
    before: tuple[str, ...] = ()
    same = 0
    while time.monotonic() < limit:
        sight = CiliumSight(scene, in_order(cilium_maps(process.maps())), follows_topology)
        if not sight.disagreements:
            refuse_nothing(scene, sight.summary.compared)
            return sight
        same = same + 1 if sight.disagreements == before else 0
        if same >= LOOKS:
            return sight
        before = sight.disagreements
        time.sleep(PAUSE)
    raise TestbedError(f"Cilium's maps change for {PATIENCE:.0f} s: {process.log()}")


def _wrong_dump(process: CiliumProcess) -> list[str]:
    """What its own dump has otherwise: the maps may still change, so several are tried."""
    found: list[str] = []
    for _ in range(LOOKS):
        theirs = of_dump(process.dump())
        found = differences(in_order(cilium_maps(process.maps())), theirs)
        if not found:
            break
        time.sleep(PAUSE)
    return [f"dump: {each}" for each in found]
