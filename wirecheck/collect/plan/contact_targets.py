"""Computes the possible sources and targets of connections once for all nodes. Pure.

Each node's plan takes its part. Searching all pods, Services and EndpointSlices again for each
node would take quadratic time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from wirecheck.addresses import canonical
from wirecheck.api_index.cluster_dns import ClusterDns, cluster_dns
from wirecheck.api_index.endpoint_slices import (
    SlicesByService,
    is_serving,
    slices_by_service,
)
from wirecheck.api_index.helper_pods import helpers_of, without_helpers
from wirecheck.api_index.host_ports import HostPort, host_ports
from wirecheck.api_index.node_ports import (
    HealthCheck,
    NodePort,
    health_checks,
    node_ports,
)
from wirecheck.api_index.pod import cgroup_uid, is_ready, is_running
from wirecheck.api_index.policies import Policies
from wirecheck.api_index.readable import readable
from wirecheck.api_index.sandboxes import handlers_of, sandbox_of
from wirecheck.api_index.service import cluster_ips, service_key
from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord
from wirecheck.snapshot.objects.endpoint_slice import Endpoint, EndpointSliceObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject
from wirecheck.snapshot.run_labels import OWNER, OWNER_LABEL

MOST_SERVING = 300
"""Of one node: a plan with so many is a few kilobytes longer."""

SocketAddress = tuple[str, int]
"""An address and a TCP port."""


@dataclass(frozen=True, slots=True)
class ContactTargets:
    """The sources and targets of the connections of all nodes; mappings are by node name."""

    dns: ClusterDns
    nodes: Sequence[NodeObject]
    """Sorted by name. Nodes that cannot be visited are left out: they need not answer either."""
    places: Mapping[str, int]
    """The index of each node in `nodes`."""
    api_servers: Sequence[SocketAddress]
    """The Service address of the API, and each of its endpoints."""
    sources: Mapping[str, str]
    """The uid of the pod that connects on behalf of all pods of its node."""
    wired: frozenset[str]
    """The uids of the pods that run in a netns of their own which the node can enter."""
    listening: Mapping[str, SocketAddress]
    """A pod that is a ready endpoint of a Service, so that something listens there."""
    serving: Mapping[str, Sequence[SocketAddress]]
    """The TCP endpoints of Services at the node's pods, at most MOST_SERVING."""
    same_node: Mapping[str, Sequence[SocketAddress]]
    """Services whose endpoints are all pods of the node."""
    pods_addresses: frozenset[str]
    """The addresses of the pods that are not on the host network, as the API writes them."""
    helpers: Mapping[str, PodObject]
    """The helper pods of the run, which are used for large messages only."""
    node_ports: Sequence[NodePort]
    health_checks: Sequence[HealthCheck]
    host_ports: Mapping[str, Sequence[HostPort]]
    """TCP host ports that forward to Ready pods of the node."""


def contact_targets(api: ApiObjects, run: HelperPodsRecord | None = None) -> ContactTargets:
    """All possible sources and targets; `run` has the run's helper pods."""
    api = readable(api)
    helpers = helpers_of(api, run)
    api = msgspec.structs.replace(api, pods=without_helpers(api.pods, run))
    known = cluster_dns(api)
    visited = (each for each in api.nodes if not why_unvisitable(each))
    pods = _wired(api)
    nodes = sorted(visited, key=lambda each: each.metadata.name)
    slices = slices_by_service(api.endpoint_slices)
    return ContactTargets(
        dns=known,
        nodes=nodes,
        places={each.metadata.name: place for place, each in enumerate(nodes)},
        api_servers=_api_servers(api, slices),
        sources=_sources(api, known, pods),
        wired=frozenset(each.metadata.uid for each in pods),
        listening=_listening(api, known, pods),
        serving=_serving(api, pods),
        same_node=_same_node_services(api, slices),
        pods_addresses=frozenset(_texts(e for e in api.pods if not e.spec.host_network)),
        helpers=helpers,
        node_ports=node_ports(api.services, slices),
        health_checks=health_checks(api.services, slices),
        host_ports=_host_ports(pods),
    )


def _api_servers(api: ApiObjects, slices: SlicesByService) -> list[SocketAddress]:
    key = ("default", "kubernetes")
    found = [
        (each, port.port)
        for service in api.services
        if service_key(service) == key
        for each in _own(service)
        for port in service.spec.ports
    ]
    for slice_ in slices.get(key, ()):
        found += [
            (canonical(text), port.port)
            for endpoint in slice_.endpoints or ()
            for text in endpoint.addresses
            for port in slice_.ports or ()
            if port.port and slice_.address_type != "FQDN"
        ]
    return list(dict.fromkeys(found))


