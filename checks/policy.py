"""Policy: whether nodes enforce NetworkPolicies as the API has them."""

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, Level, check
from wirecheck.catalogue.settling import CUSTOM_OBJECTS, ENFORCED
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node

FACTS = (Fact.API, Fact.NETNS, Fact.PROCESSES, Fact.SERVICE_RULES, Fact.EBPF_MAPS)
RESTART = (
    "Read the log of what enforces NetworkPolicies on {node}: `kubectl -n {cni_namespace} logs "
    "{cni_pod} --all-containers`. Then restart it, and it writes the rules and sets of all pods "
    "again: `kubectl -n {cni_namespace} delete pod {cni_pod}`. In k3s it is a part of the k3s "
    "service, whose restart leaves pods running. To see what Cilium has in its maps: `kubectl -n "
    "{cni_namespace} exec {cni_pod} -- cilium-dbg bpf policy get --all`. To see what the policies "
    "mean: `wirecheck inspect policy NAMESPACE/NAME`."
)
COMPARE = (
    "Compare what enforces NetworkPolicies on these nodes, its version, settings and log: `kubectl "
    "get pods -A -o wide`. To see what a policy means: `wirecheck inspect policy NAMESPACE/NAME`."
)
AUDITED_BY_CONFIGURATION = (
    "Set policy-audit-mode to false: `kubectl -n {cni_namespace} edit configmap cilium-config`, "
    "then restart the agents, one node at a time: `kubectl -n {cni_namespace} delete pod "
    "{cni_pod}`. "
    "Denied connections are refused from then on: look for them first with `kubectl -n "
    "{cni_namespace} exec {cni_pod} -- cilium-dbg monitor -t policy-verdict`."
)


