"""Nodes: whether they were checked, are Ready and have what checks and pods need."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, NotApplicable, check
from wirecheck.model.node import Node


@check(
    remedy="Do what the reason says, then check only this: `wirecheck run --check "
    "nodes.reachable`.",
    facts=[Fact.VISIT],
)
def reachable(node: Node) -> Findings:
    """wirecheck reached the node, the host proved to be this node, and everything was read.

    The state of a node that was not checked is unknown, not healthy.

    Except: nodes that are gone, about to be deleted or still NotReady on a second try, and nodes
    that nobody can log in to (virtual nodes, Fargate, Windows), are not applicable.

    See: https://kubernetes.io/docs/concepts/architecture/nodes/
    """
    if not node.visit.status.required:
        raise NotApplicable(node.visit.reason)
    if node.document is None:
        yield Finding(node, expected="a visit", found=node.visit.reason, level=Level.ERROR)
        return
    for problem in node.document.problems:
        yield Finding(
            node, expected="everything read", found=problem, level=Level.ERROR, key=problem
        )


@check(
    remedy="Install the packages on {node}: iptables, conntrack (conntrack-tools), nftables, "
    "ipset. wirecheck also finds those in k3s' own folder, "
    "`/var/lib/rancher/k3s/data/current/bin/aux`. Where the node's system is read-only or has its "
    "tools in a snap (Talos, MicroK8s), check it through an agent pod, whose image has them: set "
    "`agent.image` in the inventory and `access: kubectl://` for the node.",
    facts=[Fact.SERVICE_RULES, Fact.CONNECTIONS],
)
def tools_present(node: Node) -> Findings:
    """The tools that list the node's rules and connections are there.

    Without them nothing is known about its Services, its firewall and its stale connections. The
    checks of these do not apply, and refer to this one.

    Except: ipvsadm, and tools for what the node does not use: ipset without kube-proxy in IPVS
    mode, nft without kube-proxy's tables, conntrack without connection tracking in the kernel. The
    tools that k3s keeps in its own folder count, and in an agent pod those of its image.

    See: https://docs.k3s.io/advanced#additional-preparation-for-debian-buster
    """
    if not node.missing_tools:
        return
    yield Finding(
        node,
        expected="the tools that list its rules and connections",
        found=node.missing_tools,
        level=Level.ERROR,
        key="tools",
    )


@check(
    settles=True,
    remedy="Show the reason: `kubectl describe node {node}`. Then read the kubelet's log on "
    "{node}: `journalctl -u kubelet --since -1h`.",
    facts=[Fact.API],
)
def ready(node: Node) -> Findings:
    """The API shows the node as Ready.

    Services send no connections to the pods of a NotReady node, and Kubernetes is about to evict
    them.

    Except: nodes that an autoscaler is removing.

    See: https://kubernetes.io/docs/concepts/architecture/nodes/
    """
    if node.is_being_removed:
        raise NotApplicable("the node is being removed")
    if not node.is_ready:
        yield Finding(node, expected="Ready", found=node.why_not_ready)


@check(
    settles=True,
    remedy="The container runtime waits for a CNI configuration that the plugin's agent writes: "
    "`kubectl -n {cni_namespace} logs {cni_pod} --all-containers`. On {node}, `crictl info | grep "
    "-A5 lastCNILoadStatus` shows the runtime's last attempt. A cloud's route controller or the "
    "CNI plugin sets NetworkUnavailable; read its log.",
    facts=[Fact.API],
)
def network_ready(node: Node) -> Findings:
    """The node's container runtime has a pod network, and no condition contradicts it.

    Running pods keep their network, but new pods stay in ContainerCreating. Only the text of a node
    condition shows why.

    Except: nodes that an autoscaler is removing, and CNI plugins that do not set
    NetworkUnavailable.

    See: https://kubernetes.io/docs/concepts/architecture/nodes/
         https://github.com/containerd/containerd/issues/6876
         https://github.com/cri-o/cri-o/issues/2411
    """
    if node.is_being_removed:
        raise NotApplicable("the node is being removed")
    for condition, evidence in node.network_problems:
        yield Finding(node.part(condition), expected="a pod network", found=evidence)
