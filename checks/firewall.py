"""Firewall: whether the node's packet filter lets the traffic of pods through."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, Ref, check
from wirecheck.catalogue.settling import COMING_AND_GOING, CUSTOM_OBJECTS, ON_NODE
from wirecheck.model.node import Node
from wirecheck.node.filter_chains import Dropped

RULES = (Fact.API, Fact.NETNS, Fact.SERVICE_RULES)
FIND = (
    "The evidence is the rule that drops the packets. On {node}, `iptables-save -c` shows its "
    "table and its counters. Find out who added it (firewalld, ufw, an agent, a person), and make "
    "that one accept the pod network."
)
ON_ARRIVAL = (
    "The evidence is the rule that drops the packets, which carry the connections of pods. On "
    "{node}, `iptables-save -c` or `nft list table {table}` shows it. Find "
    "out who added it (firewalld, ufw, a cloud's image, a person), and make that one accept "
    "{what} from and to the other nodes."
)
OWN_PODS = (
    "The evidence is the rule that refuses the packets. On {node}, `iptables-save -c` or `nft list "
    "table {table}` shows it. Find out who added it (firewalld, ufw, a hardening script, a "
    "person), and make that one accept what pods of the node send to it and get from it."
)
IN_TABLE = (
    "The evidence is the rule that drops the packets. On {node}, `nft list table {table}` shows "
    "it. Find out who added it (firewalld, an agent, a person), and make that one accept the pod "
    "network: packets that iptables accepts still have to pass every other nftables table."
)
BANNED_IN_TABLE = (
    "If the ban is intended, nothing has to be done: waive the finding. Otherwise find the program "
    "on {node} that adds the rule (`nft list table {table}` shows it), and remove the address from "
    "that program's list."
)
OF_PLUGIN = (
    "Restart the agent of the CNI plugin, which adds the jump: `kubectl -n {cni_namespace} delete "
    "pod {cni_pod}`. Until then no NetworkPolicy is enforced for the pods of {node}. Then find out "
    "what flushed the built-in chains; `firewall-cmd --reload` does."
)
SETS = (
    "Restart Calico's agent on {node}, which writes its sets again: `kubectl -n {cni_namespace} "
    "delete pod {cni_pod}`. To compare by hand: `kubectl get ippools,nodes -o yaml`, and on {node} "
    "`ipset list {set}`, or `nft list set ip calico {set}` with the nftables dataplane."
)
UNREAD = "the rules of further nftables tables were not read"
SAME_VARIANT = (
    "Show the rules on {node}: `iptables-nft-save` and `ip6tables-nft-save`. Make the program that "
    "adds them use the legacy variant, as kube-proxy does: `update-alternatives --config iptables`."
)
MIXED = (
    "Two variants of iptables are in use, and the kernel asks both. What Kubernetes accepts in one "
    "is still dropped in the other. On {node}, make the program that wrote the rule of the "
    "evidence use the {variant} variant, as kube-proxy does (`update-alternatives --config "
    "iptables`). Restart that program, and remove the rules that it left in the first variant."
)


def _dropped(part: Ref, each: Dropped, *, expected: str, level: Level = Level.FAIL) -> Finding:
    return Finding(
        part,
        expected=expected,
        level=level,
        found=each.found,
        evidence=[each.rule],
        inconclusive=each.inconclusive,
        remedy=IN_TABLE if each.table else MIXED if each.is_mixed else "",
        names={"variant": each.other_variant, "table": each.table},
    )


def _of_tunnel(node: Node, device: str, refused: Dropped) -> Finding:
    port = refused.packet.port
    what = f"UDP port {port}" if port else "protocol 4 (IPIP)"
    is_sent = refused.packet.is_sent
    return Finding(
        node.part(f"{'OUTPUT' if is_sent else 'INPUT'} of {device}"),
        expected=f"the node sends to {what} of other nodes"
        if is_sent
        else f"the node accepts {what} from other nodes",
        found=refused.found,
        evidence=[refused.rule],
        inconclusive=refused.inconclusive,
        remedy=ON_ARRIVAL,
        names={"what": what, "table": refused.table or "ip filter"},
    )


@check(settles=COMING_AND_GOING, remedy=FIND, facts=RULES)
def forwards_pods(node: Node) -> Findings:
    """The node forwards connections between its pods and the pods of other nodes.

    Docker and firewall managers set the policy of the chain FORWARD to DROP. Without a rule that
    accepts them, packets of pods never leave the node. With VXLAN, Geneve, WireGuard and IPIP, they
    arrive in packets to the node itself, and leave in packets of the node itself: the chains INPUT
    and OUTPUT must accept these. Rules of the tables raw, mangle and security drop packets as well.

    It is a warning if no client outside the cluster reaches pods through the node, although node
    ports or external addresses are open there.

    Except: only packets that are dropped in any case count. Rules for some ports, sets or single
    pods do not. At most eight other nodes are tried. Where nodes have no pod ranges, a pod that no
    policy selects stands for its node. WireGuard is expected at its usual port; if a rule accepts
    further ones, that is inconclusive. Where eBPF may forward packets past the chain (Cilium,
    Calico's eBPF dataplane), a drop is inconclusive. So are nftables tables whose rules were not
    read; those of the family bridge do not count.

    See: https://github.com/kubernetes/kubernetes/issues/40182
         https://github.com/kubernetes/kubernetes/issues/39823
         https://github.com/flannel-io/flannel/issues/1450
    """
    for device, refused in node.tunnel_packets.refused:
        yield _of_tunnel(node, device.name, refused)
    for each in node.firewall.dropped_between_pods:
        yield _dropped(
            node.part(f"FORWARD {each.what}"), each, expected="connections are forwarded"
        )
    for each in node.firewall.dropped_from_outside:
        part = node.part(f"FORWARD from clients outside, IPv{each.packet.source.version}")
        wanted = "clients of node ports and load balancers reach pods through the node"
        yield _dropped(part, each, expected=wanted, level=Level.WARN)
    for table in node.firewall.unread_filters:
        yield Finding(
            node.part(f"nftables table {table}"),
            expected="no rule that refuses packets of pods",
            found="rules that were not read",
            inconclusive=UNREAD,
        )


@check(settles=COMING_AND_GOING, remedy=FIND, facts=RULES)
def forwards_dns(node: Node) -> Findings:
    """The node forwards DNS queries of its pods to every replica, over UDP and TCP.

    A rule that is meant to block DNS to the internet often blocks DNS inside the cluster as well.

    Except: only packets that are dropped in any case count. Rules for sets or single pods do not.
    Where eBPF may forward packets past the chain (Cilium, Calico's eBPF dataplane), a drop is
    inconclusive. nftables tables that were not read do not count.

    See: https://github.com/kubernetes/kubernetes/issues/93791
         https://github.com/kubernetes/kubernetes/issues/40182
    """
    for each in node.firewall.dropped(node.firewall.packets.to_dns):
        part = node.part(f"FORWARD {each.what} to {each.packet.destination}")
        yield _dropped(part, each, expected="forwarded")


@check(settles=COMING_AND_GOING, remedy=OWN_PODS, facts=RULES)
def accepts_own_pods(node: Node) -> Findings:
    """The node's packet filter accepts what the node and its own pods send to each other.

    The kubelet probes pods from the node. If a rule drops its packets or the pods' answers, the
    pods are restarted again and again although they work. If pods cannot reach the node's own
    programs, they lose every endpoint of a Service on the host network, also that of the API
    server.

    Except: only packets that are dropped in any case count. Rules for single pods do not, nor do
    rules for ports at which no Service has an endpoint. Pods that a policy selects are not tried.
    What rules refuse by the source before DNAT is reported by firewall.source_bans.

    See: https://kubernetes.io/docs/concepts/services-networking/
         https://docs.k3s.io/installation/requirements
    """
    for each in node.own_pod_packets.refused:
        also = f"; also {each.also}" if each.also else ""
        yield Finding(
            node.part(each.part),
            expected=each.expected,
            found=f"{each.dropped.found}{also}",
            evidence=[each.dropped.rule],
            inconclusive=each.dropped.inconclusive,
            names={"table": each.dropped.table or "ip filter"},
        )


@check(
    settles=ON_NODE,
    remedy="Restart the owner of the chain. For KUBE-FORWARD that is kube-proxy: `kubectl -n "
    "kube-system delete pod {kube_proxy_pod}`. For KUBE-FIREWALL it is the kubelet on {node}: "
    "`systemctl restart kubelet`. Then find out what flushed the built-in chains; `firewall-cmd "
    "--reload` does.",
    facts=RULES,
)
def kubernetes_chains_called(node: Node) -> Findings:
    """The built-in chains of table filter jump to the chains of Kubernetes and of the CNI plugin.

    A firewall reload can leave these chains in place but remove the jumps to them, so no packet
    passes them any more. Without the jump to the plugin's chain, no NetworkPolicy is enforced on
    the node.

    Except: chains that do not exist or are empty, and chains in legacy iptables.

    See: https://github.com/rancher/rke2/issues/10469
         https://github.com/k3s-io/k3s/issues/7542
    """
    for each in node.firewall.missing_anchors:
        yield Finding(
            node.part(f"{each.family} {each.base}"),
            expected=f"a jump to {each.chain}",
            found="no such jump",
            key=each.chain if each.is_plugins else "",
            remedy=OF_PLUGIN if each.is_plugins else "",
            names=node.policy_chains.agent_names if each.is_plugins else {},
        )


@check(
    settles=ON_NODE,
    remedy="Restart the CNI plugin's agent, which writes the rules of all pods again: `kubectl "
    "-n {cni_namespace} delete pod {cni_pod}`. Read its log first: `kubectl -n {cni_namespace} "
    "logs {cni_pod} --all-containers`. An agent that hangs keeps its pod Running.",
    facts=[Fact.API, Fact.NETNS, Fact.PROCESSES, Fact.SERVICE_RULES],
)
def pod_interfaces(node: Node) -> Findings:
    """Where rules are chosen by the pods' interfaces, there are rules for every pod's interface.

    Calico and others send the packets of each pod to the rules of its policies by its interface,
    and drop those of an interface that they do not know. The pod then reaches nothing, or is
    reached by nobody, whatever its policies are. If the chain for a pod's interface is empty, its
    policies are not enforced.

    Except: nodes without such chains, pods on a bridge, and rules that only refuse some packets.

    See: https://docs.tigera.io/calico/latest/reference/architecture/overview
         https://github.com/projectcalico/calico/issues/4109
    """
    for each in node.dispatch_gaps:
        yield Finding(
            each.ref, expected=each.expected, found=each.found, evidence=each.rules, key=each.way
        )


@check(
    settles=ON_NODE,
    remedy="Restart what enforces NetworkPolicies on {node}, which writes the rules of all pods "
    "again: `kubectl -n {cni_namespace} delete pod {cni_pod}`. In k3s it is a part of the k3s "
    "service, whose restart leaves pods running. Read its log first: one that hangs keeps its pod "
    "Running.",
    facts=[Fact.API, Fact.SERVICE_RULES],
)
def policy_chains(node: Node) -> Findings:
    """Where every pod has a chain for its policies, the pods that policies select have theirs.

    kube-router, also in k3s, calls one chain for each pod of the node. Without the chain, or if it
    is empty, no NetworkPolicy is enforced for the pod: everybody reaches it, and it reaches
    everything. The API and the agent's pod show nothing of it.

    Except: nodes without such chains, and pods that are not running. An empty chain of a pod that
    no NetworkPolicy selects is a warning.

    See: https://github.com/cloudnativelabs/kube-router/blob/master/docs/index.md
         https://docs.k3s.io/networking/networking-services
    """
    for each in node.policy_chains.gaps:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.found,
            level=Level.FAIL if each.is_selected else Level.WARN,
            names=node.policy_chains.agent_names,
        )


@check(
    remedy="On {node}, make it accept packets of pods, of Services and between nodes, and keep its "
    "reload from flushing third-party rules. Or, if another firewall protects the node, disable "
    "it: `systemctl disable --now {manager}`.",
    facts=RULES,
)
def single_manager(node: Node) -> Findings:
    """No firewall manager (firewalld, ufw) adds rules beside Kubernetes.

    Its next reload removes rules that it did not add. Services and pods then stop working until the
    next full sync.

    Except: none are known: a stopped firewall manager leaves no table and no chain.

    See: https://github.com/rancher/rke2/issues/10469
         https://github.com/rancher/rke2/issues/774
         https://github.com/k3s-io/k3s/issues/7542
    """
    for manager in sorted(node.firewall.others):
        yield Finding(
            node.part(manager),
            expected="Kubernetes only",
            found=f"{manager} has active rules",
            level=Level.WARN,
            names={"manager": manager},
        )


@check(settles=CUSTOM_OBJECTS, remedy=SETS, facts=RULES)
def address_sets(node: Node) -> Findings:
    """Calico's sets of addresses on the node have the pools and nodes that the API shows.

    Its rules refer to them. Without a pool in them, its pods lose their masquerading, or policies
    see the node instead of the pod. Packets of the overlay from a node that is missing are dropped.

    Except: sets that no rule uses, pools for load balancers, and the sets of single policies. Where
    the node has no `ipset`, or IPPools cannot be read, the sets are inconclusive.

    See: https://github.com/projectcalico/calico/issues/6752
         https://github.com/projectcalico/calico/issues/4297
         https://docs.tigera.io/calico/latest/reference/resources/ippool
    """
    for each in node.calico_sets.mismatches:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.found,
            level=Level.FAIL if each.is_harmful else Level.WARN,
            concerns=each.concerns,
            inconclusive=each.inconclusive,
            names={"set": each.set},
        )


@check(
    remedy="Show the rules on {node}: `iptables-legacy-save` and `ip6tables-legacy-save`. Make the "
    "program that adds them use the same variant as kube-proxy (`update-alternatives --config "
    "iptables`), then flush the legacy rules.",
    facts=[Fact.SERVICE_RULES],
)
def single_iptables_variant(node: Node) -> Findings:
    """If Kubernetes uses one variant of iptables, the other variant has no third-party rules.

    The kernel applies the rules of both, but each tool shows only its own. Packets are dropped or
    translated by rules that nobody sees.

    Except: legacy tables that are loaded but empty, and the kubelet's own chains in the nft
    variant. If both have Service rules, kube_proxy.single_iptables_variant reports it.

    See: https://github.com/kubernetes/kubernetes/issues/71305
         https://github.com/coredns/coredns/issues/2354
    """
    for family, rules in node.firewall.legacy_rules:
        yield Finding(
            node.part(f"IPv{family} legacy iptables"),
            expected="no rules",
            found=f"{len(rules)} rules",
            evidence=rules[:5],
            level=Level.WARN,
        )
    for family, rules in node.firewall.nft_rules:
        yield Finding(
            node.part(f"IPv{family} nft iptables"),
            expected="no third-party rules: Kubernetes' rules are in the legacy variant",
            found=f"{len(rules)} rules",
            evidence=rules[:5],
            level=Level.WARN,
            remedy=SAME_VARIANT,
        )


@check(
    remedy="If the ban is intended, nothing has to be done: waive the finding. Otherwise find the "
    "program on {node} that adds the rule (`iptables-save -c` shows the packets that it refused), "
    "and remove the address from that program's list.",
    facts=[Fact.API, Fact.NETNS, Fact.SERVICE_RULES],
)
def source_bans(node: Node) -> Findings:
    """No third-party rule refuses clients of Services by their source address.

    Block lists (fail2ban, CrowdSec, ufw, bogon filters) refuse packets before the Service rules
    see them, or on their way to a pod. A client on such a list cannot reach any Service through
    this node.

    It is a failure only if a rule refuses addresses of pods or of other nodes for certain, in chain
    INPUT those of other nodes: their kubelet probes, overlay and node ports end there.

    Except: rules for ports or addresses that no Service has, rules that test a mark, and in chain
    FORWARD those of network policy engines, for one way out of the node, or for all pods of a node,
    which firewall.forwards_pods tries. After twenty rules of one chain only their number is shown.

    See: https://github.com/kubernetes/kubernetes/issues/71810
         https://github.com/kubernetes/kubernetes/issues/18802
    """
    for each in node.source_bans.all:
        yield Finding(
            node.part(each.ban.rule),
            expected="no source is refused before the Service rules",
            found=each.found,
            evidence=each.ban.rules,
            level=Level.FAIL if each.cut else Level.WARN,
            key="bans",
            remedy=BANNED_IN_TABLE if each.ban.table else "",
            names={"table": each.ban.table},
        )
