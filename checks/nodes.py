"""Nodes: that they were looked at, that they are ready, that their kernel forwards packets."""

from wirecheck.catalogue import check
from wirecheck.facts import Fact
from wirecheck.findings import Finding, Findings, Level, NotApplicable
from wirecheck.model.node import Node


@check(
    remedy="Do what the reason says; `wirecheck run` with only this check tells whether it helped.",
    looks_at=[Fact.VISIT],
)
def reachable(node: Node) -> Findings:
    """The node was visited, the host proved to be this node, and all of it could be read.

    What was not looked at is not healthy: it is unknown.

    Except: nodes that are gone, about to be deleted or NotReady when asked again are skipped
    with that reason.

    See: https://kubernetes.io/docs/concepts/architecture/nodes/
    """
    if node.visit.status == "gone":
        raise NotApplicable(node.visit.reason)
    if node.document is None:
        yield Finding(node, expected="a visit", found=node.visit.reason, level=Level.ERROR)
        return
    for problem in node.document.problems:
        yield Finding(
            node, expected="all of it read", found=problem, level=Level.ERROR, key=problem
        )


@check(
    settles=True,
    remedy="kubectl describe node NAME shows the reason; then read kubelet's log on the node.",
    looks_at=[Fact.API],
)
def ready(node: Node) -> Findings:
    """The node is Ready in the eyes of the API.

    Its pods are about to be moved away, and Services already send nothing to them.

    Except: nodes that an autoscaler is removing are skipped.

    See: https://kubernetes.io/docs/concepts/architecture/nodes/
    """
    if node.is_being_removed:
        raise NotApplicable("the node is being removed")
    if not node.is_ready:
        yield Finding(node, expected="Ready", found=node.why_not_ready)


@check(
    remedy="sysctl -w net.ipv4.ip_forward=1 (net.ipv6.conf.all.forwarding=1), and a file in "
    "/etc/sysctl.d that keeps it at the next boot; look for a hardening tool that resets it.",
    looks_at=[Fact.SYSCTLS, Fact.API],
)
def forward_packets(node: Node) -> Findings:
    """The kernel forwards packets in every address family that the node's pods use.

    Without it nothing crosses the node: pods talk to neighbours on the same bridge alone.

    Except: a family that no pod of the node uses is not judged.

    See: https://github.com/openshift/origin/issues/9931
         https://github.com/kubernetes-sigs/kubespray/issues/680
    """
    for sysctl in node.forwarding_sysctls:
        if node.sysctl(sysctl) != "1":
            yield Finding(node.part(sysctl), expected="1", found=node.sysctl(sysctl))


@check(
    remedy="modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1 (and "
    "…-ip6tables=1), and files in /etc/modules-load.d and /etc/sysctl.d that keep it.",
    looks_at=[Fact.SYSCTLS, Fact.NETNS],
)
def filter_bridged_packets(node: Node) -> Findings:
    """Packets between pods on one bridge pass through the node's Service rules.

    Otherwise an answer from a pod on the same node bypasses the reverse translation, and a
    Service works from everywhere except from next to its backend.

    Except: nodes whose pods are on no bridge do not need it.

    See: https://github.com/kubernetes/kubernetes/issues/127031
         https://github.com/kubernetes/kubernetes/issues/20475
    """
    if not node.has_pods_on_a_bridge:
        raise NotApplicable("no pod of this node is on a bridge")
    for sysctl in node.bridge_sysctls:
        if node.sysctl(sysctl) != "1":
            yield Finding(node.part(sysctl), expected="1", found=node.sysctl(sysctl))
