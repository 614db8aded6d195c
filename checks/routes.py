"""Routes: whether the node and its pods have correct routes to pods and Services."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, check
from wirecheck.catalogue.settling import COMING_AND_GOING, CUSTOM_OBJECTS, ON_NODE, TO_PEERS
from wirecheck.model.node import Node
from wirecheck.node.pod_rules import LostRule
from wirecheck.node.policy_routing import THE_NODE
from wirecheck.node.routing_rules import rule_text
from wirecheck.text import plural

AGENT = (
    "Restart the CNI plugin's agent, which adds the routes when it starts: `kubectl -n "
    "{cni_namespace} delete pod {cni_pod}`. Then find out what changed them, on {node}: `ip "
    "monitor route`, or the log of the network manager."
)
ANOTHER_TABLE = (
    "A routing rule asks table {table} before table main: show both on {node}, `ip rule show` and "
    "`ip route show table {table}`. Find out which program adds them (a VPN, an agent of the "
    "cloud), and configure it to leave out the addresses of pods and Services."
)
EMPTY_TABLE = (
    "Show the table on {node}: `ip route show table {table}`. The CNI plugin's agent adds its "
    "routes when it starts. Restart it: `kubectl -n {cni_namespace} delete pod {cni_pod}`. Then "
    "find out what removed them: `ip monitor route`, or the log of the network manager."
)
LOST_RULE = (
    "Recreate the pod, for which the CNI plugin adds the rule again: `kubectl -n {namespace} "
    "delete pod {pod}`. Find out what removed it: compare `ip rule show` with the other pods "
    "of {node}, and see routes.rules_safe_from_networkd."
)
REFUSING_RULE = (
    "Show it on {node}: `ip {family} route get {route_arguments}`. Find out who added the routing "
    "rule, `ip {family} rule show pref {priority}`, then delete it: `ip {family} rule del pref "
    "{priority}`."
)
NO_ROUTE = (
    "Show it on {node}: `ip {family} route get {route_arguments}`, and all routes: `ip {family} "
    "route show table all`. Add a default route if the node has none: for the node's own "
    "connections, the kernel looks up a route before it translates a Service's address."
)


@check(settles=TO_PEERS, remedy=AGENT, facts=[Fact.NETNS, Fact.API])
def to_every_node(node: Node) -> Findings:
    """The node has a route to the pod range of every other node, and it goes to that node.

    A missing route disconnects the pods of two nodes from each other. Tests from a third node do
    not notice it.

    With Calico's VXLAN the routes to all running pods are evaluated instead: to the blocks of its
    IP pools, and to single pods with an address of another node's block.

    Except: CNI plugins that forward without the node's routes, or rely on the cloud's routers, and
    nodes that flannel has not set up yet. Routes by an unknown gateway are not evaluated.

    See: https://github.com/flannel-io/flannel/issues/958
         https://github.com/flannel-io/flannel/issues/1036
    """
    if node.assigns_blocks:
        for each in node.misrouted_pods:
            yield Finding(each, expected=each.expected, found=each.found, concerns=[each.peer])
        return
    for peer in node.routes.peer_routes:
        if not peer.is_right:
            yield Finding(
                node.part(peer.name),
                expected=peer.expected,
                found=peer.found,
                concerns=[peer.peer_ref],
                remedy=ANOTHER_TABLE if peer.table else "",
                names={"table": str(peer.table)},
            )


@check(settles=TO_PEERS, remedy=AGENT, facts=[Fact.NETNS, Fact.API])
def not_shadowed(node: Node) -> Findings:
    """No more specific route diverts a part of another node's pod range.

    The more specific route wins, so some pods of a node are unreachable, and only from this node.

    Except: a route with the same next hop and device as the route of the range.

    See: https://github.com/kubernetes/kops/issues/710
         https://man7.org/linux/man-pages/man8/ip-route.8.html
    """
    for peer, route in node.routes.shadows:
        yield Finding(
            node.part(f"route to {route.destination}"),
            expected=f"as {peer.found}",
            found=node.routes.routing.text_of(route),
            concerns=[peer.peer_ref],
        )


@check(
    remedy="Show the device on {node}: `ip address show {device}`. Give it another network: for "
    "Docker's bridges with `bip` and default-address-pools in /etc/docker/daemon.json, for a "
    "VPN in its configuration.",
    facts=[Fact.NETNS, Fact.API],
)
def no_overlap(node: Node) -> Findings:
    """No device of the node has a network that overlaps with pods of other nodes or Services.

    The node looks for those addresses on the device's own network, where nothing has them. A Docker
    bridge or a VPN then hides a part of the cluster from this node.

    Except: CNI plugins that put pods into the nodes' own network by design. Single pods and nodes
    count only on bridges without a port that leads out of the node, on dummy devices, and, as
    Services do, behind a VPN's tunnel that no CNI plugin or mesh of nodes has created. Pods behind
    a tunnel in a cluster with an unknown CNI plugin are inconclusive.

    See: https://github.com/kubernetes/kops/issues/710
         https://github.com/projectcalico/calico/issues/2140
    """
    for each in node.route_conflicts.overlaps:
        yield Finding(
            node.part(f"{each.device.name} {each.range}"),
            expected="a network without pods or Services",
            found=f"contains {each.owner}",
            inconclusive=each.inconclusive,
            names={"device": each.device.name},
        )


@check(
    settles=COMING_AND_GOING,
    remedy="Show it on {node}: `ip {family} route get {route_arguments}`. Find out who added the "
    "route, then delete it: `ip {family} route del {type} {destination} table {table}`.",
    facts=[Fact.NETNS, Fact.API],
)
def no_blackholes(node: Node) -> Findings:
    """The node has a route to all pods, DNS replicas and Services, and none is a blackhole.

    A blackhole route silently drops packets, and is easily overlooked in a list of routes. Routing
    rules that refuse packets count as well, even those from or to single pods. So do routes to
    other nodes and API servers.

    Except: a blackhole route for the node's own range, which some CNI plugins use for unassigned
    addresses; addresses that the node itself has (IPVS, NodeLocal DNSCache). Services without a
    route are inconclusive where Cilium replaces kube-proxy.

    See: https://github.com/projectcalico/calico/issues/3246
    """
    for each in node.route_conflicts.blackholes:
        route = each.route
        yield Finding(
            node.part(each.part),
            expected="a route that forwards",
            found=node.routes.routing.text_of(route),
            inconclusive=each.inconclusive,
            remedy=NO_ROUTE if route is None else REFUSING_RULE if each.is_rule else "",
            names={
                "address": each.address,
                "route_arguments": each.address,
                "family": "-6" if ":" in each.address else "-4",
                "type": route.type if route else "",
                "destination": route.destination if route else "",
                "table": str(route.table) if route else "",
                "priority": str(route.metric) if route else "",
            },
        )


@check(
    settles=CUSTOM_OBJECTS,
    remedy="Restart Calico's agent on {node}, which writes these routes: `kubectl -n "
    "{cni_namespace} delete pod {cni_pod}`. To compare by hand: `kubectl get ipamblocks -o "
    "custom-columns=BLOCK:.spec.cidr,AFFINITY:.spec.affinity`, and on {node} `ip route show type "
    "blackhole`.",
    facts=[Fact.NETNS, Fact.API],
)
def own_blocks(node: Node) -> Findings:
    """The node has a blackhole route for each of its own address blocks of Calico, and no others.

    Without it, packets to an address that no pod has leave by the default route, and may come
    back. With one for a block of another node, the pods of that block cannot be reached.

    Except: only nodes that Calico's VXLAN joins are evaluated. routes.no_blackholes reports a block
    that has pods already.

    See: https://docs.tigera.io/calico/latest/reference/resources/blockaffinity
    """
    for each in node.own_blocks.mismatches:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.found,
            level=Level.WARN,
            concerns=each.concerns,
        )


@check(
    settles=ON_NODE,
    remedy="Show the pod's routes on {node}: `nsenter --net={netns} ip route`. Recreate the pod: "
    "`kubectl -n {namespace} delete pod {pod}`. Then find out what changes its network namespace: "
    "a privileged container in the pod, or the plugin of a second network.",
    facts=[Fact.NETNS, Fact.PROCESSES, Fact.API],
)
def pod_default_route(node: Node) -> Findings:
    """Every pod has a route to the DNS Service, in each address family that the pod has.

    Without a default route a pod reaches only its own subnet.

    Except: a route to the Services is enough, as some pods have no default route by design.

    See: https://github.com/kubernetes/kubernetes/issues/69925
         https://www.cni.dev/plugins/current/main/bridge/
    """
    for pod, netns, server, route in node.routes.pod_routes:
        if route is None or route.type != "unicast":
            yield Finding(
                pod,
                expected=f"a route to {server}",
                found="none" if route is None else f"{route.type} {route.destination}",
                evidence=[f"{each.destination} via {each.gateway}" for each in netns.record.routes],
            )


@check(
    settles=ON_NODE,
    remedy="Show the rules on {node}: `ip rule show` and `ip -6 rule show`. Restore the rule: `ip "
    "rule add pref 0 lookup local`. Find out who removed it or put another one first: a restart "
    "of systemd-networkd removes rules, VPNs and policy routing add some.",
    facts=[Fact.NETNS, Fact.API],
)
def local_table_first(node: Node) -> Findings:
    """The kernel looks up the node's own addresses in the table `local` first.

    Otherwise packets for the node itself are routed away: for the kubelet, for kube-proxy, and all
    responses to the node's own connections.

    Except: rules for a mark or for one device, which Cilium and AWS put first on purpose; a table
    without a route to the address.

    See: https://www.datadoghq.com/blog/engineering/2023-03-08-deep-dive-into-platform-level-impact/
         https://github.com/cilium/cilium/issues/18706
         https://man7.org/linux/man-pages/man8/ip-rule.8.html
    """
    for each in node.routing_rules.diverted:
        yield Finding(
            node.part(f"IPv{each.family} rules"),
            expected="the node's own addresses are looked up in the table local first",
            found=f"for {each.address} {each.found}",
            key="local",
        )


def _lost(rule: LostRule) -> Finding:
    return Finding(
        rule.pod,
        expected=rule.expected,
        found=rule.found,
        inconclusive=rule.inconclusive,
        remedy=LOST_RULE,
    )


@check(
    settles=ON_NODE,
    remedy="Compare on {node}: `ip route get {address} from {source}` and `ip route get "
    "{address}`. Find out who added the rule. NetworkManager's nm-cloud-setup does, and CNI "
    "plugins ask to disable it: `systemctl disable nm-cloud-setup.service nm-cloud-setup.timer`, "
    "then drain and reboot the node. Otherwise add the routes of table main to table {table}.",
    facts=[Fact.NETNS, Fact.API],
)
def policy_routing(node: Node) -> Findings:
    """No routing rule for a source address diverts packets to pods.

    Tables for a second network often have a default route only. What the node sends to pods with
    that source, such as the kubelet's probes and connections to Services, then leaves the node.

    With a cloud's plugin, pods whose rule is gone leave by the wrong interface, where the cloud
    drops their packets.

    Except: rules for a mark, a device, a user or a port, which select packets on purpose; tables
    with a route to the pods; sources that neither the route to a pod nor that to a Service
    has. If several interfaces are in a pod's network, the node does not show which one has its
    address: a pod without a rule is inconclusive then.

    See: https://github.com/projectcalico/calico/issues/4662
         https://github.com/rancher/rke2/issues/1053
         https://man7.org/linux/man-pages/man8/ip-rule.8.html
    """
    for each in node.policy_routing.diverted:
        yield Finding(
            node.part(f"IPv{each.rule.family} rule {each.rule.priority}"),
            expected=each.expected,
            found=each.found,
            key="node" if each.sender == THE_NODE else "pods",
            concerns=[each.pod],
            names={
                "address": str(each.to),
                "source": str(each.source),
                "table": str(each.rule.table),
            },
        )
    for pod, rule in node.policy_routing.empty_tables:
        yield Finding(
            pod,
            expected=f"a default route in table {rule.table}, by rule {rule_text(rule)}",
            found="none",
            remedy=EMPTY_TABLE,
            names={"table": str(rule.table)},
        )
    yield from map(_lost, node.pod_rules.lost)


@check(
    remedy="On {node}: `printf "
    "'[Network]\\nManageForeignRoutingPolicyRules=no\\nManageForeignRoutes=no\\n' > "
    "/etc/systemd/networkd.conf.d/kubernetes.conf`. Do it before the next update of systemd "
    "restarts systemd-networkd.",
    facts=[Fact.DEVICE_MANAGERS, Fact.NETNS],
)
def rules_safe_from_networkd(node: Node) -> Findings:
    """If systemd-networkd runs, it is configured to keep routing rules of other programs.

    By default it removes them when it restarts, for example during an unattended update, on all
    nodes at once.

    Except: nodes without systemd-networkd, or without rules of other programs. Rules that the
    kernel or networkd itself marked as theirs do not count.

    See: https://www.datadoghq.com/blog/engineering/2023-03-08-deep-dive-into-platform-level-impact/
         https://github.com/cilium/cilium/issues/18706
         https://www.freedesktop.org/software/systemd/man/latest/networkd.conf.html
    """
    if rules := node.device_managers.rules_networkd_removes:
        yield Finding(
            node.part("routing rules"),
            expected="ManageForeignRoutingPolicyRules=no, or no rules of other programs",
            found=f"a restart of systemd-networkd removes {plural(len(rules), 'rule')}",
            level=Level.WARN,
            evidence=rules,
        )
