"""Links: what deleted pods left on the node, pairs and network namespaces."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, Threshold, check
from wirecheck.catalogue.settling import LEFT_OVER
from wirecheck.model.node import Node

ORPHANS = Threshold(
    "links.orphans",
    0,
    "pairs",
    "each is left by a failed or interrupted CNI call; they accumulate until bridges are full",
)
NETNS = Threshold(
    "links.netns_warn",
    5,
    "namespaces",
    "pods that are being removed can have one for a short time",
)


@check(
    settles=LEFT_OVER,
    thresholds=(ORPHANS,),
    remedy="Show the link on {node}: `ip -d link show {device}`. If no container uses it, delete "
    "it: `ip link delete {device}`.",
    facts=[Fact.NETNS],
)
def no_orphaned_veths(node: Node) -> Findings:
    """No veth pair on the node is left over from a deleted pod.

    A single one does no harm. Thousands fill up bridges and slow down every change of the network.

    Except: pairs of containers outside Kubernetes, whose other end is in a live network namespace.

    See: https://github.com/docker/for-linux/issues/109
         https://github.com/projectcalico/calico/issues/7554
    """
    orphans = node.orphaned_veths
    if len(orphans) > node.threshold(ORPHANS):
        for orphan in orphans:
            yield Finding(
                orphan,
                expected="a pod at the other end",
                found=orphan.peer,
                level=Level.WARN,
                names={"device": orphan.interface.name},
            )


@check(
    settles=LEFT_OVER,
    thresholds=(NETNS,),
    remedy="On {node}, check whether a sandbox still uses it: `crictl pods -o json | grep {path}` "
    "(sandboxes that are NotReady disappear by themselves). If there is none, remove it: `umount "
    "{path} && rm {path}`.",
    facts=[Fact.NETNS, Fact.PROCESSES],
)
def no_leaked_netns(node: Node) -> Findings:
    """No network namespace is left over from a deleted pod.

    Each keeps its veth pair and its address, so the node eventually runs out of both.

    Except: namespaces that other programs name (`ip netns add`). A few can belong to sandboxes that
    are about to be removed.

    See: https://github.com/cri-o/cri-o/issues/3736
         https://github.com/kubernetes/kubernetes/issues/110938
    """
    leaked = node.leaked_netns
    if len(leaked) > node.threshold(NETNS):
        for each in leaked:
            yield Finding(
                node.part(each.record.mounted),
                expected="a process in it",
                found=f"none; it has {len(each.addresses)} addresses",
                level=Level.WARN,
                key=str(each.inode),
                names={"path": each.record.mounted},
            )
