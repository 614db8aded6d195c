"""DNS: whether pods and nodes get the correct answers, over UDP and over TCP."""

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, check
from wirecheck.catalogue.settling import QUERIES
from wirecheck.model.node import Node


def _unresolved(node: Node, transport: str) -> Findings:
    """Pods without the correct answer over this transport.

    Nothing can be sent from pods such as virtual machines, so they are inconclusive.
    """
    for pod, why in node.namespaces.hidden:
        yield Finding(pod, expected="an answer", found="no query sent", inconclusive=why)
    for pod, lookup in node.dns.pod_lookups(transport):
        if lookup.problem and not node.probe_policies.denies_query(pod, lookup):
            yield Finding(
                pod,
                expected=lookup.expectation,
                found=lookup.problem,
                inconclusive=lookup.inconclusive or pod.restricted_by,
                names=lookup.names,
                sent=lookup.sent_by(pod.ref),
            )
        else:
            yield CONCLUSIVE


@check(
    counts=True,
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
    network namespace. So are virtual machines. A lost query counts only after several tries. If
    NetworkPolicies deny a pod's queries, and rules on the node enforce them, no answer is expected.

    See: https://github.com/kubernetes/kubernetes/issues/56903
         https://github.com/kubernetes/kubernetes/issues/93791
         https://github.com/coredns/coredns/issues/7168
         https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
    """
    yield from _unresolved(node, "udp")


@check(
    counts=True,
    settles=QUERIES,
    remedy="Repeat the query on {node}: `nsenter --net={netns} dig +tcp +short {dns_name} "
    "{dns_type} @{server}`. If only TCP fails, look for a firewall rule on port 53/tcp, and for "
    "the port dns-tcp in `kubectl -n {dns_namespace} get service {dns_service_name} -o yaml`.",
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
    yield from _unresolved(node, "tcp")


@check(
    counts=True,
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
                sent=lookup.sent_by(),
                names=lookup.names,
            )
        else:
            yield CONCLUSIVE


@check(
    counts=True,
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
                    names=lookup.names,
                    sent=lookup.sent_by(pod.ref),
                )
            else:
                yield CONCLUSIVE


@check(
    counts=True,
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
                sent=lookup.sent_by(),
            )
        else:
            yield CONCLUSIVE
