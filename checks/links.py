"""Links: the veth pairs between pods and node, from both ends."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level, NotApplicable
from wirecheck.catalogue.registry import Threshold, check
from wirecheck.model.node import Node

ORPHANS = Threshold(
    "links.orphans",
    0,
    "pairs",
    "each is what a failed or interrupted CNI call left; they pile up until bridges are full",
)
PORTS_WARN = Threshold("links.ports_warn", 900, "ports", "a bridge takes 1,023 ports, and no more")
PORTS_FAIL = Threshold("links.ports_fail", 1010, "ports", "the next pods get no port any more")
NETNS = Threshold(
    "links.netns_warn",
    5,
    "namespaces",
    "a pod that is being removed may leave one behind for a while",
)
LOSS_WARN = Threshold("links.loss_warn", 0.1, "%", "TCP is slowed down by half of that already")


@check(
    settles=True,
    remedy="Delete the pod so that it is wired again; then read the CNI plugin's log on the node.",
    looks_at=[Fact.NETNS, Fact.PROCESSES],
)
def veth_pairs_complete(node: Node) -> Findings:
    """Both ends of every pod's veth pair exist and name each other.

    A pod whose pair lost its node side keeps its address and sends into nothing.

    Except: pods that are wired by something else than a veth pair (macvlan, SR-IOV, netkit)
    are not judged.

    See: https://github.com/kubernetes/kubernetes/issues/69925
         https://github.com/projectcalico/cni-plugin/issues/275
    """
    for pod, netns in node.pods_with_netns:
        if not netns.interfaces:
            yield Finding(pod, expected="an interface besides lo", found="none in its netns")
    for pair in node.veths:
        if pair.outer is None:
            yield Finding(
                pair,
                expected=f"interface {pair.inner.link.peer_index} on the node as its other end",
                found="no such interface in the node's netns",
            )
        elif not pair.points_back:
            yield Finding(
                pair,
                expected=f"{pair.outer.name} leads back to interface {pair.inner.index} in the pod",
                found=pair.actual_peer,
            )


@check(
    settles=True,
    remedy="Switch it on (ip link set DEVICE up, in the pod's netns for eth0) and find out who "
    "switched it off: NetworkManager and systemd-networkd must leave pod interfaces alone.",
    looks_at=[Fact.NETNS, Fact.PROCESSES],
)
def up(node: Node) -> Findings:
    """Both ends of every veth pair are up.

    With one end down the pod is cut off, while the API goes on to show it as Running.

    Except: pods that are wired by something else than a veth pair are not judged.

    See: https://github.com/rancher/rke2/issues/786
    """
    for pair in node.veths:
        for end in pair.ends:
            if not end.interface.is_up:
                yield Finding(end, expected="UP", found=f"{end.interface.name} is DOWN")


@check(
    settles=True,
    remedy="Set the MTU of the CNI plugin's configuration on all nodes, then replace the pods.",
    looks_at=[Fact.NETNS, Fact.PROCESSES],
)
def equal_mtu(node: Node) -> Findings:
    """Both ends of every veth pair have the same MTU.

    The larger end sends packets that the smaller one drops without a word: short requests
    work, long answers hang.

    Except: pods that are wired by something else than a veth pair are not judged.

    See: https://github.com/projectcalico/calico/issues/1709
    """
    for pair in node.veths:
        if pair.outer and pair.inner.mtu != pair.outer.mtu:
            yield Finding(
                pair,
                expected=f"{pair.inner.mtu} bytes, as on eth0 in the pod",
                found=f"{pair.outer.mtu} bytes on {pair.outer.name}",
            )


@check(
    settles=True,
    remedy="Put it back (ip link set VETH master BRIDGE), or delete the pod so that it is wired "
    "again.",
    looks_at=[Fact.NETNS, Fact.PROCESSES],
)
def attached(node: Node) -> Findings:
    """The node's end of every pair is on the bridge that has the pod's range, or has a route.

    An end that hangs in the air, or on another bridge, takes the pod off the network.

    Except: plugins that forward to pods by eBPF or Open vSwitch need no bridge and no host
    route.

    See: https://github.com/docker/for-linux/issues/109
    """
    if node.bypasses_routing:
        raise NotApplicable(f"{node.cluster.cni} forwards to pods without a bridge or host route")
    for pair in node.veths:
        if pair.outer and not pair.is_attached:
            yield Finding(pair, expected=pair.expected_attachment, found=pair.actual_attachment)


@check(
    settles=True,
    thresholds=(ORPHANS,),
    remedy="Look at it (ip -d link show DEVICE); delete it (ip link del DEVICE) if no container "
    "uses it.",
    looks_at=[Fact.NETNS],
)
def no_orphaned_veths(node: Node) -> Findings:
    """No veth pair on the node is left over from a pod that is gone.

    One does no harm; thousands fill bridges and slow every change of the network down.

    Except: pairs of containers that are none of Kubernetes' lead into a netns that lives, and
    are left alone.

    See: https://github.com/docker/for-linux/issues/109
         https://github.com/projectcalico/calico/issues/7554
    """
    orphans = node.orphaned_veths
    if len(orphans) > node.threshold(ORPHANS):
        for orphan in orphans:
            yield Finding(
                orphan, expected="a pod at its other end", found=orphan.peer, level=Level.WARN
            )


@check(
    settles=True,
    remedy="bridge link set dev VETH hairpin on; for all pods to come: hairpinMode in the CNI "
    "configuration.",
    looks_at=[Fact.NETNS, Fact.PROCESSES],
)
def hairpin(node: Node) -> Findings:
    """The bridge sends a pod's packets back to it where they are for the pod itself.

    A pod that connects to its own Service, and is the backend that is chosen, waits in vain.

    Except: bridges in promiscuous mode do it for all ports; pods on no bridge are not judged.

    See: https://github.com/kubernetes/kubernetes/issues/13375
         https://github.com/kubernetes/kubernetes/issues/20475
         https://github.com/k3s-io/k3s/issues/582
    """
    for pair in node.veths:
        if pair.outer and pair.lacks_hairpin:
            yield Finding(
                pair,
                expected=f"hairpin on {pair.outer.name}",
                found="off, on a bridge that is not promiscuous",
                level=Level.WARN,
            )


@check(
    settles=True,
    remedy="bridge -d link show dev VETH shows the port's state; switch STP off on the pods' "
    "bridge (ip link set BRIDGE type bridge stp_state 0).",
    looks_at=[Fact.NETNS, Fact.PROCESSES],
)
def bridge_ports_forwarding(node: Node) -> Findings:
    """Every pod's port on its bridge is in the state in which it forwards.

    A port that is blocked or still learning drops what it gets, with both ends up.

    Except: the port of a pair with one end down is judged by links.up; pods on no bridge.

    See: https://github.com/docker/for-linux/issues/109
         https://man7.org/linux/man-pages/man8/bridge.8.html
    """
    for pair in node.veths:
        if pair.outer and (state := pair.blocked_by_bridge):
            yield Finding(pair, expected=f"{pair.outer.name} forwards", found=f"it is {state}")


@check(
    thresholds=(PORTS_WARN, PORTS_FAIL),
    remedy="See links.no_orphaned_veths: what is left of pods that are gone takes ports; then "
    "lower the node's maxPods.",
    looks_at=[Fact.NETNS],
)
def bridge_port_capacity(node: Node) -> Findings:
    """Every bridge of the node has room for further ports.

    The kernel refuses port 1,024: pods are created, and never get a network.

    Except: none are known: the limit is the kernel's.

    See: https://github.com/docker/for-linux/issues/109
    """
    for bridge, ports in node.host.bridges.items():
        if ports > node.threshold(PORTS_WARN):
            over = ports > node.threshold(PORTS_FAIL)
            limit = node.threshold(PORTS_FAIL if over else PORTS_WARN)
            yield Finding(
                node.part(bridge),
                expected=f"at most {limit:.0f} ports",
                found=f"{ports:,} ports",
                level=Level.FAIL if over else Level.WARN,
                key="ports",
            )


@check(
    settles=True,
    thresholds=(NETNS,),
    remedy="Compare with crictl pods (NotReady ones go by themselves); for each that is in no "
    "sandbox: umount /run/netns/NAME, rm /run/netns/NAME.",
    looks_at=[Fact.NETNS, Fact.PROCESSES],
)
def no_leaked_netns(node: Node) -> Findings:
    """No network namespace is left of pods that are gone.

    Each keeps its end of a veth pair, and its address: the node runs out of them in time.

    Except: namespaces that others name (`ip netns add`) are not judged; a few may be of
    sandboxes that wait for their removal.

    See: https://github.com/cri-o/cri-o/issues/3736
         https://github.com/kubernetes/kubernetes/issues/110938
    """
    left = node.leaked_netns
    if len(left) > node.threshold(NETNS):
        for each in left:
            yield Finding(
                node.part(each.record.mounted),
                expected="a process in it",
                found=f"none; it has {len(each.addresses)} addresses",
                level=Level.WARN,
                key=str(each.inode),
            )


@check(
    thresholds=(LOSS_WARN,),
    remedy="ethtool -S DEVICE and ethtool -g DEVICE for a queue that is too short; for the CPUs' "
    "queues raise net.core.netdev_max_backlog, and see which CPU serves all interrupts.",
    looks_at=[Fact.TRAFFIC],
)
def no_packet_drops(node: Node) -> Findings:
    """Neither a device nor the queue of a CPU dropped packets while the node was looked at.

    They are gone before any rule sees them: what is left is latency, on every connection.

    Except: what was lost before the visit does not count; devices without an address do not
    either, nor tunnels, which drop what they know no way for, nor the CPUs' queues of a node
    that is a container; less than ten packets are no measure.

    See: https://github.blog/2019-11-21-debugging-network-stalls-on-kubernetes/
         https://man7.org/linux/man-pages/man8/ethtool.8.html
    """
    for loss in node.losses:
        if loss.percent > node.threshold(LOSS_WARN):
            yield Finding(
                node.part(loss.where),
                expected=f"at most {node.threshold(LOSS_WARN):g} % lost",
                found=f"{loss.lost:,} of {loss.lost + loss.passed:,} packets",
                level=Level.WARN,
                key="loss",
            )


@check(
    remedy="Leave the CNI plugin's devices out, in a file in /etc/NetworkManager/conf.d: [keyfile] "
    "unmanaged-devices=interface-name:cali*;interface-name:flannel*;interface-name:cni*;"
    "interface-name:veth* (the names of your plugin), then systemctl reload NetworkManager.",
    looks_at=[Fact.DEVICE_MANAGERS, Fact.NETNS, Fact.PROCESSES],
)
def unmanaged_by_networkmanager(node: Node) -> Findings:
    """NetworkManager, where it runs, is told to leave the CNI plugin's devices alone.

    What it takes for its own loses routes and addresses when it starts, is updated, or a link
    comes and goes: pods are cut off one by one, and nothing in Kubernetes changed.

    Except: nodes without NetworkManager. What udev's rules leave out is not read, and told all the
    same: those rules change with the distribution.

    See: https://docs.rke2.io/known_issues#networkmanager
         https://github.com/rancher/rke2/issues/786
         https://github.com/flannel-io/flannel/issues/1330
    """
    for each in node.device_managers.managed_by_networkmanager:
        yield Finding(
            node.part(f"{each.kind} devices"),
            expected="left out by unmanaged-devices",
            found=each.found,
            level=Level.WARN,
        )


@check(
    remedy="A .link file that comes before it, as /etc/systemd/network/10-cni.link: [Match] "
    "OriginalName=cali* flannel* eni* veth*, [Link] MACAddressPolicy=none. It holds for devices "
    "that are made from then on.",
    looks_at=[Fact.DEVICE_MANAGERS, Fact.NETNS, Fact.PROCESSES, Fact.API],
)
def mac_policy(node: Node) -> Findings:
    """No .link file of systemd gives the CNI plugin's devices other MACs than the plugin knows.

    The plugin told others the MAC that a device was made with; what they send to it is dropped
    once udev, a moment later, has given it another one.

    Except: systemd's own MACAddressPolicy=persistent leaves MACs alone that a program has set, as
    most plugins do: it counts for the AWS VPC CNI, whose older versions do not, and for flannel
    before 0.15.1.

    See: https://github.com/flannel-io/flannel/issues/1155
         https://github.com/flannel-io/flannel/pull/1485
         https://github.com/aws/amazon-vpc-cni-k8s/issues/2103
         https://www.freedesktop.org/software/systemd/man/latest/systemd.link.html
    """
    for each in node.device_managers.mac_overrides:
        yield Finding(
            node.part(each.device),
            expected="the MAC that the CNI plugin gave it",
            found=f"{each.setting} in {each.file}",
            level=Level.WARN,
        )
