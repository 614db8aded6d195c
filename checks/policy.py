"""Policy: whether nodes enforce NetworkPolicies as the API has them."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, check
from wirecheck.catalogue.settling import ENFORCED
from wirecheck.model.node import Node

FACTS = (Fact.API, Fact.NETNS, Fact.PROCESSES, Fact.SERVICE_RULES)
RESTART = (
    "Read the log of what enforces NetworkPolicies on {node}: `kubectl -n {cni_namespace} logs "
    "{cni_pod} --all-containers`. Then restart it, and it writes the rules and sets of all pods "
    "again: `kubectl -n {cni_namespace} delete pod {cni_pod}`. In k3s it is a part of the k3s "
    "service, whose restart leaves pods running. To see what the policies mean: `wirecheck inspect "
    "policy NAMESPACE/NAME`."
)


def _findings(node: Node, *, is_open: bool) -> Findings:
    for each in node.policy_enforcement.deviations:
        if each.is_open is is_open:
            yield Finding(
                each.pod,
                expected=each.expected,
                found=each.found,
                level=Level.WARN if each.is_leak else Level.FAIL,
                evidence=each.evidence,
                concerns=each.peers,
                inconclusive=each.inconclusive,
                key=each.direction,
                names=node.policy_chains.agent_names,
            )


@check(settles=ENFORCED, remedy=RESTART, facts=FACTS)
def denied_traffic(node: Node) -> Findings:
    """The node refuses the connections of its pods that NetworkPolicies deny.

    A chain that was flushed, a jump that a firewall manager removed or an address that is left in
    a set opens a pod to others. All connections work then, so nothing else shows it. The rules of
    iptables and nftables and the ipsets on the node are followed for every pod of the node, every
    kind of peer and every port that policies or rules name.

    Except: nodes whose plugin enforces policies in eBPF or Open vSwitch, connections of nodes and
    of pods on the host network, and protocols other than TCP, UDP and SCTP. Pods that only an
    ipBlock covers are inconclusive, and so are pods that policies of other kinds select. If a set
    has an address for pods that no pod has, it is a warning: the next pod may get it.

    See: https://kubernetes.io/docs/concepts/services-networking/network-policies/
         https://github.com/k3s-io/k3s/issues/13285
    """
    yield from _findings(node, is_open=True)


@check(settles=ENFORCED, remedy=RESTART, facts=FACTS)
def allowed_traffic(node: Node) -> Findings:
    """The node forwards the connections of its pods that NetworkPolicies allow.

    An agent that hangs, or that misses a change, leaves new pods out of the sets of addresses that
    its rules match. These pods are then refused although a policy allows them, often on some nodes
    only. The rules of iptables and nftables and the ipsets on the node are followed for every pod
    of the node, every kind of peer and the ports that policies tell apart.

    Except: as for policy.denied_traffic, and peers to which the node has no route. Packets to
    addresses outside of the cluster count only where a NetworkPolicy is about them.

    See: https://kubernetes.io/docs/concepts/services-networking/network-policies/
         https://github.com/cloudnativelabs/kube-router/issues/2059
    """
    yield from _findings(node, is_open=False)
