"""Links: the veth pairs between pods and the node, checked from both ends."""

from wirecheck.catalogue import (
    Fact,
    Finding,
    Findings,
    Level,
    Limits,
    Threshold,
    check,
)
from wirecheck.catalogue.settling import COMING_AND_GOING, LEFT_OVER, ON_NODE
from wirecheck.model.node import Node

ORPHANS = Threshold(
    "links.orphans",
    0,
    "pairs",
    "each is left by a failed or interrupted CNI call; they accumulate until bridges are full",
)
PORTS = Limits(
    warn=Threshold("links.ports_warn", 900, "ports", "the kernel allows 1,023 ports on a bridge"),
    fail=Threshold("links.ports_fail", 1010, "ports", "the next pods get no port"),
)
NETNS = Threshold(
    "links.netns_warn",
    5,
    "namespaces",
    "pods that are being removed can have one for a short time",
)
LOSS_WARN = Threshold("links.loss_warn", 0.1, "%", "half of that already slows TCP down")

RECREATE = (
    "Recreate the pod: `kubectl -n {namespace} delete pod {pod}`. Then read the log of the CNI "
    "plugin: `kubectl -n {cni_namespace} logs {cni_pod} --all-containers`."
)


@check(settles=ON_NODE, remedy=RECREATE, facts=[Fact.NETNS, Fact.PROCESSES])
def veth_pairs_complete(node: Node) -> Findings:
    """Both ends of every pod's veth pair exist and refer to each other.

    If the end on the node is missing, the pod keeps its address, but its packets reach nothing.

    Except: pods that are connected by something other than a veth pair (macvlan, SR-IOV, netkit).

    See: https://github.com/kubernetes/kubernetes/issues/69925
         https://github.com/projectcalico/cni-plugin/issues/275
    """
    for pod, netns in node.pods_with_netns:
        if not netns.interfaces:
            yield Finding(pod, expected="an interface other than lo", found="none in its netns")
    for pair in node.veths:
        if pair.outer is None:
            yield Finding(
                pair,
                expected=f"interface {pair.inner.link.peer_index} on the node as the other end",
                found="no such interface on the node",
            )
        elif not pair.points_back:
            yield Finding(
                pair,
                expected=f"{pair.outer.name} paired with interface {pair.inner.index} in the pod",
                found=pair.actual_peer,
            )


@check(
    settles=ON_NODE,
    remedy="Show the link on {node}: `ip link show {device}`, or `nsenter --net={netns} ip link "
    "show {device}` if it is in the pod. Bring it up: `ip link set {device} up`. Then find out "
    "who brought it down; NetworkManager and systemd-networkd must not manage pod interfaces.",
    facts=[Fact.NETNS, Fact.PROCESSES],
)
def up(node: Node) -> Findings:
    """Both ends of every veth pair are up.

    If one end is down, the pod is disconnected, while the API still shows it as Running.

    Except: pods that are connected by something other than a veth pair.

    See: https://github.com/rancher/rke2/issues/786
    """
    for pair in node.veths:
        for end in pair.ends:
            if not end.interface.is_up:
                name = end.interface.name
                yield Finding(end, expected="UP", found=f"{name} is DOWN", names={"device": name})


@check(
    settles=ON_NODE,
    remedy="Set the same MTU in the CNI plugin's configuration on all nodes, then recreate the "
    "pod: `kubectl -n {namespace} delete pod {pod}`. Until then, on {node}: `ip link set {device} "
    "mtu {mtu}`.",
    facts=[Fact.NETNS, Fact.PROCESSES],
)
def equal_mtu(node: Node) -> Findings:
    """Both ends of every veth pair have the same MTU.

    The smaller end silently drops the larger packets of the other one. Short requests work, and
    large responses hang.

    Except: pods that are connected by something other than a veth pair.

    See: https://github.com/projectcalico/calico/issues/1709
    """
    for pair in node.veths:
        if pair.outer and pair.inner.mtu != pair.outer.mtu:
            yield Finding(
                pair,
                expected=f"{pair.inner.mtu} bytes, as on {pair.inner.name} in the pod",
                found=f"{pair.outer.mtu} bytes on {pair.outer.name}",
                names={"device": pair.outer.name, "mtu": str(pair.inner.mtu)},
            )


RESTART_AGENT = (
    "Show the programs on {node}: `bpftool net list dev {device}` and `tc filter show dev {device} "
    "ingress`. Restart the CNI plugin's agent, which attaches the programs of all pods again: "
    "`kubectl -n {cni_namespace} delete pod {cni_pod}`; pods keep their connections meanwhile. "
    "Until then no policy is enforced for the pod."
)


