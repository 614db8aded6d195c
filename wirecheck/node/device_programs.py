"""Programs and filters on pods' interfaces and on tunnel devices, and who attached them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from wirecheck.api_index.grouping import grouped
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Ref
from wirecheck.network.plugin import Attachment
from wirecheck.network.registry import PLUGINS
from wirecheck.node.netns import Interface, Netns
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.netns import DeviceProgram
from wirecheck.text import listed

KEPT_CHARACTERS = 15
"""The kernel cuts the names of programs; filters of tc keep them."""

OBSERVERS = {
    "Retina": ("endpoint_ingress_filter", "endpoint_egress_filter", "host_ingress_filter"),
    "NetObserv": ("tc_ingress_flow_parse", "tc_egress_flow_parse", "tcx_ingress_", "tcx_egress_"),
}
"""Programs that only observe: https://github.com/microsoft/retina and
https://github.com/netobserv/netobserv-ebpf-agent."""

HOOKS_OF_DIRECTIONS = frozenset({"tc ingress", "tcx ingress", "tc egress", "tcx egress"})
"""The kernel runs all programs of both kinds at ingress, and all at egress."""

SHOWN = 5

STEM = re.compile(r"(?:from|to)[-_](?:con|net|hos|ove)")
"""What Cilium's old and new names of a program have in common: `bpf_lxc.o:[from-container]`,
`cil_from_container`, which the kernel cuts to `cil_from_contai`."""


@dataclass(frozen=True)
class Attached:
    """A program on one interface of a pod or of the node."""

    program: DeviceProgram
    place: str
    """`veth12 (pod shop/web)`, `eth0 of pod shop/web`, `flannel.1`."""
    is_of_virtual_machine: bool = False

    @property
    def name(self) -> str:
        """`program tc_drop`, `u32 filter (drop)`, `netem queue`."""
        return name_of(self.program)


@dataclass(frozen=True)
class UnexpectedProgram:
    """One program, on all the interfaces of the node on which it is not expected."""

    ref: Ref
    expected: str
    found: str
    evidence: tuple[str, ...]
    inconclusive: str
    device: str
    """The first of these interfaces, if it is on the node."""


@dataclass(frozen=True)
class DoubledProgram:
    """One program that is attached several times, on all the devices where it is."""

    ref: Ref
    expected: str
    found: str
    evidence: tuple[str, ...]
    device: str
    """The first of these devices, if it is on the node."""


