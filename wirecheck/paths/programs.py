"""Programs and filters on a device: eBPF, XDP and tc meet packets before and after the IP layer."""

from __future__ import annotations

from wirecheck.network.plugin import Attachment
from wirecheck.node.device_programs import OBSERVERS, described, has_prefix, programs_on
from wirecheck.node.firewall import CALICO_EBPF
from wirecheck.node.netns import Interface
from wirecheck.paths.journey import Journey
from wirecheck.paths.place import Place
from wirecheck.snapshot.netns import DeviceProgram

INGRESS = frozenset({"tc ingress", "tcx ingress", "xdp", "netkit peer"})
DROPPING = "drop"


def past_programs(journey: Journey, device: Interface, direction: str) -> Journey:
    """The journey past the programs of a device at `ingress` or `egress`."""
    if why := _unread_programs(journey.at.place):
        return journey.undecided(f"{direction} of {device.name}", why)
    for each in programs_on(journey.at.place.netns, device):
        if _is_observer(each) or each.hook == "qdisc":
            continue
        if (each.hook in INGRESS) is not (direction == "ingress"):
            continue
        line = f"{device.name}: {described(each)}"
        if each.kind == "matchall" and each.name == DROPPING:
            journey = journey.refused(f"{direction} of {device.name}", "a filter drops it", line)
            if journey.result is not None:
                return journey
            continue
        why = _why_unknown(journey.at.place, each)
        return journey.undecided(f"{direction} of {device.name}", why, line)
    return journey


def _why_unknown(place: Place, program: DeviceProgram) -> str:
    """Why the program leaves open what becomes of a packet."""
    plugin = place.machine.seen.cni
    if any(has_prefix(program.name, each) for each in plugin.pod_programs):
        maps = "maps" if place.machine.policy_maps.is_in_use else "policies and maps"
        return f"the program of {plugin} decides by its {maps}, which are not followed"
    return "it is not known what the program does with the packet"


def _unread_programs(place: Place) -> str:
    """Why programs may forward packets past everything that was read; empty if none does."""
    seen = place.machine.seen
    if not place.is_host or place.netns.record.programs is not None:
        return ""
    is_ebpf = seen.cni.attachment is Attachment.EBPF
    is_ebpf |= any(each.name == CALICO_EBPF for each in place.netns.interfaces)
    return f"programs of {seen.cni} forward packets, and were not read" if is_ebpf else ""


def _is_observer(program: DeviceProgram) -> bool:
    prefixes = (prefix for own in OBSERVERS.values() for prefix in own)
    return program.kind == "bpf" and any(has_prefix(program.name, each) for each in prefixes)
