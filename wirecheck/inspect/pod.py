"""Makes the view of one pod."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from wirecheck.api_index.dns_lookup import Lookup
from wirecheck.api_index.network_policy import selects
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.inspect.ebpf import maps_of_pod
from wirecheck.inspect.parts import FindingView, interface_view, route_views
from wirecheck.inspect.pod_view import (
    ContainerView,
    DnsView,
    LookupView,
    NetnsView,
    NodeSide,
    PodSide,
    PodView,
    PolicyView,
    WayOut,
    WireView,
)
from wirecheck.inspect.scene import Scene, findings_of
from wirecheck.inspect.wire import (
    bridge_of,
    overlay_of,
    pair_of,
    peers_of,
    problem_of,
    routes_to,
    uplink_of,
)
from wirecheck.model.node import Node
from wirecheck.node.netns import Netns
from wirecheck.node.pod_programs import NO_PROGRAM
from wirecheck.parse.conntrack import parse_connections
from wirecheck.parse.errors import ParseError
from wirecheck.parse.resolv_conf import parse_resolv_conf
from wirecheck.snapshot.node_document import PodFile
from wirecheck.snapshot.objects.service import ServiceObject

UNKNOWN = (FactMissingError, NotApplicable)


def pod_view(scene: Scene, pod: Pod) -> PodView:
    """Everything known about `pod`. Raises SnapshotError if the API objects are damaged."""
    cluster = scene.cluster
    status = {each.name: each for each in pod.object.status.container_statuses}
    node = scene.node(pod.node_name) if pod.node_name in cluster.nodes else None
    wire = _wire(node, pod) if node else WireView(unseen=_unscheduled(pod))
    services = _services_of(scene, pod)
    items = scene.evaluated({pod.node_name} & cluster.nodes.keys())
    dns = {f"{s.metadata.namespace}/{s.metadata.name}" for s in _dns_services(scene)}
    return PodView(
        source=scene.source,
        namespace=pod.namespace,
        name=pod.name,
        uid=pod.ref.uid,
        workload=pod.ref.workload,
        node=pod.node_name,
        phase="Terminating" if pod.is_terminating else pod.object.status.phase,
        ready=pod.is_ready,
        host_network=pod.on_host_network,
        addresses=sorted(map(str, pod.addresses)),
        containers=[
            ContainerView(
                name=each.name,
                image=each.image,
                ready=each.name in status and status[each.name].ready,
                restarts=status[each.name].restart_count if each.name in status else 0,
            )
            for each in pod.object.spec.containers
        ],
        wire=wire,
        ebpf=maps_of_pod(node, pod) if node and node.document else None,
        policies=[
            PolicyView(name=each.metadata.name, types=list(each.spec.policy_types))
            for each in cluster.api.network_policies
            if each.metadata.namespace == pod.namespace
            and selects(each.spec.pod_selector, pod.object.metadata.labels)
        ],
        services=services,
        findings=list(_concerning(pod, {*services, *dns}, findings_of(items))),
    )


def _unscheduled(pod: Pod) -> str:
    if not pod.node_name:
        return "it is not scheduled on a node yet"
    return f"its node {pod.node_name} is no longer in the API"


def _services_of(scene: Scene, pod: Pod) -> list[str]:
    return sorted(
        {
            f"{each.service.metadata.namespace}/{each.service.metadata.name}"
            for each in scene.cluster.endpoints
            if (each.target.namespace, each.target.name) == (pod.namespace, pod.name)
        }
    )


def _dns_services(scene: Scene) -> Iterator[ServiceObject]:
    wanted = {str(each) for each in scene.cluster.dns.service_addresses}
    return (each for each in scene.cluster.api.services if each.spec.cluster_ip in wanted)


def _concerning(
    pod: Pod, services: Iterable[str], findings: Iterable[FindingView]
) -> Iterator[FindingView]:
    """The findings about the pod, its node, its Services and the DNS Service."""
    known = set(services)
    for each in findings:
        match each.kind:
            case "Pod" if (each.namespace, each.name) == (pod.namespace, pod.name):
                yield replace(each, step=_step(each))
            case "Service" if f"{each.namespace}/{each.name}" in known:
                yield replace(each, step="services")
            case "Node" if each.name == pod.node_name:
                group = each.check.partition(".")[0]
                is_way_out = group in ("routes", "overlay")
                yield replace(each, step="way_out" if is_way_out else "node")


STEPS = {
    "pods.have_netns": "netns",
    "links.veth_pairs_complete": "host_side",
    "links.equal_mtu": "host_side",
    "links.attached": "bridge",
    "pods": "interface",
    "links": "interface",
    "routes": "routes",
    "dns": "dns",
    "conntrack": "connections",
    "ebpf": "maps",
    "endpoints": "services",
    "services": "services",
}
"""The step at which a finding about the pod itself is shown, by check or by group."""


def _step(finding: FindingView) -> str:
    group = finding.check.partition(".")[0]
    if finding.found.startswith(NO_PROGRAM):
        return "programs"
    step = STEPS.get(finding.check) or STEPS.get(group, "pod")
    if group == "links" and step == "interface" and finding.part not in ("", "eth0"):
        return "host_side"
    return step


def _wire(node: Node, pod: Pod) -> WireView:
    try:
        document = node.seen.facts
        processes = node.namespaces.processes_of(pod)
        if processes is None:
            return WireView(unseen=node.namespaces.why_no_netns(pod), way_out=_way_out(node))
    except UNKNOWN as reason:
        return WireView(unseen=str(reason))
    netns = next((Netns(n) for n in document.namespaces if n.inode == processes.inode), None)
    if netns is None or netns.record.error:
        why = netns.record.error if netns else f"netns {processes.inode} is not in the snapshot"
        return WireView(unseen=why, runtime=processes.runtime, way_out=_way_out(node))
    is_the_nodes = netns.inode == node.host.inode
    connections, note = _connections(node, pod)
    return WireView(
        runtime=processes.runtime,
        netns=NetnsView(
            inode=netns.inode,
            nsid=netns.nsid,
            mounted=netns.record.mounted,
            processes=processes.processes,
            is_the_nodes=is_the_nodes,
        ),
        pod_side=None if is_the_nodes else _pod_side(netns),
        node_side=None if is_the_nodes else _node_side(node, pod, netns),
        way_out=_way_out(node),
        dns=_dns(node, pod, netns, processes.resolv_conf),
        connections=tuple(connections),
        connections_note=note,
    )


def _way_out(node: Node) -> WayOut:
    return WayOut(overlay=overlay_of(node), uplink=uplink_of(node), peers=list(peers_of(node)))


def _pod_side(netns: Netns) -> PodSide:
    own = netns.primary or next(iter(netns.interfaces), None)
    return PodSide(interface=interface_view(netns, own) if own else None, routes=route_views(netns))


def _node_side(node: Node, pod: Pod, netns: Netns) -> NodeSide:
    pair = pair_of(node, pod, netns)
    outer = pair.outer if pair else None
    return NodeSide(
        interface=interface_view(node.host, outer) if outer else None,
        problem=problem_of(pair) if pair else "",
        bridge=bridge_of(node, pair) if pair else None,
        routes=routes_to(node, pod.addresses),
    )


def _dns(node: Node, pod: Pod, netns: Netns, file: PodFile) -> DnsView:
    conf = parse_resolv_conf(file.text)
    return DnsView(
        servers=list(conf.nameservers),
        searches=list(conf.searches),
        options=list(conf.options),
        unread=file.refused,
        lookups=[_lookup(each) for each in _lookups(node, pod, netns)],
    )


def _lookups(node: Node, pod: Pod, netns: Netns) -> Iterator[Lookup]:
    """The lookups made in the pod's netns; for a pod on the host's network those of the node."""
    if netns.inode == node.host.inode:
        yield from node.dns.service_lookups
        return
    for transport in ("udp", "tcp"):
        try:
            for each, lookup in node.dns.pod_lookups(transport):
                if each.ref == pod.ref:
                    yield lookup
        except UNKNOWN:
            continue  # It concerns other pods: the lookups of this one came before.


def _lookup(lookup: Lookup) -> LookupView:
    try:
        problem = lookup.problem
        answer = "" if lookup.answer is None else str(lookup.answer)
    except (*UNKNOWN, ParseError) as error:
        problem, answer = str(error), ""
    return LookupView(
        question=lookup.question,
        server=str(lookup.server),
        transport=lookup.transport,
        seconds=sum(each.seconds for each in lookup.probe.tries),
        tries=len(lookup.probe.tries),
        answer=answer,
        problem=problem,
    )


def _connections(node: Node, pod: Pod) -> tuple[list[str], str]:
    """The entries with an address of the pod, and why there are none or not all."""
    found: list[str] = []
    read = [name for name in sorted(node.seen.facts.commands) if name.startswith("conntrack")]
    problems = []
    for name in read:
        try:
            for each in parse_connections(node.seen.output_if_asked(name)):
                ends = (each.original, each.reply)
                if pod.addresses & {a for end in ends for a in (end.source, end.destination)}:
                    found.append(each.text)
        except (FactMissingError, ParseError) as error:
            problems.append(str(error))
    if problems:
        return found, "; ".join(problems)
    return found, "" if read else "no conntrack entries were read on this node"
