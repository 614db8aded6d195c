"""Reachability: TCP connections between nodes, pods, Services and the API server."""

from collections.abc import Iterable

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, NotApplicable, check
from wirecheck.catalogue.settling import CONNECTIONS, LONG_CONNECTIONS
from wirecheck.model.node import Node
from wirecheck.node.reach import ANSWERED_HERE, Reached


def _failed(node: Node, connections: Iterable[Reached]) -> Findings:
    for each in connections:
        if each.is_answered_here:
            yield _failure(node, each, ANSWERED_HERE)
        elif each.problem and not node.probe_policies.denies(each):
            yield _failure(node, each, node.why_restricted(each))
        else:
            yield CONCLUSIVE


def _failure(node: Node, each: Reached, reason: str) -> Finding:
    netns = node.namespaces.netns_of(each.source) if each.source else None
    target = next((ref for ref in reversed(each.concerns) if ref.kind == "Pod"), None)
    return Finding(
        each.ref,
        expected=each.expected,
        found=each.problem,
        concerns=each.concerns,
        inconclusive=reason,
        sent=each.sent,
        names={
            "address": each.contact.address,
            "port": str(each.contact.port),
            "netns": netns.record.mounted if netns else "/proc/1/ns/net",
            "target": target.name if target else "",
            "target_namespace": target.namespace if target else "",
        },
    )


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="Repeat it on {node}: `nc -zv {address} {port}`. If it is refused, the kubelet is down "
    "or a firewall rejects it. If it times out, a firewall or the network between the nodes drops "
    "it (security groups of the cloud, VLANs, routes); `ip route get {address}` shows the route.",
    facts=[Fact.API, Fact.CONTACTS],
)
def node_to_node(node: Node) -> Findings:
    """The node connects to the kubelet's port of the other nodes.

    Traffic between pods of two nodes depends on the network between them. A firewall rule for one
    port or one direction often blocks more than intended.

    Except: with more than 17 nodes, each node connects to the 16 that follow it by name, so every
    node is a source and a target. Nodes that are being removed are not tried. If the node has the
    address of another one, it answers itself, which is inconclusive. Hardened nodes close the port
    to all but the control plane. From other nodes, a failure is inconclusive if another connection
    from here reaches the node or a pod on it, if a Ready node refuses it, or if nothing else was
    tried and wirecheck visited the node.

    See: https://kubernetes.io/docs/reference/networking/ports-and-protocols/
         https://kubernetes.io/docs/concepts/cluster-administration/networking/
    """
    for each, inconclusive in node.reach.to_nodes:
        if inconclusive:
            yield _failure(node, each, inconclusive)
        else:
            yield from _failed(node, [each])


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="Repeat it on {node}: `nsenter --net={netns} nc -zv {address} {port}`. Meanwhile run "
    "`tcpdump -ni any host {address}` on both nodes, which shows where the packet is lost. Then "
    "see the overlay.*, routes.* and firewall.forwards_pods results of both nodes.",
    facts=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def pod_to_pod(node: Node) -> Findings:
    """A pod of the node connects to a pod on each of the other nodes.

    If two nodes are disconnected from each other, Services fail for some clients, some of the time.

    Except: a failed connection of or to a pod that a NetworkPolicy selects is inconclusive, unless
    the policies allow it. If they deny it, and rules on the node enforce them, it has to fail. A
    refused connection has reached the pod. With more than 17 nodes, each connects to the 16 that
    follow it by name.

    See: https://github.com/projectcalico/calico/issues/9433
         https://github.com/flannel-io/flannel/issues/958
         https://kubernetes.io/docs/concepts/services-networking/
    """
    yield from _failed(node, (each for each in node.reach.of("pod") if not each.is_refused))


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="Find the largest packet that passes, on {node}: `nsenter --net={netns} ping -c 2 -M "
    "do -s 1372 {address}`, with other sizes. Compare with the MTU of the pod, the overlay and "
    "the physical device on both nodes (`ip link`; see overlay.mtu). The network of a cloud can "
    "have a smaller MTU than its devices show.",
    facts=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def large_payloads(node: Node) -> Findings:
    """A pod of the node exchanges more than 64 KiB with DNS replicas, in both directions.

    A packet that exceeds the MTU of one hop is silently dropped. Connections are established, small
    responses arrive, and large ones hang.

    Except: a failure of pods that a NetworkPolicy selects is inconclusive, unless the policies
    allow the connection. DNS servers that do not return padding (RFC 7830) prove only one
    direction; if none returns it, the check does not apply. With more than four replicas, each
    node tries four.

    See: https://github.com/projectcalico/calico/issues/1709
         https://github.com/projectcalico/calico/issues/7651
         https://www.rfc-editor.org/rfc/rfc7830
    """
    tried = node.reach.of("messages")
    yield from _failed(node, tried)
    made = [each for each in tried if not each.problem]
    if made and all(each.is_small for each in made):
        raise NotApplicable("all messages arrived, but no replica sends responses of that size")


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="Find the largest packet that passes, on {node}: `ping -c 2 -M do -s 1472 {address}`, "
    "with other sizes. Compare with the MTU of the devices on both nodes and of the network "
    "between them (`ip link`; see overlay.mtu). If only one pair fails, check the switch, VLAN or "
    "tunnel between these two.",
    facts=[Fact.API, Fact.PROCESSES, Fact.HELPER_PODS],
)
def large_payloads_between_nodes(node: Node) -> Findings:
    """The node and a pod of it exchange more than 64 KiB with pods on the other nodes.

    reachability.large_payloads covers only the nodes that run DNS. Between other nodes, an MTU
    black hole is noticed when an image or a backup hangs.

    Except: only with --helper-pods. With more than 17 nodes, each node sends to the 16 that follow
    it by name, so every node is a source and a target. A node without a helper pod, and a failure
    of a helper pod that a NetworkPolicy selects, are inconclusive.

    See: https://github.com/projectcalico/calico/issues/7651
         https://github.com/projectcalico/calico/issues/8953
         https://www.rfc-editor.org/rfc/rfc2923
    """
    for name in node.helpers.missing:
        yield Finding(
            node.part(f"to the helper pod on {name}"),
            expected="a helper pod",
            found="none",
            inconclusive=f"no helper pod on {name}",
        )
    yield from _failed(node, node.helpers.between_nodes)


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="On {node}, compare the MTU of both ends of the veth pairs and of the bridge: `ip "
    "link` and `nsenter --net={netns} ip link` (see links.equal_mtu). Then check offloads: "
    "`nsenter --net={netns} ethtool -k eth0`. These packets do not leave the node.",
    facts=[Fact.API, Fact.PROCESSES, Fact.HELPER_PODS],
)
def large_payloads_within_node(node: Node) -> Findings:
    """The node and a pod of it exchange more than 64 KiB with another pod of the same node.

    If this fails too, the fault is on the node and not in the network between nodes.

    Except: only with --helper-pods; from a pod only if another pod runs on the node. A failure of
    pods that a NetworkPolicy selects is inconclusive.

    See: https://github.com/rancher/rancher/issues/10498
         https://github.com/projectcalico/calico/issues/3895
    """
    yield from _failed(node, node.helpers.within_node)


