"""The DNS part of a visit's plan: queries as bytes, and who is asked them from where."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import dns.message
import dns.reversename
from msgspec import Struct

from wirecheck.addresses import canonical
from wirecheck.collect.ring import share
from wirecheck.snapshot.api_objects import ApiObjects, ServiceObject
from wirecheck.snapshot.cluster_dns import ClusterDns, cluster_dns

Transport = Literal["udp", "tcp"]
TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp")

NAMES_A_VISIT = 6
"""Of headless and of reverse names each; all nodes together cover the more, the more there are."""

REPLICAS_A_VISIT = 16
REPLICAS_A_NAME = 4
"""Where DNS runs on every node, each asking each would be a storm; all nodes cover all of them."""


@dataclass(frozen=True, slots=True)
class DnsLimits:
    """How DNS is asked; times in seconds."""

    rate: float
    """Queries per second of this visit."""
    tries: int
    timeout: float


class Ask(Struct, frozen=True):
    """A query, by its id, to one server."""

    query: str
    server: str
    transport: Transport
    port: int = 53


class DnsPlan(Struct, frozen=True):
    """What is asked from every pod's netns, and what from the node's own."""

    queries: dict[str, str]
    """The messages by id, base64."""
    pods: list[Ask]
    node: list[Ask]
    addresses: list[str]
    """Of the DNS Services: conntrack entries towards them are kept."""
    rate: float
    tries: int
    timeout: float


@dataclass(frozen=True, slots=True)
class Question:
    """A name and a record type."""

    name: str
    kind: str

    @property
    def text(self) -> str:
        """`NAME TYPE`."""
        return f"{self.name} {self.kind}"

    @property
    def id(self) -> str:
        """The same in every look, whatever else is asked."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:10]

    @property
    def wire(self) -> str:
        """The message in base64; the program puts in an id of its own."""
        query = dns.message.make_query(self.name, self.kind, use_edns=0, payload=1232, id=0)
        return base64.b64encode(query.to_wire()).decode()


@dataclass(frozen=True, slots=True)
class Replica:
    """One address of a DNS replica, and the port that it listens on there."""

    address: str
    ports: Mapping[Transport, int]

    def asked(self, question: Question, transport: Transport) -> Ask:
        """The question to this replica."""
        return Ask(question.id, self.address, transport, self.ports[transport])


@dataclass(frozen=True, slots=True)
class DnsNames:
    """What the plans of all nodes have in common: worked out once for all of them."""

    api: ApiObjects
    known: ClusterDns
    places: Mapping[str, int]
    """Of each node in the order of their names."""
    headless: Sequence[Question]
    reverse: Sequence[Question]


def dns_names(api: ApiObjects) -> DnsNames:
    """The names of a cluster's Services, in an order that has nothing to do with their names."""
    known = cluster_dns(api)
    headless = (each for service in api.services for each in _headless(service, known.domain))
    reverse = (each for service in api.services for each in _reverse(service))
    nodes = sorted(each.metadata.name for each in api.nodes)
    return DnsNames(
        api=api,
        known=known,
        places={name: place for place, name in enumerate(nodes)},
        headless=sorted(headless, key=lambda each: each.id),
        reverse=sorted(reverse, key=lambda each: each.id),
    )


def dns_plan(names: DnsNames, node: str, limits: DnsLimits) -> DnsPlan:
    """What the visit to `node` asks: the same API objects give the same plan."""
    api, known, place = names.api, names.known, names.places[node]
    own_names = list(_names_for(names, place))
    replicas = share(list(_replicas(known)), place, REPLICAS_A_VISIT)
    kubernetes = _kubernetes_questions(api, known)
    servers = [canonical(each) for each in known.addresses]
    at_service = [
        (question, Ask(question.id, server, transport))
        for server in servers
        for question in kubernetes
        for transport in TRANSPORTS
    ]
    at_replicas = [
        (question, each.asked(question, transport))
        for each in replicas
        for question in kubernetes
        for transport in TRANSPORTS
    ] + [
        (question, each.asked(question, transport))
        for question, transport in own_names
        for each in replicas[:REPLICAS_A_NAME]
    ]
    return DnsPlan(
        queries={question.id: question.wire for question, _ in at_service + at_replicas},
        pods=[ask for _, ask in at_service],
        node=[ask for _, ask in at_service + at_replicas],
        addresses=servers,
        rate=limits.rate,
        tries=limits.tries,
        timeout=limits.timeout,
    )


def queries(api: ApiObjects) -> dict[str, str]:
    """Every query that a plan of this cluster holds: id → `NAME TYPE`."""
    names = dns_names(api)
    known = names.known
    questions = list(_kubernetes_questions(api, known))
    for place in range(len(api.nodes)):
        questions += [question for question, _ in _names_for(names, place)]
    return {each.id: each.text for each in questions}


def _kubernetes_questions(api: ApiObjects, known: ClusterDns) -> list[Question]:
    """The name that every cluster has, in the family of its first address."""
    name = f"kubernetes.default.svc.{known.domain}"
    for service in api.services:
        if (service.metadata.namespace, service.metadata.name) == ("default", "kubernetes"):
            is_v6 = ":" in service.spec.cluster_ip
            return [Question(name, "AAAA" if is_v6 else "A")]
    return [Question(name, "A")]


def _replicas(known: ClusterDns) -> Iterator[Replica]:
    for pod in known.replicas:
        ports = {each: known.port_of(pod, each.upper()) for each in TRANSPORTS}
        for each in pod.status.pod_ips:
            if each.ip:
                yield Replica(canonical(each.ip), ports)


def _names_for(names: DnsNames, place: int) -> Iterator[tuple[Question, Transport]]:
    """The share that the node at `place` has of the headless and of the reverse names.

    Headless names are asked over TCP, where the answer always comes as a whole.
    """
    for question in share(names.headless, place, NAMES_A_VISIT):
        yield question, "tcp"
    for question in share(names.reverse, place, NAMES_A_VISIT):
        yield question, "udp"


def _headless(service: ServiceObject, domain: str) -> Iterator[Question]:
    """Without a selector its endpoints may be anything, names of hosts included."""
    if service.spec.cluster_ip == "None" and service.spec.selector:
        name = f"{service.metadata.name}.{service.metadata.namespace}.svc.{domain}"
        for family in service.spec.ip_families or ["IPv4"]:
            yield Question(name, "AAAA" if family == "IPv6" else "A")


def _reverse(service: ServiceObject) -> Iterator[Question]:
    spec = service.spec
    if spec.cluster_ip not in ("", "None") and spec.type != "ExternalName":
        for each in dict.fromkeys([spec.cluster_ip, *spec.cluster_ips]):
            yield Question(dns.reversename.from_address(each).to_text(omit_final_dot=True), "PTR")
