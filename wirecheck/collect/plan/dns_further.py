"""Plans DNS queries other than Services' names: loss, pairs, unknown, large, external names."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from wirecheck.api_index.endpoint_slices import is_ready, service_of
from wirecheck.api_index.pod import cgroup_uid, is_running
from wirecheck.api_index.pods import PodIndex
from wirecheck.collect.plan.dns_questions import TRANSPORTS, Ask, PodSamples, Question, Replica
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord
from wirecheck.snapshot.objects.pod import PodObject

SAMPLES = 40
SAMPLES_IN_ALL = 4000
LEAST_SAMPLES = 8
"""How often a node queries DNS replicas without retries, to detect lost packets: from 100 nodes
on fewer times, but never less than LEAST_SAMPLES."""

POD_SAMPLES = 100
FEWER_POD_SAMPLES = 64
MANY_NODES = 100
"""How often the pods of a node query DNS replicas without retries: fewer times in a cluster of more
than MANY_NODES nodes. With either number a loss of 10 % is found with a probability of 99 % in one
round, see `node/pod_loss.py`; in between it is not."""

SAMPLE_SOURCES = 50
"""The number of pods per node that send these queries, so that each sends at least two."""

PAIR_SOURCES = 4
"""The number of pods per node that query both families at once."""

UNKNOWN = "no-such-service.default.svc"
"""A name that normally does not exist; the API shows whether a Service has this name."""

SMALLEST_DATAGRAM = 512
"""The largest size in bytes of a response over UDP without EDNS (RFC 1035, 4.2.1)."""


def samples(
    replicas: Sequence[Replica], kubernetes: Question, nodes: int
) -> Iterator[tuple[Question, Ask]]:
    """Queries without retries, spread over some replicas."""
    count = min(SAMPLES, max(LEAST_SAMPLES, SAMPLES_IN_ALL // max(1, nodes)))
    for each in replicas:
        times = -(-count // len(replicas))
        yield kubernetes, each.asked(kubernetes, "udp", "sample", times)


def pod_samples(
    replicas: Sequence[Replica], kubernetes: Question, sources: Sequence[str], nodes: int
) -> PodSamples | None:
    """Queries without retries from pods of a node; None without pods or replicas."""
    # A pod need not have addresses of both families, as a replica may.
    asks = [
        each.asked(kubernetes, "udp", "pod sample")
        for each in replicas
        if (":" in each.address) == (":" in replicas[0].address)
    ]
    count = POD_SAMPLES if nodes <= MANY_NODES else FEWER_POD_SAMPLES
    return PodSamples(asks, list(sources), count) if asks and sources else None


def sample_sources(
    api: ApiObjects, replicas: Iterable[PodObject], run: HelperPodsRecord | None = None
) -> Mapping[str, Sequence[str]]:
    """By node, the uids of pods whose queries nothing stops on purpose, in a stable order.

    A DNS replica would also query itself, which no packet leaves it for.
    """
    left_out = {pod.metadata.uid for pod in replicas}
    found: dict[str, list[str]] = defaultdict(list)
    for pod in PodIndex(api, run).own:
        if pod.has_own_netns and not pod.restricted_by and pod.ref.uid not in left_out:
            found[pod.node_name].append(pod.cgroup_uid)
    return {node: sorted(uids) for node, uids in found.items()}


def further(
    replicas: Sequence[Replica], domain: str, large: Question | None, external: Iterable[str]
) -> Iterator[tuple[Question, Ask]]:
    """Queries for names that do not exist, have a large response, or are outside the cluster."""
    unknown = unknown_question(domain)
    outside = [Question(name, "A") for name in external]
    for each in replicas:
        yield unknown, each.asked(unknown, "udp", "unknown name")
        if large:
            for transport in TRANSPORTS:
                yield large, each.asked(large, transport, "large answer")
        for question in outside:
            yield question, each.asked(question, "udp", "external name")


def unknown_question(domain: str) -> Question:
    """A name in the cluster's domain that no Service is expected to have."""
    return Question(f"{UNKNOWN}.{domain}", "A")


def large_question(api: ApiObjects, headless: Iterable[Question], domain: str) -> Question | None:
    """The headless name with most addresses, if they do not fit into a small datagram."""
    addresses: Counter[str] = Counter()
    for slice_ in api.endpoint_slices:
        if slice_.address_type == "IPv4":
            namespace, service = service_of(slice_) or (slice_.metadata.namespace, "")
            ready = [each for each in slice_.endpoints or () if is_ready(each)]
            addresses[f"{service}.{namespace}.svc.{domain}"] += len(ready)
    names = [each.name for each in headless if each.kind == "A"]
    name = max(names, default="", key=lambda each: (addresses[each], each))
    # A header, the question, and for each address a record with a compressed name.
    size = 12 + len(name) + 6 + 16 * addresses[name]
    return Question(name, "A", edns=False) if size > SMALLEST_DATAGRAM else None


def pair_sources(pods: Iterable[PodObject]) -> Mapping[str, Sequence[str]]:
    """By node, the uids of pods with a netns of their own, in a stable order."""
    found: dict[str, list[str]] = defaultdict(list)
    for pod in pods:
        if is_running(pod) and not pod.spec.host_network:
            found[pod.spec.node_name].append(cgroup_uid(pod))
    return {node: sorted(uids) for node, uids in found.items()}
