"""Overlay: flannel's VXLAN device, and what each node knows of the other nodes' devices."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level
from wirecheck.catalogue.registry import check
from wirecheck.model.node import Node

FLANNEL = (
    "Restart flannel on the node (delete its pod): it writes its device's entries, and the node's "
    "annotations, when it starts. By hand: bridge fdb show dev flannel.1, "
    "ip neighbour show dev flannel.1, kubectl describe node."
)


@check(settles=True, remedy=FLANNEL, looks_at=[Fact.NETNS, Fact.API])
def matches_annotations(node: Node) -> Findings:
    """The node's VXLAN device is up, and has the MAC and address that the node announces.

    The others send to what is announced: frames for another MAC are dropped on arrival.

    Except: only flannel's VXLAN backend announces its devices in the API; others are skipped.

    See: https://github.com/flannel-io/flannel/issues/1155
         https://github.com/flannel-io/flannel/issues/712
         https://github.com/k3s-io/k3s/issues/1824
    """
    for each in node.overlay.announcement_mismatches:
        yield Finding(each, expected=each.expected, found=each.found)


@check(settles=True, remedy=FLANNEL, looks_at=[Fact.NETNS, Fact.API])
def peers_complete(node: Node) -> Findings:
    """Neighbour and FDB entries of the VXLAN device lead to every other node, as it announces.

    With one of them missing or wrong, the pods of one pair of nodes do not reach each other,
    though every route is there.

    Except: nodes that are reached directly (DirectRouting) need no entry; backends other than
    flannel's VXLAN are skipped.

    See: https://github.com/flannel-io/flannel/issues/1036
         https://github.com/flannel-io/flannel/issues/533
         https://github.com/flannel-io/flannel/issues/654
    """
    for each in node.overlay.missing_entries:
        yield Finding(each, expected=each.expected, found=each.found, concerns=each.concerns)


@check(settles=True, remedy=FLANNEL, looks_at=[Fact.NETNS, Fact.API])
def no_stale_peers(node: Node) -> Findings:
    """The VXLAN device has no entries about nodes that are not in the cluster.

    They are left from a node that is gone, and hit the next one that gets its range or address;
    a second place for one MAC sends every packet twice.

    Except: entries that the kernel learnt by itself expire, and are left alone; backends other
    than flannel's VXLAN are skipped.

    See: https://github.com/flannel-io/flannel/issues/1036
         https://man7.org/linux/man-pages/man8/bridge.8.html
    """
    for each in node.overlay.stale_entries:
        yield Finding(each, expected=each.expected, found=each.found, level=Level.WARN)


@check(
    settles=True,
    remedy="Let flannel derive the MTU (no `mtu` in its and the CNI configuration), restart it on "
    "the node, then replace the pods: each keeps the MTU that it was started with.",
    looks_at=[Fact.NETNS, Fact.PROCESSES, Fact.API],
)
def mtu(node: Node) -> Findings:
    """Packets of pods, wrapped into VXLAN, are no larger than the device below takes.

    Larger ones are dropped without a word: a ping works, and a long answer hangs.

    Except: pods with a smaller MTU than they could have; pods of two families have the MTU of
    flannel's IPv4 device, and learn from their node that of IPv6, which is 20 bytes less;
    backends other than flannel's VXLAN are skipped.

    See: https://github.com/projectcalico/calico/issues/7651
         https://github.com/flannel-io/flannel/issues/1781
         https://github.com/projectcalico/calico/issues/1709
    """
    for each in node.overlay.mtu_excess:
        yield Finding(each, expected=each.expected, found=each.found)
