"""Plans the TCP connections of one visit: sources, targets and numbers. Pure."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Set

import dns.edns
import dns.message
from msgspec import Struct

from wirecheck.addresses import canonical
from wirecheck.api_index.cluster_dns import ClusterDns
from wirecheck.api_index.helper_pods import addresses_of
from wirecheck.api_index.node_addresses import is_contactable, node_ips
from wirecheck.api_index.pod import cgroup_uid, is_ready
from wirecheck.catalogue.sampled_peers import PEERS
from wirecheck.collect.plan.contact_ports import to_ports
from wirecheck.collect.plan.contact_targets import ContactTargets, SocketAddress, contact_targets
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
"""Bytes: a message fills several packets, and all together exceed 64 KiB (RFC 7830; CoreDNS
returns the padding, so its responses are as large)."""

REQUEST = b"GET /healthz HTTP/1.0\r\n\r\n"
"""The request to a health check node port, as load balancers send it."""

HAIRPINS = {1: 1, 2: 10, 3: 17}
"""By number of backends, how many connections reach each of them with a probability of 99.9 %."""


class ContactPlan(Struct, frozen=True):
    """The connections of one visit."""

    message: str
    """A padded DNS query, base64."""
    contacts: list[PlannedContact]
    timeout: float
    request: str = ""
    """The request that is sent over HTTP connections, base64."""
    serving: list[SocketAddress] = []
    """Where pods of the node should listen. One connection is made to some of those at which
    nothing does: a refused one confirms it."""


def contact_plan(api: ApiObjects, node: str, timeout: float) -> ContactPlan:
    """The connections from `node`; the same API objects always give the same plan."""
    return contacts_from(contact_targets(api), node, timeout)


def contacts_from(targets: ContactTargets, node: str, timeout: float) -> ContactPlan:
    """The connections from `node`."""
    contacts = list(_contacts(targets, node))
    request = base64.b64encode(REQUEST).decode()
    serving = list(targets.serving.get(node, ()))
    return ContactPlan(_message(targets.dns.domain), contacts, timeout, request, serving)


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
        yield from _to_node(peer, targets.pods_addresses)
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
    yield from _hairpins(targets, name)
    yield from _to_helpers(targets, name)
    yield from to_ports(targets, name)


def _to_helpers(targets: ContactTargets, name: str) -> Iterator[PlannedContact]:
    """From the node and its helper pod to other nodes' helpers; to its own also from a pod."""
    own = targets.helpers.get(name)
    # Peers are chosen among nodes with a helper, so that each helper is a source and a target.
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


def _to_node(peer: NodeObject, pods_addresses: Set[str]) -> Iterator[PlannedContact]:
    port = peer.status.daemon_endpoints.kubelet_endpoint.port
    for each in node_ips(peer) if port else ():
        # Clouds list the addresses of all network cards, of which some are those of pods.
        if is_contactable(each) and str(each) not in pods_addresses:
            yield PlannedContact("", "node", str(each), port)


def _messages(known: ClusterDns, source: str, place: int) -> Iterator[PlannedContact]:
    """To DNS replicas, whose responses are as large as the queries."""
    # Other checks report a replica that is not Ready; it gets no traffic.
    replicas = [pod for pod in known.replicas if is_ready(pod) and cgroup_uid(pod) != source]
    for pod in share(replicas, place, REPLICAS):
        for each in pod.status.pod_ips:
            if each.ip:
                port = known.port_of(pod, "TCP")
                yield PlannedContact(
                    source, "messages", canonical(each.ip), port, messages=MESSAGES
                )


def _hairpins(targets: ContactTargets, node: str) -> Iterator[PlannedContact]:
    """A DNS replica connects to its own Service, so some connections are forwarded to itself."""
    known = targets.dns
    times = HAIRPINS.get(len(known.replicas))
    for pod in known.replicas:
        if pod.spec.node_name == node and times and pod.metadata.uid in targets.wired:
            for each in known.addresses:
                yield PlannedContact(cgroup_uid(pod), "hairpin", canonical(each), 53, times=times)
