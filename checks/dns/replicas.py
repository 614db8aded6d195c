"""DNS: whether every replica is Ready and answers correctly."""

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, NotApplicable, check
from wirecheck.catalogue.settling import MEASURED_QUERIES, OF_PODS, QUERIES, RECORDS
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node

NO_REPLICA = (
    "Show what should run the replicas: `kubectl -n {dns_namespace} get deployment,daemonset,pod "
    "-l {dns_selector} -o wide`. Scale it up, or apply your installer's manifest again."
)


@check(
    settles=OF_PODS,
    remedy="Show why the replica is not Ready: `kubectl -n {namespace} describe pod {pod}`. If no "
    "node can run it, check the affinity and tolerations of its Deployment.",
    facts=[Fact.API, Fact.KUBELET],
)
def replicas_ready(cluster: Cluster) -> Findings:
    """Every DNS replica is Ready, and there is at least one.

    The remaining replicas carry all the load. If only one is left, its node is a single point of
    failure for DNS.

    Except: clusters whose kubelets give pods a server outside of the DNS Services, such as Cloud
    DNS of GKE. Otherwise scale the Deployment down if a replica is not wanted.

    See: https://github.com/coredns/coredns/issues/7168
         https://github.com/kubernetes/kubernetes/issues/77650
    """
    if not cluster.dns_replicas and cluster.why_dns_services_unused:
        raise NotApplicable(cluster.why_dns_services_unused)
    if not cluster.dns_replicas:
        yield Finding(cluster, expected="at least one DNS replica", found="none", remedy=NO_REPLICA)
    for replica in cluster.dns_replicas:
        if not replica.is_ready:
            yield Finding(
                replica, expected="Ready", found="not Ready", since=replica.since_readiness
            )


@check(
    counts=True,
    settles=QUERIES,
    remedy="Repeat the query on {node}: `dig +short {dns_name} {dns_type} @{server}` (with +tcp "
    "for TCP). If one replica fails for all nodes, check that pod: `kubectl -n "
    "{replica_namespace} logs {replica}`. If all replicas fail for {node}, check that node. If "
    "one pair fails, check the route and the overlay between the two nodes.",
    facts=[Fact.DNS],
)
def replicas_answer(node: Node) -> Findings:
    """Every DNS replica answers the node directly, over UDP and TCP, without the Service.

    If one of two replicas is dead, every second lookup in the cluster takes five seconds.

    Except: replicas that are terminating or not Ready; dns.replicas_ready reports those.

    See: https://github.com/coredns/coredns/issues/7168
         https://github.com/kubernetes/kubernetes/issues/80243
         https://github.com/kubernetes/kubernetes/issues/98874
    """
    for replica, lookup in node.dns.replica_lookups:
        if lookup.problem:
            pod = {"replica": replica.name, "replica_namespace": replica.namespace}
            yield Finding(
                node.part(f"to {replica.ref} {lookup.via}"),
                expected=lookup.expectation,
                found=lookup.problem,
                inconclusive=lookup.inconclusive,
                concerns=[replica],
                names=lookup.names | pod,
                sent=lookup.sent_by(),
            )
        else:
            yield CONCLUSIVE


@check(
    counts=True,
    settles=RECORDS,
    remedy="Compare the answer on {node}, `dig +short {dns_name} {dns_type} @{server}`, with the "
    "Service's EndpointSlices. Then look for a lost watch in the replica's log: `kubectl -n "
    "{replica_namespace} logs {replica}`.",
    facts=[Fact.API, Fact.DNS],
)
def records_correct(node: Node) -> Findings:
    """Headless and reverse names resolve to what the API contains, at every replica.

    A replica that lost its watch on the API goes on answering with outdated addresses.

    Except: only names of Services with a selector are queried. A replica may lag by the TTL of its
    records, which several rounds allow for.

    See: https://github.com/coredns/coredns/issues/5495
         https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
    """
    for replica, lookup in node.dns.name_lookups:
        if lookup.problem and not lookup.is_unanswered:
            pod = {"replica": replica.name, "replica_namespace": replica.namespace}
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref} {lookup.via}"),
                expected=lookup.expectation,
                found=lookup.problem,
                inconclusive=lookup.inconclusive,
                concerns=[replica, *lookup.concerns],
                names=lookup.names | pod,
            )
        elif not lookup.problem:
            yield CONCLUSIVE


