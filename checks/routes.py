"""Routes: that packets for pods and Services leave the node, and each pod, by the right way."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level
from wirecheck.catalogue.registry import check
from wirecheck.model.node import Node

AGENT = (
    "Restart the CNI plugin's agent on the node (delete its pod): it writes the routes when it "
    "starts. Then find out what removed or added one: ip monitor route, or the network manager's "
    "log."
)


@check(settles=True, remedy=AGENT, looks_at=[Fact.NETNS, Fact.API])
def to_every_node(node: Node) -> Findings:
    """The node has a route to the pods of every other node, and it leads to that node.

    One that is missing cuts off the pods of one pair of nodes, and no test from a third place
    shows it.

    Except: plugins that forward without the node's routes, or leave them to the cloud's routers,
    and nodes that flannel does not know yet are not judged.

    See: https://github.com/flannel-io/flannel/issues/958
         https://github.com/flannel-io/flannel/issues/1036
    """
    for way in node.routes.peer_routes:
        if not way.is_right:
            yield Finding(
                node.part(way.name),
                expected=way.expected,
                found=way.found,
                concerns=[way.peer_ref],
            )


@check(settles=True, remedy=AGENT, looks_at=[Fact.NETNS, Fact.API])
def not_shadowed(node: Node) -> Findings:
    """No route to a part of another node's pod range leaves by another way than the range's own.

    The narrower route wins: a few addresses of a node are unreachable, from this node alone.

    Except: routes that leave as the range's own does change nothing.

    See: https://github.com/kubernetes/kops/issues/710
         https://man7.org/linux/man-pages/man8/ip-route.8.html
    """
    for way, route in node.routes.shadows:
        yield Finding(
            node.part(f"route to {route.destination}"),
            expected=f"as {way.found}",
            found=node.routes.routing.text_of(route),
            concerns=[way.peer_ref],
        )


@check(
    remedy="Give the device a network of its own: Docker's bridges by default-address-pools in "
    "/etc/docker/daemon.json, a VPN by its configuration.",
    looks_at=[Fact.NETNS, Fact.API],
)
def no_overlap(node: Node) -> Findings:
    """No device of the node is in a network that pods of other nodes or Services have.

    The node looks for those addresses on the device's own wire, where nobody has them: a
    Docker bridge or a VPN takes a part of the cluster off this node.

    Except: plugins that put pods into the nodes' own network by design are not judged.

    See: https://github.com/kubernetes/kops/issues/710
         https://github.com/projectcalico/calico/issues/2140
    """
    for device, range_, owner in node.routes.overlaps:
        yield Finding(
            node.part(f"{device.name} {range_}"),
            expected="a network that neither pods nor Services have",
            found=f"holds {owner}",
        )


@check(
    settles=True,
    remedy="ip route get ADDRESS on the node shows the route; ip route del it, and find out who "
    "made it. Where there is no default route, give the node one: its own connections to Services "
    "need a route before they are translated.",
    looks_at=[Fact.NETNS, Fact.API],
)
def no_blackholes(node: Node) -> Findings:
    """No route of the node refuses packets for pods, DNS replicas or Services, and all have one.

    A blackhole drops them without a word, and looks like any other route.

    Except: a blackhole over the node's own range is how some plugins end what has no pod;
    addresses that the node carries itself (IPVS, NodeLocal DNSCache) need no route.

    See: https://github.com/projectcalico/calico/issues/3246
    """
    for name, route in node.routes.blackholes:
        yield Finding(
            node.part(f"to {name}"),
            expected="a route that leads on",
            found=node.routes.routing.text_of(route),
        )


@check(
    settles=True,
    remedy="Delete the pod so that it is wired again; then see who may change its netns: a "
    "privileged container in the pod, or a second network's plugin.",
    looks_at=[Fact.NETNS, Fact.PROCESSES, Fact.API],
)
def pod_default_route(node: Node) -> Findings:
    """Every pod's network namespace has a route to the DNS Service, in each family that it has.

    Without a default route a pod answers its neighbours and reaches nothing else.

    Except: a route to the Services alone will do: some pods are to have no default route.

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
    settles=True,
    remedy="ip rule show (ip -6 rule show) on the node; ip rule add pref 0 lookup local puts the "
    "rule back. Find out who removed it or came before it: a restart of systemd-networkd takes "
    "away what other programs moved, VPNs and policy routing put their rules first.",
    looks_at=[Fact.NETNS, Fact.API],
)
def local_table_first(node: Node) -> Findings:
    """Packets for the node's own addresses are looked up in table local before any other.

    Without that rule nothing arrives at the node itself: kubelet, kube-proxy and every answer to
    the node's own connections are routed away.

    Except: rules for a mark, or for one device, are meant to come first by those who set it
    (Cilium, AWS); a table without a route to the address diverts nothing.

    See: https://www.datadoghq.com/blog/engineering/2023-03-08-deep-dive-into-platform-level-impact/
         https://github.com/cilium/cilium/issues/18706
         https://man7.org/linux/man-pages/man8/ip-rule.8.html
    """
    for each in node.routing_rules.diverted:
        yield Finding(
            node.part(f"IPv{each.family} rules"),
            expected="the node's own addresses looked up in table local first",
            found=f"for {each.address} {each.found}",
            key="local",
        )


@check(
    remedy="A file in /etc/systemd/networkd.conf.d: [Network] ManageForeignRoutingPolicyRules=no "
    "(and ManageForeignRoutes=no), before the next update of systemd restarts it.",
    looks_at=[Fact.DEVICE_MANAGERS, Fact.NETNS],
)
def rules_safe_from_networkd(node: Node) -> Findings:
    """systemd-networkd, where it runs, is told to leave routing rules of other programs alone.

    It removes them when it is restarted, as by an update at night: on all nodes at once.

    Except: nodes without systemd-networkd, or without rules that another program made; those that
    carry the kernel's or networkd's own mark count for theirs.

    See: https://www.datadoghq.com/blog/engineering/2023-03-08-deep-dive-into-platform-level-impact/
         https://github.com/cilium/cilium/issues/18706
         https://www.freedesktop.org/software/systemd/man/latest/networkd.conf.html
    """
    for rule in node.device_managers.rules_networkd_removes:
        yield Finding(
            node.part(f"rule {rule}"),
            expected="ManageForeignRoutingPolicyRules=no, or no such rule",
            found="a restart of systemd-networkd removes it",
            level=Level.WARN,
        )
