"""One node in one round, as checks see it: its parts, each made from what was seen of the node.

A part never refers to the node: it takes what was seen, and the parts that it needs. So a node
and its document are freed as soon as nothing refers to the node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.catalogue.registry import Threshold
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.table import ServiceTable
from wirecheck.model.made_connections import MadeConnections
from wirecheck.model.pod_classes import PodClasses
from wirecheck.model.pod_pairs import PodPairs
from wirecheck.model.sender_paths import SenderPaths
from wirecheck.network.plugin import CniPlugin
from wirecheck.node import conditions
from wirecheck.node.agent_health import AgentHealth
from wirecheck.node.block_routes import BlockRoutes, MisroutedPods
from wirecheck.node.boot_settings import BootSettings
from wirecheck.node.calico_overlay import CalicoOverlay, is_in_force
from wirecheck.node.calico_sets import CalicoSets
from wirecheck.node.cilium_addresses import CiliumAddresses
from wirecheck.node.cilium_audit import CiliumAudit
from wirecheck.node.cilium_services import CiliumServices
from wirecheck.node.cilium_sockets import CiliumSockets
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.node.cni import Cni
from wirecheck.node.conntrack import Conntrack
from wirecheck.node.dataplane import Dataplane, compared, tables_of
from wirecheck.node.deprecations import Deprecations
from wirecheck.node.device_managers import DeviceManagers
from wirecheck.node.device_programs import DevicePrograms
from wirecheck.node.dns import NodeDns
from wirecheck.node.ebpf_map_usage import EbpfMapUsage
from wirecheck.node.egress import NodeEgress
from wirecheck.node.firewall import Firewall
from wirecheck.node.foreign_addresses import ForeignAddresses
from wirecheck.node.forwarding import Forwarding
from wirecheck.node.helper_reach import HelperReach
from wirecheck.node.hidden_sources import HiddenSources
from wirecheck.node.iptables import Iptables
from wirecheck.node.kernel import Kernel
from wirecheck.node.kube_proxy import KubeProxy
from wirecheck.node.kubelet import Kubelet
from wirecheck.node.listening import Listening
from wirecheck.node.missing_tools import missing_tools, names_of_missing
from wirecheck.node.netns import Interface, Netns
from wirecheck.node.network_pods import NetworkDaemon, network_daemons_of
from wirecheck.node.node_ports import NodePorts
from wirecheck.node.overlay import Overlay
from wirecheck.node.own_blocks import OwnBlocks
from wirecheck.node.own_pod_packets import OwnPodPackets
from wirecheck.node.packet_drops import PacketDrops, packet_drops
from wirecheck.node.plugin_devices import PluginDevices
from wirecheck.node.pod_dispatch import DispatchGap, PodDispatch
from wirecheck.node.pod_gateways import PodGateways, SilentGateway
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.pod_neighbours import NeighbourInUse, PodNeighbours
from wirecheck.node.pod_programs import PodPrograms
from wirecheck.node.pod_rules import PodRules
from wirecheck.node.policy_chains import PolicyChains
from wirecheck.node.policy_routing import PolicyRouting
from wirecheck.node.port_mappings import PortMappings
from wirecheck.node.reach import NodeReach, Reached
from wirecheck.node.reverse_path import ReversePath
from wirecheck.node.route_conflicts import RouteConflicts
from wirecheck.node.routes import NodeRoutes
from wirecheck.node.routing_rules import RoutingRules
from wirecheck.node.seen import NodeSeen
from wirecheck.node.service_dataplanes import ServiceDataplanes
from wirecheck.node.service_proxy import ServiceProxy
from wirecheck.node.shadow_doubts import (
    Shadow,
    ShadowDoubt,
    once_for_each_rule,
    shadow_doubts,
    shadowed,
)
from wirecheck.node.source_bans import SourceBans
from wirecheck.node.tunnel_packets import TunnelPackets
from wirecheck.node.unsupported_maps import UnsupportedMaps
from wirecheck.node.veth import Orphan, Veth
from wirecheck.policy.cluster_pods import ClusterPods
from wirecheck.policy.enforcement import PolicyEnforcement
from wirecheck.policy.last_programmed import Behind, behind
from wirecheck.policy.policies_on_node import PoliciesOnNode, policies_on
from wirecheck.policy.probes import ProbePolicies
from wirecheck.snapshot.index import VisitRecord
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.objects.node import NodeObject


@dataclass(frozen=True)
class Node:
    """A node of the API; `document` is None where it was not visited.

    Reading a fact of a node that was not visited, or one that the visit could not read, raises
    FactMissingError with the reason: a check that needs the fact is an error, never a pass.
    """

    cluster: ClusterSeen
    object: NodeObject
    visit: VisitRecord
    document: NodeDocument | None

    @cached_property
    def seen(self) -> NodeSeen:
        """What all parts rest on."""
        return NodeSeen(self.cluster, self.object, self.visit, self.document)

    # What the API says.

    @property
    def name(self) -> str:
        return self.seen.name

    @property
    def ref(self) -> Ref:
        return self.seen.ref

    def part(self, part: str) -> Ref:
        """Return the reference to something on this node, such as a device or a table."""
        return self.seen.part(part)

    def threshold(self, threshold: Threshold) -> float:
        """Return the number that the inventory sets, or the default."""
        return self.seen.threshold(threshold)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """The pods that the API places on this node."""
        return self.seen.pods

    @property
    def running_pods(self) -> tuple[Pod, ...]:
        """The pods that run there. Raises NotApplicable without any."""
        if not (found := tuple(pod for pod in self.seen.pods if pod.is_running)):
            raise NotApplicable("no pod runs on the node")
        return found

    @property
    def pod_ranges(self) -> tuple[IPNetwork, ...]:
        """The node's spec.podCIDRs."""
        return self.seen.pod_ranges

    @property
    def addresses(self) -> frozenset[IPAddress]:
        """The node's own addresses in the API, internal and external."""
        return self.seen.addresses

    @property
    def assigns_from_pod_cidrs(self) -> bool:
        """Whether pods' addresses come from spec.podCIDRs: some CNI plugins have own pools."""
        return self.seen.assigns_from_pod_cidrs

    @property
    def cni_plugin(self) -> CniPlugin:
        """The CNI plugin that connects the node's pods."""
        return self.seen.cni

    @property
    def why_left_out(self) -> str:
        """Why the node's network is not the cluster's; empty for an ordinary node."""
        return self.seen.why_left_out

    @property
    def is_being_removed(self) -> bool:
        """Whether the node is being deleted, or an autoscaler is about to."""
        return self.seen.is_being_removed

    @property
    def is_ready(self) -> bool:
        return conditions.is_ready(self.object)

    @property
    def why_not_ready(self) -> str:
        return conditions.why_not_ready(self.object)

    @property
    def network_problems(self) -> Iterator[tuple[str, str]]:
        """The conditions that show that the node has no network for pods: (type, text)."""
        return conditions.network_problems(self.object)

    @property
    def network_daemons(self) -> Iterator[NetworkDaemon]:
        """Pods that make up the node's network, beside those of the CNI plugin."""
        return network_daemons_of(self.seen)

    # Settings.

    def sysctl(self, name: str) -> str:
        """Return the value in force, or `absent` where this kernel has no such setting."""
        return self.seen.sysctl(name)

    @property
    def forwarding_sysctls(self) -> list[str]:
        """The sysctls that let the node forward packets of its pods, by their families."""
        return self.seen.forwarding_sysctls

    @property
    def refusing_devices(self) -> Iterator[Interface]:
        """Devices at which packets of pods arrive, and that do not forward them."""
        return Forwarding(self.seen, self.namespaces, self.plugin_devices).refusing

    @property
    def bridge_sysctls(self) -> list[str]:
        """The sysctls that pass bridged packets of the node's pods to iptables."""
        return self.seen.bridge_sysctls

    @cached_property
    def boot_settings(self) -> BootSettings:
        """What the next boot sets."""
        return BootSettings(self.seen, self.namespaces, self.conntrack)

    @cached_property
    def kubelet(self) -> Kubelet:
        """The kubelet's settings."""
        return Kubelet(self.seen, self.dns)

    @property
    def missing_tools(self) -> str:
        """The sentence that names the tools that the visit needed and the node lacks, if any."""
        names = names_of_missing(self.seen.facts)
        return missing_tools(self.name, self.seen.facts) if names else ""

    @cached_property
    def kernel(self) -> Kernel:
        """The kernel's neighbour tables, log and clock."""
        return Kernel(self.seen)

    # Network namespaces and devices.

    @property
    def host(self) -> Netns:
        """The node's own netns."""
        return self.seen.host

    @cached_property
    def namespaces(self) -> PodNamespaces:
        """The netns of each pod."""
        return PodNamespaces(self.seen)

    @property
    def pods_with_netns(self) -> Iterator[tuple[Pod, Netns]]:
        """Pods whose netns could be read; raises after them if some could not.

        Raises NotApplicable if the node has none.
        """
        self.namespaces.require_own_netns()
        return self.namespaces.pods_with_netns

    @property
    def veths(self) -> Iterator[Veth]:
        """The veth pair of each pod that has one. Raises NotApplicable without such pods."""
        self.namespaces.require_own_netns()
        return self.namespaces.veths

    @property
    def detached_veths(self) -> Iterator[tuple[Veth, str]]:
        """The pairs that packets for their pods do not reach, and where they should be."""
        self.namespaces.require_own_netns()
        return self.namespaces.detached

    @property
    def orphaned_veths(self) -> tuple[Orphan, ...]:
        """Veths that belong to no pod."""
        return self.namespaces.orphaned_veths

    @property
    def leaked_netns(self) -> tuple[Netns, ...]:
        """Namespaces that a runtime made for pods, and that no process is in any more."""
        return self.namespaces.leaked_netns

    @property
    def has_pods_on_a_bridge(self) -> bool:
        return self.namespaces.has_pods_on_a_bridge

    @property
    def packet_drops(self) -> Iterator[PacketDrops]:
        """Packets that were dropped during the visit."""
        return packet_drops(self.name, self.seen.facts)

    @cached_property
    def device_managers(self) -> DeviceManagers:
        """Programs that may take over devices of the CNI plugin."""
        return DeviceManagers(self.seen, self.namespaces, self.routing_rules)

    @cached_property
    def device_programs(self) -> DevicePrograms:
        """Programs attached to interfaces of pods and to tunnel devices."""
        return DevicePrograms(self.seen, self.namespaces)

    @cached_property
    def pod_programs(self) -> PodPrograms:
        """The CNI plugin's programs on pods' devices."""
        return PodPrograms(self.seen, self.namespaces)

    @cached_property
    def cni(self) -> Cni:
        """The CNI configuration and what the plugins keep on the node."""
        return Cni(self.seen)

    @property
    def plugin_devices(self) -> PluginDevices:
        """The devices that the CNI plugin creates for itself."""
        return PluginDevices(self.seen)

    @property
    def foreign_addresses(self) -> ForeignAddresses:
        """Addresses on its interfaces that belong to other nodes or to Services."""
        return ForeignAddresses(self.seen)

    # Routes.

    @cached_property
    def routes(self) -> NodeRoutes:
        """The routes of the node's own netns."""
        return NodeRoutes(self.seen, self.namespaces)

    @property
    def assigns_blocks(self) -> bool:
        """Whether the plugin assigns blocks of its own pools to nodes, and joins them by VXLAN."""
        return is_in_force(self.seen)

    @property
    def misrouted_pods(self) -> Iterator[MisroutedPods]:
        """Pods of other nodes to which routes do not lead, where the plugin assigns blocks.

        Raises NotApplicable where it assigns none, or the network between the nodes routes them.
        """
        return BlockRoutes(self.seen, self.routes).wrong

    @property
    def own_blocks(self) -> OwnBlocks:
        """The blackhole routes for address blocks of Calico."""
        return OwnBlocks(self.seen, self.routes)

    @property
    def silent_gateways(self) -> Iterator[SilentGateway]:
        """Gateways of routed pods for which nobody answers. Raises NotApplicable without pods."""
        self.namespaces.require_own_netns()
        return PodGateways(self.seen, self.namespaces).silent

    @property
    def wrong_neighbours(self) -> Iterator[NeighbourInUse]:
        """Neighbour entries between node and pods with the wrong MAC.

        Raises NotApplicable without pods, or where the node's own stack does not deliver to them.
        """
        self.namespaces.require_own_netns()
        if self.seen.bypasses_routing:
            raise NotApplicable("packets to and from pods do not use the node's neighbour entries")
        return PodNeighbours(self.seen, self.namespaces).wrong

    @cached_property
    def route_conflicts(self) -> RouteConflicts:
        """Routes that take packets away from Services, pods and other nodes."""
        return RouteConflicts(self.seen, self.namespaces, self.routes)

    @cached_property
    def routing_rules(self) -> RoutingRules:
        """The routing rules of the node's own netns."""
        return RoutingRules(self.seen)

    @cached_property
    def policy_routing(self) -> PolicyRouting:
        """Routing rules for source addresses."""
        return PolicyRouting(self.seen, self.routes, self.routing_rules)

    @cached_property
    def pod_rules(self) -> PodRules:
        """Routing rules that a cloud's plugin adds for each pod."""
        return PodRules(self.seen, self.routes)

    @cached_property
    def reverse_path(self) -> ReversePath:
        """Which packets reverse path filtering drops."""
        return ReversePath(self.seen, self.routes)

    @cached_property
    def overlay(self) -> Overlay:
        """The VXLAN overlay of Calico where it joins the nodes, otherwise flannel's."""
        kind = CalicoOverlay if is_in_force(self.seen) else Overlay
        return kind(self.seen, self.namespaces, self.routes)

    # Packet rules and connections.

    @cached_property
    def iptables(self) -> Iptables:
        """The iptables rules."""
        return Iptables(self.seen)

    @property
    def tunnel_packets(self) -> TunnelPackets:
        """What other nodes send to the node's VXLAN devices."""
        return TunnelPackets(self.seen, self.plugin_devices, self.routes, self.firewall)

    @property
    def own_pod_packets(self) -> OwnPodPackets:
        """What the node and its own pods send to each other."""
        return OwnPodPackets(self.seen, self.firewall)

    @cached_property
    def firewall(self) -> Firewall:
        """What the packet filter does to packets of pods."""
        return Firewall(self.seen, self.iptables, self.routes)

    @property
    def dispatch_gaps(self) -> Iterator[DispatchGap]:
        """Pods' devices that the packet filter's chains for devices lack.

        Raises NotApplicable without pods, and without rules.
        """
        self.namespaces.require_own_netns()
        where = PodDispatch(self.seen, self.namespaces, self.firewall, self.routes)
        return where.gaps

    @cached_property
    def policy_chains(self) -> PolicyChains:
        """The chains that a policy engine has for each pod."""
        return PolicyChains(self.seen, self.firewall)

    @cached_property
    def policy_enforcement(self) -> PolicyEnforcement:
        """How the packet filter or Cilium's maps enforce NetworkPolicies."""
        return PolicyEnforcement(
            self.seen,
            self.namespaces,
            self.iptables,
            self.firewall,
            self.routes,
            self.cilium_addresses,
        )

    @property
    def policies(self) -> PoliciesOnNode:
        """Which NetworkPolicies take effect on the node."""
        agent = self.policy_chains.agent_names
        return policies_on(self.policy_enforcement, agent)

    @property
    def policies_behind(self) -> Behind | None:
        """How far what enforces policies on the node is behind the API, if it is.

        Raises NotApplicable if nothing that is read enforces policies on the node.
        """
        enforcement = self.policy_enforcement
        return behind(enforcement) if enforcement.deviations else None

    @property
    def agent_health(self) -> AgentHealth:
        """Whether the agents of CNI plugins answer."""
        return AgentHealth(self.seen, self.ports)

    @cached_property
    def calico_sets(self) -> CalicoSets:
        """The sets of addresses in the rules of Calico."""
        return CalicoSets(self.seen, self.iptables)

    @cached_property
    def source_bans(self) -> SourceBans:
        """Third-party rules that refuse clients of Services by their source."""
        return SourceBans(self.seen, self.iptables, self.routes)

    @property
    def hidden_sources(self) -> HiddenSources:
        """What its pods send to other pods with the node's address."""
        return HiddenSources(self.firewall, self.egress)

    @property
    def egress(self) -> NodeEgress:
        """The source address of what pods send outside the cluster."""
        return NodeEgress(self.seen, self.iptables, self.firewall, self.routes)

    @cached_property
    def port_mappings(self) -> PortMappings:
        """Host ports of pods, and the rules for them."""
        return PortMappings(self.seen, self.iptables, self.cni)

    @property
    def service_dataplanes(self) -> ServiceDataplanes:
        """All programs that forward Services."""
        return ServiceDataplanes(self.seen, self.iptables)

    @cached_property
    def service_proxy(self) -> ServiceProxy:
        """What forwards Services."""
        return ServiceProxy(self.seen)

    @property
    def proxy(self) -> KubeProxy:
        """The node's kube-proxy. Raises NotApplicable where something else forwards Services."""
        return self.service_proxy.kube_proxy

    @cached_property
    def cilium(self) -> CiliumServices:
        """Cilium's eBPF maps of Services."""
        return CiliumServices(self.seen, self.pod_programs)

    @property
    def ebpf_map_usage(self) -> EbpfMapUsage:
        """How full Cilium's eBPF maps are."""
        return EbpfMapUsage(self.seen, self.cilium)

    @property
    def cilium_sockets(self) -> CiliumSockets:
        """Cilium's programs that translate connections at their sockets."""
        return CiliumSockets(self.seen, self.cilium, self.ebpf_map_usage)

    @cached_property
    def cilium_addresses(self) -> CiliumAddresses:
        """Who has which address by Cilium's eBPF maps."""
        return CiliumAddresses(self.seen, self.ebpf_map_usage, self.namespaces)

    @property
    def cilium_audit(self) -> CiliumAudit:
        """Which endpoints of Cilium are only audited."""
        return CiliumAudit(self.seen, self.cilium_addresses)

    @cached_property
    def dataplane(self) -> Dataplane:
        """The Service rules, and Cilium's eBPF maps where they were read, compared with the API."""
        if not self.cilium.were_read:
            try:
                return self.kube_proxy_rules
            except NotApplicable as reason:
                UnsupportedMaps(self.seen).refuse(reason)
                raise
        if self.cilium.replaces_kube_proxy:
            return self.cilium.dataplane
        return replace(
            self.kube_proxy_rules,
            cilium=self.cilium.summary,
            where=self.cilium.where_decided,
            pods_elsewhere="",
        )

    @cached_property
    def kube_proxy_rules(self) -> Dataplane:
        """kube-proxy's rules, compared with the API.

        Raises NotApplicable where something else forwards Services.
        """
        why = self.cilium.why_not_by_kube_proxy
        return compared(self.seen, self.proxy.facts, self.iptables, why)

    @property
    def shadowed(self) -> Iterator[Shadow]:
        """Frontends that third-party rules handle."""
        return shadowed(self.seen, self.kube_proxy_rules)

    def decided_by_others(self, kind: Kind) -> Iterator[Shadow]:
        """Frontends with such a difference because of third-party rules, once for each rule.

        Without Services' own refusals that a network policy engine prevents by a mark.
        """
        found = (each for each in self.dataplane.of(kind) if each.third_party)
        is_refusal = kind is Kind.VERDICT
        return once_for_each_rule(self.seen, (e for e in found if not (is_refusal and e.by_mark)))

    @property
    def shadow_doubts(self) -> Iterator[ShadowDoubt]:
        """Third-party rules that may or may not take connections to Services."""
        return shadow_doubts(self.seen, self.kube_proxy_rules, self.port_mappings, self.firewall)

    @property
    def service_tables(self) -> tuple[ServiceTable, ServiceTable]:
        """What the API asks of the Service rules, and what they do."""
        return tables_of(self.seen, self.proxy.facts, self.iptables)

    @cached_property
    def conntrack(self) -> Conntrack:
        """The connection table."""
        return Conntrack(self.seen, self.namespaces, self.service_proxy, self.iptables)

    @cached_property
    def deprecations(self) -> Deprecations:
        """What announced changes take away from the node."""
        return Deprecations(self.seen, self.service_proxy, self.iptables, self.conntrack)

    @cached_property
    def listening(self) -> Listening:
        """The listening sockets of the node's pods."""
        return Listening(self.seen, self.namespaces, self.iptables)

    # What was tried from the node.

    @cached_property
    def dns(self) -> NodeDns:
        """DNS as the node and its pods see it."""
        return NodeDns(self.seen, self.namespaces)

    @cached_property
    def reach(self) -> NodeReach:
        """The TCP connections that were made from the node and its pods."""
        return NodeReach(self.seen, self.namespaces)

    @property
    def made_connections(self) -> MadeConnections:
        """The connections that were made, as the trace follows them."""
        return MadeConnections(self.seen, self.reach, self.dns)

    @cached_property
    def pod_pairs(self) -> PodPairs:
        """The pairs of pods whose packets the node sends or receives, as the trace follows them."""
        return PodPairs(self.seen, self.routes, self.pod_classes)

    @cached_property
    def sender_paths(self) -> SenderPaths:
        """Packets of the node and its pods to Services and out of the cluster."""
        return SenderPaths(self.seen, self.pod_classes)

    @cached_property
    def pod_classes(self) -> PodClasses:
        """Its own pods and those of other nodes, as far as it treats them alike."""
        return PodClasses(self.seen)

    def why_restricted(self, connection: Reached) -> str:
        """Return why a failure of the connection proves nothing; empty if it does.

        A policy that selects one of two pods does not, if the policies allow the connection.
        """
        source, target = connection.source, connection.target
        if connection.is_restricted_by_policy and source and target:
            expected = ClusterPods.of(self.cluster).expected
            if expected.allows(source, target, "TCP", connection.contact.port):
                return ""
        return connection.restricted_by

    @cached_property
    def probe_policies(self) -> ProbePolicies:
        """What NetworkPolicies mean for the connections and DNS queries of the run."""
        return ProbePolicies(self.policy_enforcement, self.reach, self.dns)

    @cached_property
    def helpers(self) -> HelperReach:
        """The messages that were sent to helper pods."""
        return HelperReach(self.seen, self.reach)

    @cached_property
    def ports(self) -> NodePorts:
        """The connections that were made to ports of nodes."""
        return NodePorts(self.seen, self.reach, self.service_proxy)
