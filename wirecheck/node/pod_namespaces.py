"""The netns and the veth pair of each pod on a node, and those that no pod uses any more."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.network.plugin import Attachment
from wirecheck.node.netns import Netns
from wirecheck.node.seen import NodeSeen
from wirecheck.node.veth import Orphan, Veth, orphans
from wirecheck.snapshot.node_document import PodProcesses
from wirecheck.text import plural

RUNTIMES_NETNS = re.compile(
    r"/netns/(cni-)?[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$|/docker/netns/"
)
"""Where containerd, CRI-O and Docker mount the namespaces that they create."""


@dataclass(frozen=True)
class PodNamespaces:
    """The network namespaces of one node's pods, found by their processes."""

    seen: NodeSeen

    @cached_property
    def _netns_by_inode(self) -> Mapping[int, Netns]:
        return {each.inode: Netns(each) for each in self.seen.facts.namespaces}

    @cached_property
    def _processes_by_uid(self) -> Mapping[str, PodProcesses]:
        return {each.uid: each for each in self.seen.pod_processes}

    def processes_of(self, pod: Pod) -> PodProcesses | None:
        """Return what /proc shows of the pod, or None where no process belongs to it."""
        return self._processes_by_uid.get(pod.cgroup_uid)

    def netns_of(self, pod: Pod) -> Netns | None:
        """Return the pod's netns, or None where its processes have none of their own.

        A pod on the host network has the node's netns, whatever other netns its processes create.
        """
        processes = self.processes_of(pod)
        if processes is None or processes.inode == self.seen.host.inode or pod.on_host_network:
            return None
        return self._netns_by_inode.get(processes.inode)

    def why_hidden(self, pod: Pod) -> str:
        """Return why the pod's network is not that of its netns; empty if it is."""
        if pod.sandbox or not pod.has_own_netns:
            return pod.why_hidden
        netns = self.netns_of(pod)
        if netns is None or netns.record.error or not netns.has_virtual_machine:
            return ""
        return "pods with a virtual machine in their netns, which has the pod's address"

    @property
    def hidden(self) -> Iterator[tuple[Pod, str]]:
        """Pods whose network cannot be seen from the node, with the reason."""
        for pod in self.seen.pods:
            if why := self.why_hidden(pod):
                yield pod, why

    @cached_property
    def _why_unmapped(self) -> str:
        """Why no pod can be mapped to a netns on this node; empty if some can.

        The kubelet creates no cgroup for each pod with --cgroups-per-qos=false, and rootless
        runtimes cannot. Then nothing connects a process to its pod.
        """
        seen = self.seen
        running = [pod for pod in seen.pods if pod.is_running]
        if not running or seen.pod_processes or seen.facts.closed_processes:
            return ""
        return (
            f"None of the {plural(len(running), 'running pod')} of {seen.name} can be mapped to "
            "its processes: no cgroup path contains the uid of a pod, as with the kubelet's "
            "--cgroups-per-qos=false and with rootless runtimes. Nothing about pods is known here."
        )

    def require_pods(self) -> None:
        """Raise FactMissingError if no pod can be mapped to a netns on this node."""
        facts = self.seen.facts
        if not self.seen.pod_processes and (problem := facts.problem_with(Fact.PROCESSES)):
            raise FactMissingError(f"{self.seen.name}: {problem}")
        if self._why_unmapped:
            raise FactMissingError(self._why_unmapped)

    def require_own_netns(self) -> None:
        """Raise NotApplicable if the node has no pod with a netns of its own.

        On nodes of the control plane all pods can be on the host network.
        """
        self.require_pods()
        if not any(pod.has_own_netns for pod in self.seen.pods):
            raise NotApplicable("no pod of the node has a network namespace of its own")

    def why_no_netns(self, pod: Pod) -> str:
        """Return why the pod has no netns. Raises FactMissingError where that is unknown."""
        self.require_pods()
        processes = self.processes_of(pod)
        closed, name = self.seen.facts.closed_processes, self.seen.name
        if processes is None and closed:
            raise FactMissingError(
                f"{plural(closed, 'process', 'processes')} on {name} could not be read: "
                "the visit needs root on the host, with CAP_SYS_PTRACE."
            )
        if processes is None:
            return f"no process on {name} belongs to it"
        if processes.inode == self.seen.host.inode:
            return "its processes are in the node's own netns"
        return f"its netns {processes.inode} could not be entered"

    @property
    def pods_with_netns(self) -> Iterator[tuple[Pod, Netns]]:
        """Pods with their netns, where it could be read.

        Raises FactMissingError at the end if some could not, and did not change meanwhile.
        """
        self.require_pods()
        unread = []
        for pod in self.seen.pods:
            netns = self.netns_of(pod) if pod.has_own_netns else None
            if netns is None or self.why_hidden(pod):
                continue
            if not netns.record.error:
                yield pod, netns
            elif pod.ref.object_key not in self.seen.cluster.changed:
                unread.append(f"{pod.namespace}/{pod.name}: {netns.record.error}")
        if unread:
            raise FactMissingError(
                f"The netns of {plural(len(unread), 'pod')} could not be read; {unread[0]}"
            )

    @property
    def veths(self) -> Iterator[Veth]:
        """The pair of each pod whose eth0 is one end of a pair."""
        for pod, netns in self.pods_with_netns:
            inner, host = netns.primary, self.seen.host
            if inner is not None and inner.is_paired:
                outer = host.at(inner.link.peer_index)
                yield Veth(pod, netns, inner, outer if outer and outer.is_paired else None, host)

    @cached_property
    def orphaned_veths(self) -> tuple[Orphan, ...]:
        seen = self.seen
        live = frozenset(
            each.nsid
            for each in seen.facts.namespaces[1:]
            if each.processes and each.nsid is not None
        )
        known = {each.nsid for each in seen.facts.namespaces}
        # A container can have links to containers beside it. Of its own netns it sees each: by a
        # process, or by its mount.
        is_container = seen.facts.host.virtualised == "container"
        return tuple(
            orphans(
                seen.name,
                seen.host,
                live,
                seen.addresses,
                lambda nsid: is_container and nsid not in known,
            )
        )

    @cached_property
    def leaked_netns(self) -> tuple[Netns, ...]:
        """Namespaces that a runtime created for pods, and that no process is in any more."""
        return tuple(
            netns
            for netns in map(Netns, self.seen.facts.namespaces[1:])
            if not netns.record.processes and RUNTIMES_NETNS.search(netns.record.mounted)
        )

    @property
    def has_pods_on_a_bridge(self) -> bool:
        """Whether the kernel bridges between pods: a switch of Open vSwitch is not a bridge."""
        return any(veth.master is not None and veth.master.is_bridge for veth in self.veths)

    @property
    def detached(self) -> Iterator[tuple[Veth, str]]:
        """The pairs that packets for their pods do not reach, and where they should be attached.

        Raises NotApplicable where the CNI plugin delivers to pods in another way. An unknown one
        does so unless some of the node's pods are on a bridge or have a route. Where eBPF delivers,
        there are none: `PodPrograms` evaluates the programs instead.
        """
        plugin = self.seen.cni
        if plugin.attachment is Attachment.EBPF:
            return
        pairs = tuple(each for each in self.veths if each.outer)
        if pairs and not any(each.is_attached for each in pairs):
            if plugin.attachment in (Attachment.UNKNOWN, Attachment.OPEN_VSWITCH):
                raise NotApplicable(
                    f"no pod of the node is on a bridge or has a route: {plugin} delivers to pods "
                    "in another way"
                )
        elif pairs and all(each.is_switched for each in pairs):
            raise NotApplicable("Open vSwitch forwards to pods without a bridge or host route")
        for each in pairs:
            if not each.is_attached:
                yield each, each.expected_attachment(pairs)