@check(
    counts=True,
    settles=QUERIES,
    remedy="Repeat the query on {node}: `dig {dns_name} {dns_type} @{server}`. If it returns an "
    "address, look for a wildcard or a `template` in the Corefile: `kubectl -n {dns_namespace} get "
    "configmap {dns_configmap} -o yaml`. If it returns SERVFAIL, read the replica's log.",
    facts=[Fact.API, Fact.DNS],
)
def nxdomain(node: Node) -> Findings:
    """A name in the cluster domain that does not exist is answered with NXDOMAIN.

    Lookups of external names try the search path first. A wildcard there answers instead of the
    real server, and on any other error some resolvers give up.

    Except: if a replica answers no query at all, dns.replicas_answer reports it.

    See: https://github.com/k3s-io/k3s/issues/6561
         https://github.com/gliderlabs/docker-alpine/issues/283
    """
    for replica, lookup in node.dns.unknown_names:
        if lookup.problem and not lookup.is_unanswered:
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref}"),
                expected="NXDOMAIN",
                found=lookup.problem,
                inconclusive=lookup.inconclusive,
                concerns=[replica, *lookup.concerns],
                names=lookup.names,
            )
        elif not lookup.problem:
            yield CONCLUSIVE


@check(
    counts=True,
    settles=QUERIES,
    remedy="Compare on {node}: `dig +noedns +ignore {dns_name} {dns_type} @{server}` and `dig +tcp "
    "{dns_name} {dns_type} @{server}`. If UDP gets no answer, something drops large or fragmented "
    "datagrams. If the answer is truncated without the flag TC, check bufsize in the Corefile.",
    facts=[Fact.API, Fact.DNS],
)
def large_responses(node: Node) -> Findings:
    """A response that is too large for UDP is marked as truncated, and complete over TCP.

    Clients retry over TCP only if the response has the flag TC. Otherwise they use an incomplete
    list of addresses, or wait until they time out.

    Except: clusters without a headless Service of that size. If a replica gives no answer over one
    of the transports, dns.replicas_answer reports it.

    See: https://github.com/coredns/coredns/issues/5998
         https://github.com/coredns/coredns/issues/5366
    """
    for replica, lookup in node.dns.large_answers:
        if lookup.problem:
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref} over {lookup.transport.upper()}"),
                expected=f"{len(lookup.expected.answer.data)} addresses, or the flag TC",
                found=lookup.problem,
                inconclusive=lookup.inconclusive,
                concerns=[replica, *lookup.concerns],
                names=lookup.names,
                sent=lookup.sent_by(),
            )
        else:
            yield CONCLUSIVE


@check(
    settles=MEASURED_QUERIES,
    remedy="Read the upstream servers from `forward` in the Corefile: `kubectl -n {dns_namespace} "
    "get configmap {dns_configmap} -o yaml`. On the replica's node, query each of them: `dig "
    "{dns_name} {dns_type} @{upstream}`. If they answer, check the replica's network and the "
    "firewall.",
    facts=[Fact.DNS],
)
def external_names(node: Node) -> Findings:
    """Each replica resolves the external names that the inventory lists.

    Pods reach the internet by such names, through upstream servers that the cluster does not
    monitor.

    Except: only if `dns.external_names` in the inventory lists names. Latency is not evaluated. If
    a replica gives no answer at all, dns.replicas_answer reports it.

    See: https://github.com/coredns/coredns/issues/2284
         https://github.com/kubernetes-sigs/kind/issues/2418
    """
    for replica, lookup in node.dns.external_lookups:
        if lookup.problem:
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref}"),
                expected="at least one address",
                found=lookup.problem,
                concerns=[replica],
                names=lookup.names,
            )
