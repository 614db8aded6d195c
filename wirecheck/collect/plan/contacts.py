"""Which TCP connections one visit makes: from whom, to whom, how often. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import dns.edns
import dns.message
from msgspec import Struct

from wirecheck.addresses import canonical
from wirecheck.api_index.cluster_dns import ClusterDns
from wirecheck.api_index.helper_pods import addresses_of
from wirecheck.api_index.pod import cgroup_uid, is_ready
from wirecheck.catalogue.sampled_peers import PEERS
from wirecheck.collect.plan.contact_ports import to_ports
from wirecheck.collect.plan.contact_targets import (
    ContactTargets,
    contact_targets,
    is_wired,
)
from wirecheck.collect.plan.planned_contact import PlannedContact
from wirecheck.collect.plan.sampling import following, share
from wirecheck.collect.pods.helper_manifest import PORT
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject

REPLICAS = 4
SERVICES = 4

MESSAGES = 17
PADDING = 4000
"""Bytes: a message fills several packets, and all together are more than 64 KiB (RFC 7830;
CoreDNS returns the padding, so that its answers are as large)."""

REQUEST = b"GET /healthz HTTP/1.0\r\n\r\n"
"""What is asked at a load balancer's health check port, as load balancers do."""

HAIRPINS = {1: 1, 2: 10, 3: 17}
"""Backends of a Service, and how many connections reach each of them but for once in 1,000."""


class ContactPlan(Struct, frozen=True):
    """All of one visit."""

    message: str
    """A padded DNS query, base64."""
    contacts: list[PlannedContact]
    timeout: float
    request: str = ""
    """What is sent over connections that are asked by HTTP, base64."""


def contact_plan(api: ApiObjects, node: str, timeout: float) -> ContactPlan:
    """The connections from `node`: the same API objects give the same plan."""
    return contacts_from(contact_targets(api), node, timeout)


def contacts_from(targets: ContactTargets, node: str, timeout: float) -> ContactPlan:
    """The part of `node`."""
    contacts = list(_contacts(targets, node))
    request = base64.b64encode(REQUEST).decode()
    return ContactPlan(_message(targets.dns.domain), contacts, timeout, request)


def _message(domain: str) -> str:
    padding = dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(PADDING))
    name = f"kubernetes.default.svc.{domain}"
    query = dns.message.make_query(name, "A", use_edns=0, payload=1232, options=[padding], id=1)
    return base64.b64encode(query.to_wire(max_size=65535)).decode()


def _contacts(targets: ContactTargets, name: str) -> Iterator[PlannedContact]:
    place = targets.places[name]
    peers = following(targets.nodes, place, PEERS)
    source = targets.sources.get(name, "")
    for peer in peers:
        yield from _to_node(peer)
    for each, port in targets.api_servers:
        yield PlannedContact("", "api", each, port)
        if source:
            yield PlannedContact(source, "api", each, port)
    if source:
        for peer in peers:
            if there := targets.listening.get(peer.metadata.name):
                yield PlannedContact(source, "pod", *there)
        yield from _messages(targets.dns, source, place)
        for each, port in targets.same_node.get(name, ())[:SERVICES]:
            yield PlannedContact(source, "same node", each, port)
            yield PlannedContact("", "same node", each, port)
    yield from _hairpins(targets.dns, name)
    yield from _to_helpers(targets, name)
    yield from to_ports(targets, name)


def _to_helpers(targets: ContactTargets, name: str) -> Iterator[PlannedContact]:
    """From the node and from its own helper to those of others; to its own also from a pod."""
    own = targets.helpers.get(name)
    # Among those that have one, so that each is a source and a target however many there are.
    names = sorted({*targets.helpers, name})
    for peer in following(names, names.index(name), PEERS):
        for each in _to_helper(targets.helpers.get(peer)):
            yield PlannedContact("", "helper", each, PORT, messages=MESSAGES)
            if own:
                yield PlannedContact(cgroup_uid(own), "helper", each, PORT, messages=MESSAGES)
    for each in _to_helper(own):
        for source in dict.fromkeys(["", targets.sources.get(name, "")]):
            yield PlannedContact(source, "own helper", each, PORT, messages=MESSAGES)


def _to_helper(pod: PodObject | None) -> list[str]:
    return [canonical(each) for each in addresses_of(pod)] if pod else []


def _to_node(peer: NodeObject) -> Iterator[PlannedContact]:
    port = peer.status.daemon_endpoints.kubelet_endpoint.port
    if port:
        for each in peer.status.addresses:
            if each.type == "InternalIP":
                yield PlannedContact("", "node", canonical(each.address), port)


def _messages(known: ClusterDns, source: str, place: int) -> Iterator[PlannedContact]:
    """To DNS replicas, which answer with as much as they are sent."""
    # One that is not Ready is told by other checks, and gets no traffic.
    replicas = [pod for pod in known.replicas if is_ready(pod) and cgroup_uid(pod) != source]
    for pod in share(replicas, place, REPLICAS):
        for each in pod.status.pod_ips:
            if each.ip:
                port = known.port_of(pod, "TCP")
                yield PlannedContact(
                    source, "messages", canonical(each.ip), port, messages=MESSAGES
                )


def _hairpins(known: ClusterDns, node: str) -> Iterator[PlannedContact]:
    """A DNS replica asks the Service that it is behind: some connections lead to itself."""
    times = HAIRPINS.get(len(known.replicas))
    for pod in known.replicas:
        if pod.spec.node_name == node and times and is_wired(pod):
            for each in known.addresses:
                yield PlannedContact(cgroup_uid(pod), "hairpin", canonical(each), 53, times=times)