@dataclass(frozen=True)
class DevicePrograms:
    """The programs of one node's pods and tunnels. Raises NotApplicable in old recordings."""

    seen: NodeSeen
    namespaces: PodNamespaces

    @property
    def unexpected(self) -> Iterator[UnexpectedProgram]:
        """Programs that belong to no CNI plugin of the node, by name and hook."""
        groups: dict[tuple[str, str], list[Attached]] = {}
        for each in self._attached:
            if not self._is_expected(each):
                groups.setdefault((each.name, each.program.hook), []).append(each)
        for (name, hook), found in groups.items():
            yield self._of(name, hook, found)

    @property
    def doubled(self) -> Iterator[DoubledProgram]:
        """Programs of a plugin that are attached several times to one device in one direction."""
        by_device = grouped(
            ((each.place, stem_of(each.program), each.program.hook.rpartition(" ")[2]), each)
            for each in self._attached
            if each.program.hook in HOOKS_OF_DIRECTIONS and self._is_of_plugin(each.program)
        )
        doubled = grouped(
            ((stem, way), found) for (_, stem, way), found in by_device.items() if len(found) > 1
        )
        for (_, way), of in doubled.items():
            yield self._doubled(way, of)

    def _doubled(self, way: str, of: Sequence[Sequence[Attached]]) -> DoubledProgram:
        first = of[0]
        name, where = first[0].name, listed([each[0].place for each in of], SHOWN)
        shown = (f"{each.place}: {described(each.program)}" for found in of for each in found)
        return DoubledProgram(
            self.seen.part(f"{name} ({way})"),
            expected=f"one such program at {way} of each device",
            found=f"{name} {len(first)} times at {way} of {where}",
            evidence=tuple(islice(shown, SHOWN)),
            device=_device_in(first[0].place),
        )

    def _is_of_plugin(self, program: DeviceProgram) -> bool:
        prefixes = [prefix for own in self._plugins.values() for prefix in own]
        return program.kind == "bpf" and any(has_prefix(program.name, p) for p in prefixes)

    def _of(self, name: str, hook: str, found: list[Attached]) -> UnexpectedProgram:
        places = listed([each.place for each in found], SHOWN)
        drops = sum(each.program.drops for each in found)
        dropped = f"; filters dropped {drops:,} packets there" if drops else ""
        return UnexpectedProgram(
            self.seen.part(f"{name} ({hook})"),
            expected=f"only programs of {listed(sorted(self._plugins), SHOWN)}",
            found=f"{name}{self._owner(name)} on {places}{dropped}",
            evidence=tuple(f"{each.place}: {described(each.program)}" for each in found[:SHOWN]),
            inconclusive="" if self._is_known(found[0]) else "programs of an unknown CNI plugin",
            device=_device_in(found[0].place),
        )

    @cached_property
    def _attached(self) -> tuple[Attached, ...]:
        programs = self.seen.required(
            self.seen.host.record.programs,
            Fact.DEVICE_PROGRAMS,
            "programs of interfaces were not read on this node",
        )
        on_device = grouped((each.index, each) for each in programs)
        found = []
        for veth in self.namespaces.veths:
            pod = f"pod {veth.pod.namespace}/{veth.pod.name}"
            kinds = {each.link.kind for each in veth.netns.interfaces}
            is_virtual = bool(kinds & {"tun", "macvtap"})
            found += [
                Attached(each, f"{veth.inner.name} of {pod}", is_virtual)
                for each in programs_on(veth.netns, veth.inner)
            ]
            if outer := veth.outer:
                place = f"{outer.name} ({pod})"
                found += [Attached(each, place) for each in on_device.get(outer.index, ())]
        for device in self.seen.host.interfaces:
            if device.is_tunnel:
                found += [Attached(each, device.name) for each in on_device.get(device.index, ())]
        return tuple(found)

    @cached_property
    def _plugins(self) -> dict[str, tuple[str, ...]]:
        """The prefixes of programs by plugin: the node's own, and those with agents beside it."""
        agents = (self.seen.cni, *self.seen.cluster.cni_agents)
        return {each.name: each.programs for each in agents}

    def _is_expected(self, each: Attached) -> bool:
        if each.program.kind != "bpf":
            # Kata passes packets between eth0 and its tap device with filters that redirect.
            return each.is_of_virtual_machine and each.program.kind != "netem"
        prefixes = [*self._plugins.values(), *OBSERVERS.values()]
        return any(has_prefix(each.program.name, prefix) for own in prefixes for prefix in own)

    def _is_known(self, each: Attached) -> bool:
        """Whether the plugin is known; an unknown one may attach any program."""
        is_unknown = self.seen.cni.attachment is Attachment.UNKNOWN
        return not is_unknown or each.program.kind != "bpf"

    def _owner(self, name: str) -> str:
        """The plugin that uses such a name, if it is not one of this node."""
        own = name.removeprefix("program ")
        owners = [each.name for each in PLUGINS if any(has_prefix(own, p) for p in each.programs)]
        return f", as {' or '.join(owners)} names its programs," if owners else ""


def programs_on(netns: Netns, interface: Interface) -> list[DeviceProgram]:
    """The programs on one interface; none in old recordings."""
    return [each for each in netns.record.programs or () if each.index == interface.index]


def _device_in(place: str) -> str:
    """The device on the node; empty for a pod's own interface, which is in its netns."""
    return "" if " of pod " in place else place.partition(" ")[0]


def stem_of(program: DeviceProgram) -> str:
    """The part of the name that all versions of the program share."""
    found = STEM.search(program.name)
    return found[0].replace("-", "_") if found else program.name[:KEPT_CHARACTERS]


def described(program: DeviceProgram) -> str:
    """`tc ingress: program cil_from_container (id 1234)`."""
    identity = f" (id {program.id})" if program.id else ""
    drops = f", {program.drops:,} packets dropped" if program.drops else ""
    return f"{program.hook}: {name_of(program)}{identity}{drops}"


def name_of(program: DeviceProgram) -> str:
    """`program tc_drop`, `u32 filter (drop)`, `netem queue`."""
    if program.kind == "bpf":
        return f"program {program.name or 'without a name'}"
    if program.hook == "qdisc":
        return f"{program.kind} queue"
    return f"{program.kind} filter" + (f" ({program.name})" if program.name else "")


def has_prefix(name: str, prefix: str) -> bool:
    """Return whether the name begins with the prefix, as far as the kernel kept it."""
    return bool(name) and (
        name.startswith(prefix) or (len(name) == KEPT_CHARACTERS and prefix.startswith(name))
    )
