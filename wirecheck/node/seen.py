"""The facts about one node in one round: from its visit and from the API.

Every other part of a node rests on this: none of them knows the whole node.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from signal import Signals
from typing import TypeVar

from wirecheck.addresses import IPAddress, IPNetwork
from wirecheck.api_index.node_addresses import all_addresses, pod_ranges
from wirecheck.api_index.node_kinds import why_left_out
from wirecheck.api_index.node_ref import node_ref
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref, SharedCauseError
from wirecheck.catalogue.registry import Threshold
from wirecheck.network.plugin import UNKNOWN, Attachment, CniPlugin
from wirecheck.network.registry import device_of, plugin_on
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.node.cni_configuration import types_in_force
from wirecheck.node.missing_tools import is_missing, missing_tools
from wirecheck.node.netns import Netns
from wirecheck.node.routing import Routing
from wirecheck.parse.errors import ParseError
from wirecheck.parse.ipset import Ipset, parse_ipset_save
from wirecheck.snapshot.attempts import Probe
from wirecheck.snapshot.index import VisitRecord
from wirecheck.snapshot.node_document import (
    Command,
    HttpAnswer,
    KernelLine,
    NodeDocument,
    PodProcesses,
)
from wirecheck.snapshot.objects.node import NodeObject

BRIDGE_SYSCTLS = {
    4: "net.bridge.bridge-nf-call-iptables",
    6: "net.bridge.bridge-nf-call-ip6tables",
}
FORWARDING_SYSCTLS = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}
Value = TypeVar("Value")

ABSENT = "absent"
"""The value of a sysctl that the kernel does not have."""


@dataclass(frozen=True)
class NodeSeen:
    """A node of the API and the document of its visit; `document` is None without a visit.

    Reading a fact of a node that was not visited, or one that the visit could not read, raises
    FactMissingError with the reason: a check that needs the fact is an error, never a pass.
    """

    cluster: ClusterSeen
    object: NodeObject
    visit: VisitRecord
    document: NodeDocument | None

    # What the API says.

    @property
    def name(self) -> str:
        return self.object.metadata.name

    @property
    def ref(self) -> Ref:
        return node_ref(self.object)

    def part(self, part: str) -> Ref:
        """Return the reference to something on this node, such as a device or a table."""
        return replace(self.ref, part=part)

    def threshold(self, threshold: Threshold) -> float:
        """Return the number that the inventory sets, or the default."""
        return self.cluster.threshold(threshold)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that the API places on this node."""
        return self.cluster.pod_index.by_node.get(self.name, ())

    @cached_property
    def families_of_pods(self) -> frozenset[int]:
        """The address families of the pods that are not on the host network."""
        return frozenset(
            each.version for pod in self.pods if not pod.on_host_network for each in pod.addresses
        )

    @cached_property
    def pod_ranges(self) -> tuple[IPNetwork, ...]:
        """The node's spec.podCIDRs."""
        return pod_ranges(self.object)

    @cached_property
    def addresses(self) -> frozenset[IPAddress]:
        """The node's own addresses in the API, internal and external."""
        return frozenset(all_addresses(self.object))

    @cached_property
    def cni(self) -> CniPlugin:
        """The CNI plugin that connects the node's pods, as the node and the API show it.

        The API alone decides about a node that was not visited.
        """
        agents = self.cluster.cni_agents
        if self.document is None:
            return self.cluster.cni
        types = types_in_force(self.document.cni) if self.document.cni else ()
        links = self.document.namespaces[0].links if self.document.namespaces else []
        # Annotations outlast the plugin that wrote them, and so do devices. Addresses of pods and
        # ports of a switch do not.
        notes = self.object.metadata.annotations if self.cluster.has_pods_in_node_ranges else {}
        found = plugin_on(types, [each.name for each in links], notes, agents)
        is_left = self._has_pods_on_open_vswitch and not found.attachment.bypasses_routing
        return UNKNOWN if is_left and not (agents or types) else found

    @cached_property
    def _has_pods_on_open_vswitch(self) -> bool:
        namespaces = self.document.namespaces if self.document else []
        if not namespaces or namespaces[0].error:
            return False
        return self.host.has_pairs_on_open_vswitch

    @property
    def assigns_from_pod_cidrs(self) -> bool:
        """Whether pods' addresses come from spec.podCIDRs: some CNI plugins have own pools."""
        return bool(self.pod_ranges) and self.cluster.follows_node_ranges(self.cni)

    @cached_property
    def bypasses_routing(self) -> bool:
        """Whether the CNI plugin delivers to pods without a bridge or a route of the node."""
        if self.cni.attachment is Attachment.UNKNOWN:
            return self._has_pods_on_open_vswitch
        return self.cni.attachment.bypasses_routing

    @property
    def why_left_out(self) -> str:
        """Why the node's network is not the cluster's; empty for an ordinary node."""
        return why_left_out(self.object)

    @property
    def is_being_removed(self) -> bool:
        """Whether the node is being deleted, or an autoscaler is about to."""
        doomed = {"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted"}
        return bool(self.object.metadata.deletion_timestamp) or any(
            taint.key in doomed for taint in self.object.spec.taints
        )

    @property
    def forwarding_sysctls(self) -> list[str]:
        """The sysctls that let the node forward packets of its pods, by their families."""
        return [FORWARDING_SYSCTLS[family] for family in sorted(self.families_of_pods)]

    @property
    def bridge_sysctls(self) -> list[str]:
        """The sysctls that pass bridged packets of the node's pods to iptables."""
        return [BRIDGE_SYSCTLS[family] for family in sorted(self.families_of_pods)]

    # What the visit read.

    @cached_property
    def facts(self) -> NodeDocument:
        """The document of the visit. Raises NotApplicable or FactMissingError without one."""
        if self.document is not None:
            return self.document
        if self.visit.status.out_of_scope:
            raise NotApplicable(self.visit.reason)
        raise FactMissingError(self.visit.reason)

    @cached_property
    def host(self) -> Netns:
        """The node's own netns."""
        return Netns(self.facts.namespaces[0])

    @cached_property
    def routing(self) -> Routing:
        """How the kernel routes packets in the node's own netns."""
        return Routing(self.host)

    def required(self, value: Value | None, fact: Fact, otherwise: str) -> Value:
        """Return a value that only newer documents have, or that its stage could not collect.

        Raises FactMissingError with the problem that the stage reported, or NotApplicable with
        `otherwise` if it reported none.
        """
        if value is not None:
            return value
        self._refuse_unread(fact)
        raise NotApplicable(otherwise)

    def collected(self, value: Value | None, fact: Fact, empty: Value) -> Value:
        """Return what a stage collected: nothing, `empty`, only if the stage succeeded.

        Raises FactMissingError with the problem that the stage reported.
        """
        if value is not None:
            return value
        self._refuse_unread(fact)
        return empty  # Documents of older programs leave out empty lists.

    def _refuse_unread(self, fact: Fact) -> None:
        if problem := self.facts.problem_with(fact):
            raise FactMissingError(f"{self.name}: {problem}")

    @cached_property
    def files(self) -> Mapping[str, str]:
        """Sysctls and other small files by path, without those that do not exist."""
        return self.collected(self.facts.files, Fact.SYSCTLS, {})

    @cached_property
    def proxy_replacement(self) -> str:
        """The plugin that forwards Services instead of kube-proxy on this node; empty if none does.

        The setting is the cluster's. Where the plugin has no device, because its agent does not
        run on the node, and kube-proxy answers, kube-proxy still forwards.
        """
        name = self.cluster.proxy_replacement
        device = device_of(name) if name else ""
        own = self.document.namespaces[:1] if self.document else []
        if not device or not own or own[0].error:
            return name
        has_device = any(each.name == device for each in own[0].links)
        answers = any(each.status is not None for each in (self.facts.http or {}).values())
        return "" if answers and not has_device else name

    @cached_property
    def probes(self) -> Sequence[Probe]:
        """The DNS queries that were sent."""
        return self.collected(self.facts.probes, Fact.DNS, [])

    @cached_property
    def http(self) -> Mapping[str, HttpAnswer]:
        """The answers of kube-proxy's own endpoints."""
        return self.collected(self.facts.http, Fact.KUBE_PROXY, {})

    @cached_property
    def pod_processes(self) -> Sequence[PodProcesses]:
        """The processes of each pod that has any."""
        return self.collected(self.facts.pods, Fact.PROCESSES, [])

    @cached_property
    def kernel_log(self) -> Sequence[KernelLine]:
        """The lines of the kernel log that the node program recognised."""
        return self.collected(self.facts.kernel_log, Fact.KERNEL_LOG, [])

    def sysctl(self, name: str) -> str:
        """Return the value in force, or `absent` where this kernel has no such setting."""
        return self.files.get(f"/proc/sys/{name.replace('.', '/')}", ABSENT).strip()

    def number(self, name: str) -> int:
        """Return a sysctl that is a number; raises FactMissingError for any other value."""
        value = self.sysctl(name)
        if not value.isdigit():
            raise FactMissingError(f"Sysctl {name} on {self.name} is {value}, not a number.")
        return int(value)

    def file(self, path: str) -> str:
        """Return the text of a file. Raises FactMissingError where it was not read."""
        if path not in self.files:
            raise FactMissingError(f"{path} does not exist on {self.name}, or was not read.")
        return self.files[path]

    def output_if_asked(self, command: str) -> str:
        """Return a command's output; empty where the node gave no reason to run it."""
        record = self.facts.commands.get(command)
        is_asked = record is None or not record.problem.startswith("not asked")
        return self.output_of(command) if is_asked or is_missing(self.facts, command) else ""

    def was_run(self, command: str) -> bool:
        """Return whether a command of the table ran to its end on the node."""
        record = self.facts.commands.get(command)
        return record is not None and record.status is not None

    @cached_property
    def ipsets(self) -> Mapping[str, Ipset]:
        """The ipsets that were listed, by name. Raises FactMissingError for a malformed listing."""
        record = self.facts.commands.get("ipset-save")
        try:
            return parse_ipset_save(record.output) if record else {}
        except ParseError as error:
            raise FactMissingError(f"{self.name}: {error}") from error

    def output_of(self, command: str) -> str:
        """Return what a command of the table printed. Raises FactMissingError if it failed."""
        record = self.facts.commands.get(command)
        if record is None:
            raise FactMissingError(f"{command} was not run on {self.name}.")
        if is_missing(self.facts, command):
            raise SharedCauseError(missing_tools(self.name, self.facts))
        if reason := _failure(record):
            raise FactMissingError(f"{' '.join(record.argv)} on {self.name}: {reason}.")
        return record.output


_CRASHED = ": it crashed. Install another version of it on the node, or use an agent pod's"
_CAUSES = {
    "SIGKILL": ": the kernel does so if memory runs out. Read the node's kernel log",
    "SIGTERM": ", sent by another program of the node",
}
_OF_SHELLS = 128
"""A shell script whose program died by a signal exits with this plus the signal's number."""


def signal_of(status: int) -> str:
    """Return the name of the signal that ended a command with this exit status, if one did."""
    number = -status if status < 0 else status - _OF_SHELLS
    try:
        return Signals(number).name if number > 0 else ""
    except ValueError:
        return ""


def _failure(record: Command) -> str:
    if record.problem == "time limit":
        spent = f"it had run for {record.seconds:.0f} s" if record.seconds else "it had not started"
        return (
            f"time limit: {spent}. Run it on the node to see whether it hangs. If it is only slow, "
            "as beside a busy kube-proxy, raise `limits.node` in the inventory"
        )
    if record.problem:
        return record.problem
    if record.status is not None and record.status != 0 and (name := signal_of(record.status)):
        return f"{name} ended it{_CAUSES.get(name, _CRASHED)}"
    if record.status != 0:
        return f"exit status {record.status}: {record.stderr.strip()[:200]}"
    return ""
