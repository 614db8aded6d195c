"""Paths: where packets go by what nodes reported, and whether that is what packets did."""

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, check
from wirecheck.catalogue.findings import Level
from wirecheck.catalogue.settling import CONNECTIONS, TO_PEERS
from wirecheck.model.node import Node

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


@check(
    settles=TO_PEERS,
    remedy="Repair what the finding names: the rule, the route, the setting or the device. "
    "`wirecheck trace {trace_arguments}` shows the packet's path hop by hop. Find out which "
    "program wrote the line, or it comes back.",
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
    pairs = node.pod_pairs
    for each in pairs.lost:
        yield Finding(
            node.part(each.part),
            expected="a path there and back",
            found=each.found,
            concerns=each.concerns,
            sent=each.sent,
            names={"trace_arguments": each.trace},
        )
    for number, why in enumerate(pairs.undecided):
        yield Finding(
            node.part(f"pair {number}"), expected="a path", found="unknown", inconclusive=why
        )
    for _ in range(pairs.arriving):
        yield CONCLUSIVE


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