@check(
    settles=ON_NODE,
    remedy="Show the link on {node}: `ip -d link show {device}`. Recreate the pod: `kubectl -n "
    "{namespace} delete pod {pod}`. Then read the log of the CNI plugin: `kubectl -n "
    "{cni_namespace} logs {cni_pod} --all-containers`.",
    facts=[Fact.NETNS, Fact.PROCESSES, Fact.DEVICE_PROGRAMS],
)
def attached(node: Node) -> Findings:
    """The node's end of every veth pair is on the pods' bridge, or has a route or a program.

    If it is on no bridge or on another one, the pod is disconnected from the network. Without the
    program that Cilium attaches to it, nothing enforces the pod's policies.

    Except: CNI plugins that forward to pods with eBPF or Open vSwitch need neither a bridge nor a
    host route. With an unknown plugin, some pods of the node must be on a bridge or have a route.

    See: https://github.com/docker/for-linux/issues/109
         https://docs.cilium.io/en/stable/network/ebpf/intro/
    """
    for pair, expected in node.detached_veths:
        yield Finding(
            pair,
            expected=expected,
            found=pair.actual_attachment,
            names={"device": pair.outer.name if pair.outer else ""},
        )
    for each in node.pod_programs.missing:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.found,
            remedy=RESTART_AGENT,
            names={"device": each.device},
        )


@check(
    settles=ON_NODE,
    remedy="Show what the pod has for its gateway, on {node}: `nsenter --net={netns} ip neighbour "
    "show {gateway}`. If proxy ARP is off, switch it on: `sysctl -w "
    "net/ipv4/conf/{device}/proxy_arp=1`; the CNI plugin's agent sets it when it starts: `kubectl "
    "-n {cni_namespace} delete pod {cni_pod}`. If it is on, check that the node has a default "
    "route: the kernel answers only for what it has a route to.",
    facts=[Fact.NETNS, Fact.PROCESSES, Fact.SYSCTLS],
)
def gateway_answers(node: Node) -> Findings:
    """Something answers for the gateway of every routed pod.

    Calico and others give pods a gateway that no interface has, and the node answers for it by
    proxy ARP. Without an answer the pod sends nothing at all, although its interface is up and its
    address is correct.

    Except: pods on a bridge or switch, pairs that are down or have no route (links.up,
    links.attached), and plugins that answer with eBPF. A permanent neighbour entry in the pod
    needs no answer.

    See: https://docs.tigera.io/calico/latest/reference/faq#why-does-my-container-have-a-route-to-16925411
         https://man7.org/linux/man-pages/man7/arp.7.html
    """
    for each in node.silent_gateways:
        yield Finding(
            each.ref,
            expected=f"an answer for its gateway {each.gateway} on {each.device}",
            found=each.found,
            names={"device": each.device, "gateway": str(each.gateway)},
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
    settles=ON_NODE,
    remedy="Enable hairpin mode on {node}: `bridge link set dev {device} hairpin on`. For new "
    "pods, set `hairpinMode` in the CNI configuration in /etc/cni/net.d.",
    facts=[Fact.NETNS, Fact.PROCESSES],
)
def hairpin(node: Node) -> Findings:
    """Every pod's bridge port is in hairpin mode, or its bridge is promiscuous.

    Otherwise a pod that connects to its own Service, and is selected as the backend, times out:
    the bridge does not send a frame back through the port that it came from.

    Except: bridges in promiscuous mode, which do it for all ports, and pods without a bridge.

    See: https://github.com/kubernetes/kubernetes/issues/13375
         https://github.com/kubernetes/kubernetes/issues/20475
         https://github.com/k3s-io/k3s/issues/582
    """
    for pair in node.veths:
        if pair.outer and pair.lacks_hairpin:
            yield Finding(
                pair,
                expected=f"hairpin mode on {pair.outer.name}",
                found="off, on a bridge that is not promiscuous",
                level=Level.WARN,
                names={"device": pair.outer.name},
            )


@check(
    settles=COMING_AND_GOING,
    remedy="Show the port's state on {node}: `bridge -d link show dev {device}`. Disable STP on "
    "the pods' bridge: `ip link set {bridge} type bridge stp_state 0`.",
    facts=[Fact.NETNS, Fact.PROCESSES],
)
def bridge_ports_forwarding(node: Node) -> Findings:
    """Every pod's bridge port is in the state `forwarding`.

    A port that is blocking or learning drops all packets, although both ends of the pair are up.

    Except: if one end of the pair is down, links.up reports it; pods without a bridge.

    See: https://github.com/docker/for-linux/issues/109
         https://man7.org/linux/man-pages/man8/bridge.8.html
    """
    for pair in node.veths:
        if pair.outer and (state := pair.blocked_by_bridge):
            yield Finding(
                pair,
                expected=f"{pair.outer.name} is forwarding",
                found=f"it is {state}",
                names={
                    "device": pair.outer.name,
                    "bridge": pair.master.name if pair.master else "",
                },
            )


