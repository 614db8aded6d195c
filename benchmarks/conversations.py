"""What the nodes of a healthy synthetic cluster were answered: DNS queries and TCP connections.

As many of each kind as `collect.plan` asks for, without planning every visit for it: that goes
through the whole API for each node.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from functools import cache

import dns.flags
import dns.message
import dns.reversename
import dns.rrset

from benchmarks import service_objects, system_services
from wirecheck.catalogue.sampled_peers import PEERS
from wirecheck.collect.plan.contacts import HAIRPINS, MESSAGES, PADDING
from wirecheck.collect.plan.dns import NAMES_A_VISIT
from wirecheck.collect.plan.dns_questions import Question
from wirecheck.snapshot.attempts import Contact, Probe, Try

DOMAIN = "cluster.local"
KUBERNETES = Question(f"kubernetes.default.svc.{DOMAIN}", "A")


def queries(services: int) -> dict[str, str]:
    """All that is asked in the cluster, as the snapshot's index names it."""
    asked = [KUBERNETES, *map(reverse, range(services))]
    return {each.id: each.text for each in asked}


@cache
def reverse(service: int) -> Question:
    """The reverse name of a Service's address."""
    address = service_objects.service_address(service)
    return Question(dns.reversename.from_address(address).to_text(omit_final_dot=True), "PTR")


def probes(
    number: int, host: int, pods: Sequence[int], replicas: Sequence[str], services: int
) -> Iterator[Probe]:
    """Of the node with that number: from each pod's netns, and from the node to each replica."""
    own = [(number * NAMES_A_VISIT + each) % services for each in range(NAMES_A_VISIT)]
    for server in (system_services.DNS, *replicas):
        yield from _both(host, server)
    for service in dict.fromkeys(own):
        for server in replicas:
            yield Probe(host, reverse(service).id, server, 53, "udp", [_reverse_answer(service)])
    for inode in pods:
        yield from _both(inode, system_services.DNS)


def _both(inode: int, server: str) -> Iterator[Probe]:
    for transport in ("udp", "tcp"):
        yield Probe(inode, KUBERNETES.id, server, 53, transport, [_kubernetes_answer()])


@cache
def _kubernetes_answer() -> Try:
    return _answered(KUBERNETES, system_services.KUBERNETES)


@cache
def _reverse_answer(service: int) -> Try:
    name = f"service-{service}.{service_objects.namespace(service)}.svc.{DOMAIN}."
    return _answered(reverse(service), name)


def _answered(question: Question, data: str) -> Try:
    answer = dns.message.make_response(dns.message.make_query(question.name, question.kind))
    answer.flags |= dns.flags.AA | dns.flags.RA
    answer.answer = [dns.rrset.from_text(f"{question.name}.", 30, "IN", question.kind, data)]
    return Try(seconds=0.001, answer=base64.b64encode(answer.to_wire()).decode())


def contacts(
    number: int,
    host: int,
    pods: Sequence[tuple[int, str, str]],
    peers: Sequence[tuple[str, str]],
    replicas: Sequence[str],
) -> Iterator[Contact]:
    """Of the node with that number.

    `pods` are netns, uid and address of its own, `peers` addresses of each node and of the pod
    there that listens.
    """
    nodes = len(peers)
    is_replica = number < len(replicas)
    inode, source, _ = pods[1 if is_replica else 0]
    for offset in range(1, min(PEERS, nodes - 1) + 1):
        node, pod = peers[(number + offset) % nodes]
        yield _made(host, "", "node", node, 10250)
        yield _made(inode, source, "pod", pod, service_objects.TARGET_PORT)
    for address, port in ((system_services.KUBERNETES, 443), (system_services.API_SERVER, 6443)):
        yield _made(host, "", "api", address, port)
        yield _made(inode, source, "api", address, port)
    size = MESSAGES * (PADDING + 100)
    for address in replicas:
        yield Contact(
            inode, source, "messages", address, 53, tries=1, made=1, seconds=0.004,
            messages=MESSAGES, sent=size, received=size, replies=MESSAGES,
        )  # fmt: skip
    if is_replica:
        times = HAIRPINS[len(replicas)]
        own, uid, _ = pods[0]
        yield Contact(
            own, uid, "hairpin", system_services.DNS, 53, tries=times, made=times, times=times
        )


def _made(inode: int, source: str, purpose: str, address: str, port: int) -> Contact:
    return Contact(inode, source, purpose, address, port, tries=1, made=1, seconds=0.001)
