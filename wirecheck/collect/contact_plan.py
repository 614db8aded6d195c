"""Which TCP connections one visit makes: from whom, to whom, how often. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import dns.edns
import dns.message
from msgspec import Struct

from wirecheck.addresses import canonical
from wirecheck.snapshot.api_objects import (
    ApiObjects,
    Endpoint,
    EndpointSliceObject,
    NodeObject,
    PodObject,
    ServiceObject,
)
from wirecheck.snapshot.cluster_dns import ClusterDns, cluster_dns

PEERS = 16
"""Nodes that each node connects to: the next ones in the order of their names, so that every
node is a source and a target however many there are."""

REPLICAS = 4
SERVICES = 4

MESSAGES = 17
PADDING = 4000
"""Bytes: a message fills several packets, and all together are more than 64 KiB (RFC 7830;
CoreDNS returns the padding, so that its answers are as large)."""

HAIRPINS = {1: 1, 2: 10, 3: 17}
"""Backends of a Service, and how many connections reach each of them but for once in 1,000."""

Thing = TypeVar("Thing")


class Asked(Struct, frozen=True, omit_defaults=True):
    """A connection to make; `source` is the uid of a pod, as its cgroup has it, or empty."""

    source: str
    purpose: str
    address: str
    port: int
    times: int = 1
    messages: int = 0


class ContactPlan(Struct, frozen=True):
    """All of one visit."""

    message: str
    """A padded DNS query, base64."""
    contacts: list[Asked]
    timeout: float


def contact_plan(api: ApiObjects, node: str, timeout: float) -> ContactPlan:
    """The connections from `node`: the same API objects give the same plan."""
    known = cluster_dns(api)
    listed = list(_contacts(api, known, node))
    return ContactPlan(_message(known.domain), listed, timeout)


def sampled_peers(nodes: int) -> int:
    """How many others each of so many nodes connects to, where those are not all; else 0."""
    return PEERS if nodes - 1 > PEERS else 0


def _message(domain: str) -> str:
    padding = dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(PADDING))
    name = f"kubernetes.default.svc.{domain}"
    query = dns.message.make_query(name, "A", use_edns=0, payload=1232, options=[padding], id=1)
    return base64.b64encode(query.to_wire(max_size=65535)).decode()


def _contacts(api: ApiObjects, known: ClusterDns, name: str) -> Iterator[Asked]:
    nodes = sorted(api.nodes, key=lambda each: each.metadata.name)
    place = [each.metadata.name for each in nodes].index(name)
    peers = _following(nodes, place, PEERS)
    source = _source(api, known, name)
    for peer in peers:
        yield from _to_node(peer)
    for each, port in _api_servers(api):
        yield Asked("", "api", each, port)
        if source:
            yield Asked(source, "api", each, port)
    if source:
        for peer in peers:
            yield from _to_pod(api, known, source, peer.metadata.name)
        yield from _messages(known, source, place)
        for each, port in _same_node_services(api, name):
            yield Asked(source, "same node", each, port)
            yield Asked("", "same node", each, port)
    yield from _hairpins(known, name)


def _following(things: Sequence[Thing], place: int, most: int) -> list[Thing]:
    """At most `most` of the things after the one at `place`, in a ring."""
    count = min(most, len(things) - 1)
    return [things[(place + 1 + offset) % len(things)] for offset in range(count)]


def _to_node(peer: NodeObject) -> Iterator[Asked]:
    port = peer.status.daemon_endpoints.kubelet_endpoint.port
    if port:
        for each in peer.status.addresses:
            if each.type == "InternalIP":
                yield Asked("", "node", canonical(each.address), port)


def _api_servers(api: ApiObjects) -> list[tuple[str, int]]:
    """The API's Service address, and each address behind it."""
    found = []
    for service in api.services:
        if (service.metadata.namespace, service.metadata.name) == ("default", "kubernetes"):
            found += [(each, port.port) for each in _own(service) for port in service.spec.ports]
    for slice_ in _slices(api, "default", "kubernetes"):
        found += [
            (canonical(text), port.port)
            for endpoint in slice_.endpoints or ()
            for text in endpoint.addresses
            for port in slice_.ports or ()
            if port.port and slice_.address_type != "FQDN"
        ]
    return list(dict.fromkeys(found))


def _source(api: ApiObjects, known: ClusterDns, node: str) -> str:
    """The pod on the node that stands for all: Ready, in no policy's namespace, not DNS."""
    replicas = {each.metadata.uid for each in known.replicas}
    restricted = {
        each.metadata.namespace
        for each in api.network_policies
        if "Egress" in each.spec.policy_types
    }
    fitting = [pod for pod in api.pods if pod.spec.node_name == node and _is_wired(pod)]
    best = min(
        fitting,
        default=None,
        key=lambda pod: (
            pod.metadata.namespace in restricted,
            not _is_ready(pod),
            "sidecar.istio.io/status" in pod.metadata.annotations,
            pod.metadata.uid in replicas,
            pod.metadata.namespace,
            pod.metadata.name,
        ),
    )
    return _uid(best) if best else ""


