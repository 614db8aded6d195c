"""Nodes: whether they were checked, are Ready, forward packets and have unique identities."""

from wirecheck.catalogue import (
    Fact,
    Finding,
    Findings,
    Level,
    Limits,
    NotApplicable,
    Threshold,
    check,
)
from wirecheck.catalogue.settling import LEFT_OVER, OBJECTS, ON_NODE
from wirecheck.model.cluster import Cluster
from wirecheck.model.identity import overlapping_ranges, shared_identities
from wirecheck.model.node import Node

CLOCK = Limits(
    warn=Threshold("nodes.clock_warn", 5, "s", "logs of different nodes cannot be correlated"),
    fail=Threshold("nodes.clock_fail", 60, "s", "leases and new certificates depend on it"),
)
NEIGHBOURS = Limits(
    warn=Threshold(
        "nodes.neighbours_warn", 80, "%", "the table grows with pods and nodes, and in bursts"
    ),
    fail=Threshold(
        "nodes.neighbours_fail", 95, "%", "at the limit packets to new neighbours are dropped"
    ),
)
LOG_AGE = Threshold(
    "nodes.log_age", 1440, "minutes", "an earlier run reported what is older than a day"
)


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


@check(
    remedy="On {node}: `sysctl -w {sysctl}=1`. Keep it over a reboot: `echo '{sysctl} = 1' > "
    "/etc/sysctl.d/90-{sysctl}.conf`. Then look for a hardening tool that resets it.",
    facts=[Fact.SYSCTLS, Fact.API],
)
def ip_forward(node: Node) -> Findings:
    """The kernel forwards packets in every address family that the node's pods use.

    Without forwarding, pods reach only other pods on the same bridge.

    Except: an address family that no pod of the node uses.

    See: https://github.com/openshift/origin/issues/9931
         https://github.com/kubernetes-sigs/kubespray/issues/680
    """
    for sysctl in node.forwarding_sysctls:
        if node.sysctl(sysctl) != "1":
            yield Finding(
                node.part(sysctl),
                expected="1",
                found=node.sysctl(sysctl),
                names={"sysctl": sysctl},
            )


@check(
    remedy="On {node}: `modprobe br_netfilter && sysctl -w {sysctl}=1`. Keep it over a reboot: "
    "`echo br_netfilter > /etc/modules-load.d/br_netfilter.conf` and `echo '{sysctl} = 1' > "
    "/etc/sysctl.d/90-{sysctl}.conf`.",
    facts=[Fact.SYSCTLS, Fact.NETNS],
)
def bridge_nf_call(node: Node) -> Findings:
    """Packets between pods on the same bridge pass through the node's Service rules.

    Otherwise a response from a pod on the same node bypasses the reverse translation. A Service
    then works for all clients except those on the node of its backend.

    Except: nodes whose pods are not on a bridge.

    See: https://github.com/kubernetes/kubernetes/issues/127031
         https://github.com/kubernetes/kubernetes/issues/20475
    """
    if not node.has_pods_on_a_bridge:
        raise NotApplicable("no pod of this node is on a bridge")
    for sysctl in node.bridge_sysctls:
        if node.sysctl(sysctl) != "1":
            yield Finding(
                node.part(sysctl),
                expected="1",
                found=node.sysctl(sysctl),
                names={"sysctl": sysctl},
            )


@check(
    settles=OBJECTS,
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
    settles=OBJECTS,
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

    See: https://github.com/kubernetes/kubernetes/issues/51322
         https://github.com/flannel-io/flannel/issues/712
         https://github.com/k3s-io/k3s/issues/1824
         https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/
    """
    for each in shared_identities(cluster.nodes):
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


@check(
    thresholds=CLOCK,
    remedy="Check the time synchronisation on {node}: `timedatectl` or `chronyc tracking`. All "
    "nodes and this machine need the same time source.",
    facts=[Fact.VISIT],
)
def clock_skew(node: Node) -> Findings:
    """The node's clock agrees with the clock of the machine that runs wirecheck.

    With a wrong clock, new certificates are not valid yet, leases expire too early, and logs of
    different nodes cannot be correlated.

    Except: a difference that the duration of the check can explain.

    See: https://kubernetes.io/docs/setup/best-practices/certificates/
         https://kubernetes.io/docs/concepts/architecture/leases/
    """
    off = node.kernel.clock_skew
    if exceeded := CLOCK.exceeded_by(abs(off), node):
        yield Finding(
            node.part("clock"),
            expected=f"at most {exceeded.limit:.0f} s difference to this machine",
            found=f"at least {abs(off):.1f} s {'ahead' if off > 0 else 'behind'}",
            level=exceeded.level,
            key="clock",
        )


@check(
    thresholds=NEIGHBOURS,
    remedy="Double the limits on all nodes, for IPv4: `sysctl -w "
    "net.ipv4.neigh.default.gc_thresh1={low} net.ipv4.neigh.default.gc_thresh2={middle} "
    "net.ipv4.neigh.default.gc_thresh3={high}` (for IPv6 net.ipv6.neigh.default). Keep them in a "
    "file in /etc/sysctl.d.",
    facts=[Fact.SYSCTLS],
)
def neighbour_table(node: Node) -> Findings:
    """The kernel's neighbour tables (ARP and NDP) have free entries.

    When a table is full, packets to new neighbours are dropped. Lookups and connections fail at
    random, on large nodes first.

    Except: a node that is a container does not see the kernel's limits.

    See: https://github.com/kubernetes/kops/issues/4533
         https://github.com/Azure/aks-engine/issues/2732
    """
    for table in node.kernel.neighbour_tables:
        if exceeded := NEIGHBOURS.exceeded_by(table.use, node):
            double = 2 * table.limit
            yield Finding(
                table,
                expected=f"at most {exceeded.limit:.0f} % of {table.limit:,} entries",
                found=f"{table.entries:,} entries, {table.use:.0f} %",
                level=exceeded.level,
                key="use",
                names={"low": str(double // 8), "middle": str(double // 2), "high": str(double)},
            )


@check(
    thresholds=(LOG_AGE,),
    remedy="Read the surrounding messages on {node}: `dmesg -T | grep -i -B5 -A5 {pattern}`. "
    "Compare the time with changes of the node.",
    facts=[Fact.KERNEL_LOG],
)
def kernel_log(node: Node) -> Findings:
    """The kernel log shows no network errors.

    Full tables, duplicate addresses and hanging network devices are often over when somebody
    investigates. The log still shows them.

    Except: conntrack.no_table_full_logged reports a full conntrack table. Messages older than the
    threshold and warnings of SYN floods do not count. What the kernel's ring buffer no longer has
    is inconclusive.

    See: https://github.com/kubernetes/kops/issues/4533
         https://github.com/kubernetes/kubernetes/issues/71261
    """
    if gap := node.kernel.log_gap(node.threshold(LOG_AGE)):
        yield Finding(
            node.part("kernel log"), expected="a log of a day", found="less", inconclusive=gap
        )
    for error in node.kernel.network_errors:
        if error.age_minutes <= node.threshold(LOG_AGE):
            yield Finding(
                node.part("kernel log"),
                expected=f"no {error.pattern}",
                found=error,
                level=Level.WARN,
                key=error.pattern,
                names={"pattern": error.pattern},
                since=error.since,
            )
