"""Plans the DNS queries of a visit: their bytes, sources and servers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dns.reversename
import msgspec
from msgspec import Struct

from wirecheck.addresses import canonical
from wirecheck.api_index.cluster_dns import ClusterDns, cluster_dns
from wirecheck.api_index.domain_names import is_domain_name
from wirecheck.api_index.helper_pods import is_helper, without_helpers
from wirecheck.api_index.pod import cgroup_uid, is_running
from wirecheck.api_index.readable import readable
from wirecheck.api_index.sandboxes import handlers_of, sandbox_of
from wirecheck.api_index.service import cluster_ips, service_key
from wirecheck.collect.plan.dns_further import (
    PAIR_SOURCES,
    SAMPLE_SOURCES,
    further,
    large_question,
    pair_sources,
    pod_samples,
    sample_sources,
    samples,
    unknown_question,
)
from wirecheck.collect.plan.dns_questions import (
    TRANSPORTS,
    Ask,
    PodSamples,
    Question,
    Replica,
    Transport,
)
from wirecheck.collect.plan.sampling import share
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.service import ServiceObject

NAMES_A_VISIT = 6
"""The number of headless and of reverse names each; the more nodes, the more names are covered."""

SERVERS = 16
"""The number of DNS Service addresses that are queried."""

UNASKED = 256
"""How many pods without queries a plan names for a node at most. If there are more, the others send
queries whose answers are not used."""

REPLICAS_A_VISIT = 16
REPLICAS_A_NAME = 4
"""Limits for DNS on every node, where all-to-all queries would be a storm."""


@dataclass(frozen=True, slots=True)
class DnsLimits:
    """Limits of the DNS queries; times in seconds."""

    rate: float
    """Queries per second of this visit."""
    tries: int
    timeout: float
    external_names: tuple[str, ...] = ()
    """Names outside the cluster that are queried as well."""


class DnsPlan(Struct, frozen=True):
    """The queries from every pod's netns, and those from the node's own."""

    queries: dict[str, str]
    """The messages by id, base64."""
    pods: list[Ask]
    node: list[Ask]
    addresses: list[str]
    """The addresses of the DNS Services, whose conntrack entries are kept."""
    rate: float
    tries: int
    timeout: float
    pairs: list[Ask] = []
    """Pairs of queries that some pods send from one socket."""
    pair_sources: list[str] = []
    """Uids, as in cgroup paths, of those pods."""
    left_out: list[str] = []
    """Uids, as in cgroup paths, of pods that send no queries: the helper pods of the run."""
    pod_samples: PodSamples | None = None
    """None without pods or replicas."""
    own_servers: list[Ask] = []
    """What is sent to servers that only the node knows; their `server` is empty."""
    hidden: list[str] = []
    """Uids of others that send none: pods on the host network, whose processes may have created a
    netns, and pods in a sandbox."""


@dataclass(frozen=True, slots=True)
class DnsNames:
    """The shared data of all nodes' plans, computed once."""

    api: ApiObjects
    known: ClusterDns
    places: Mapping[str, int]
    """The index of each node, sorted by name."""
    headless: Sequence[Question]
    reverse: Sequence[Question]
    large: Question | None
    """A name with more addresses than fit into a small datagram."""
    pair_sources: Mapping[str, Sequence[str]]
    """By node, the pods that have a netns of their own."""
    left_out: Mapping[str, Sequence[str]]
    """By node, the uids of the helper pods."""
    sample_sources: Mapping[str, Sequence[str]]
    """By node, the pods from which lost queries are counted."""
    hidden: Mapping[str, Sequence[str]]
    """By node, the uids of pods without a netns of their own that can be entered."""


def dns_names(api: ApiObjects, run: HelperPodsRecord | None = None) -> DnsNames:
    """The names of a cluster's Services, ordered by a hash so that samples are not alphabetical.

    `run` has the run's helper pods, which send no queries.
    """
    api = readable(api)
    known = cluster_dns(api)
    headless = [
        each
        for service in api.services
        for each in _headless(service, known.domain)
        if is_domain_name(each.name)
    ]
    reverse = (each for service in api.services for each in _reverse(service))
    nodes = sorted(each.metadata.name for each in api.nodes)
    pods = without_helpers(api.pods, run)
    sending = _sending(pods, api)
    return DnsNames(
        api=api,
        known=known,
        places={name: place for place, name in enumerate(nodes)},
        headless=sorted(headless, key=lambda each: each.id),
        reverse=sorted(reverse, key=lambda each: each.id),
        large=large_question(api, headless, known.domain),
        pair_sources=pair_sources(sending),
        left_out=_left_out(api.pods, run),
        sample_sources=sample_sources(api, known.replicas, run),
        hidden=_hidden(pods, sending),
    )