@check(
    counts=True,
    settles=LONG_CONNECTIONS,
    remedy="Repeat it on {node}: `nsenter --net={netns} curl -k "
    "https://{address}:{port}/version`. If only the Service address fails, see the services.* "
    "results of {node}. If the address of a control plane node fails, check the route and the "
    "firewall to it. If only pods fail, see firewall.* and services.masquerade.",
    facts=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def api_server(node: Node) -> Findings:
    """The node and a pod of it connect to the API server, at its Service and at each address.

    Controllers and CNI plugins on the node depend on it. If one of three addresses is dead, every
    third call hangs.

    Except: a failed connection of a pod that an egress NetworkPolicy selects is inconclusive.

    See: https://github.com/kubernetes/kubernetes/issues/58068
         https://github.com/k3s-io/k3s/issues/14594
         https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """
    yield from _failed(node, node.reach.of("api"))


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="Repeat it on {node}: `nsenter --net={netns} nc -zv {address} {port}`. See "
    "nodes.bridge_nf_call and the services.* results of {node}: on a bridge, the response can "
    "bypass the rules that have to translate it back. `sysctl net.bridge.bridge-nf-call-iptables` "
    "must be 1.",
    facts=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def service_same_node(node: Node) -> Findings:
    """The node and a pod of it connect to Services whose backends are all on the same node.

    The response does not leave the node's bridge. If the kernel does not filter bridged packets, it
    arrives from an address that the client did not connect to.

    Except: at most four Services are tried, and only those without backends on other nodes. If a
    NetworkPolicy selects a pod at either end, a failure is inconclusive.

    See: https://github.com/kubernetes/kubernetes/issues/127031
         https://kubernetes.io/docs/concepts/services-networking/service-traffic-policy/
    """
    yield from _failed(node, (each for each in node.reach.of("same node") if not each.is_refused))


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="Check hairpin mode on {node}: `bridge -d link show | grep hairpin` (see "
    "links.hairpin). Then check the MASQUERADE rule for hairpin traffic: `iptables-save -t nat | "
    "grep -E 'KUBE-MARK-MASQ|KUBE-LOOP-BACK'`.",
    facts=[Fact.API, Fact.PROCESSES, Fact.CONTACTS],
)
def service_hairpin(node: Node) -> Findings:
    """A DNS replica reaches the DNS Service, even if the connection is forwarded to itself.

    The packet leaves the pod and has to return through the same bridge port. Without hairpin mode,
    or with the pod's own address as its source, it is lost.

    Except: tried if the Service has up to three replicas, often enough to hit each replica with a
    probability of 99.9 %. A replica that a NetworkPolicy selects is inconclusive.

    See: https://github.com/kubernetes/kubernetes/issues/13375
         https://kubernetes.io/docs/tasks/debug/debug-application/debug-service/
    """
    yield from _failed(node, node.reach.of("hairpin"))


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="Repeat it on {node}: `nc -zv {address} {port}`. If it fails at one node only, see the "
    "services.* results of that node and the firewall in front of it. If it fails at all nodes, "
    "check the Service's endpoints. Security groups of clouds often exclude node ports.",
    facts=[Fact.API, Fact.CONTACTS],
)
def node_ports(node: Node) -> Findings:
    """Node ports of Services accept connections at this node's address and at other nodes.

    External load balancers use them. Even if all rules exist, a firewall in front of them, or the
    translation of another program, can end the connection.

    Except: each node tries up to four TCP ports with policy Cluster and two with policy Local, at
    itself and at the three nodes that follow it by name. One success in four tries is enough, as
    other checks cover single endpoints. UDP ports are not tried. A failure is inconclusive if a
    NetworkPolicy selects a pod behind the Service, the pod itself refuses, or kube-proxy's
    nodePortAddresses exclude the address.

    See: https://kubernetes.io/docs/concepts/services-networking/service/
         https://github.com/kubernetes/kubernetes/issues/48437
    """
    for each, reason in node.ports.open_node_ports:
        if each.problem:
            yield _failure(node, each, reason)
        else:
            yield CONCLUSIVE


