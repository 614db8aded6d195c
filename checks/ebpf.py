"""eBPF: the maps by which Cilium forwards, and how full they are."""

from collections.abc import Iterable, Iterator

from wirecheck.catalogue import (
    CONCLUSIVE,
    Fact,
    Finding,
    Findings,
    Level,
    Limits,
    Threshold,
    check,
)
from wirecheck.catalogue.settling import CUSTOM_OBJECTS, ON_NODE
from wirecheck.model.node import Node
from wirecheck.node.cilium_addresses import AddressMismatch

USE = Limits(
    warn=Threshold("ebpf.use_warn", 75, "%", "a rollout can take the last quarter of a map"),
    fail=Threshold("ebpf.use_fail", 90, "%", "the next entries will be missing on this node"),
)

FIND = (
    "Compare with the other maps: `kubectl -n {cni_namespace} exec {cni_pod} -- cilium-dbg map "
    "list`. "
)
FIXED = FIND + (
    "Cilium has no setting for the size of this map: find out which entries are not needed, and "
    "what has created them."
)

RESTART = (
    "Restart Cilium's agent on {node}, which writes the map again when it starts; connections go "
    "on meanwhile: `kubectl -n {cni_namespace} delete pod {cni_pod}`. "
)
OF_ADDRESSES = (Fact.EBPF_MAPS, Fact.API, Fact.NETNS)


@check(
    thresholds=USE,
    counts=True,
    remedy=FIND + "If the entries are needed, raise {setting} in `kubectl -n {cni_namespace} edit "
    "configmap cilium-config`. The agent creates the map again when it starts. With maps of "
    "connections or NAT that breaks the node's connections: restart the agent of one node at a "
    "time, outside peak load.",
    facts=[Fact.EBPF_MAPS],
)
def map_usage(node: Node) -> Findings:
    """Cilium's eBPF maps have free entries.

    Cilium cannot add a Service, a backend, an address or a policy to a full map: the node forwards
    to what it had before, and only the agent's log shows it. In a full map of connections or NAT
    the kernel replaces entries that are in use, and these connections break.

    Except: maps that are made to be full, such as those of neighbours and fragments.

    See: https://docs.cilium.io/en/stable/network/ebpf/maps/
    """
    for ref, why in node.ebpf_map_usage.unread:
        yield Finding(ref, expected="the number of entries", found="unread", inconclusive=why)
    for each in node.ebpf_map_usage.maps:
        if exceeded := USE.exceeded_by(each.use, node):
            yield Finding(
                each,
                expected=f"at most {exceeded.limit:.0f} % of {each.limit:,} entries",
                found=each.found,
                level=exceeded.level,
                key="use",
                remedy="" if each.setting else FIXED,
                names={"setting": each.setting},
            )
        elif why := each.why_incomplete:
            yield Finding(each, expected="all entries", found=each.found, inconclusive=why)
        else:
            yield CONCLUSIVE


@check(
    settles=CUSTOM_OBJECTS,
    remedy=RESTART + "To compare by hand: `kubectl -n {cni_namespace} exec {cni_pod} -- cilium-dbg "
    "bpf ipcache list`, and `kubectl get ciliumendpoints -A`.",
    facts=OF_ADDRESSES,
)
def pod_identities(node: Node) -> Findings:
    """Cilium's ipcache on the node has the identity of every pod's address, and of no other.

    Policies allow identities, not addresses. With another identity, a pod is let in where it must
    not, or is refused. Without an entry, it counts as a part of the range around it, which no
    policy for pods allows. A stale entry gives the next pod with that address foreign rights.

    Except: pods whose CiliumEndpoint does not exist, or may not be read, and other clusters of a
    ClusterMesh.

    See: https://docs.cilium.io/en/stable/network/ebpf/maps/
         https://docs.cilium.io/en/stable/gettingstarted/terminology/
    """
    yield from _findings(node.cilium_addresses.identities)
    yield from _findings(node.cilium_addresses.stale)


@check(
    settles=CUSTOM_OBJECTS,
    counts=True,
    remedy=RESTART + "To compare by hand: `kubectl -n {cni_namespace} exec {cni_pod} -- cilium-dbg "
    "bpf ipcache list`, and `kubectl get nodes -o wide`.",
    facts=OF_ADDRESSES,
)
def tunnel_endpoints(node: Node) -> Findings:
    """Cilium sends packets for each pod through the tunnel to the pod's own node.

    Packets that go to another node, or to none, are lost. Only connections from this node fail.

    Except: nodes without a tunnel, and addresses to which Cilium sends without it.

    See: https://docs.cilium.io/en/stable/network/concepts/routing/
    """
    yield from _findings(node.cilium_addresses.tunnels)
    if node.cilium_addresses.decides_tunnels:
        yield CONCLUSIVE


@check(
    settles=CUSTOM_OBJECTS,
    remedy=RESTART + "To compare by hand: `kubectl -n {cni_namespace} exec {cni_pod} -- cilium-dbg "
    "bpf endpoint list`.",
    facts=OF_ADDRESSES,
)
def pod_endpoints(node: Node) -> Findings:
    """Cilium delivers packets for each pod of the node to the pod's own device.

    Without an endpoint nothing reaches the pod, although it is Running. A pod that was started
    before Cilium has none, and no policy applies to it.

    Except: pods in a sandbox of their own, such as a virtual machine.

    See: https://docs.cilium.io/en/stable/network/ebpf/maps/
    """
    yield from _findings(node.cilium_addresses.devices)
    yield from _findings(node.cilium_addresses.stale_endpoints)


@check(
    settles=ON_NODE,
    remedy="Restart Cilium's agent on {node}, which attaches its programs when it starts; "
    "connections go on meanwhile: `kubectl -n {cni_namespace} delete pod {cni_pod}`. To see what "
    "is attached, on {node}: `bpftool cgroup tree`. If it is detached again, find out which "
    "program does it.",
    facts=(Fact.EBPF_MAPS, Fact.API),
)
def socket_programs(node: Node) -> Findings:
    """Where Cilium translates connections at their sockets, none of its programs is missing.

    Without one, the node and its pods do not reach Services any more, or only over TCP or UDP. The
    maps are complete, and the agent is Ready.

    Except: nodes on which none of these programs is found: Cilium then translates packets.

    See: https://docs.cilium.io/en/stable/network/kubernetes/kubeproxy-free/
    """
    for each in node.cilium_sockets.missing:
        yield Finding(each, expected=each.expected, found=each.found)


def _findings(mismatches: Iterable[AddressMismatch]) -> Iterator[Finding]:
    for each in mismatches:
        yield Finding(
            each,
            expected=each.expected,
            found=each.found,
            level=Level.FAIL if each.is_harmful else Level.WARN,
            key=each.address,
            inconclusive=each.inconclusive,
        )
