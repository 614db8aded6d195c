"""The DNS part of a visit's plan: queries as bytes, and who is asked them from where."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dns.reversename
from msgspec import Struct

from wirecheck.addresses import canonical
from wirecheck.api_index.cluster_dns import ClusterDns, cluster_dns
from wirecheck.api_index.helper_pods import is_helper, without_helpers
from wirecheck.api_index.service import cluster_ips, service_key
from wirecheck.collect.plan.dns_further import (
    PAIR_SOURCES,
    further,
    large_question,
    pair_sources,
    samples,
    unknown_question,
)
from wirecheck.collect.plan.dns_questions import TRANSPORTS, Ask, Question, Replica, Transport
from wirecheck.collect.plan.sampling import share
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

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
    external_names: tuple[str, ...] = ()
    """Names outside the cluster that are asked for as well."""


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
    pairs: list[Ask] = []
    """What some pods ask by one socket."""
    pair_sources: list[str] = []
    """Uids, as in cgroup paths, of those pods."""
    left_out: list[str] = []
    """Uids, as in cgroup paths, of pods that ask nothing: the helper pods of any run."""


@dataclass(frozen=True, slots=True)
class DnsNames:
    """What the plans of all nodes have in common: worked out once for all of them."""

    api: ApiObjects
    known: ClusterDns
    places: Mapping[str, int]
    """Of each node in the order of their names."""
    headless: Sequence[Question]
    reverse: Sequence[Question]
    large: Question | None
    """A name with more addresses than a small datagram holds."""
    pair_sources: Mapping[str, Sequence[str]]
    """By node the pods that can ask from a netns of their own."""
    left_out: Mapping[str, Sequence[str]]
    """By node the helper pods, by their uids."""


def dns_names(api: ApiObjects) -> DnsNames:
    """The names of a cluster's Services, in an order that has nothing to do with their names."""
    known = cluster_dns(api)
    headless = [each for service in api.services for each in _headless(service, known.domain)]
    reverse = (each for service in api.services for each in _reverse(service))
    nodes = sorted(each.metadata.name for each in api.nodes)
    return DnsNames(
        api=api,
        known=known,
        places={name: place for place, name in enumerate(nodes)},
        headless=sorted(headless, key=lambda each: each.id),
        reverse=sorted(reverse, key=lambda each: each.id),
        large=large_question(api, headless, known.domain),
        pair_sources=pair_sources(without_helpers(api.pods)),
        left_out=_left_out(api.pods),
    )


def _left_out(pods: Iterable[PodObject]) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for pod in filter(is_helper, pods):
        found[pod.spec.node_name].append(pod.metadata.uid)
    return found


def dns_plan(names: DnsNames, node: str, limits: DnsLimits) -> DnsPlan:
    """What the visit to `node` asks: the same API objects give the same plan."""
    api, known, place = names.api, names.known, names.places[node]
    own_names = list(_names_for(names, place))
    replicas = share(list(_replicas(known)), place, REPLICAS_A_VISIT)
    kubernetes = _kubernetes_question(api, known)
    servers = [canonical(each) for each in known.addresses]
    at_service = [
        (kubernetes, Ask(kubernetes.id, server, transport))
        for server in servers
        for transport in TRANSPORTS
    ]
    at_replicas = [
        (kubernetes, each.asked(kubernetes, transport))
        for each in replicas
        for transport in TRANSPORTS
    ] + [
        (question, each.asked(question, transport))
        for question, transport in own_names
        for each in replicas[:REPLICAS_A_NAME]
    ]
    few = replicas[:REPLICAS_A_NAME]
    at_replicas += samples(few, kubernetes, len(api.nodes))
    at_replicas += further(few, known.domain, names.large, limits.external_names)
    families = [Question(kubernetes.name, kind) for kind in ("A", "AAAA")]
    asked = [*families, *(question for question, _ in at_service + at_replicas)]
    return DnsPlan(
        queries={question.id: question.wire for question in asked},
        pods=[ask for _, ask in at_service],
        node=[ask for _, ask in at_service + at_replicas],
        addresses=servers,
        rate=limits.rate,
        tries=limits.tries,
        timeout=limits.timeout,
        pairs=[
            Ask(families[0].id, server, "udp", purpose="pair", second=families[1].id)
            for server in servers
        ],
        pair_sources=share(names.pair_sources.get(node, ()), place, PAIR_SOURCES),
        left_out=list(names.left_out.get(node, ())),
    )


def queries(api: ApiObjects, external_names: Iterable[str] = ()) -> dict[str, str]:
    """Every query that a plan of this cluster holds: id → `NAME TYPE`."""
    names = dns_names(api)
    known = names.known
    name = _kubernetes_question(api, known).name
    questions = [Question(name, "A"), Question(name, "AAAA"), unknown_question(known.domain)]
    questions += [Question(each, "A") for each in external_names]
    questions += filter(None, [names.large])
    for place in range(len(api.nodes)):
        questions += [question for question, _ in _names_for(names, place)]
    return {each.id: each.text for each in questions}


def _kubernetes_question(api: ApiObjects, known: ClusterDns) -> Question:
    """The name that every cluster has, in the family of its first address."""
    name = f"kubernetes.default.svc.{known.domain}"
    for service in api.services:
        if service_key(service) == ("default", "kubernetes"):
            is_v6 = ":" in service.spec.cluster_ip
            return Question(name, "AAAA" if is_v6 else "A")
    return Question(name, "A")


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
    if service.spec.type != "ExternalName":
        for each in cluster_ips(service):
            yield Question(dns.reversename.from_address(each).to_text(omit_final_dot=True), "PTR")