@check(
    thresholds=PORTS,
    remedy="Count what uses the ports on {node}: `bridge link show | grep -c 'master {bridge} '`. "
    "Delete orphaned pairs first, see `wirecheck explain links.no_orphaned_veths`; then lower "
    "maxPods in the kubelet's configuration.",
    facts=[Fact.NETNS],
)
def bridge_port_capacity(node: Node) -> Findings:
    """Every bridge of the node has free ports.

    The kernel rejects port 1,024 of a bridge. Further pods are created, but never get a network.

    Except: none are known: it is a fixed limit of the kernel.

    See: https://github.com/docker/for-linux/issues/109
    """
    for bridge, ports in node.host.bridges.items():
        if exceeded := PORTS.exceeded_by(ports, node):
            yield Finding(
                node.part(bridge),
                expected=f"at most {exceeded.limit:.0f} ports",
                found=f"{ports:,} ports",
                level=exceeded.level,
                key="ports",
                names={"bridge": bridge},
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


@check(
    thresholds=(LOSS_WARN,),
    remedy="For a device, check on {node} whether its queue is too short: `ethtool -S {device}` "
    "and `ethtool -g {device}`. For the queue of a CPU, raise it: `sysctl -w "
    "net.core.netdev_max_backlog=5000`, and check in /proc/interrupts whether one CPU serves all "
    "interrupts.",
    facts=[Fact.TRAFFIC],
)
def no_packet_drops(node: Node) -> Findings:
    """No network device and no CPU queue dropped packets during the check.

    These packets are lost before any firewall rule sees them. All that shows is latency, on every
    connection.

    Except: drops before the check; devices without an address; tunnels, which drop packets without
    a route; CPU queues of a node that is a container; fewer than ten packets.

    See: https://github.blog/2019-11-21-debugging-network-stalls-on-kubernetes/
         https://man7.org/linux/man-pages/man8/ethtool.8.html
    """
    for drops in node.packet_drops:
        device, is_device, _ = drops.where.partition(",")
        if drops.percent > node.threshold(LOSS_WARN):
            yield Finding(
                node.part(drops.where),
                expected=f"at most {node.threshold(LOSS_WARN):g} % dropped",
                found=f"{drops.dropped:,} of {drops.dropped + drops.passed:,} packets",
                level=Level.WARN,
                key="loss",
                names={"device": device} if is_device else {},
            )


@check(
    remedy="On {node}, exclude the CNI plugin's devices (use the names of your plugin): `printf "
    "'[keyfile]\\nunmanaged-devices=interface-name:cali*;interface-name:flannel*;"
    "interface-name:cni*;interface-name:veth*\\n' > /etc/NetworkManager/conf.d/cni.conf && "
    "systemctl reload NetworkManager`.",
    facts=[Fact.DEVICE_MANAGERS, Fact.NETNS, Fact.PROCESSES],
)
def unmanaged_by_networkmanager(node: Node) -> Findings:
    """If NetworkManager runs, it is configured to leave the CNI plugin's devices unmanaged.

    NetworkManager removes routes and addresses from devices that it manages when it starts, is
    updated, or a link appears. Pods lose their network one by one, without any change in
    Kubernetes.

    Except: nodes without NetworkManager. udev rules that exclude devices are not read and count as
    missing, because they change with the distribution.

    See: https://docs.rke2.io/known_issues#networkmanager
         https://github.com/rancher/rke2/issues/786
         https://github.com/flannel-io/flannel/issues/1330
    """
    for each in node.device_managers.managed_by_networkmanager:
        yield Finding(
            node.part(f"{each.kind} devices"),
            expected="excluded by unmanaged-devices",
            found=each.found,
            level=Level.WARN,
        )


@check(
    remedy="On {node}, add a .link file that sorts before it: `printf "
    "'[Match]\\nOriginalName=cali* flannel* eni* veth*\\n[Link]\\nMACAddressPolicy=none\\n' > "
    "/etc/systemd/network/10-cni.link`. It applies to devices that are created from then on.",
    facts=[Fact.DEVICE_MANAGERS, Fact.NETNS, Fact.PROCESSES, Fact.API],
)
def mac_policy(node: Node) -> Findings:
    """No .link file of systemd changes the MAC addresses that the CNI plugin's devices were given.

    The plugin announced the MAC that the device was created with. If udev changes it a moment
    later, packets to the old MAC are dropped.

    Except: systemd's MACAddressPolicy=persistent does not change MACs that a program has set, as
    most plugins do. It counts for the AWS VPC CNI, whose older versions do not, and for flannel
    before 0.15.1.

    See: https://github.com/flannel-io/flannel/issues/1155
         https://github.com/flannel-io/flannel/pull/1485
         https://github.com/aws/amazon-vpc-cni-k8s/issues/2103
         https://www.freedesktop.org/software/systemd/man/latest/systemd.link.html
    """
    for each in node.device_managers.mac_overrides:
        yield Finding(
            node.part(each.file),
            expected="the MAC addresses that the CNI plugin set",
            found=each.found,
            level=Level.WARN,
        )
