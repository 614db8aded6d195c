"""Reachability: nodes, pods, Services and the API server, by TCP connections to what listens."""

from collections.abc import Iterable

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, NotApplicable
from wirecheck.catalogue.registry import check
from wirecheck.model.node import Node
from wirecheck.node.reach import Reached


def _not_made(connections: Iterable[Reached]) -> Findings:
    for each in connections:
        if each.problem:
            yield Finding(
                each.ref,
                expected=each.expected,
                found=each.problem,
                concerns=each.concerns,
                unless=each.restricted_by,
            )


def _port_not_open(each: Reached, excuse: str) -> Findings:
    if each.problem:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.problem,
            concerns=each.concerns,
            unless=excuse,
        )


@check(
    settles=True,
    remedy="On the node: nc -zv ADDRESS 10250. Refused: kubelet or a firewall that rejects; a "
    "timeout: a firewall or the network between the two (cloud security groups, VLANs, routes).",
    looks_at=[Fact.API, Fact.CONTACTS],
)
def node_to_node(node: Node) -> Findings:
    """The node connects to kubelet's port on the other nodes.

    What carries pods' traffic between two nodes rests on the network between them. A rule
    that was meant for one port, or one direction, often stops more.

    Except: of more than 17 nodes each connects to the 16 that follow it in the order of names,
    so that every node is a source and a target. Nodes that are being removed are not judged.

    See: https://kubernetes.io/docs/reference/networking/ports-and-protocols/
         https://kubernetes.io/docs/concepts/cluster-administration/networking/
    """
    yield from _not_made(node.reach.of("node"))