def _sources(api: ApiObjects, known: ClusterDns, wired: Iterable[PodObject]) -> dict[str, str]:
    """Prefers a pod that is Ready, in a namespace without egress policies, and not DNS.

    A pod that a policy of another kind selects is left out: its connections prove nothing.
    """
    replicas = {each.metadata.uid for each in known.replicas}
    restricted = {
        each.metadata.namespace
        for each in api.network_policies
        if "Egress" in each.spec.policy_types
    }

    def rank(pod: PodObject) -> tuple[bool, bool, bool, bool, bool, str, str]:
        return (
            # A pod of another run may end during the visit.
            pod.metadata.labels.get(OWNER_LABEL) == OWNER,
            pod.metadata.namespace in restricted,
            not is_ready(pod),
            "sidecar.istio.io/status" in pod.metadata.annotations,
            pod.metadata.uid in replicas,
            pod.metadata.namespace,
            pod.metadata.name,
        )

    fitting: dict[str, list[PodObject]] = defaultdict(list)
    policies = Policies(api)
    for pod in wired:
        if not policies.other_of(pod, "Egress"):
            fitting[pod.spec.node_name].append(pod)
    return {node: cgroup_uid(min(pods, key=rank)) for node, pods in fitting.items()}


def _listening(
    api: ApiObjects, known: ClusterDns, pods: Iterable[PodObject]
) -> dict[str, SocketAddress]:
    """Prefers pods other than DNS: a firewall on port 53 must not look like an unreachable node."""
    replicas = frozenset(_texts(known.replicas))
    wired = frozenset(_texts(pods))
    found: dict[str, tuple[bool, str, str, str, int]] = {}
    for slice_, endpoint in _endpoints_of_pods(api):
        ports = [each.port for each in slice_.ports or () if each.protocol == "TCP" and each.port]
        for text in endpoint.addresses if ports else ():
            key = (
                text in replicas,
                slice_.metadata.namespace,
                slice_.metadata.name,
                text,
                min(ports),
            )
            if text in wired:
                known_best = found.get(endpoint.node_name)
                found[endpoint.node_name] = min(known_best, key) if known_best else key
    return {node: (canonical(text), port) for node, (*_, text, port) in found.items()}


def _serving(api: ApiObjects, pods: Iterable[PodObject]) -> dict[str, list[SocketAddress]]:
    """TCP endpoints of Services that have a cluster IP, by node, sorted."""
    forwarded = {service_key(each) for each in api.services if cluster_ips(each)}
    own = frozenset(_texts(pods))
    found: dict[str, set[SocketAddress]] = defaultdict(set)
    for slice_, endpoint in _endpoints_of_pods(api):
        meta = slice_.metadata
        key = (meta.namespace, meta.labels.get("kubernetes.io/service-name", ""))
        if key in forwarded and endpoint.addresses and endpoint.addresses[0] in own:
            where = canonical(endpoint.addresses[0])
            found[endpoint.node_name] |= {
                (where, each.port)
                for each in slice_.ports or ()
                if each.protocol == "TCP" and each.port
            }
    return {node: sorted(places)[:MOST_SERVING] for node, places in found.items()}


def _endpoints_of_pods(api: ApiObjects) -> Iterator[tuple[EndpointSliceObject, Endpoint]]:
    for slice_ in api.endpoint_slices:
        for endpoint in slice_.endpoints or ():
            target = endpoint.target_ref
            if target is not None and target.kind == "Pod" and is_serving(endpoint):
                yield slice_, endpoint


def _same_node_services(api: ApiObjects, slices: SlicesByService) -> dict[str, list[SocketAddress]]:
    """TCP ports of Services, sorted by name."""
    found: dict[str, list[SocketAddress]] = defaultdict(list)
    for service in sorted(api.services, key=service_key):
        tcp = [port.port for port in service.spec.ports if port.protocol == "TCP"][:1]
        own = slices.get(service_key(service), ())
        nodes = {each.node_name for s in own for each in s.endpoints or () if is_serving(each)}
        if service.spec.internal_traffic_policy == "Local" or len(nodes) == 1:
            for node in nodes:
                found[node] += [(each, port) for each in _own(service) for port in tcp]
    return found


def _host_ports(pods: Iterable[PodObject]) -> dict[str, list[HostPort]]:
    """TCP host ports, sorted by the pods' names."""
    found: dict[str, list[HostPort]] = defaultdict(list)
    for pod in sorted(pods, key=lambda p: (p.metadata.namespace, p.metadata.name)):
        if is_ready(pod):
            found[pod.spec.node_name] += [e for e in host_ports(pod) if e.protocol == "tcp"]
    return found


def _own(service: ServiceObject) -> list[str]:
    """The Service's cluster IPs in canonical form."""
    return [canonical(each) for each in cluster_ips(service)]


def _texts(pods: Iterable[PodObject]) -> Iterator[str]:
    for pod in pods:
        yield from (each.ip for each in pod.status.pod_ips)


def _wired(api: ApiObjects) -> list[PodObject]:
    """The pods that run in a netns of their own which the node can enter."""
    handlers = handlers_of(api.runtime_classes)
    return [
        pod
        for pod in api.pods
        if is_running(pod) and not pod.spec.host_network and not sandbox_of(pod, handlers)
    ]
