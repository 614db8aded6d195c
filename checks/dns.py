"""DNS: the expected answer, in every pod's network namespace, over UDP and over TCP."""

from wirecheck.catalogue import check
from wirecheck.findings import Finding, Findings
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node


@check(
    settles=True,
    remedy="See which of dns.replicas_answer, services.* and links.* is red as well: they tell a "
    "dead replica, a missing rule and a broken wire apart. On the node: "
    "nsenter -t PID -n dig +short kubernetes.default.svc.cluster.local @DNS_SERVICE_ADDRESS",
)
def answers_every_pod_over_udp(node: Node) -> Findings:
    """Every pod's network namespace resolves a Service's name over UDP, to the right address.

    Nearly everything a pod does starts with such a lookup. A wrong answer is worse than none:
    it may come from a stranger outside the cluster.
    """
    for pod, lookup in node.dns.pod_lookups("udp"):
        if lookup.problem:
            yield Finding(pod, expected=lookup.expectation, found=lookup.problem, unless=pod.shield)


@check(
    settles=True,
    remedy="Compare with dns.answers_every_pod_over_udp: where only TCP fails, look for a firewall "
    "rule on port 53/tcp or a Service without its dns-tcp port.",
)
def answers_every_pod_over_tcp(node: Node) -> Findings:
    """Every pod's network namespace resolves a Service's name over TCP as well.

    Answers that do not fit into a datagram are asked for again over TCP: without it, names
    with many addresses fail, and only those.
    """
    for pod, lookup in node.dns.pod_lookups("tcp"):
        if lookup.problem:
            yield Finding(pod, expected=lookup.expectation, found=lookup.problem, unless=pod.shield)


@check(
    settles=True,
    remedy="On the node: dig +short kubernetes.default.svc.cluster.local @DNS_SERVICE_ADDRESS "
    "(+tcp); then see the services.* checks of this node.",
)
def answers_the_node(node: Node) -> Findings:
    """The node itself resolves a Service's name at the DNS Service address, over UDP and TCP.

    Pods on the host's network depend on it, and it takes another path than pods do: through
    the node's OUTPUT chains instead of FORWARD.
    """
    for lookup in node.dns.service_lookups:
        if lookup.problem:
            yield Finding(node.part(lookup.way), expected=lookup.expectation, found=lookup.problem)


@check(
    settles=True,
    remedy="If it is one replica for all nodes, look at that pod; if it is one node for all "
    "replicas, at that node; if it is one pair, at the route and overlay between the two.",
)
def replicas_answer(node: Node) -> Findings:
    """Every DNS replica answers this node directly, over UDP and TCP, without the Service.

    A dead replica behind a Service is felt as every second lookup that takes five seconds.
    """
    for replica, lookup in node.dns.replica_lookups:
        if lookup.problem:
            yield Finding(
                node.part(f"to {replica.ref} {lookup.way}"),
                expected=lookup.expectation,
                found=lookup.problem,
                concerns=[replica],
            )


@check(
    settles=True,
    remedy="Compare the EndpointSlices of the Service with the answer; then read the log of the "
    "replica that gave it: it may have lost its watch on the API.",
)
def names_are_right(node: Node) -> Findings:
    """Headless and reverse names resolve to what the API holds, at every replica.

    A replica that lost its watch goes on answering, with the addresses of yesterday.
    """
    for replica, lookup in node.dns.name_lookups:
        if lookup.problem and not lookup.is_silent:
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref} {lookup.way}"),
                expected=lookup.expectation,
                found=lookup.problem,
                concerns=[replica, *lookup.concerns],
            )


@check(
    settles=True,
    remedy="kubectl -n kube-system describe pod REPLICA; if they lack a node to run on, see the "
    "Deployment's affinity and tolerations.",
)
def replicas_are_ready(cluster: Cluster) -> Findings:
    """Every DNS replica is Ready, and there is at least one.

    What is left of the replicas carries the whole load, and its node has become one on which
    all names depend.
    """
    if not cluster.dns.replicas:
        yield Finding(cluster, expected="at least one DNS replica", found="none")
    for replica in cluster.dns.replicas:
        if not replica.is_ready:
            yield Finding(replica, expected="Ready", found="not Ready")


@check(
    settles=True,
    remedy="Compare kubelet's clusterDNS and clusterDomain (/var/lib/kubelet/config.yaml) with the "
    "DNS Service; pods keep the file they were started with, so replace them after a change.",
)
def resolv_conf_is_the_clusters(node: Node) -> Findings:
    """Each pod's resolv.conf names the servers and the search path that its dnsPolicy implies.

    With another server, cluster names do not resolve; with another path, short names do not.
    """
    for pod, resolver in node.dns.resolvers:
        for expected, found in resolver.deviations:
            yield Finding(pod, expected=expected, found=found)
