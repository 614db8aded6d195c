"""Paths: what `wirecheck trace` says about packets, compared with what packets did."""

from wirecheck.catalogue import Fact, Finding, Findings, check
from wirecheck.catalogue.findings import Level
from wirecheck.catalogue.settling import CONNECTIONS
from wirecheck.model.node import Node


@check(
    settles=CONNECTIONS,
    only_proven=True,
    remedy="wirecheck follows this path wrongly: until that is fixed, do not rely on where traces "
    "through the named stage end. Please report it with a redacted snapshot (`wirecheck snapshot "
    "redact --help`) and the output of `wirecheck trace {trace_arguments} -o json`.",
    facts=[
        Fact.API,
        Fact.CONTACTS,
        Fact.DNS,
        Fact.NETNS,
        Fact.PROCESSES,
        Fact.SERVICE_RULES,
        Fact.SYSCTLS,
        Fact.DEVICE_PROGRAMS,
        Fact.PATH_SETTINGS,
        Fact.LISTENERS,
    ],
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
