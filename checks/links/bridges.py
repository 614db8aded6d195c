"""Links: the bridges that pods are attached to, and their ports."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, Limits, Threshold, check
from wirecheck.catalogue.settling import COMING_AND_GOING, ON_NODE
from wirecheck.model.node import Node

PORTS = Limits(
    warn=Threshold("links.ports_warn", 900, "ports", "the kernel allows 1,023 ports on a bridge"),
    fail=Threshold("links.ports_fail", 1010, "ports", "the next pods get no port"),
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
