"""DNS: whether pods and nodes get the correct answers, over UDP and over TCP."""

from wirecheck.api_index.dns_lookup import ExternalLookup, Lookup
from wirecheck.catalogue import Fact, Finding, Findings, Level, NotApplicable, Threshold, check
from wirecheck.catalogue.settling import MEASURED_QUERIES, OF_PODS, ON_NODE, QUERIES
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node

MEDIAN_WARN = Threshold(
    "dns.median_warn", 100, "ms", "one lookup of an external name takes up to ten queries"
)
NO_REPLICA = (
    "Show what should run the replicas: `kubectl -n kube-system get deployment,daemonset,pod -l "
    "k8s-app=kube-dns -o wide`. Scale it up, or apply your installer's manifest again."
)
SLOWEST_FAIL = Threshold(
    "dns.slowest_fail", 1000, "ms", "of the 99th percentile: clients retry after a few seconds"
)
LOST_FAIL = Threshold(
    "dns.lost_fail", 5, "% of single queries", "a client waits five seconds for each lost query"
)


def _asked(lookup: Lookup | ExternalLookup) -> dict[str, str]:
    """Names for the remedy: what was asked, and which server."""
    name, _, type_ = lookup.question.rpartition(" ")
    return {"dns_name": name, "dns_type": type_, "server": lookup.probe.server}


def _of_hidden_pods(node: Node) -> Findings:
    """Pods from which nothing can be sent, such as virtual machines."""
    for pod, why in node.namespaces.hidden:
        yield Finding(pod, expected="an answer", found="no query sent", inconclusive=why)


@check(
    settles=QUERIES,
    remedy="Repeat the query on {node}: `nsenter --net={netns} dig +short {dns_name} {dns_type} "
    "@{server}`. If dns.replicas_answer fails too, the replica is down; if services.* fails, a "
    "rule is missing; if links.* or pods.* fails, the pod's network is broken.",
    facts=[Fact.DNS, Fact.PROCESSES],
)
def pods_resolve_udp(node: Node) -> Findings:
    """Every pod resolves a Service name over UDP to the correct address.

    Almost everything a pod does starts with such a lookup. A wrong answer is worse than none, as
    it can come from a server outside the cluster.

    Except: a pod without an answer is inconclusive if an egress NetworkPolicy, or a policy of
    Cilium, Calico or an administrator, selects it, or if a service mesh redirects traffic in its
    network namespace. So are virtual machines. A lost query counts only after several tries.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://github.com/kubernetes/kubernetes/issues/93791
         https://github.com/coredns/coredns/issues/7168
         https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
    """
    yield from _of_hidden_pods(node)
    for pod, lookup in node.dns.pod_lookups("udp"):
        if lookup.problem:
            yield Finding(
                pod,
                expected=lookup.expectation,
                found=lookup.problem,
                inconclusive=lookup.inconclusive or pod.restricted_by,
                names=_asked(lookup),
            )


@check(
    settles=QUERIES,
    remedy="Repeat the query on {node}: `nsenter --net={netns} dig +tcp +short {dns_name} "
    "{dns_type} @{server}`. If only TCP fails, look for a firewall rule on port 53/tcp, and for "
    "the port dns-tcp in `kubectl -n kube-system get service kube-dns -o yaml`.",
    facts=[Fact.DNS, Fact.PROCESSES],
)
def pods_resolve_tcp(node: Node) -> Findings:
    """Every pod resolves a Service name over TCP to the correct address.

    Clients ask again over TCP if an answer does not fit into a datagram. Without TCP only names
    with many addresses fail.

    Except: as over UDP, a pod whose traffic a NetworkPolicy or a service mesh can stop is
    inconclusive.

    See: https://github.com/coredns/coredns/issues/844
         https://github.com/coredns/coredns/issues/5998
    """
    yield from _of_hidden_pods(node)
    for pod, lookup in node.dns.pod_lookups("tcp"):
        if lookup.problem:
            yield Finding(
                pod,
                expected=lookup.expectation,
                found=lookup.problem,
                inconclusive=lookup.inconclusive or pod.restricted_by,
                names=_asked(lookup),
            )


@check(
    settles=QUERIES,
    remedy="Repeat the query on {node}: `dig +short {dns_name} {dns_type} @{server}` (with +tcp "
    "for TCP). Then see which of the services.* checks fail on this node.",
    facts=[Fact.DNS],
)
def nodes_resolve(node: Node) -> Findings:
    """The node itself resolves a Service name at the DNS Service, over UDP and TCP.

    Pods on the host network depend on it. Their packets take another path than those of other
    pods: through the node's OUTPUT chains instead of FORWARD.

    Except: a lost query counts only after several tries.

    See: https://github.com/kubernetes/kubernetes/issues/93791
         https://github.com/k3s-io/k3s/issues/751
    """
    for lookup in node.dns.service_lookups:
        if lookup.problem:
            yield Finding(
                node.part(lookup.via),
                expected=lookup.expectation,
                found=lookup.problem,
                inconclusive=lookup.inconclusive,
                names=_asked(lookup),
            )


