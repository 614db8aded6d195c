"""Links: the veth pairs between pods and the node, checked from both ends."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, Threshold, check
from wirecheck.catalogue.settling import COMING_AND_GOING, ON_NODE
from wirecheck.model.node import Node

LOSS_WARN = Threshold("links.loss_warn", 0.1, "%", "half of that already slows TCP down")
RECREATE = (
    "Recreate the pod: `kubectl -n {namespace} delete pod {pod}`. Then read the log of the CNI "
    "plugin: `kubectl -n {cni_namespace} logs {cni_pod} --all-containers`."
)

IN_POD = (
    "Delete the entry in the pod's netns, and the kernel asks again. On {node}: `nsenter "
    "--net={netns} ip neighbour del {address} dev {device}`. If it comes back, a program in the "
    "pod or the CNI plugin writes it; then recreate the pod: `kubectl -n {namespace} delete pod "
    "{pod}`."
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
    settles=COMING_AND_GOING,
    remedy="Delete the entry on {node}, and the kernel asks again: `ip neighbour del {address} dev "
    "{device}`. If it comes back, something else answers for the address or writes the entry: "
    "`ip monitor neigh`.",
    facts=[Fact.NETNS, Fact.PROCESSES],
)
def neighbours_correct(node: Node) -> Findings:
    """The node and its pods send to each other's real MAC addresses.

    A frame for another MAC is dropped on arrival, and no counter shows it. Interfaces, addresses
    and routes are all correct, and still nothing answers.

    Except: only entries in use (permanent or reachable) between a pod and its node count, and not
    where eBPF or Open vSwitch delivers packets, or where no entry of the node is right: then the
    CNI plugin rewrites MACs.

    See: https://man7.org/linux/man-pages/man8/ip-neighbour.8.html
         https://man7.org/linux/man-pages/man7/arp.7.html
    """
    for each in node.wrong_neighbours:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.found,
            remedy=IN_POD if each.is_in_pod else "",
            names={"device": each.device.name, "address": each.entry.address},
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
