"""Overlay: the VXLAN device of flannel or Calico, and the entries for those of other nodes."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, check
from wirecheck.catalogue.settling import LEFT_OVER, ON_NODE, TO_PEERS
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.node.overlay import OverlayMismatch

FLANNEL = (
    "Restart flannel, which writes these entries and the node's annotations when it starts: "
    "`kubectl -n {cni_namespace} delete pod {cni_pod}`. To compare by hand, on {node}: `bridge "
    "fdb show dev flannel.1; ip neighbour show dev flannel.1`, and `kubectl get nodes -o yaml | "
    "grep flannel.alpha`."
)
CALICO = (
    "Restart Calico's agent, which writes these entries when it starts: `kubectl -n "
    "{cni_namespace} delete pod {cni_pod}`. To compare by hand, on {node}: `ip neighbour show dev "
    "vxlan.calico`, `ip -d link show vxlan.calico` and the FDB of that device, and `kubectl get "
    "nodes -o yaml | grep projectcalico.org`."
)
MTU_OF_CALICO = (
    "Let felix derive the MTU: set `vxlanMTU: 0` in the FelixConfiguration `default`, and `mtu: 0` "
    "in the CNI configuration (`veth_mtu` of the ConfigMap calico-config). Restart it on {node}: "
    "`kubectl -n {cni_namespace} delete pod {cni_pod}`. Then recreate the pods, as each keeps the "
    "MTU that it started with."
)


def _finding(
    node: Node, each: OverlayMismatch, *, level: Level = Level.FAIL, of_calico: str = CALICO
) -> Finding:
    """The checks' own remedies are for flannel."""
    return Finding(
        each,
        expected=each.expected,
        found=each.found,
        level=level,
        concerns=each.concerns,
        inconclusive=each.inconclusive,
        remedy=of_calico if node.assigns_blocks else "",
    )


@check(settles=ON_NODE, remedy=FLANNEL, facts=[Fact.NETNS, Fact.API])
def matches_annotations(node: Node) -> Findings:
    """The node's VXLAN device has the MAC and address of the node's annotations.

    Other nodes send to the annotated MAC and address. Frames for another MAC are dropped on
    arrival.

    Except: only the VXLAN of flannel and Calico is evaluated. Behind NAT the device has the inner
    address. An announced address that is unknown as the node's is inconclusive. cni.devices_up
    reports a device that is down.

    See: https://github.com/flannel-io/flannel/issues/1155
         https://github.com/flannel-io/flannel/issues/712
         https://github.com/k3s-io/k3s/issues/1824
    """
    for each in node.overlay.announcement_mismatches:
        yield _finding(node, each)


@check(settles=TO_PEERS, remedy=FLANNEL, facts=[Fact.NETNS, Fact.API])
def peers_complete(node: Node) -> Findings:
    """The VXLAN device has correct neighbour and FDB entries for every other node.

    If an entry is missing or wrong, the pods of two nodes cannot reach each other, although all
    routes exist.

    Except: nodes that are reached directly (DirectRouting) need no entry. With Calico only the
    entries that the node's routes need are evaluated. Other overlays are not.

    See: https://github.com/flannel-io/flannel/issues/1036
         https://github.com/flannel-io/flannel/issues/533
         https://github.com/flannel-io/flannel/issues/654
    """
    for each in node.overlay.missing_entries:
        yield _finding(node, each)


@check(settles=LEFT_OVER, remedy=FLANNEL, facts=[Fact.NETNS, Fact.API])
def no_stale_peers(node: Node) -> Findings:
    """The VXLAN device has no entries for nodes that are not in the cluster.

    A stale entry affects the next node that gets the same range or address. A second FDB entry for
    a MAC makes the kernel send every packet twice.

    Except: entries that the kernel learned expire by themselves. Only the VXLAN of flannel and
    Calico is evaluated.

    See: https://github.com/flannel-io/flannel/issues/1036
         https://man7.org/linux/man-pages/man8/bridge.8.html
    """
    for each in node.overlay.stale_entries:
        yield _finding(node, each, level=Level.WARN)


@check(
    settles=ON_NODE,
    remedy="Let flannel derive the MTU: remove `mtu` from its configuration and from the CNI "
    "configuration. Restart it on {node}: `kubectl -n {cni_namespace} delete pod {cni_pod}`. Then "
    "recreate the pods, as each keeps the MTU that it started with.",
    facts=[Fact.NETNS, Fact.PROCESSES, Fact.API],
)
def mtu(node: Node) -> Findings:
    """Packets of pods, with the VXLAN header, fit into the MTU of the underlying device.

    Larger packets are silently dropped: ping works, and large responses hang.

    Except: pods with a smaller MTU than possible. In dual-stack clusters pods have the MTU of the
    IPv4 device and learn the smaller one of IPv6 (by 20 bytes) from their node. Only the VXLAN of
    flannel and Calico is evaluated.

    See: https://github.com/projectcalico/calico/issues/7651
         https://github.com/flannel-io/flannel/issues/1781
         https://github.com/projectcalico/calico/issues/1709
    """
    for each in node.overlay.mtu_excess:
        yield _finding(node, each, of_calico=MTU_OF_CALICO)


@check(
    compares_nodes=True,
    settles=LEFT_OVER,
    remedy="Compare on both nodes: `ip -d link show dev {device}`. Then restart the CNI plugin's "
    "agent on the nodes that still have the old configuration; it creates the device again.",
    facts=[Fact.NETNS],
)
def tunnels_alike(cluster: Cluster) -> Findings:
    """The CNI plugin's VXLAN devices have the same VNI and UDP port on all nodes.

    Packets with another VNI or port arrive and are dropped. It happens after the configuration was
    changed and only some of the agents have started again.

    Except: only devices that are known to be the plugin's own are compared. If no configuration is
    on most of the nodes, each node is reported.

    See: https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md
         https://docs.tigera.io/calico/latest/networking/configuring/vxlan-ipip
    """
    for each in cluster.unlike_tunnels:
        yield Finding(
            each.ref, expected=each.others, found=each.found, names={"device": each.ref.part}
        )
