"""Settings: how the kernel and the programs of a node are set up, beside those of other nodes."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level, NotApplicable
from wirecheck.catalogue.registry import check
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node


@check(
    compares_nodes=True,
    remedy="See when the node came to differ (wirecheck diff against an earlier run); bring it to "
    "what the others have, or give it a pool of its own by the label that names pools.",
    looks_at=[Fact.API, Fact.SYSCTLS, Fact.NETNS, Fact.SERVICE_RULES],
)
def uniform_in_pool(cluster: Cluster) -> Findings:
    """Nodes of one pool have the same kernel, versions, MTUs, sysctls and variant of iptables.

    What works on one node and fails on its twin is nearly always such a difference: a patch
    that reached half of them, a sysctl that someone set by hand.

    Except: what depends on a node's size (limits of conntrack), what is its own (ranges, names)
    and what has a check of its own (forwarding, bridges) is not compared; an interface is
    compared with those of its name. Without a label of a node pool, the control plane and the
    workers are one pool each.

    See: https://github.com/rancher/rke2/issues/8042
         https://github.com/kubernetes/kubernetes/issues/112477
         https://kubernetes.io/releases/version-skew-policy/
    """
    if len(cluster.fingerprints) < 2:
        raise NotApplicable("it takes two nodes to compare one with")
    for drift in cluster.drifts:
        yield Finding(
            cluster.part(f"{drift.pool}: {drift.what}"),
            expected=f"{drift.most} everywhere" if drift.most else "the same everywhere",
            found=drift.found,
            level=Level.WARN,
            key=drift.what,
        )


@check(
    settles=True,
    remedy="sysctl -w net.ipv4.conf.INTERFACE.rp_filter=2 (loose), or 0 where the CNI plugin asks "
    "for it, also for `all`; find the file in /etc/sysctl.d that sets 1.",
    looks_at=[Fact.SYSCTLS, Fact.NETNS, Fact.API],
)
def rp_filter(node: Node) -> Findings:
    """No interface with strict rp_filter gets packets whose answers leave by another one.

    The kernel drops such packets without a word, before any rule of a firewall counts them.

    Except: strict filtering where packets come in by the interface that their answers leave by
    does no harm; IPv6 has no such filter.

    See: https://github.com/cilium/cilium/issues/10645
         https://github.com/flatcar/Flatcar/issues/181
         https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html
    """
    for each in node.reverse_path.drops:
        yield Finding(
            node.part(each.name),
            expected=f"not 1: {each.who} come in by {each.interface.name}",
            found=f"1, strict, and their answers leave {each.answered}",
            key=each.who,
        )


@check(
    remedy="Correct the line in the file that is named, or put the right one into a file whose "
    "name sorts after it; sysctl --system applies all of them now.",
    looks_at=[Fact.BOOT_SETTINGS, Fact.SYSCTLS],
)
def persistent(node: Node) -> Findings:
    """What pods need of the kernel's settings is not taken back by a file at the next boot.

    The node works until it is patched and rebooted, and then fails, long after the mistake.

    Except: a setting that no file names is left to the programs that set it when they start;
    the limit of conntrack is not judged where kube-proxy sets it; /etc/sysctl.conf counts
    where sysctl.d has a link to it.

    See: https://github.com/openshift/origin/issues/9931
         https://github.com/kubernetes/kubernetes/issues/20475
         https://www.freedesktop.org/software/systemd/man/latest/sysctl.d.html
    """
    for each in node.boot_settings.reverted:
        yield Finding(
            node.part(each.sysctl),
            expected=f"{each.now}, as it is now",
            found=f"{each.then.value}, by {each.then.file}",
            level=Level.WARN,
            key=each.sysctl,
        )