@check(
    settles=True,
    remedy="See overlay.* and routes.* of both nodes, then firewall.forwards_pods. By hand: "
    "nsenter -t PID -n nc -zv ADDRESS PORT, and tcpdump on the overlay's device of both nodes: "
    "that tells on which of them the packet is lost.",
    looks_at=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def pod_to_pod(node: Node) -> Findings:
    """A pod of the node connects to a pod on the other nodes.

    One pair of nodes that is cut off is felt as a Service that fails for some clients, some
    of the time.

    Except: pods that an egress or ingress NetworkPolicy selects are counted and not judged
    where the connection fails; one that is refused has reached the pod. Of more than 17 nodes
    each connects to the 16 that follow it.

    See: https://github.com/projectcalico/calico/issues/9433
         https://github.com/flannel-io/flannel/issues/958
         https://kubernetes.io/docs/concepts/services-networking/
    """
    yield from _not_made(each for each in node.reach.of("pod") if not each.is_refused)


@check(
    settles=True,
    remedy="Compare the MTU of the pod, the overlay and the wire on both nodes (ip link; see "
    "overlay.mtu). To see the limit: nsenter -t PID -n ping -M do -s 1372 ADDRESS, "
    "with other sizes. The cloud's network may take less than its devices say.",
    looks_at=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def large_payloads(node: Node) -> Findings:
    """More than 64 KiB pass in both directions between a pod of the node and DNS replicas.

    A packet that is too large for a piece of the way is dropped without a word: connections
    are made, small answers come, and everything longer hangs.

    Except: pods that a NetworkPolicy selects are counted and not judged where it fails; DNS
    servers that do not return padding (RFC 7830) prove only the way there, and are skipped
    where none does. Where DNS has more than four replicas, each node asks four of them.

    See: https://github.com/projectcalico/calico/issues/1709
         https://github.com/projectcalico/calico/issues/7651
         https://www.rfc-editor.org/rfc/rfc7830
    """
    asked = node.reach.of("messages")
    yield from _not_made(asked)
    made = [each for each in asked if not each.problem]
    if made and all(each.is_small for each in made):
        raise NotApplicable("all messages passed, but no replica answers with as large ones")


@check(
    settles=True,
    remedy="Compare the MTU of the wire on both nodes and of what lies between them (ip link; "
    "overlay.mtu). To see the limit: ping -M do -s 1472 ADDRESS of the other node, with "
    "other sizes. One pair alone: a switch, a VLAN or a tunnel between just these two.",
    looks_at=[Fact.API, Fact.PROCESSES, Fact.HELPER_PODS],
)
def large_payloads_between_nodes(node: Node) -> Findings:
    """More than 64 KiB pass to and fro between the node, a pod of it, and pods of all others.

    What is asked of DNS shows the ways to the few nodes where DNS runs. Between two others a
    black hole for large packets stays unseen, until an image or a backup has to pass.

    Except: made only with --helper-pods. Of more than 17 nodes each sends to the 16 that follow
    it, so that every node is a source and a target. Nodes without a helper pod are counted; a
    helper pod that a NetworkPolicy selects is counted and not judged where it fails.

    See: https://github.com/projectcalico/calico/issues/7651
         https://github.com/projectcalico/calico/issues/8953
         https://www.rfc-editor.org/rfc/rfc2923
    """
    for name in node.helpers.missing:
        yield Finding(
            node.part(f"to the helper pod on {name}"),
            expected="a helper pod",
            found="none",
            unless=f"no helper pod on {name}",
        )
    yield from _not_made(node.helpers.between_nodes)


@check(
    settles=True,
    remedy="Compare the MTU at both ends of the pods' veth pairs and of the bridge (ip link; "
    "links.*), then offloads (ethtool -k): nothing leaves the node here.",
    looks_at=[Fact.API, Fact.PROCESSES, Fact.HELPER_PODS],
)
def large_payloads_within_node(node: Node) -> Findings:
    """More than 64 KiB pass to and fro between the node, a pod of it, and another of its pods.

    Where this fails as well, the fault is in the node, and not in the network between nodes.

    Except: made only with --helper-pods; from a pod only where another one runs on the node.
    Pods that a NetworkPolicy selects are counted and not judged where it fails.

    See: https://github.com/rancher/rancher/issues/10498
         https://github.com/projectcalico/calico/issues/3895
    """
    yield from _not_made(node.helpers.within_node)


@check(
    settles=True,
    remedy="Where only the Service address fails, see services.* of this node; where an address "
    "behind it fails, the route and firewall towards that control plane node; where pods alone "
    "fail, firewall.* and masquerading.",
    looks_at=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def api_server(node: Node) -> Findings:
    """The node, and a pod of it, connect to the API server: at its Service and each address.

    Controllers and CNI plugins on the node live by it. One dead address among several makes
    every third call hang.

    Except: a pod that an egress NetworkPolicy selects is counted and not judged where its
    connection fails.

    See: https://github.com/kubernetes/kubernetes/issues/58068
         https://github.com/k3s-io/k3s/issues/14594
         https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """
    yield from _not_made(node.reach.of("api"))


@check(
    settles=True,
    remedy="See nodes.bridge_nf_call and services.* of this node: on a bridge the answer "
    "goes past the rules that have to translate it back.",
    looks_at=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def service_same_node(node: Node) -> Findings:
    """A pod of the node, and the node, connect to Services whose backends are on the same node.

    The answer need not leave the node's bridge: where the kernel does not filter there, it
    arrives with an address that nobody asked.

    Except: only Services that can lead nowhere else are tried, at most four; where a
    NetworkPolicy selects a pod at either end, it is counted and not judged.

    See: https://github.com/kubernetes/kubernetes/issues/127031
         https://kubernetes.io/docs/concepts/services-networking/service-traffic-policy/
    """
    yield from _not_made(each for each in node.reach.of("same node") if not each.is_refused)


@check(
    settles=True,
    remedy="See links.hairpin (hairpin mode of the bridge port), then the MASQUERADE "
    "rule for hairpin traffic (iptables-save -t nat | grep -i hairpin, KUBE-MARK-MASQ).",
    looks_at=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def service_hairpin(node: Node) -> Findings:
    """A DNS replica reaches the DNS Service also when the connection leads back to itself.

    The packet leaves the pod and has to come back by the same port of the bridge: without
    hairpin mode, or with the pod's own address as its source, it is lost.

    Except: tried where the Service has up to three replicas, as often as it takes to meet each
    one with 99.9 %; a replica that a NetworkPolicy selects is counted and not judged.

    See: https://github.com/kubernetes/kubernetes/issues/13375
         https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/
    """
    yield from _not_made(node.reach.of("hairpin"))


@check(
    settles=True,
    remedy="On the node that asked: nc -zv ADDRESS PORT. Where it fails at one node only, see "
    "services.* of that node and the firewall in front of it; where at all of them, see the "
    "Service's endpoints. A cloud's security groups often leave node ports out.",
    looks_at=[Fact.API, Fact.CONTACTS],
)
def node_ports(node: Node) -> Findings:
    """Node ports of Services answer at this node's address, and at that of other nodes.

    Load balancers outside of the cluster come in by them. The rules may all be there, and a
    firewall in front of them, or another program's translation, ends the connection.

    Except: each node asks for up to four TCP ports with policy Cluster and two with policy Local,
    at itself and at the three nodes that follow it in the order of names; one of four tries is
    enough, since single endpoints are told by other checks. Ports of UDP are not asked. Where a
    NetworkPolicy selects a pod behind the Service, the pod itself refuses, or kube-proxy's
    nodePortAddresses leave the address out, it is counted and not judged.

    See: https://kubernetes.io/docs/concepts/services-networking/service/
         https://github.com/kubernetes/kubernetes/issues/48437
    """
    for each, excuse in node.ports.open_node_ports:
        yield from _port_not_open(each, excuse)


@check(
    settles=True,
    remedy="See services.refused_or_dropped of the node that answers: a rule there forwards "
    "to endpoints of other nodes, or something else listens at that port.",
    looks_at=[Fact.API, Fact.CONTACTS, Fact.KUBE_PROXY],
)
def local_node_ports(node: Node) -> Findings:
    """Node ports with externalTrafficPolicy Local do not answer at nodes without an endpoint.

    A connection that is forwarded to another node loses its client's address, for which that
    policy was chosen, and a load balancer takes the node for one of the Service's.

    Except: a node's connections to itself get to all endpoints, and are not tried. Each node asks
    for up to two ports, at the three nodes that follow it. kube-proxy in IPVS mode forwards to all
    endpoints where none is local; it is not judged, nor are other programs, nodes that do not
    tell their mode, and nodes that kube-proxy takes for pods.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://kubernetes.io/docs/tutorials/services/source-ip/
    """
    for each in node.ports.closed_node_ports:
        if not each.problem:
            yield Finding(
                each.ref,
                expected="no TCP connection: that node has no endpoint",
                found="a TCP connection",
                concerns=each.concerns,
            )


@check(
    settles=True,
    remedy="curl -i http://ADDRESS:PORT/healthz, on that node and from here. kube-proxy answers "
    "there itself: see kube_proxy.* and services.health_check_ports_open of that node, then what "
    "else listens at the port (ss -ltnp) or translates it.",
    looks_at=[Fact.API, Fact.CONTACTS],
)
def health_check_node_ports(node: Node) -> Findings:
    """At healthCheckNodePorts nodes with a Ready endpoint answer 200, and all others 503.

    A load balancer goes by nothing else: it takes a good node out, or sends clients to one
    that drops their connections.

    Except: only Services with externalTrafficPolicy Local have such a port. Each node asks for up
    to two of them, at itself and at the three nodes that follow it in the order of names.

    See: https://kubernetes.io/docs/tasks/access-application-cluster/create-external-load-balancer/
         https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    for each in node.ports.health:
        if each.problem:
            yield Finding(
                each.reached.ref,
                expected=each.expected,
                found=each.problem,
                concerns=each.reached.concerns,
            )


@check(
    settles=True,
    remedy="See cni.host_ports_mapped of the pod's node, then the firewall in front of "
    "it. Where the rules are missing, delete the pod so that it is wired again.",
    looks_at=[Fact.API, Fact.CONTACTS],
)
def host_ports(node: Node) -> Findings:
    """Host ports of pods answer at the address of their node, from there and from other nodes.

    Ingress controllers are often reached by nothing else. A firewall that is reloaded takes
    the CNI plugin's rules with it, and nothing writes them again while the pod runs.

    Except: each node asks for up to four TCP ports of its own pods, and for as many of each of the
    three nodes that follow it; only Ready pods count. Where a NetworkPolicy selects the pod, or
    the pod itself refuses, it is counted and not judged.

    See: https://www.cni.dev/plugins/current/meta/portmap/
         https://github.com/containernetworking/plugins/issues/512
    """
    for each, excuse in node.ports.host_ports:
        yield from _port_not_open(each, excuse)
