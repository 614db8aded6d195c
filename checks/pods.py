"""Pods: what the API says of their addresses, against what their network namespaces hold."""

from wirecheck.addresses import contains
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, NotApplicable
from wirecheck.catalogue.registry import check
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node


@check(
    settles=True,
    remedy="Read the pod's events (kubectl describe pod) and the CNI plugin's log on its node.",
    looks_at=[Fact.API],
)
def have_ip(node: Node) -> Findings:
    """Every running pod has an address.

    A pod that runs without one is counted as started, but is part of no Service.

    Except: pods that are finished or being deleted need none.

    See: https://github.com/kubernetes/kubernetes/issues/69925
    """
    for pod in node.pods:
        if pod.is_running and not pod.addresses:
            yield Finding(pod, expected="an address", found="none in its status")


@check(
    settles=True,
    remedy="Delete the pod so that it gets a new address; then compare the CNI plugin's range on "
    "the node (/etc/cni/net.d, /run/flannel/subnet.env) with spec.podCIDRs of the node.",
    looks_at=[Fact.API],
)
def ip_in_node_range(node: Node) -> Findings:
    """Every pod's address is from its node's own range.

    Other nodes route a range, not an address: a pod outside of it is reached by nobody else.

    Except: plugins that give out addresses from pools of their own (Calico, Cilium, the
    clouds' own) are not held to spec.podCIDRs, nor are pods on the host's network.

    See: https://github.com/kubernetes/kubeadm/issues/2400
         https://github.com/cri-o/cri-o/issues/2411
    """
    if not node.assigns_from_pod_cidrs:
        raise NotApplicable(f"{node.cluster.cni} gives out addresses from pools of its own")
    for pod in node.pods:
        if not pod.is_running or pod.on_host_network:
            continue
        for address in pod.addresses:
            if not contains(node.pod_ranges, address):
                yield Finding(
                    pod,
                    expected=f"an address in {', '.join(map(str, node.pod_ranges))}",
                    found=address,
                )


@check(
    settles=True,
    remedy="Delete the younger of the pods; then look for stale or missing reservations of the "
    "CNI plugin's IPAM on the nodes (/var/lib/cni/networks).",
    looks_at=[Fact.API],
)
def unique_ips(cluster: Cluster) -> Findings:
    """No two pods have the same address.

    Packets for the address reach one of them, and which one can change at any time.

    Except: finished pods keep the address that they had, and pods on the host's network share
    their node's.

    See: https://github.com/kubernetes/kubernetes/issues/51322
         https://github.com/kubernetes/kubernetes/issues/72186
         https://github.com/flannel-io/flannel/issues/1549
    """
    for address, pods in cluster.pod_index.by_address.items():
        if len(pods) > 1:
            first, *others = sorted(pods, key=lambda pod: pod.ref)
            yield Finding(
                first,
                expected=f"{address} for itself",
                found=f"also given to {', '.join(f'{o.namespace}/{o.name}' for o in others)}",
                concerns=others,
            )


@check(
    settles=True,
    remedy="See whether the pod's sandbox lives (crictl pods --name POD); if it does not, "
    "delete the pod so that it is made again.",
    looks_at=[Fact.API, Fact.PROCESSES],
)
def have_netns(node: Node) -> Findings:
    """The network namespace of every running pod is found on its node.

    A pod without processes or without a namespace of its own runs in the API alone.

    Except: pods in a virtual machine or a sandbox of their own (Kata, gVisor) keep their
    network where the node does not see it, and are counted as not judged.

    See: https://github.com/kubernetes/kubernetes/issues/69723
    """
    for pod in node.pods:
        if pod.has_own_netns and node.netns_of(pod) is None:
            yield Finding(
                pod, expected="processes in a netns of its own", found=node.why_no_netns(pod)
            )
        elif why := pod.why_hidden:
            yield Finding(pod, expected="a netns", found="a sandbox of its own", unless=why)


@check(
    settles=True,
    remedy="Delete the pod so that it is wired again; then read the CNI plugin's log on the node.",
    looks_at=[Fact.API, Fact.PROCESSES, Fact.NETNS],
)
def ip_on_interface(node: Node) -> Findings:
    """Each pod's network namespace carries every address that the API shows for the pod.

    A pod that lost its address stays Running and Ready, and nobody can reach it.

    Except: further addresses, such as those of secondary networks, are nobody's fault.

    See: https://github.com/kubernetes/kubernetes/issues/69925
         https://github.com/kubernetes/kubernetes/issues/48510
    """
    for pod, netns in node.pods_with_netns:
        for address in pod.addresses - netns.addresses:
            yield Finding(pod, expected=f"{address} on an interface", found=netns.addresses)


@check(
    settles=True,
    remedy="kubectl -n kube-system describe daemonset NAME, and its pods: tolerations and node "
    "selector against the node's taints and labels, or the reason why the pod is not Ready.",
    looks_at=[Fact.API],
)
def network_daemons_ready(node: Node) -> Findings:
    """kube-proxy and NodeLocal DNSCache, where a DaemonSet brings them, are Ready on the node.

    The node stays Ready without them, and keeps the rules of the day on which they went.

    Except: nodes that are being removed, and virtual ones; the CNI plugin's agent is judged by
    cni.agent_ready; what is no DaemonSet (static pods, a program of the node).

    See: https://github.com/kubernetes/dns/issues/561
         https://github.com/kubernetes/kubernetes/issues/56720
    """
    for part in node.network_daemons:
        if not part.pods:
            yield Finding(node.part(part.name), expected="a pod of its DaemonSet", found="none")
        for pod in part.pods:
            if not pod.is_ready and not pod.is_terminating:
                yield Finding(pod, expected="Ready", found="not Ready")
