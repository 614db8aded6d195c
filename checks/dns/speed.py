"""DNS: how many queries are lost, and how long answers take."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, NotApplicable, Threshold, check
from wirecheck.catalogue.settling import MEASURED_QUERIES
from wirecheck.model.node import Node

MEDIAN_WARN = Threshold(
    "dns.median_warn", 100, "ms", "one lookup of an external name takes up to ten queries"
)
SLOWEST_FAIL = Threshold(
    "dns.slowest_fail", 1000, "ms", "of the 99th percentile: clients retry after a few seconds"
)
LOST_FAIL = Threshold(
    "dns.lost_fail", 5, "% of single queries", "a client waits five seconds for each lost query"
)


@check(
    settles=MEASURED_QUERIES,
    thresholds=(LOST_FAIL,),
    remedy="If all nodes lose queries to one replica, check that pod and its CPU limit: `kubectl "
    "-n {dns_namespace} top pod -l {dns_selector}`. If {node} loses queries to all replicas, check "
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
    remedy="Check whether the replicas are throttled: `kubectl -n {dns_namespace} top pod -l "
    "{dns_selector}`, compared with the CPU limit of their Deployment. Then measure the query "
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