@check(
    settles=CONNECTIONS,
    remedy="Repeat it on {node}: `nc -zv {address} {port}`. On the node that accepts the "
    "connection, check what listens (`ss -ltnp 'sport = :{port}'`), and see its "
    "services.refused_or_dropped result: a rule there forwards to endpoints of other nodes.",
    facts=[Fact.API, Fact.CONTACTS, Fact.KUBE_PROXY],
)
def local_node_ports(node: Node) -> Findings:
    """Nodes without an endpoint refuse connections to node ports with externalTrafficPolicy Local.

    If such a node forwards the connection, the client's address is lost, which the policy is meant
    to preserve. Load balancers then treat the node as a backend.

    Except: connections of a node to itself reach all endpoints and are not tried. Each node tries
    up to two ports at the three nodes that follow it by name. kube-proxy in IPVS mode forwards to
    all endpoints if none is local, and is not evaluated; neither are other programs, nodes whose
    mode is unknown, and nodes that kube-proxy treats as pods.

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
                names={"address": each.contact.address, "port": str(each.contact.port)},
            )


@check(
    settles=CONNECTIONS,
    remedy="Repeat it on {node}: `curl -i http://{address}:{port}/healthz`. What forwards Services "
    "answers there: kube-proxy (see kube_proxy.* and services.health_check_ports_open of that "
    "node), or the agent of the CNI plugin, which can hang while its pod is Ready. Then check on "
    "that node what else listens at the port: `ss -ltnp 'sport = :{port}'`.",
    facts=[Fact.API, Fact.CONTACTS],
)
def health_check_node_ports(node: Node) -> Findings:
    """At a healthCheckNodePort, nodes with a ready endpoint answer 200, and all others 503.

    Load balancers rely on it. With a wrong answer they remove a working node, or send clients to a
    node that drops their connections.

    Except: only Services with externalTrafficPolicy Local have such a port. Each node tries up to
    two of them, at itself and at the three nodes that follow it by name.

    See: https://kubernetes.io/docs/tasks/access-application-cluster/create-external-load-balancer/
         https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    for each in node.ports.health:
        if each.problem:
            contact = each.reached.contact
            yield Finding(
                each.reached.ref,
                expected=each.expected,
                found=each.problem,
                concerns=each.reached.concerns,
                sent=each.reached.sent if contact.status is None else None,
                names={"address": contact.address, "port": str(contact.port)},
            )


@check(
    counts=True,
    settles=CONNECTIONS,
    remedy="Repeat it on {node}: `nc -zv {address} {port}`. See cni.host_ports_mapped of the pod's "
    "node, and check the firewall in front of it. If the rules are missing, recreate the pod: "
    "`kubectl -n {target_namespace} delete pod {target}`.",
    facts=[Fact.API, Fact.CONTACTS],
)
def host_ports(node: Node) -> Findings:
    """Host ports of pods accept connections at the address of their node, also from other nodes.

    Ingress controllers are often reached only by a host port. A firewall reload removes the CNI
    plugin's rules, and nothing adds them again while the pod runs.

    Except: each node tries up to four TCP ports of its own pods, and as many of each of the three
    nodes that follow it by name; only of Ready pods. A failure is inconclusive if a NetworkPolicy
    selects the pod, or the pod itself refuses.

    See: https://www.cni.dev/plugins/current/meta/portmap/
         https://github.com/containernetworking/plugins/issues/512
    """
    for each, reason in node.ports.host_ports:
        if each.problem:
            yield _failure(node, each, reason)
        else:
            yield CONCLUSIVE