@check(
    settles=QUERIES,
    remedy="Send both queries on {node}: `nsenter --net={netns} dig @{server} {dns_name} A "
    "{dns_name} AAAA`. If one family never gets an answer, a filter drops it. If pairs get lost "
    "sporadically, see `wirecheck explain conntrack.no_drops`, and use NodeLocal DNSCache or the "
    "resolver option single-request-reopen.",
    facts=[Fact.DNS, Fact.PROCESSES],
)
def parallel_a_aaaa(node: Node) -> Findings:
    """A and AAAA queries sent in parallel from one socket, as by glibc, get correct answers.

    The kernel can drop the second packet while it translates the first. The lookup then takes five
    seconds, and no error is logged.

    Except: pods with an egress NetworkPolicy or a service mesh are inconclusive. If a pod gets no
    answer at all, dns.pods_resolve_udp reports it. Four pods of a node are tried, each several
    times before a loss counts.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://github.com/weaveworks/weave/issues/3287
    """
    for pod, first, second in node.dns.pairs:
        for lookup in (first,) if first.is_unanswered else (first, second):
            if lookup.problem:
                yield Finding(
                    pod,
                    expected=f"{lookup.expectation}, asked in parallel with the other family",
                    found=lookup.problem,
                    inconclusive=pod.restricted_by if lookup.is_unanswered else lookup.inconclusive,
                    concerns=lookup.concerns,
                    names=_asked(lookup),
                )


@check(
    settles=MEASURED_QUERIES,
    thresholds=(LOST_FAIL,),
    remedy="If all nodes lose queries to one replica, check that pod and its CPU limit: `kubectl "
    "-n kube-system top pod -l k8s-app=kube-dns`. If {node} loses queries to all replicas, check "
    "the nodes.*, links.* and conntrack.* results of {node}; on AWS also `ethtool -S eth0 | grep "
    "linklocal_allowance_exceeded`.",
    facts=[Fact.DNS],
)
def no_packet_loss(node: Node) -> Findings:
    """The replicas answer DNS queries over UDP from the node and its pods at the first try.

    Clients retry a lost query after seconds, so packet loss shows as sporadic slowness and never as
    an error.

    Except: one lost query of the node is a warning. At most 100 queries are sent from a node's
    pods: with 10 % loss one run finds it with a probability of 99 %, and with 0.1 % it reports
    nothing. Loss that a later round does not confirm does not count. Pods with an egress
    NetworkPolicy or a service mesh are left out. If a replica answers no query at all,
    dns.replicas_answer reports it.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://aws.github.io/aws-eks-best-practices/networking/monitoring/
    """
    limit = node.threshold(LOST_FAIL)
    samples, pods = node.dns.samples, node.dns.pod_loss
    if samples.lost:
        is_much = samples.lost > 1 and samples.percent >= limit
        yield Finding(
            node.part("DNS over UDP"),
            expected="an answer to every query",
            found=samples,
            level=Level.FAIL if is_much else Level.WARN,
            concerns=samples.replicas,
            key="lost",
        )
    if pods and pods.is_found:
        yield Finding(
            node.part("DNS over UDP from pods"),
            expected="an answer to every query",
            found=pods,
            level=Level.FAIL if pods.reaches(limit) else Level.WARN,
            concerns=pods.replicas,
            key="lost",
        )


