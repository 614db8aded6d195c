"""Nodes: whether their identities, pod ranges and addresses are theirs alone."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, check
from wirecheck.catalogue.settling import API_ALONE, LEFT_OVER, ON_NODE
from wirecheck.model.cluster import Cluster
from wirecheck.model.identity import overlapping_ranges
from wirecheck.model.node import Node


@check(
    settles=API_ALONE,
    remedy="Drain and delete one of the two nodes, then let it join again: `kubectl drain {node} "
    "--ignore-daemonsets && kubectl delete node {node}`. Read why the range was "
    "allocated twice: `kubectl -n kube-system logs -l component=kube-controller-manager`.",
    facts=[Fact.API],
)
def disjoint_pod_cidrs(cluster: Cluster) -> Findings:
    """The pod ranges of different nodes do not overlap.

    The other nodes have one route for such an address, so the pods of one of the two nodes are
    unreachable.

    Except: nodes without a pod range, whose CNI plugin allocates addresses from its own pools.

    See: https://github.com/kubernetes/kubernetes/issues/127792
         https://github.com/kubernetes/kubernetes/issues/29058
    """
    for each in overlapping_ranges(cluster.nodes):
        yield Finding(
            each,
            expected=f"{each.what} on this node only",
            found=f"overlaps the range of {each.others[0].name}",
            concerns=each.others,
        )


@check(
    settles=API_ALONE,
    remedy="Give the clone its own identity. On {clone}: `rm /etc/machine-id && "
    "systemd-machine-id-setup && reboot`. For an address or a MAC, check the image or template "
    "that the nodes were created from.",
    facts=[Fact.API],
)
def unique_identity(cluster: Cluster) -> Findings:
    """No two nodes have the same machine ID, system UUID, address or overlay MAC.

    CNI plugins derive addresses and keys from them. Traffic for one of two clones alternates
    between both.

    Except: a system UUID that all nodes share, or that is a manufacturer's placeholder. A system
    UUID that only some nodes share is a warning, as it can be the fault of the hardware.
    Annotations that flannel left behind when another plugin replaced it do not count.

    See: https://github.com/kubernetes/kubernetes/issues/51322
         https://github.com/flannel-io/flannel/issues/712
         https://github.com/k3s-io/k3s/issues/1824
         https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/
    """
    for each in cluster.shared_identities:
        yield Finding(
            each,
            expected=f"{each.what} on this node only",
            found=each.found,
            concerns=each.others,
            level=Level.WARN if each.may_be_a_hardware_fault else Level.FAIL,
            names={"clone": each.others[0].name},
        )


@check(
    settles=ON_NODE,
    remedy="If a Service has the address, remove it there: `kubectl -n {owner_namespace} edit "
    "service {owner_service}`; the proxy then takes it off the interface. Otherwise find what "
    "added it to {device} on {node}: `ip address show to {address}`. If it is a bridge of the CNI "
    "plugin, drain {node} before you change the bridge.",
    facts=[Fact.API, Fact.NETNS],
)
def no_foreign_addresses(node: Node) -> Findings:
    """The node has no address of another node, and none of a Service that belongs elsewhere.

    The kernel answers for its own addresses itself. With another node's address, the node cannot
    reach that node any more: its kubelet, its API server, its tunnels, its pods.

    Except: loopback interfaces, Services' own addresses on kube-ipvs0 and kube-dummy-if, cluster
    IPs on dummy devices of node-local caches, addresses that several other nodes announce. The pod
    range of another node counts only if all pods there have addresses from it.

    See: https://github.com/kubernetes/kubernetes/issues/75290
         https://github.com/kubernetes/kubernetes/issues/104679
         https://github.com/k3s-io/k3s/issues/2804
         https://github.com/kube-vip/kube-vip/issues/1288
    """
    for each in node.foreign_addresses.found:
        owner = each.cause.service if each.cause else None
        yield Finding(
            each.ref,
            expected=f"only on {each.owner}" if each.other else f"nowhere: {each.owner}",
            found=f"on {each.device}" + (f", as {each.cause}" if each.cause else ""),
            concerns=[ref for ref in (owner, each.other) if ref],
            names={
                "device": each.device,
                "address": each.ref.part.partition(" ")[0],
                "owner_namespace": owner.namespace if owner else "",
                "owner_service": owner.name if owner else "",
            },
        )


@check(
    settles=LEFT_OVER,
    compares_nodes=True,
    remedy="Read the log of the program that moves {address} between nodes (keepalived, kube-vip) "
    "on each of them: they do not hear each other, or each elects its own leader. `arping -D -I "
    "{device} {address}` on a third node shows who answers. Stop the program on one node before "
    "you remove the address there.",
    facts=[Fact.API, Fact.NETNS],
)
def no_doubled_addresses(cluster: Cluster) -> Findings:
    """No virtual address is on several nodes of one network at the same time.

    Two nodes answer for it (split brain). Each client reaches the node that its neighbour table
    names, and loses its connections whenever that changes.

    Except: only addresses of Services, and those on the interface of a node's own address, within
    a network of that interface: neighbours resolve these by ARP or NDP. Loopback and dummy
    interfaces may have routed addresses on any number of nodes.

    See: https://github.com/kube-vip/kube-vip/issues/665
         https://github.com/kube-vip/kube-vip/issues/1385
         https://github.com/kube-vip/kube-vip/issues/1418
    """
    for each in cluster.doubled_addresses:
        yield Finding(
            each,
            expected="on one node at a time",
            found=each.found,
            concerns=each.others,
            names={"address": str(each.address), "device": each.ref.part.rpartition(" ")[2]},
        )
