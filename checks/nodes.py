"""Nodes: that they were looked at, that they are ready, that their kernel forwards packets."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level, NotApplicable
from wirecheck.catalogue.registry import Threshold, check
from wirecheck.model.cluster import Cluster
from wirecheck.model.identity import overlapping_ranges, shared_identities
from wirecheck.model.node import Node

CLOCK_WARN = Threshold("nodes.clock_warn", 5, "s", "logs of nodes can no longer be laid together")
CLOCK_FAIL = Threshold("nodes.clock_fail", 60, "s", "leases and new certificates depend on it")
NEIGHBOURS_WARN = Threshold(
    "nodes.neighbours_warn", 80, "%", "the table grows with pods and nodes, and by bursts"
)
NEIGHBOURS_FAIL = Threshold(
    "nodes.neighbours_fail", 95, "%", "at the limit, packets to new neighbours are dropped"
)
LOG_AGE = Threshold(
    "nodes.log_age", 1440, "minutes", "what is older than a day was seen by an earlier run"
)


@check(
    remedy="Do what the reason says; `wirecheck run` with only this check tells whether it helped.",
    looks_at=[Fact.VISIT],
)
def reachable(node: Node) -> Findings:
    """The node was visited, the host proved to be this node, and all of it could be read.

    What was not looked at is not healthy: it is unknown.

    Except: nodes that are gone, about to be deleted or NotReady when asked again, and those
    that nobody can enter (virtual, Fargate, Windows), are skipped with that reason.

    See: https://kubernetes.io/docs/concepts/architecture/nodes/
    """
    if not node.visit.status.required:
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
    settles=True,
    remedy="See cni.single_config and cni.agent_ready: the runtime waits for a "
    "configuration that the CNI plugin's agent writes. crictl info shows the runtime's last "
    "attempt (lastCNILoadStatus). NetworkUnavailable is set by a cloud's route controller, or by "
    "the plugin: read the log of that one.",
    looks_at=[Fact.API],
)
def network_ready(node: Node) -> Findings:
    """The container runtime of the node has a network for pods, and nobody says otherwise.

    The pods that run go on; new ones stay in ContainerCreating, and nothing in the node's own
    state but a sentence in one condition tells why.

    Except: nodes that an autoscaler is removing are skipped; a plugin that does not set
    NetworkUnavailable is none that sets it to True.

    See: https://kubernetes.io/docs/concepts/architecture/nodes/
         https://github.com/containerd/containerd/issues/6876
         https://github.com/cri-o/cri-o/issues/2411
    """
    if node.is_being_removed:
        raise NotApplicable("the node is being removed")
    for condition, told in node.network_problems:
        yield Finding(node.part(condition), expected="a network for pods", found=told)


@check(
    remedy="sysctl -w net.ipv4.ip_forward=1 (net.ipv6.conf.all.forwarding=1), and a file in "
    "/etc/sysctl.d that keeps it at the next boot; look for a hardening tool that resets it.",
    looks_at=[Fact.SYSCTLS, Fact.API],
)
def ip_forward(node: Node) -> Findings:
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
def bridge_nf_call(node: Node) -> Findings:
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


@check(
    settles=True,
    remedy="Drain and delete the younger of the two Nodes, and let it join again; see "
    "kube-controller-manager's log for how it came to give out a range twice.",
    looks_at=[Fact.API],
)
def disjoint_pod_cidrs(cluster: Cluster) -> Findings:
    """The pod ranges of any two nodes are disjoint.

    Every other node has one route for such an address: the pods of one of the two are cut off.

    Except: nodes without a range, whose plugin gives out addresses from pools of its own.

    See: https://github.com/kubernetes/kubernetes/issues/127792
         https://github.com/kubernetes/kubernetes/issues/29058
    """
    for each in overlapping_ranges(cluster.nodes):
        yield Finding(
            each,
            expected=f"{each.what} for itself",
            found=f"overlaps that of {each.others[0].name}",
            concerns=each.others,
        )


@check(
    settles=True,
    remedy="Give the clone an identity of its own: rm /etc/machine-id, "
    "systemd-machine-id-setup, reboot; for an address or a MAC see what the nodes were made from.",
    looks_at=[Fact.API],
)
def unique_identity(cluster: Cluster) -> Findings:
    """No two nodes have the same machine id, system UUID, address or overlay MAC.

    Plugins derive addresses and keys from them: traffic for one of two clones flaps to the
    other.

    Except: a system UUID that all nodes have, or that the manufacturer left at zeros or an example,
    is not compared; one that some nodes share is a warning, since their hardware may be at fault.

    See: https://github.com/kubernetes/kubernetes/issues/51322
         https://github.com/flannel-io/flannel/issues/712
         https://github.com/k3s-io/k3s/issues/1824
         https://kubernetes.io/docs/setup/production-environment/tools/kubeadm/install-kubeadm/
    """
    for each in shared_identities(cluster.nodes):
        yield Finding(
            each,
            expected=f"{each.what} for itself",
            found=each.found,
            concerns=each.others,
            level=Level.WARN if each.may_be_the_hardwares else Level.FAIL,
        )


@check(
    thresholds=(CLOCK_WARN, CLOCK_FAIL),
    remedy="timedatectl (or chronyc tracking) on the node: see that it is synchronised, and with "
    "the same source as the others and as this machine.",
    looks_at=[Fact.VISIT],
)
def clock_skew(node: Node) -> Findings:
    """The node's clock agrees with that of the machine that looks.

    With another time certificates are not valid yet, leases expire too early, and the logs of
    two nodes cannot be laid together.

    Except: only what cannot be explained by the time that the look itself took counts.

    See: https://kubernetes.io/docs/setup/best-practices/certificates/
         https://kubernetes.io/docs/concepts/architecture/leases/
    """
    off = node.kernel.clock_skew
    if abs(off) > node.threshold(CLOCK_WARN):
        over = abs(off) > node.threshold(CLOCK_FAIL)
        limit = node.threshold(CLOCK_FAIL if over else CLOCK_WARN)
        yield Finding(
            node.part("clock"),
            expected=f"at most {limit:.0f} s from this machine's",
            found=f"at least {abs(off):.1f} s {'ahead' if off > 0 else 'behind'}",
            level=Level.FAIL if over else Level.WARN,
            key="clock",
        )


@check(
    thresholds=(NEIGHBOURS_WARN, NEIGHBOURS_FAIL),
    remedy="Raise net.ipv4.neigh.default.gc_thresh1, 2 and 3 (net.ipv6… for NDP) on all nodes, "
    "about twofold, and keep it by a file in /etc/sysctl.d.",
    looks_at=[Fact.SYSCTLS],
)
def neighbour_table(node: Node) -> Findings:
    """The kernel's neighbour tables have room.

    Above the limit no packet reaches an address that was not spoken to lately: lookups and
    connections fail at random, on large nodes first.

    Except: a node that is a container does not see its kernel's limits.

    See: https://github.com/kubernetes/kops/issues/4533
         https://github.com/Azure/aks-engine/issues/2732
    """
    for table in node.kernel.neighbour_tables:
        if table.use > node.threshold(NEIGHBOURS_WARN):
            over = table.use > node.threshold(NEIGHBOURS_FAIL)
            limit = node.threshold(NEIGHBOURS_FAIL if over else NEIGHBOURS_WARN)
            yield Finding(
                table,
                expected=f"at most {limit:.0f} % of {table.limit:,} entries",
                found=f"{table.entries:,} entries, {table.use:.0f} %",
                level=Level.FAIL if over else Level.WARN,
                key="use",
            )


@check(
    thresholds=(LOG_AGE,),
    remedy="Search for the line: each of the patterns has one cause; compare its time with what "
    "changed on the node then.",
    looks_at=[Fact.KERNEL_LOG],
)
def kernel_log(node: Node) -> Findings:
    """The kernel log tells of no trouble with the network.

    Full tables, duplicate addresses and hanging devices are over when one looks; the log knows.

    Except: a full connection table is judged by conntrack.no_table_full_logged; lines that are
    older than the threshold, and warnings of SYN floods, do not count.

    See: https://github.com/kubernetes/kops/issues/4533
         https://github.com/kubernetes/kubernetes/issues/71261
    """
    for trouble in node.kernel.network_errors:
        if trouble.age_minutes <= node.threshold(LOG_AGE):
            yield Finding(
                node.part("kernel log"),
                expected=f"no {trouble.pattern}",
                found=trouble,
                level=Level.WARN,
                key=trouble.pattern,
            )
