"""Firewall: that packets of pods get through the node's filter, whoever writes its rules."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level
from wirecheck.catalogue.registry import check
from wirecheck.model.node import Node

RULES = (Fact.API, Fact.NETNS, Fact.SERVICE_RULES)
FIND = (
    "The evidence is the rule. Find who made it (firewalld, ufw, an agent, a person) and have it "
    "accept the cluster's pod network; iptables -L FORWARD -v -n shows what it counts."
)


@check(settles=True, remedy=FIND, looks_at=RULES)
def forwards_pods(node: Node) -> Findings:
    """The node forwards connections between its pods and those of other nodes.

    Docker and firewall managers set the policy of FORWARD to DROP: what nobody accepts is gone,
    and the pods of one node are alone.

    Except: only what is dropped in any case counts; rules for some ports, sets or single pods do
    not. At most eight other nodes stand for all.

    See: https://github.com/kubernetes/kubernetes/issues/40182
         https://github.com/kubernetes/kubernetes/issues/39823
         https://github.com/flannel-io/flannel/issues/1450
    """
    for each in node.firewall.dropped(node.firewall.pod_packets):
        yield Finding(
            node.part(f"FORWARD {each.what}"),
            expected="connections are forwarded",
            found=f"{each.packet} is dropped",
            evidence=[each.rule],
        )


@check(settles=True, remedy=FIND, looks_at=RULES)
def forwards_dns(node: Node) -> Findings:
    """The node forwards DNS of its pods to every replica, over UDP and over TCP.

    A rule that is to stop lookups outside of the cluster easily stops those inside as well.

    Except: only what is dropped in any case counts: rules about sets or single pods do not.

    See: https://github.com/kubernetes/kubernetes/issues/93791
         https://github.com/kubernetes/kubernetes/issues/40182
    """
    for each in node.firewall.dropped(node.firewall.dns_packets):
        yield Finding(
            node.part(f"FORWARD {each.what} to {each.packet.destination}"),
            expected="forwarded",
            found=f"{each.packet} is dropped",
            evidence=[each.rule],
        )


@check(
    settles=True,
    remedy="Restart what owns the chain: the kubelet for KUBE-FIREWALL, kube-proxy for "
    "KUBE-FORWARD; then find out what flushed the built-in chains (firewall-cmd --reload does).",
    looks_at=RULES,
)
def kubernetes_chains_called(node: Node) -> Findings:
    """The chains of kube-proxy and of the kubelet in table filter are called from the hooks.

    A firewall that was reloaded leaves the chains in place and takes the jumps to them away.

    Except: chains that are not there or empty, and those of the legacy variant.

    See: https://github.com/rancher/rke2/issues/10469
         https://github.com/k3s-io/k3s/issues/7542
    """
    for family, base, chain in node.firewall.missing_anchors:
        yield Finding(
            node.part(f"{family} {base}"), expected=f"a jump to {chain}", found="none in the chain"
        )


@check(
    remedy="Disable it on nodes (systemctl disable --now firewalld, ufw disable), or have it trust "
    "the pod and Service ranges and keep its reload from flushing what others wrote.",
    looks_at=RULES,
)
def single_manager(node: Node) -> Findings:
    """No manager of firewalls, firewalld or ufw, writes rules beside Kubernetes.

    Its next reload removes rules that it did not write: Services and pods are off until the
    next full sync.

    Except: none are known: one that is stopped leaves no table and no chain.

    See: https://github.com/rancher/rke2/issues/10469
         https://github.com/rancher/rke2/issues/774
         https://github.com/k3s-io/k3s/issues/7542
    """
    for manager in sorted(node.firewall.others):
        yield Finding(
            node.part(manager),
            expected="Kubernetes alone",
            found=f"{manager} has rules in force",
            level=Level.WARN,
        )


@check(
    remedy="iptables-legacy-save shows them, and who made them; have it use the same variant as "
    "kube-proxy (update-alternatives --config iptables), and flush the legacy ones.",
    looks_at=[Fact.SERVICE_RULES],
)
def single_iptables_variant(node: Node) -> Findings:
    """No rules are in legacy iptables on a node whose Kubernetes rules are in the nft variant.

    The kernel asks both, and each tool shows its own alone: rules that nobody sees drop or
    translate packets.

    Except: legacy tables that are loaded and empty; Service rules in both are judged by
    kube_proxy.single_iptables_variant.

    See: https://github.com/kubernetes/kubernetes/issues/71305
         https://github.com/coredns/coredns/issues/2354
    """
    for family, rules in node.firewall.legacy_rules:
        yield Finding(
            node.part(f"IPv{family} legacy iptables"),
            expected="no rules",
            found=f"{len(rules)} rules",
            evidence=rules[:5],
            level=Level.WARN,
        )
