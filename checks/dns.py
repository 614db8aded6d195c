"""DNS: the expected answer, in every pod's network namespace, over UDP and over TCP."""

from wirecheck.catalogue import Threshold, check
from wirecheck.facts import Fact
from wirecheck.findings import Finding, Findings, Level, NotApplicable
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node

MEDIAN_WARN = Threshold(
    "dns.median_warn", 100, "ms", "one lookup of a name outside the cluster takes up to ten queries"
)
SLOWEST_FAIL = Threshold(
    "dns.slowest_fail", 1000, "ms", "of the 99th percentile: clients ask again after a few seconds"
)


@check(
    settles=True,
    remedy="See which of dns.replicas_answer, services.* and links.* is red as well: they tell a "
    "dead replica, a missing rule and a broken wire apart. On the node: "
    "nsenter -t PID -n dig +short kubernetes.default.svc.cluster.local @DNS_SERVICE_ADDRESS",
    looks_at=[Fact.DNS, Fact.PROCESSES],
)
def answers_every_pod_over_udp(node: Node) -> Findings:
    """Every pod's network namespace resolves a Service's name over UDP, to the right address.

    Nearly everything a pod does starts with such a lookup. A wrong answer is worse than none:
    it may come from a stranger outside the cluster.

    Except: pods behind an egress NetworkPolicy, or with redirect rules of a service mesh in
    their netns, are counted and not judged where they get no answer. A loss counts after
    several tries.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://github.com/kubernetes/kubernetes/issues/93791
         https://github.com/coredns/coredns/issues/7168
         https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
    """
    for pod, lookup in node.dns.pod_lookups("udp"):
        if lookup.problem:
            yield Finding(pod, expected=lookup.expectation, found=lookup.problem, unless=pod.shield)


@check(
    settles=True,
    remedy="Compare with dns.answers_every_pod_over_udp: where only TCP fails, look for a firewall "
    "rule on port 53/tcp or a Service without its dns-tcp port.",
    looks_at=[Fact.DNS, Fact.PROCESSES],
)
def answers_every_pod_over_tcp(node: Node) -> Findings:
    """Every pod's network namespace resolves a Service's name over TCP as well.

    Answers that do not fit into a datagram are asked for again over TCP: without it, names
    with many addresses fail, and only those.

    Except: as for UDP: pods whose traffic a policy or a mesh may stop are counted and not
    judged.

    See: https://github.com/coredns/coredns/issues/844
         https://github.com/coredns/coredns/issues/5998
    """
    for pod, lookup in node.dns.pod_lookups("tcp"):
        if lookup.problem:
            yield Finding(pod, expected=lookup.expectation, found=lookup.problem, unless=pod.shield)


@check(
    settles=True,
    remedy="On the node: dig +short kubernetes.default.svc.cluster.local @DNS_SERVICE_ADDRESS "
    "(+tcp); then see the services.* checks of this node.",
    looks_at=[Fact.DNS],
)
def answers_the_node(node: Node) -> Findings:
    """The node itself resolves a Service's name at the DNS Service address, over UDP and TCP.

    Pods on the host's network depend on it, and it takes another path than pods do: through
    the node's OUTPUT chains instead of FORWARD.

    Except: a loss counts after several tries.

    See: https://github.com/kubernetes/kubernetes/issues/93791
         https://github.com/k3s-io/k3s/issues/751
    """
    for lookup in node.dns.service_lookups:
        if lookup.problem:
            yield Finding(node.part(lookup.way), expected=lookup.expectation, found=lookup.problem)


@check(
    settles=True,
    thresholds=(MEDIAN_WARN, SLOWEST_FAIL),
    remedy="See whether the replicas are throttled (kubectl -n kube-system top pod, the CPU limit "
    "of the DNS Deployment), then whether the node or the path to the replicas is: on the node, "
    "dig @DNS_SERVICE_ADDRESS kubernetes.default.svc.cluster.local tells the query's time.",
    looks_at=[Fact.DNS],
)
def answers_in_time(node: Node) -> Findings:
    """DNS answers over UDP come in time: the median and the slowest of all that the node got.

    Nearly every connection waits for a lookup first, and with a search path for several, one
    after the other.

    Except: a query that got no answer is no slow one: what was lost is judged by
    dns.answers_* and dns.replicas_answer, and the try that was answered counts here. Below a
    hundred answers the 99th percentile is the slowest of them.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://github.blog/2019-11-21-debugging-network-stalls-on-kubernetes/
    """
    times = node.dns.answer_times
    if times is None:
        raise NotApplicable("no DNS query over UDP was answered")
    if times.slowest > node.threshold(SLOWEST_FAIL):
        yield Finding(
            node.part("DNS over UDP"),
            expected=f"99 % of answers within {node.threshold(SLOWEST_FAIL):.0f} ms",
            found=times,
            key="slowest",
        )
    elif times.median > node.threshold(MEDIAN_WARN):
        yield Finding(
            node.part("DNS over UDP"),
            expected=f"half of the answers within {node.threshold(MEDIAN_WARN):.0f} ms",
            found=times,
            level=Level.WARN,
            key="median",
        )


@check(
    settles=True,
    remedy="If it is one replica for all nodes, look at that pod; if it is one node for all "
    "replicas, at that node; if it is one pair, at the route and overlay between the two.",
    looks_at=[Fact.DNS],
)
def replicas_answer(node: Node) -> Findings:
    """Every DNS replica answers this node directly, over UDP and TCP, without the Service.

    A dead replica behind a Service is felt as every second lookup that takes five seconds.

    Except: replicas that are being deleted or are not Ready yet are judged by
    dns.replicas_are_ready.

    See: https://github.com/coredns/coredns/issues/7168
         https://github.com/kubernetes/kubernetes/issues/80243
         https://github.com/kubernetes/kubernetes/issues/98874
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
    looks_at=[Fact.API, Fact.DNS],
)
def names_are_right(node: Node) -> Findings:
    """Headless and reverse names resolve to what the API holds, at every replica.

    A replica that lost its watch goes on answering, with the addresses of yesterday.

    Except: only names of Services with a selector are asked for; a replica may lag behind by
    its records' time to live, which several looks allow for.

    See: https://github.com/coredns/coredns/issues/5495
         https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
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
    looks_at=[Fact.API],
)
def replicas_are_ready(cluster: Cluster) -> Findings:
    """Every DNS replica is Ready, and there is at least one.

    What is left of the replicas carries the whole load, and its node has become one on which
    all names depend.

    Except: none are known: a replica that is not wanted should not be there.

    See: https://github.com/coredns/coredns/issues/7168
         https://github.com/kubernetes/kubernetes/issues/77650
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
    looks_at=[Fact.API, Fact.POD_FILES],
)
def resolv_conf_is_the_clusters(node: Node) -> Findings:
    """Each pod's resolv.conf names the servers and the search path that its dnsPolicy implies.

    With another server, cluster names do not resolve; with another path, short names do not.

    Except: dnsPolicy and dnsConfig are followed; NodeLocal DNSCache's address is accepted;
    files that a pod mounts itself are the pod's own matter.

    See: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
         https://github.com/openshift/origin/issues/16688
    """
    for pod, resolver in node.dns.resolvers:
        for expected, found in resolver.deviations:
            yield Finding(pod, expected=expected, found=found)