def _findings(node: Node, *, is_open: bool) -> Findings:
    for each in node.probe_policies.deviations:
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
    iptables and nftables and the ipsets on the node, or Cilium's eBPF maps of policies and
    identities, are followed for every pod of the node, every kind of peer and every port that
    policies, rules or maps name. A connection that was made in the run although policies deny it
    is a failure, too.

    Except: nodes whose plugin enforces policies in other eBPF maps or in Open vSwitch, connections
    of nodes and of pods on the host network, and protocols other than TCP, UDP and SCTP. Pods that
    only an ipBlock covers are inconclusive, and so are pods that policies of other kinds select. If
    a set has an address for pods that no pod has, it is a warning: the next pod may get it.

    See: https://kubernetes.io/docs/concepts/services-networking/network-policies/
         https://github.com/k3s-io/k3s/issues/13285
    """
    yield from _findings(node, is_open=True)


@check(settles=ENFORCED, remedy=RESTART, facts=FACTS)
def allowed_traffic(node: Node) -> Findings:
    """The node forwards the connections of its pods that NetworkPolicies allow.

    An agent that hangs, or that misses a change, leaves new pods out of the sets of addresses that
    its rules match. These pods are then refused although a policy allows them, often on some nodes
    only. The rules of iptables and nftables and the ipsets on the node, or Cilium's eBPF maps of
    policies and identities, are followed for every pod of the node, every kind of peer and the
    ports that policies tell apart.

    Except: as for policy.denied_traffic, and peers to which the node has no route. Packets to
    addresses outside of the cluster count only where a NetworkPolicy is about them, or with Cilium,
    which has to let each node reach its own pods as well.

    See: https://kubernetes.io/docs/concepts/services-networking/network-policies/
         https://github.com/cloudnativelabs/kube-router/issues/2059
    """
    yield from _findings(node, is_open=False)


@check(
    settles=ENFORCED,
    compares_nodes=True,
    counts=True,
    remedy=RESTART,
    facts=(*FACTS, Fact.SYSCTLS, Fact.DEVICE_PROGRAMS),
)
def enforced(cluster: Cluster) -> Findings:
    """Something enforces each NetworkPolicy on every node that has pods which it selects.

    The API server accepts NetworkPolicies in every cluster, whether or not the network plugin
    enforces them. Without that, or if an agent has written nothing on a node, all connections work
    that a policy denies.

    Except: nodes whose plugin enforces policies in other eBPF maps than Cilium's or in Open
    vSwitch, and policies that deny nothing. If nothing known enforces policies on any node, it is
    one warning for the cluster, for which one round is enough: no agent can be late. Where rules
    hand packets to a program by a queue, it is only evaluated whether a program listens. Programs
    on the interfaces of pods may enforce policies, and are not read.

    See: https://kubernetes.io/docs/concepts/services-networking/network-policies/#prerequisites
         https://github.com/kubernetes-sigs/kube-network-policies
    """
    for each in cluster.unenforced_policies:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.found,
            level=each.level,
            evidence=each.evidence,
            concerns=each.pods,
            inconclusive=each.inconclusive,
            names=each.names,
            remedy=each.remedy,
            settled=each.settled,
        )
    for _ in range(cluster.policies_in_effect):
        yield CONCLUSIVE


@check(settles=ENFORCED, compares_nodes=True, remedy=COMPARE, facts=FACTS)
def uniform_across_nodes(cluster: Cluster) -> Findings:
    """Nodes treat connections alike that NetworkPolicies leave undefined.

    The API does not define whether an ipBlock covers pods, or which of two ports with one name is
    meant. Enforcers choose, and an application can depend on it. If nodes choose differently, it
    works or fails by the node of its pod.

    Except: connections that policies define, which policy.denied_traffic and policy.allowed_traffic
    evaluate on each node, pods that policies of other kinds select, and connections within a node.

    See: https://kubernetes.io/docs/concepts/services-networking/network-policies/
    """
    for each in cluster.unlike_policies:
        yield Finding(each.ref, expected=each.expected, found=each.found)


@check(settles=ENFORCED, remedy=RESTART, facts=FACTS)
def enforcer_in_sync(node: Node) -> Findings:
    """What enforces NetworkPolicies on the node has programmed pods and policies of every age.

    An agent that lost its connection to the API server, or that hangs, leaves its rules as they
    were. Older pods and policies are all right then, and everything newer is missing: new pods are
    refused, or reached by everybody.

    Except: objects younger than the period in which the agent writes everything again: 300 s for
    kube-router, 180 s for Calico, 60 s for others. If the rules lack older objects than they have,
    it is another fault, which policy.denied_traffic and policy.allowed_traffic show.

    See: https://github.com/cloudnativelabs/kube-router/issues/2059
    """
    if (behind := node.policies_behind) is not None:
        first, last = behind.first, behind.last
        yield Finding(
            node,
            expected=f"rules for {first.ref}, as for {last.ref}",
            found=behind.found,
            concerns=[first.ref, last.ref],
            since=behind.since,
            key="in sync",
            names=node.policy_chains.agent_names,
        )


@check(
    settles=CUSTOM_OBJECTS,
    counts=True,
    remedy="Switch audit mode off for the endpoint: `kubectl -n {cni_namespace} exec {cni_pod} -- "
    "cilium-dbg endpoint list` shows its number, and `cilium-dbg endpoint config NUMBER "
    "PolicyAuditMode=Disabled` in the same pod does it. Denied connections are refused from then "
    "on: look for them first with `cilium-dbg monitor -t policy-verdict`.",
    facts=(Fact.EBPF_MAPS, Fact.API),
)
def audit_mode_off(node: Node) -> Findings:
    """Cilium enforces the policies of each pod of the node, and does not only log them.

    Audit mode is for trying policies: whatever they deny is logged and forwarded. Left on, nothing
    is enforced for these pods, and the policies, the agent and all connections look healthy.

    Except: pods without an endpoint of Cilium. For pods that no policy selects it is a warning.

    See: https://docs.cilium.io/en/stable/security/policy-creation/
    """
    for each in node.cilium_audit.audited:
        yield Finding(
            each.ref,
            expected="policies that are enforced",
            found=each.found,
            level=Level.FAIL if each.is_harmful else Level.WARN,
            concerns=[pod.ref for pod in each.pods],
            inconclusive=each.inconclusive,
            key="audit mode",
            remedy=AUDITED_BY_CONFIGURATION if each.of_setting else "",
        )
    yield CONCLUSIVE