def _sending(pods: Iterable[PodObject], api: ApiObjects) -> list[PodObject]:
    """The pods from whose netns queries are sent."""
    handlers = handlers_of(api.runtime_classes)
    return [pod for pod in pods if not pod.spec.host_network and not sandbox_of(pod, handlers)]


def _hidden(pods: Iterable[PodObject], sending: Iterable[PodObject]) -> Mapping[str, Sequence[str]]:
    uids = {pod.metadata.uid for pod in sending}
    found: dict[str, list[str]] = defaultdict(list)
    for pod in pods:
        if is_running(pod) and pod.metadata.uid not in uids:
            found[pod.spec.node_name].append(cgroup_uid(pod))
    return found


def _left_out(
    pods: Iterable[PodObject], run: HelperPodsRecord | None
) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for pod in pods:
        if is_helper(pod, run):
            found[pod.spec.node_name].append(pod.metadata.uid)
    return found


def dns_plan(names: DnsNames, node: str, limits: DnsLimits) -> DnsPlan:
    """The queries of the visit to `node`; the same API objects always give the same plan."""
    api, known, place = names.api, names.known, names.places[node]
    own_names = list(_names_for(names, place))
    replicas = share(list(_replicas(known)), place, REPLICAS_A_VISIT)
    kubernetes = _kubernetes_question(api, known)
    servers = [canonical(each) for each in known.addresses[:SERVERS]]
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
    asked = [*families, kubernetes, *(question for question, _ in at_service + at_replicas)]
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
        left_out=list(names.left_out.get(node, ())[:UNASKED]),
        pod_samples=pod_samples(
            few,
            kubernetes,
            share(names.sample_sources.get(node, ()), place, SAMPLE_SOURCES),
            len(api.nodes),
        ),
        own_servers=[Ask(kubernetes.id, "", each, purpose="own server") for each in TRANSPORTS],
        hidden=list(names.hidden.get(node, ())[:UNASKED]),
    )


def without_queries(plan: DnsPlan) -> DnsPlan:
    """The plan of a visit that reads the same and sends no query."""
    return msgspec.structs.replace(
        plan,
        queries={},
        pods=[],
        node=[],
        pairs=[],
        pair_sources=[],
        pod_samples=None,
        own_servers=[],
    )


def queries(api: ApiObjects, external_names: Iterable[str] = ()) -> dict[str, str]:
    """Every query in the plans of this cluster: id → `NAME TYPE`."""
    return queries_of(dns_names(api), external_names)


def queries_of(names: DnsNames, external_names: Iterable[str] = ()) -> dict[str, str]:
    """The same for names that are already computed."""
    api, known = names.api, names.known
    name = _kubernetes_question(api, known).name
    questions = [Question(name, "A"), Question(name, "AAAA"), unknown_question(known.domain)]
    questions += [Question(each, "A") for each in external_names]
    questions += filter(None, [names.large])
    for place in range(len(api.nodes)):
        questions += [question for question, _ in _names_for(names, place)]
    return {each.id: each.text for each in questions}


def _kubernetes_question(api: ApiObjects, known: ClusterDns) -> Question:
    """The name of the API's Service, which every cluster has, in its first address's family."""
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
    """The sample of headless and reverse names for the node with the index `place`.

    Headless names are queried over TCP, where a response is never truncated.
    """
    for question in share(names.headless, place, NAMES_A_VISIT):
        yield question, "tcp"
    for question in share(names.reverse, place, NAMES_A_VISIT):
        yield question, "udp"


def _headless(service: ServiceObject, domain: str) -> Iterator[Question]:
    """Questions about a headless Service; without a selector its endpoints may have hostnames."""
    if service.spec.cluster_ip == "None" and service.spec.selector:
        name = f"{service.metadata.name}.{service.metadata.namespace}.svc.{domain}"
        for family in service.spec.ip_families or ["IPv4"]:
            yield Question(name, "AAAA" if family == "IPv6" else "A")


def _reverse(service: ServiceObject) -> Iterator[Question]:
    if service.spec.type != "ExternalName":
        for each in cluster_ips(service):
            yield Question(dns.reversename.from_address(each).to_text(omit_final_dot=True), "PTR")