def _to_pod(api: ApiObjects, known: ClusterDns, source: str, peer: str) -> Iterator[Asked]:
    """One pod on the peer that a Service holds for Ready: something listens there.

    Rather none of DNS, so that a firewall on port 53 is not taken for a pair that is cut off.
    """
    replicas = frozenset(_texts(known.replicas))
    listening = sorted(
        (text in replicas, slice_.metadata.namespace, slice_.metadata.name, text, port.port)
        for slice_ in api.endpoint_slices
        for port in slice_.ports or ()
        for endpoint in slice_.endpoints or ()
        for text in endpoint.addresses
        if endpoint.node_name == peer
        and endpoint.target_ref is not None
        and endpoint.target_ref.kind == "Pod"
        and _is_serving(endpoint)
        and port.protocol == "TCP"
        and port.port
    )
    own = _addresses_of_wired(api)
    for *_, text, port in [each for each in listening if each[3] in own][:1]:
        yield Asked(source, "pod", canonical(text), port)


def _messages(known: ClusterDns, source: str, place: int) -> Iterator[Asked]:
    """To DNS replicas, which answer with as much as they are sent."""
    # One that is not Ready is told by other checks, and gets no traffic.
    replicas = [pod for pod in known.replicas if _is_ready(pod) and _uid(pod) != source]
    count = min(REPLICAS, len(replicas))
    for offset in range(count):
        pod = replicas[(place * count + offset) % len(replicas)]
        for each in pod.status.pod_ips:
            if each.ip:
                port = known.port_of(pod, "TCP")
                yield Asked(source, "messages", canonical(each.ip), port, messages=MESSAGES)


def _same_node_services(api: ApiObjects, node: str) -> list[tuple[str, int]]:
    """TCP ports of Services that lead to nothing but pods of this node."""
    found = []
    for service in sorted(api.services, key=lambda s: (s.metadata.namespace, s.metadata.name)):
        own = _own(service)
        slices = _slices(api, service.metadata.namespace, service.metadata.name)
        places = [each.node_name for s in slices for each in s.endpoints or () if _is_serving(each)]
        is_local = service.spec.internal_traffic_policy == "Local"
        if node in places and (is_local or set(places) == {node}):
            tcp = [port.port for port in service.spec.ports if port.protocol == "TCP"]
            found += [(each, port) for each in own for port in tcp[:1]]
    return found[:SERVICES]


def _hairpins(known: ClusterDns, node: str) -> Iterator[Asked]:
    """A DNS replica asks the Service that it is behind: some connections lead to itself."""
    times = HAIRPINS.get(len(known.replicas))
    for pod in known.replicas:
        if pod.spec.node_name == node and times and _is_wired(pod):
            for each in known.addresses:
                yield Asked(_uid(pod), "hairpin", canonical(each), 53, times=times)


def _own(service: ServiceObject) -> list[str]:
    """The Service's addresses; none for one that has none, or that is another's name."""
    texts = dict.fromkeys([service.spec.cluster_ip, *service.spec.cluster_ips])
    return [canonical(each) for each in texts if each not in ("", "None")]


def _slices(api: ApiObjects, namespace: str, service: str) -> list[EndpointSliceObject]:
    return [
        each
        for each in api.endpoint_slices
        if each.metadata.namespace == namespace
        and each.metadata.labels.get("kubernetes.io/service-name") == service
    ]


def _is_serving(endpoint: Endpoint) -> bool:
    return endpoint.conditions.ready is not False and not endpoint.conditions.terminating


def _addresses_of_wired(api: ApiObjects) -> frozenset[str]:
    return frozenset(_texts(pod for pod in api.pods if _is_wired(pod)))


def _texts(pods: Iterable[PodObject]) -> Iterator[str]:
    for pod in pods:
        yield from (each.ip for each in pod.status.pod_ips)


def _is_wired(pod: PodObject) -> bool:
    """Whether it runs in a netns of its own that the node shows."""
    return (
        pod.status.phase == "Running"
        and not pod.metadata.deletion_timestamp
        and not pod.spec.host_network
        and not pod.spec.runtime_class_name
    )


def _is_ready(pod: PodObject) -> bool:
    return any(each.type == "Ready" and each.status == "True" for each in pod.status.conditions)


def _uid(pod: PodObject) -> str:
    return pod.metadata.annotations.get("kubernetes.io/config.hash") or pod.metadata.uid
