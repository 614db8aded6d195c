"""Paths: where packets go by what nodes reported, and whether that is what packets did."""

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, check
from wirecheck.catalogue.findings import Level
from wirecheck.catalogue.settling import CONNECTIONS, TO_PEERS
from wirecheck.model.node import Node
from wirecheck.model.traced import Followed, Lost

FOLLOWED = [
    Fact.API,
    Fact.NETNS,
    Fact.PROCESSES,
    Fact.SERVICE_RULES,
    Fact.SYSCTLS,
    Fact.DEVICE_PROGRAMS,
    Fact.PATH_SETTINGS,
    Fact.LISTENERS,
]
"""What decides about packets on their way."""


REMEDY = (
    "Repair what the finding names: the rule, the route, the setting or the device. `wirecheck "
    "trace {trace_arguments}` shows the packet's path hop by hop. Find out which program wrote the "
    "line, or it comes back."
)


def _of(node: Node, followed: Followed) -> Findings:
    """A finding for each line at which packets die."""
    for each in followed.lost:
        yield _finding(node, each)
    yield from _beside(node, followed)


def _finding(node: Node, lost: Lost, level: Level = Level.FAIL) -> Finding:
    return Finding(
        node.part(lost.part),
        level=level,
        expected="a path there and back",
        found=lost.found,
        concerns=lost.concerns,
        sent=lost.sent,
        names={"trace_arguments": lost.trace},
    )


def _beside(node: Node, followed: Followed) -> Findings:
    """What is open is counted with its reason, and what arrives."""
    for number, why in enumerate(followed.undecided):
        yield Finding(
            node.part(f"packet {number}"), expected="a path", found="unknown", inconclusive=why
        )
    for _ in range(followed.arriving):
        yield CONCLUSIVE


@check(
    settles=TO_PEERS,
    remedy=REMEDY,
    facts=FOLLOWED,
    counts=True,
)
def pods_to_pods(node: Node) -> Findings:
    """Every pod's packets reach the pods of its node and of all others, and answers come back.

    Nothing is sent: the packets are followed through the devices, routes and rules that the nodes
    reported. A probe shows that one connection works; this shows which pods have none, and why.

    Except: pods that a NetworkPolicy selects are inconclusive, unless the CNI plugin enforces
    policies by rules of the node, and they allow the connection. So are paths through programs and
    devices that `wirecheck trace` does not follow. Pods that are attached alike, and whose
    addresses no rule or route tells apart, are followed once for all of them: at a TCP port at
    which one of them listens, and without one over UDP. What is between nodes is not seen.

    See: https://www.netfilter.org/documentation/HOWTO/packet-filtering-HOWTO.html
         https://kubernetes.io/docs/concepts/cluster-administration/networking/
    """
    yield from _of(node, node.pod_pairs.followed)


@check(settles=TO_PEERS, remedy=REMEDY, facts=FOLLOWED, counts=True)
def to_services(node: Node) -> Findings:
    """Packets of the node and its pods reach Services and their endpoints, and answers come back.

    The node's rules can be exactly what the API asks for, and packets still die before or behind
    them: in a third-party rule, at a route, or on the node of an endpoint.

    Except: one Service of each kind is followed, from one pod of those that are attached alike:
    of each IP family and protocol, with one endpoint or several, with endpoints on this node or
    not, on pods, nodes or outside. `services.*` compares the rules of all. In a cluster of more
    than 32 nodes Services are followed from 32 of them. For pods that policies select, and for
    what `wirecheck trace` does not follow, the same holds as for `paths.pods_to_pods`.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    yield from _of(node, node.sender_paths.to_services)


@check(settles=TO_PEERS, remedy=REMEDY, facts=FOLLOWED, counts=True)
def to_dns(node: Node) -> Findings:
    """Packets of the node and its pods reach every DNS replica by the Service, and are answered.

    One in several queries is lost if one replica cannot be reached, and pods wait for 5 s until
    they ask again.

    Except: as for `paths.to_services`.

    See: https://kubernetes.io/docs/tasks/administer-cluster/dns-debugging-resolution/
    """
    yield from _of(node, node.sender_paths.to_dns)


@check(settles=TO_PEERS, remedy=REMEDY, facts=FOLLOWED, counts=True)
def to_api_server(node: Node) -> Findings:
    """Packets of the node and its pods reach every API server by its Service, and are answered.

    Agents and controllers in pods depend on it.

    Except: as for `paths.to_services`. API servers that are not on nodes of the cluster are not
    seen.

    See: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """
    yield from _of(node, node.sender_paths.to_api_server)


@check(settles=TO_PEERS, remedy=REMEDY, facts=FOLLOWED, counts=True)
def out_of_the_cluster(node: Node) -> Findings:
    """Packets of the node and its pods leave the node for addresses outside, and answers return.

    An address that stands for any outside (192.0.2.1, port 443) is followed up to the device by
    which the packet leaves, and its answer back to the sender's socket.

    Except: nodes without a route out of the cluster. Whether pods' addresses are masqueraded is
    checked by `pods.egress_masqueraded`; what is beyond the node is not seen. Pods that a policy
    selects are inconclusive.

    See: https://datatracker.ietf.org/doc/html/rfc5737
    """
    followed = node.sender_paths.out_of_the_cluster
    for each in followed.lost:
        yield _finding(node, each, Level.WARN)
    yield from _beside(node, followed)


@check(
    settles=CONNECTIONS,
    only_proven=True,
    remedy="wirecheck follows this path wrongly: until that is fixed, do not rely on where traces "
    "through the named stage end. Please report it with a redacted snapshot (`wirecheck snapshot "
    "redact --help`) and the output of `wirecheck trace {trace_arguments} -o json`.",
    facts=[*FOLLOWED, Fact.CONTACTS, Fact.DNS],
)
def match_connections(node: Node) -> Findings:
    """The trace lets no packets die of connections that were made.

    Reports name the line at which packets of failed probes die. If a trace is wrong about a
    connection that works, it can also name a wrong line for one that fails.

    Except: a difference is inconclusive until a second round shows it again, with nothing
    concerned changed in between. One connection of each kind and one DNS query each over UDP and
    TCP are followed on every node, with more than eight nodes 32 in total. If only some backends
    of a Service are said to be dead, the connection may have gone to another one.

    See: https://docs.kernel.org/networking/ip-sysctl.html
         https://kubernetes.io/docs/concepts/services-networking/
    """
    for each in node.made_connections.contradicted:
        yield Finding(
            each.made.ref,
            level=Level.ERROR,
            expected="a path on which the packets arrive: the connection was made",
            found=each.found,
            concerns=each.made.concerns,
            names={"trace_arguments": each.trace},
        )
