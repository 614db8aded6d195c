"""The CNI plugin's programs on the devices of one node's pods, which handle what the pods send.

They choose the backends of Services, enforce policies and forward, before any rule or route of the
node. Where a pod's device has lost its program, its packets take the node's routes instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.network.plugin import Attachment
from wirecheck.node.device_programs import described, has_prefix
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.node.veth import Veth
from wirecheck.snapshot.netns import DeviceProgram
from wirecheck.text import plural

VETH = "veth"
NO_PROGRAM = "no such program"
"""How the finding about a pod's device without its program begins. Packets still pass."""


@dataclass(frozen=True)
class MissingProgram:
    """A pod's device without the program that others have."""

    ref: Ref
    device: str
    expected: str
    found: str


@dataclass(frozen=True)
class PodPrograms:
    """The programs of one node's CNI plugin that handle what its pods send."""

    seen: NodeSeen
    namespaces: PodNamespaces

    @cached_property
    def _found(self) -> dict[int, DeviceProgram]:
        """The programs by the index of their device; none in old recordings."""
        prefixes = self.seen.cni.pod_programs
        return {
            each.index: each
            for each in self.seen.host.record.programs or ()
            if any(has_prefix(each.name, prefix) for prefix in prefixes)
        }

    def is_missing_on(self, index: int) -> bool:
        """Whether a device of the node has no program, although others have theirs."""
        return bool(self._found) and index not in self._found

    @property
    def are_in_use(self) -> bool:
        """Whether a device of the node has one, or may have one in an old recording."""
        if self.seen.host.record.programs is not None:
            return bool(self._found)
        names = {each.name for each in self.seen.host.interfaces}
        return self.seen.cni.attachment is Attachment.EBPF and bool(
            names.intersection(self.seen.cni.devices_in_use)
        )

    @property
    def forwards_for_pods(self) -> str:
        """What the programs forward in the place of kube-proxy, as a sentence; empty if nothing.

        Cilium forwards pods' connections to cluster IPs and external IPs also where it leaves
        those of nodes, node ports and load balancers to kube-proxy.
        """
        plugin = self.seen.cni
        if not self.are_in_use:
            return ""
        return f"{plugin} forwards connections of pods to cluster IPs and external IPs"

    @property
    def why_not_by_kube_proxy(self) -> str:
        """Why kube-proxy's rules do not meet what pods send to Services; empty if they do."""
        if not self.forwards_for_pods:
            return ""
        return (
            f"connections of pods to cluster IPs and external IPs, which {self.seen.cni} forwards "
            "by its eBPF maps: these were not read"
        )

    @property
    def missing(self) -> Iterator[MissingProgram]:
        """The pods' devices without a program.

        Raises NotApplicable where the plugin has none, or they were not read.
        """
        plugin, pairs = self.seen.cni, tuple(self._pairs)
        having = [device for _, device, index in pairs if index in self._found]
        if not having and plugin.attachment is not Attachment.EBPF:
            return
        self.seen.required(
            self.seen.host.record.programs,
            Fact.DEVICE_PROGRAMS,
            f"{plugin} forwards to pods without a bridge or host route, and the programs on their "
            "devices were not read",
        )
        if not pairs:
            raise NotApplicable(
                f"{plugin} forwards to pods without a bridge or host route, and no pod of the node "
                f"has a device that is named as {plugin} names them"
            )
        if not having:
            yield self._none_at_all(pairs)
            return
        example = described(next(iter(self._found.values())))
        for pair, device, index in pairs:
            if index not in self._found:
                others = plural(len(having), "other pod")
                yield MissingProgram(
                    pair.ref,
                    device,
                    f"{example.partition(' (')[0]} on {device}, as on the devices of {others}",
                    f"{NO_PROGRAM}: the pod's packets take the node's routes, past {plugin} and "
                    "its policies",
                )

    def _none_at_all(self, pairs: Sequence[tuple[Veth, str, int]]) -> MissingProgram:
        """Raises NotApplicable for netkit, whose programs not every kernel lists."""
        plugin = self.seen.cni
        veths = [name for pair, name, _ in pairs if pair.outer and pair.outer.link.kind == VETH]
        if not veths:
            raise NotApplicable(f"no netkit device of a pod shows a program of {plugin}")
        return MissingProgram(
            replace(self.seen.ref, part="programs of pods' devices"),
            veths[0],
            f"a program of {plugin} on the device of each pod",
            f"{NO_PROGRAM} on {plural(len(veths), 'device')} of pods: their packets take the "
            f"node's routes, past {plugin} and its policies",
        )

    @property
    def _pairs(self) -> Iterator[tuple[Veth, str, int]]:
        """Pairs whose device on the node has a name of the plugin, with that name and the index.

        Pods from before the plugin was installed have other names, or are on a bridge.
        """
        for each in self.namespaces.veths:
            if each.outer and not each.master:
                name = each.outer.name
                if name.startswith(self.seen.cni.pod_interfaces):
                    yield each, name, each.outer.index
