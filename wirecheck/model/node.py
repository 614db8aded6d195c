"""One node in one look: its part of the API beside what was seen on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, addresses, network
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.catalogue.registry import Threshold
from wirecheck.model.cluster import Cluster
from wirecheck.node.boot_settings import BootSettings
from wirecheck.node.cni import Cni
from wirecheck.node.conntrack import Conntrack
from wirecheck.node.dataplane import Dataplane, compared
from wirecheck.node.device_managers import DeviceManagers
from wirecheck.node.dns import NodeDns
from wirecheck.node.firewall import Firewall
from wirecheck.node.helper_reach import HelperReach
from wirecheck.node.iptables import Iptables
from wirecheck.node.kernel import Kernel
from wirecheck.node.kube_proxy import KubeProxy, kube_proxy_of
from wirecheck.node.kubelet import Kubelet
from wirecheck.node.losses import Loss, losses
from wirecheck.node.netns import Netns
from wirecheck.node.network_pods import Part, parts_of
from wirecheck.node.overlay import Overlay
from wirecheck.node.port_mappings import PortMappings
from wirecheck.node.reach import NodeReach
from wirecheck.node.reverse_path import ReversePath
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.routing_rules import RoutingRules
from wirecheck.node.veth import Orphan, Veth
from wirecheck.node.wiring import Wiring
from wirecheck.snapshot.index import VisitRecord
from wirecheck.snapshot.node_document import Command, NodeDocument, PodProcesses
from wirecheck.snapshot.objects.metadata import is_true
from wirecheck.snapshot.objects.node import NodeObject

ABSENT = "absent"
BRIDGE_SYSCTLS = {
    4: "net.bridge.bridge-nf-call-iptables",
    6: "net.bridge.bridge-nf-call-ip6tables",
}
FORWARDING_SYSCTLS = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


@dataclass(frozen=True)
class Node:
    """A node of the API; `document` is None where it was not visited.

    Facts of a node that was not visited, or that it could not read, raise FactMissingError
    with the reason: a check that needs them is an error, never a pass.
    """

    cluster: Cluster
    object: NodeObject
    visit: VisitRecord
    document: NodeDocument | None

    # What the API says.

    @property
    def name(self) -> str:
        return self.object.metadata.name

    @property
    def ref(self) -> Ref:
        return Ref("Node", self.name, uid=self.object.metadata.uid)

    def part(self, part: str) -> Ref:
        """The name of something on this node."""
        return replace(self.ref, part=part)

    def threshold(self, threshold: Threshold) -> float:
        """The inventory's number, or the default."""
        return self.cluster.threshold(threshold)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that the API places on this node."""
        return self.cluster.pods_by_node.get(self.name, ())

    @cached_property
    def pod_ranges(self) -> tuple[IPNetwork, ...]:
        spec = self.object.spec
        return tuple(map(network, dict.fromkeys(filter(None, [spec.pod_cidr, *spec.pod_cidrs]))))

    @cached_property
    def addresses(self) -> frozenset[IPAddress]:
        """The node's own addresses in the API, internal and external."""
        listed = self.object.status.addresses
        return addresses(each.address for each in listed if each.type.endswith("IP"))

    @property
    def gives_addresses_from_its_range(self) -> bool:
        """Whether pods' addresses come from spec.podCIDRs: some CNI plugins have own pools."""
        return bool(self.pod_ranges) and self.cluster.follows_node_ranges

    @property
    def attaches_pods_elsewhere(self) -> bool:
        return self.cluster.cni.attachment.bypasses_routing

    @property
    def is_being_removed(self) -> bool:
        doomed = {"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted"}
        return bool(self.object.metadata.deletion_timestamp) or any(
            taint.key in doomed for taint in self.object.spec.taints
        )

    @property
    def is_ready(self) -> bool:
        return is_true(self.object.status.conditions, "Ready")

    @property
    def why_not_ready(self) -> str:
        for each in self.object.status.conditions:
            if each.type == "Ready":
                return f"Ready is {each.status} ({each.reason}) since {each.last_transition_time}"
        return "no Ready condition: kubelet has never reported"

    @property
    def network_problems(self) -> Iterator[tuple[str, str]]:
        """Conditions by which the node has no network for pods, and what they say."""
        for each in self.object.status.conditions:
            if each.type == "NetworkUnavailable" and each.status == "True":
                yield each.type, f"{each.status} ({each.reason}) since {each.last_transition_time}"
            if each.type == "Ready" and each.message:
                yield each.type, each.message

    # What was seen on it.

    @cached_property
    def seen(self) -> NodeDocument:
        """The document of the visit; raises where there is none."""
        if self.document is not None:
            return self.document
        if self.visit.status.out_of_scope:
            raise NotApplicable(self.visit.reason)
        raise FactMissingError(self.visit.reason)

    @cached_property
    def host(self) -> Netns:
        """The node's own netns."""
        return Netns(self.seen.namespaces[0])

    @cached_property
    def _wiring(self) -> Wiring:
        return Wiring(self)

    def processes_of(self, pod: Pod) -> PodProcesses | None:
        """What /proc shows of the pod, or None where no process belongs to it."""
        return self._wiring.processes_of(pod)

    def netns_of(self, pod: Pod) -> Netns | None:
        """The pod's netns, or None where its processes have none of their own."""
        return self._wiring.netns_of(pod)

    def why_no_netns(self, pod: Pod) -> str:
        return self._wiring.why_no_netns(pod)

    @property
    def wired_pods(self) -> Iterator[tuple[Pod, Netns]]:
        """Pods that have a netns which could be read; raises after them if some could not."""
        return self._wiring.wired_pods

    @property
    def veths(self) -> Iterator[Veth]:
        """The pair of each wired pod that is wired with one."""
        return self._wiring.veths

    @property
    def orphaned_veths(self) -> tuple[Orphan, ...]:
        """Pairs that lead to no pod."""
        return self._wiring.orphaned_veths

    @property
    def deserted_netns(self) -> tuple[Netns, ...]:
        """Namespaces that a runtime made for pods, and that no process is in any more."""
        return self._wiring.deserted_netns

    @property
    def has_pods_on_a_bridge(self) -> bool:
        return self._wiring.has_pods_on_a_bridge

    @property
    def losses(self) -> Iterator[Loss]:
        """Packets that were lost while the node was looked at."""
        return losses(self.name, self.seen)

    @cached_property
    def families_of_pods(self) -> frozenset[int]:
        """The address families of the pods that have a network of their own."""
        return frozenset(
            each.version for pod in self.pods if not pod.on_host_network for each in pod.addresses
        )

    @property
    def forwarding_sysctls(self) -> list[str]:
        return [FORWARDING_SYSCTLS[family] for family in sorted(self.families_of_pods)]

    @property
    def bridge_sysctls(self) -> list[str]:
        return [BRIDGE_SYSCTLS[family] for family in sorted(self.families_of_pods)]

    @property
    def network_parts(self) -> Iterator[Part]:
        """Pods that make up the node's network, beside those of the CNI plugin."""
        return parts_of(self)

    # Its subsystems.

    @cached_property
    def routes(self) -> NodeRoutes:
        """The routes of the node's own netns."""
        return NodeRoutes(self)

    @property
    def routing_rules(self) -> RoutingRules:
        """The routing rules of the node's own netns."""
        return RoutingRules(self)

    @property
    def device_managers(self) -> DeviceManagers:
        """Programs that may take hold of devices."""
        return DeviceManagers(self)

    @cached_property
    def reverse_path(self) -> ReversePath:
        """Which packets the kernel drops for the way that they came."""
        return ReversePath(self)

    @cached_property
    def boot_settings(self) -> BootSettings:
        """What the next boot sets."""
        return BootSettings(self)

    @cached_property
    def overlay(self) -> Overlay:
        """flannel's VXLAN overlay."""
        return Overlay(self)

    @cached_property
    def dns(self) -> NodeDns:
        """DNS as the node and its pods see it."""
        return NodeDns(self)

    @cached_property
    def reach(self) -> NodeReach:
        """The TCP connections that were made from the node and its pods."""
        return NodeReach(self)

    @cached_property
    def helpers(self) -> HelperReach:
        """What was sent to helper pods."""
        return HelperReach(self)

    @cached_property
    def conntrack(self) -> Conntrack:
        """The connection table."""
        return Conntrack(self)

    @cached_property
    def proxy(self) -> KubeProxy:
        """The node's kube-proxy. Raises NotApplicable where something else does its work."""
        return kube_proxy_of(self)

    @cached_property
    def kubelet(self) -> Kubelet:
        """What the kubelet tells pods."""
        return Kubelet(self)

    @cached_property
    def iptables(self) -> Iptables:
        """The iptables rules."""
        return Iptables(self)

    @cached_property
    def kernel(self) -> Kernel:
        """What the kernel tells of itself."""
        return Kernel(self)

    @cached_property
    def cni(self) -> Cni:
        """What the runtime goes by when it wires a pod."""
        return Cni(self)

    @property
    def port_mappings(self) -> PortMappings:
        """Host ports of pods, and the rules for them."""
        return PortMappings(self)

    @cached_property
    def firewall(self) -> Firewall:
        """What the filter does to packets of pods."""
        return Firewall(self)

    @cached_property
    def dataplane(self) -> Dataplane:
        """The Service rules, compared with the API."""
        return compared(self)

    # What it said.

    def sysctl(self, name: str) -> str:
        """The value in force, or `absent` where this kernel has no such setting."""
        return self.seen.files.get(f"/proc/sys/{name.replace('.', '/')}", ABSENT).strip()

    def number(self, name: str) -> int:
        """A sysctl that is a number; raises FactMissingError where it is none."""
        value = self.sysctl(name)
        if not value.isdigit():
            raise FactMissingError(f"{name} on {self.name} is {value}, not a number.")
        return int(value)

    def file(self, path: str) -> str:
        """A file that was read on the node; raises where it was not there."""
        if path not in self.seen.files:
            raise FactMissingError(f"{path} does not exist on {self.name}, or was not read.")
        return self.seen.files[path]

    def output_if_asked(self, command: str) -> str:
        """A command's output; nothing where the node gave no reason to run it."""
        record = self.seen.commands.get(command)
        if record is not None and record.problem.startswith("not asked"):
            return ""
        return self.output_of(command)

    def output_of(self, command: str) -> str:
        """What a command of the table printed; raises where it did not run to a good end."""
        record = self.seen.commands.get(command)
        if record is None:
            raise FactMissingError(f"{command} was not run on {self.name}.")
        if reason := _failure(record):
            raise FactMissingError(f"{' '.join(record.argv)} on {self.name}: {reason}.")
        return record.output


def _failure(record: Command) -> str:
    if record.problem == "time limit":
        spent = (
            f"not ended after {record.seconds:.0f} s" if record.seconds else "not begun any more"
        )
        return (
            f"time limit: it had {spent}. Run it there by hand to see whether it hangs; if it is "
            "only slow, as beside a busy kube-proxy, raise `limits.node` in the inventory"
        )
    if record.problem:
        return record.problem
    if record.status != 0:
        return f"exit status {record.status}: {record.stderr.strip()[:200]}"
    return ""