@check(
    settles=MEASURED_QUERIES,
    thresholds=(MEDIAN_WARN, SLOWEST_FAIL),
    remedy="Check whether the replicas are throttled: `kubectl -n kube-system top pod -l "
    "k8s-app=kube-dns`, compared with the CPU limit of their Deployment. Then measure the query "
    "time on {node}: `dig {dns_domain} @{dns_service} | grep 'Query time'`.",
    facts=[Fact.DNS],
)
def latency(node: Node) -> Findings:
    """DNS answers over UDP arrive in time: the median and the slowest answer on the node.

    Almost every connection starts with a lookup, and a search path makes several queries of it, one
    after the other.

    Except: unanswered queries are not slow ones; dns.pods_resolve_* and dns.replicas_answer report
    those. With fewer than a hundred answers the 99th percentile is the slowest answer.

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
                names=_asked(lookup) | pod,
            )


@check(
    settles=QUERIES,
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
                names=_asked(lookup) | pod,
            )


@check(
    settles=QUERIES,
    remedy="Repeat the query on {node}: `dig {dns_name} {dns_type} @{server}`. If it returns an "
    "address, look for a wildcard or a `template` in the Corefile: `kubectl -n kube-system get "
    "configmap coredns -o yaml`. If it returns SERVFAIL, read the replica's log.",
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
                names=_asked(lookup),
            )


@check(
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
                names=_asked(lookup),
            )


@check(
    settles=MEASURED_QUERIES,
    remedy="Read the upstream servers from `forward` in the Corefile: `kubectl -n kube-system get "
    "configmap coredns -o yaml`. On the replica's node, query each of them: `dig {dns_name} "
    "{dns_type} @{upstream}`. If they answer, check the replica's network and the firewall.",
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
                names=_asked(lookup),
            )


@check(
    settles=QUERIES,
    remedy="Check the cache's pod on {node}: `kubectl -n kube-system get pods -l "
    "k8s-app=node-local-dns -o wide --field-selector spec.nodeName={node}`. On the node, check "
    "that it listens: `ss -lun 'sport = :53'`.",
    facts=[Fact.NETNS, Fact.DNS],
)
def node_local_cache(node: Node) -> Findings:
    """The node's own DNS cache answers at its address, over UDP and TCP.

    Pods of the node query only this cache. While it is down, they have no DNS, and no other node is
    affected.

    A cache is what has an address of the device nodelocaldns (NodeLocal DNSCache), or an address of
    the node that the kubelet gives to pods (AKS LocalDNS, dnsmasq).

    Except: nodes without a cache, or where it only has the DNS Service's address, which
    dns.nodes_resolve queries.

    See: https://github.com/kubernetes/dns/issues/561
         https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
    """
    for lookup in node.dns.cache_lookups:
        if lookup.problem:
            yield Finding(
                node.part(lookup.via),
                expected=lookup.expectation,
                found=lookup.problem,
                inconclusive=lookup.inconclusive,
            )


@check(
    remedy="On {node}, correct clusterDNS and clusterDomain: `grep -A2 -E "
    "'clusterDNS|clusterDomain' /var/lib/kubelet/config.yaml` (with kubeadm: `kubectl -n "
    "kube-system edit configmap kubelet-config`, then `kubeadm upgrade node`). Restart the "
    "kubelet: `systemctl restart kubelet`. Then recreate its pods.",
    facts=[Fact.API, Fact.NETNS, Fact.KUBELET],
)
def kubelet_cluster_dns(node: Node) -> Findings:
    """The kubelet gives new pods the DNS Service's address and the cluster domain.

    Running pods keep their resolv.conf, so a wrong setting only shows in the next pod.

    Except: the address of a cache on the node is accepted, and so is every server that answered
    correctly. A link-local address that nothing on the node has is inconclusive. Without the
    Corefile the domain is compared with the one in which DNS answered. A domain that the Corefile
    rewrites to the cluster's is accepted, and one that it has a template for is inconclusive. A
    kubelet inside another process (k3s), or with a folder of configuration files, is not evaluated.

    See: https://github.com/kubernetes/release/issues/188
         https://github.com/poseidon/matchbox/issues/180
    """
    for each in node.kubelet.dns_deviations:
        yield Finding(
            node.part(f"kubelet's {each.setting}"),
            expected=each.expected,
            found=each.found,
            inconclusive=each.unsure,
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
    settles=ON_NODE,
    remedy="Compare the pod's file, `kubectl -n {namespace} exec {pod} -- cat /etc/resolv.conf`, "
    "with the kubelet's clusterDNS and clusterDomain in /var/lib/kubelet/config.yaml on {node}. A "
    "pod keeps the file that it started with, so recreate it after a change: `kubectl -n "
    "{namespace} delete pod {pod}`.",
    facts=[Fact.API, Fact.POD_FILES],
)
def resolv_conf(node: Node) -> Findings:
    """Each pod's resolv.conf has the nameservers and search path that its dnsPolicy implies.

    With another nameserver cluster names do not resolve. With another search path short names do
    not.

    Except: dnsPolicy and dnsConfig are applied. The servers that dns.kubelet_cluster_dns accepts
    are accepted. A file that a pod mounts itself is not evaluated, and one that it may mount is
    inconclusive.

    See: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
         https://github.com/openshift/origin/issues/16688
    """
    for pod, resolver in node.dns.resolvers:
        for each in resolver.deviations:
            yield Finding(pod, expected=each.expected, found=each.found, inconclusive=each.unsure)
