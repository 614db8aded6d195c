"""DNS: the expected answer, in every pod's network namespace, over UDP and over TCP."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level, NotApplicable
from wirecheck.catalogue.registry import Threshold, check
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node

MEDIAN_WARN = Threshold(
    "dns.median_warn", 100, "ms", "one lookup of a name outside the cluster takes up to ten queries"
)
SLOWEST_FAIL = Threshold(
    "dns.slowest_fail", 1000, "ms", "of the 99th percentile: clients ask again after a few seconds"
)

LOST_FAIL = Threshold(
    "dns.lost_fail", 5, "% of single queries", "a client waits five seconds for each one"
)


@check(
    settles=True,
    remedy="See which of dns.replicas_answer, services.* and links.* is red as well: they tell a "
    "dead replica, a missing rule and a broken wire apart. On the node: "
    "nsenter -t PID -n dig +short kubernetes.default.svc.cluster.local @DNS_SERVICE_ADDRESS",
    looks_at=[Fact.DNS, Fact.PROCESSES],
)
def pods_resolve_udp(node: Node) -> Findings:
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
            yield Finding(
                pod, expected=lookup.expectation, found=lookup.problem, unless=pod.restricted_by
            )


@check(
    settles=True,
    remedy="Compare with dns.pods_resolve_udp: where only TCP fails, look for a firewall "
    "rule on port 53/tcp or a Service without its dns-tcp port.",
    looks_at=[Fact.DNS, Fact.PROCESSES],
)
def pods_resolve_tcp(node: Node) -> Findings:
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
            yield Finding(
                pod, expected=lookup.expectation, found=lookup.problem, unless=pod.restricted_by
            )


@check(
    settles=True,
    remedy="On the node: dig +short kubernetes.default.svc.cluster.local @DNS_SERVICE_ADDRESS "
    "(+tcp); then see the services.* checks of this node.",
    looks_at=[Fact.DNS],
)
def nodes_resolve(node: Node) -> Findings:
    """The node itself resolves a Service's name at the DNS Service address, over UDP and TCP.

    Pods on the host's network depend on it, and it takes another path than pods do: through
    the node's OUTPUT chains instead of FORWARD.

    Except: a loss counts after several tries.

    See: https://github.com/kubernetes/kubernetes/issues/93791
         https://github.com/k3s-io/k3s/issues/751
    """
    for lookup in node.dns.service_lookups:
        if lookup.problem:
            yield Finding(node.part(lookup.via), expected=lookup.expectation, found=lookup.problem)


@check(
    settles=True,
    remedy="On the node: nsenter -t PID -n dig kubernetes.default.svc.cluster.local A and AAAA. "
    "Where one family alone is silent, something on the way filters it; where pairs are lost now "
    "and then, see conntrack.no_drops, and use NodeLocal DNSCache or `single-request-reopen`.",
    looks_at=[Fact.DNS, Fact.PROCESSES],
)
def parallel_a_aaaa(node: Node) -> Findings:
    """A and AAAA, asked at once from one socket as glibc does, are both answered, and rightly.

    The kernel may drop the second packet while it translates the first: the lookup then takes
    five seconds, and nothing else shows it.

    Except: pods behind an egress policy or a service mesh are counted and not judged; a pod that
    is not answered at all is judged by dns.pods_resolve_udp. Four pods of a node ask,
    each several times before a loss counts.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://github.com/weaveworks/weave/issues/3287
    """
    for pod, first, second in node.dns.pairs:
        for lookup in (first,) if first.is_unanswered else (first, second):
            if lookup.problem:
                yield Finding(
                    pod,
                    expected=f"{lookup.expectation}, asked with its other family",
                    found=lookup.problem,
                    unless=pod.restricted_by if lookup.is_unanswered else "",
                    concerns=lookup.concerns,
                )


@check(
    settles=True,
    thresholds=(LOST_FAIL,),
    remedy="If it is one replica for all nodes, look at that pod and its CPU limit; if one node "
    "for all replicas, at that node's links (nodes.*, links.*) and conntrack.no_drops; on "
    "AWS, at linklocal_allowance_exceeded of the network device.",
    looks_at=[Fact.DNS],
)
def no_packet_loss(node: Node) -> Findings:
    """Single DNS queries over UDP from the node to the replicas are all answered.

    Whoever asks again gets an answer at last, seconds later: a loss shows as slowness here and
    there, and never as an error.

    Except: one query that is lost is a warning; what one look lost and the next did not does
    not count; a replica that answers nothing at all is judged by dns.replicas_answer.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://aws.github.io/aws-eks-best-practices/networking/monitoring/
    """
    samples = node.dns.samples
    if samples.lost:
        is_much = samples.lost > 1 and samples.percent >= node.threshold(LOST_FAIL)
        yield Finding(
            node.part("DNS over UDP"),
            expected="an answer to every query",
            found=samples,
            level=Level.FAIL if is_much else Level.WARN,
            concerns=samples.replicas,
            key="lost",
        )


@check(
    settles=True,
    thresholds=(MEDIAN_WARN, SLOWEST_FAIL),
    remedy="See whether the replicas are throttled (kubectl -n kube-system top pod, the CPU limit "
    "of the DNS Deployment), then whether the node or the path to the replicas is: on the node, "
    "dig @DNS_SERVICE_ADDRESS kubernetes.default.svc.cluster.local tells the query's time.",
    looks_at=[Fact.DNS],
)
def latency(node: Node) -> Findings:
    """DNS answers over UDP come in time: the median and the slowest of all that the node got.

    Nearly every connection waits for a lookup first, and with a search path for several, one
    after the other.

    Except: a query that got no answer is no slow one: what was lost is judged by
    dns.pods_resolve_* and dns.replicas_answer, and the try that was answered counts here. Below a
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
    dns.replicas_ready.

    See: https://github.com/coredns/coredns/issues/7168
         https://github.com/kubernetes/kubernetes/issues/80243
         https://github.com/kubernetes/kubernetes/issues/98874
    """
    for replica, lookup in node.dns.replica_lookups:
        if lookup.problem:
            yield Finding(
                node.part(f"to {replica.ref} {lookup.via}"),
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
def records_correct(node: Node) -> Findings:
    """Headless and reverse names resolve to what the API holds, at every replica.

    A replica that lost its watch goes on answering, with the addresses of yesterday.

    Except: only names of Services with a selector are asked for; a replica may lag behind by
    its records' time to live, which several looks allow for.

    See: https://github.com/coredns/coredns/issues/5495
         https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
    """
    for replica, lookup in node.dns.name_lookups:
        if lookup.problem and not lookup.is_unanswered:
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref} {lookup.via}"),
                expected=lookup.expectation,
                found=lookup.problem,
                concerns=[replica, *lookup.concerns],
            )


@check(
    settles=True,
    remedy="dig no-such-service.default.svc.cluster.local @REPLICA: for an address, look for a "
    "wildcard or a `template` in the Corefile; for SERVFAIL, see the replica's log.",
    looks_at=[Fact.API, Fact.DNS],
)
def nxdomain(node: Node) -> Findings:
    """A name below the cluster's domain that no Service has is answered by NXDOMAIN.

    Each lookup of an outside name tries the search path first: a wildcard there takes it over,
    and at any other error some resolvers give up.

    Except: a replica that does not answer at all is judged by dns.replicas_answer.

    See: https://github.com/k3s-io/k3s/issues/6561
         https://github.com/gliderlabs/docker-alpine/issues/283
    """
    for replica, lookup in node.dns.unknown_names:
        if lookup.problem and not lookup.is_unanswered:
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref}"),
                expected="NXDOMAIN",
                found=lookup.problem,
                concerns=[replica, *lookup.concerns],
            )


@check(
    settles=True,
    remedy="dig +noedns and dig +tcp NAME @REPLICA: where UDP is silent, something drops large or "
    "fragmented datagrams; where it is cut without the flag TC, see the Corefile's bufsize.",
    looks_at=[Fact.API, Fact.DNS],
)
def large_responses(node: Node) -> Findings:
    """An answer that is too large for a small datagram comes cut and marked, and whole over TCP.

    Clients ask again over TCP only if they are told that something is missing; otherwise they
    know some of the addresses, or wait in vain.

    Except: a cluster without a headless Service of that size; a replica that is silent over
    one of the transports is judged for that by dns.replicas_answer.

    See: https://github.com/coredns/coredns/issues/5998
         https://github.com/coredns/coredns/issues/5366
    """
    for replica, lookup in node.dns.large_answers:
        if lookup.problem:
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref} over {lookup.transport.upper()}"),
                expected=f"{len(lookup.expected.answer.data)} addresses, or a mark that some lack",
                found=lookup.problem,
                concerns=[replica, *lookup.concerns],
            )


@check(
    settles=True,
    remedy="From the node of a replica, dig NAME at each server that the Corefile's `forward` "
    "names; if they answer there, see the replica's own netns and the firewall.",
    looks_at=[Fact.DNS],
)
def external_names(node: Node) -> Findings:
    """Each replica resolves the names outside the cluster that the inventory lists.

    Pods reach the world by such names, through servers that the cluster knows nothing of.

    Except: off unless `dns.external_names` in the inventory names some; how long an answer
    takes is not judged; a replica that is silent is judged by dns.replicas_answer.

    See: https://github.com/coredns/coredns/issues/2284
         https://github.com/kubernetes-sigs/kind/issues/2418
    """
    for replica, lookup in node.dns.outside:
        if lookup.problem:
            yield Finding(
                node.part(f"{lookup.question} at {replica.ref}"),
                expected="at least one address",
                found=lookup.problem,
                concerns=[replica],
            )


@check(
    settles=True,
    remedy="kubectl -n kube-system get pods -l k8s-app=node-local-dns -o wide; see the log of the "
    "one on this node, and whether something listens: ss -lun 'sport = :53'.",
    looks_at=[Fact.NETNS, Fact.DNS],
)
def node_local_cache(node: Node) -> Findings:
    """NodeLocal DNSCache answers at the address of its own device, over UDP and TCP.

    Pods of the node ask nobody else: while it is down, no other node notices.

    Except: nodes without the device nodelocaldns, or where it has only the DNS Service's
    address, which dns.nodes_resolve asks.

    See: https://github.com/kubernetes/dns/issues/561
         https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
    """
    for lookup in node.dns.cache_lookups:
        if lookup.problem:
            yield Finding(node.part(lookup.via), expected=lookup.expectation, found=lookup.problem)


@check(
    remedy="Correct clusterDNS and clusterDomain in /var/lib/kubelet/config.yaml (kubeadm: "
    "ConfigMap kubelet-config, then kubeadm upgrade node), restart the kubelet, replace its pods.",
    looks_at=[Fact.API, Fact.NETNS, Fact.KUBELET],
)
def kubelet_cluster_dns(node: Node) -> Findings:
    """The kubelet gives new pods the DNS Service's address and the cluster's domain.

    Pods that run keep what they were given: such a mistake shows with the next pod only.

    Except: NodeLocal DNSCache's address is as good as the Service's; a kubelet that runs within
    another process (k3s), or with a folder of settings, is not judged.

    See: https://github.com/kubernetes/release/issues/188
         https://github.com/poseidon/matchbox/issues/180
    """
    for setting, expected, found in node.kubelet.dns_deviations:
        yield Finding(node.part(f"kubelet's {setting}"), expected=expected, found=found)


@check(
    settles=True,
    remedy="kubectl -n kube-system describe pod REPLICA; if they lack a node to run on, see the "
    "Deployment's affinity and tolerations.",
    looks_at=[Fact.API],
)
def replicas_ready(cluster: Cluster) -> Findings:
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
def resolv_conf(node: Node) -> Findings:
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
