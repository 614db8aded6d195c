"""Services: whether the rules on each node do what the API specifies."""

from dataclasses import replace

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, Level, check
from wirecheck.catalogue.settling import PROXY_RULES
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.node.dataplane import Dataplane, NamedCommon, NamedDifference
from wirecheck.node.shadow_doubts import Shadow

RULES = (Fact.API, Fact.SERVICE_RULES, Fact.KUBE_PROXY)
RULES_AND_MAPS = (*RULES, Fact.EBPF_MAPS)
RESYNC = (
    "Restart kube-proxy: `kubectl -n kube-system delete pod {kube_proxy_pod}`. It rewrites all "
    "rules on start-up. It does not notice if another program changes them later; find out which "
    "one did."
)
ANOTHER = (
    "The last rule of the evidence decides. It is not kube-proxy's, and restarting kube-proxy does "
    "not change it. Find the program on {node} that adds the rule, and configure it to match fewer "
    "packets or to put its rules behind kube-proxy's."
)
SPARED = (
    "The last rule of the evidence decides. It is not kube-proxy's, and restarting kube-proxy does "
    "not change it. Find the program on {node} that adds the rule. Let it leave the bit alone with "
    "which kube-proxy marks packets (0x4000 unless configured otherwise), and keep its rules of "
    "table nat behind kube-proxy's in chain POSTROUTING."
)
POLICY = (
    "The last rule of the evidence is a network policy engine's, which accepts packets before "
    "kube-proxy's rule refuses them. Nothing has to be repaired on {node} if clients can wait for "
    "the time-out; restarting kube-proxy changes nothing."
)
UNKNOWN = (
    "What these rules do with the connections is not known, so nothing was compared. Find out "
    "which program on {node} adds the last rule of the evidence. If it is not kube-proxy, check "
    "from {node} and from a pod that the Service answers, then waive the finding. If it is "
    "kube-proxy, restart it: `kubectl -n kube-system delete pod {kube_proxy_pod}`."
)
AGENT = (
    "See whether Cilium's agent on {node} follows the API: `kubectl -n {cni_namespace} exec "
    "{cni_pod} -c cilium-agent -- cilium-dbg status`. A new agent writes the maps again, and "
    "connections go on meanwhile, except those that need its DNS or HTTP proxy: `kubectl -n "
    "{cni_namespace} delete pod {cni_pod}`."
)
ALL_UNKNOWN = "unrecognised rules are on the path of every frontend"
THIRD_PARTY = "unrecognised third-party rules that change no Service's path"


def _remedy(each: NamedDifference | NamedCommon) -> str:
    """The remedy where the program that decides is not kube-proxy."""
    if each.by_cilium:
        return AGENT
    return ANOTHER if each.third_party else ""


def _finding(each: NamedDifference) -> Finding:
    return Finding(
        each,
        expected=each.expected,
        found=each.found,
        evidence=each.evidence,
        remedy=_remedy(each),
    )


def _of_sources(each: NamedDifference | NamedCommon) -> Finding:
    return Finding(
        each,
        expected=each.expected,
        found=each.found,
        evidence=each.evidence,
        remedy=SPARED if each.third_party else "",
    )


def _decided(node: Node, rules: Dataplane) -> Findings:
    """Whether the check could decide anything: where all rules are unknown, it has not."""
    if rules.decided:
        yield CONCLUSIVE
    elif rules.compared:
        yield Finding(
            node.part("Service rules"),
            expected="connections handled as the API specifies",
            found="not known for any frontend",
            inconclusive=ALL_UNKNOWN,
        )


def _shadow(each: Shadow, remedy: str = "") -> Finding:
    return Finding(
        each.ref,
        expected=each.expected,
        found=each.found,
        evidence=each.evidence,
        concerns=each.concerns,
        remedy=remedy,
    )


def _of_pods(node: Node, rules: Dataplane | None = None) -> Findings:
    """What pods send to Services, where the CNI plugin forwards it and kube-proxy does not."""
    rules = rules or node.dataplane
    yield from _decided(node, rules)
    if why := rules.pods_elsewhere:
        yield Finding(
            node.part("connections of pods"),
            expected="handled as the API specifies",
            found="not by kube-proxy's rules",
            inconclusive=why,
        )


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def rules_reachable(node: Node) -> Findings:
    """Connections reach the node's Service rules: all jumps to them exist, no rule precedes them.

    All Service rules can exist without a single packet reaching them. A firewall reload removes the
    jumps to them or puts its own rules first, or a later rule drops everything that they
    translated.

    Except: chains without a jump to them, IPVS real servers that are draining, addresses that
    several Services claim. Where Cilium forwards Services, or those of pods beside kube-proxy, its
    eBPF maps are compared; if an older wirecheck took the snapshot without them, that is
    inconclusive.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/95409
         https://github.com/rancher/rke2/issues/774
    """
    for each in node.dataplane.common(Kind.FRONTEND_MISSING):
        yield Finding(
            each,
            expected=each.expected,
            found=each.found,
            evidence=each.evidence or node.iptables.nat_hooks(each.family),
            remedy=_remedy(each),
        )
    yield from _of_pods(node)


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def frontends_programmed(node: Node) -> Findings:
    """The node has a rule for every address and port of every Service.

    Without a rule the Service exists in the API only. Connections from this node take the default
    route, where another host can answer them.

    Except: headless Services, ExternalName Services, and Services with the label
    service.kubernetes.io/service-proxy-name, which kube-proxy and Cilium ignore. Of Services that
    Cilium forwards, those are inconclusive that a CiliumLocalRedirectPolicy, a proxy, another
    cluster of a ClusterMesh or an annotation service.cilium.io takes part in.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/112292
         https://github.com/kubernetes/kubernetes/issues/35641
    """
    for problem in node.dataplane.problems:
        yield Finding(node, expected="rules to compare", found=problem, level=Level.ERROR)
    for rule in node.dataplane.ignored:
        yield Finding(
            node.part(rule), expected="a recognised rule", found=rule, inconclusive=THIRD_PARTY
        )
    for each in node.dataplane.of(Kind.NOT_UNDERSTOOD):
        yield Finding(
            each,
            expected=each.expected,
            found=each.found,
            evidence=each.evidence,
            level=Level.ERROR,
            remedy=UNKNOWN,
        )
    for each in node.dataplane.of(Kind.FRONTEND_MISSING):
        if not each.third_party:
            yield _finding(each)
    for shadow in node.decided_by_others(Kind.FRONTEND_MISSING):
        yield _shadow(shadow, ANOTHER)
    for each in node.dataplane.of(Kind.UNDECIDED):
        yield Finding(each, expected=each.expected, found="not compared", inconclusive=each.found)
    yield from _of_pods(node)


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def no_stale_frontends(node: Node) -> Findings:
    """The node has no rules for addresses or ports that no Service has.

    If the address now belongs to another Service, or to a host outside the cluster, this node sends
    its connections to the wrong place. A stale node port stays open.

    Except: chains without a jump to them, IPVS real servers that are draining, addresses that
    several Services claim.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/71071
    """
    for each in node.dataplane.of(Kind.FRONTEND_STALE):
        yield _finding(each)
    yield from _of_pods(node)


@check(
    counts=True,
    settles=PROXY_RULES,
    remedy="The evidence is the rule. List the ports that pods claim: `kubectl get pods -A -o "
    "'custom-columns=NAMESPACE:.metadata.namespace,POD:.metadata.name,"
    "HOST_PORTS:.spec.containers[*].ports[*].hostPort'`. Give that pod, the container on the node "
    "or the manual rule another port.",
    facts=RULES,
)
def not_shadowed(node: Node) -> Findings:
    """No third-party rule handles a Service's connections before kube-proxy's rules do.

    A hostPort or a port mapping with the number of a node port wins on its node. The Service works
    on all other nodes.

    Except: port mappings for ports that no Service has, and pods of ServiceLB (k3s, RKE2), which
    forward to the Service. If kube-proxy's chain has the same priority as a third-party one, the
    kernel asks the chain first that was loaded last. The node does not show which one that is, so
    the frontend is inconclusive. So is a frontend behind a third-party rule that is not recognised,
    that gives packets to a program (NFQUEUE), or that is for clients of which nothing is known, and
    every table whose rules were not read. Rules for the programs of single users do not count: the
    node's own run as root. firewall.forwards_pods covers filters after DNAT.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://kubernetes.io/docs/concepts/services-networking/service/
         https://github.com/containernetworking/plugins/pull/1210
    """
    yield from map(_shadow, node.shadowed)
    yield from _decided(node, node.kube_proxy_rules)
    for doubt in node.shadow_doubts:
        yield Finding(
            doubt.ref,
            expected=doubt.expected,
            found=doubt.found,
            evidence=doubt.evidence,
            inconclusive=doubt.reason,
        )


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def refused_or_dropped(node: Node) -> Findings:
    """Connections are forwarded, rejected or dropped as the Service's endpoints require.

    A stale reject rule turns clients away although there are endpoints. If it is missing, clients
    wait for a timeout. Or a port that should be closed is open.

    A network policy engine that accepts packets before kube-proxy's rules (kube-router) makes
    clients of Services without endpoints wait, which is a warning.

    Except: chains without a jump to them, IPVS real servers that are draining, addresses that
    several Services claim.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/48370
    """
    for each in node.dataplane.of(Kind.VERDICT):
        if each.by_mark or not each.third_party:
            yield Finding(
                each,
                expected=each.expected,
                found=each.found,
                evidence=each.evidence,
                level=Level.WARN if each.by_mark else Level.FAIL,
                remedy=POLICY if each.by_mark else _remedy(each),
            )
    for shadow in node.decided_by_others(Kind.VERDICT):
        yield _shadow(shadow, ANOTHER)
    yield from _of_pods(node)


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def backends_programmed(node: Node) -> Findings:
    """The node's rules forward connections to every usable endpoint of a Service.

    The other endpoints take the load of a missing one. Only their latency shows it.

    Except: traffic policies, topology hints and terminating endpoints are treated as by kube-proxy
    of that node's version.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/76338
         https://github.com/kubernetes/kubernetes/issues/56720
    """
    for each in node.dataplane.of(Kind.BACKEND_MISSING):
        yield _finding(each)
    yield from _of_pods(node)


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def no_stale_backends(node: Node) -> Findings:
    """No rule forwards to an address that is not a usable endpoint of the Service.

    With one stale backend of four, every fourth connection hangs until it times out.

    Except: chains without a jump to them, IPVS real servers that are draining, addresses that
    several Services claim.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/105505
         https://github.com/kubernetes/kubernetes/issues/89392
    """
    for each in node.dataplane.of(Kind.BACKEND_STALE, Kind.BACKEND_WRONG):
        yield Finding(
            each,
            expected=each.expected,
            found=each.found,
            evidence=each.evidence,
            key=f"not {each.found}",
            remedy=_remedy(each),
        )
    yield from _of_pods(node)


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def even_weights(node: Node) -> Findings:
    """Every backend of a Service gets the same share of its new connections.

    A wrong probability overloads one pod while the others are idle.

    Except: differences that are due to the kernel's rounding of probabilities.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    for each in node.dataplane.of(Kind.WEIGHTS):
        yield _finding(each)
    yield from _of_pods(node)


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def session_affinity(node: Node) -> Findings:
    """Clients stay on one backend exactly as long as the Service's session affinity specifies.

    Without affinity, sessions that exist on one backend only are lost. Unwanted affinity sends all
    clients of a proxy to the same pod.

    Except: none are known.

    See: https://kubernetes.io/docs/concepts/services-networking/service/
         https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    for each in node.dataplane.of(Kind.AFFINITY):
        yield _finding(each)
    yield from _of_pods(node)


@check(settles=PROXY_RULES, remedy=RESYNC, facts=RULES_AND_MAPS)
def source_ranges(node: Node) -> Findings:
    """Only clients in loadBalancerSourceRanges reach the Service.

    Otherwise a load balancer that is meant for a few clients is open to everyone.

    Except: ranges are compared as the node's version of kube-proxy programs them, which differs
    before 1.30. Clients outside the cluster that third-party rules ban are left out:
    firewall.source_bans reports these rules.

    See: https://kubernetes.io/docs/concepts/services-networking/service/
    """
    for each in node.dataplane.of(Kind.SOURCES):
        yield Finding(
            each,
            expected=each.expected,
            found=each.found,
            evidence=each.evidence,
            remedy=_remedy(each),
        )


@check(counts=True, settles=PROXY_RULES, remedy=RESYNC, facts=RULES)
def masquerade(node: Node) -> Findings:
    """Connections are masqueraded if and only if their response has to return through this node.

    Without masquerading the backend answers the client directly, and the client drops the response
    from an unknown address. With too much of it, backends do not see the client's address.

    Rules of VPNs or for traffic shaping may clear kube-proxy's mark, or end table nat first.

    Except: if kube-proxy's configuration is unknown, masquerading is not compared. Cilium's eBPF
    maps do not show it. Third-party rules count only for packets that match them in any case.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/flannel-io/flannel/issues/1155
    """
    rules = node.kube_proxy_rules
    for every in rules.common(Kind.MASQUERADE):
        yield _of_sources(every)
    for each in rules.of(Kind.MASQUERADE, Kind.HAIRPIN):
        yield _of_sources(each)
    yield from _of_pods(node, rules)


@check(settles=PROXY_RULES, remedy=RESYNC, facts=RULES)
def health_check_ports_open(node: Node) -> Findings:
    """The node accepts a load balancer's health checks at each healthCheckNodePort.

    A load balancer treats a node that it cannot check as down, and sends it no connections.

    Except: only Services with externalTrafficPolicy Local have such a port.

    See: https://kubernetes.io/docs/concepts/services-networking/service/
    """
    for each in node.kube_proxy_rules.of(Kind.HEALTH_CHECK_PORT):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(
    settles=PROXY_RULES,
    compares_nodes=True,
    remedy="See the other services.* findings of the nodes that differ. Show the Service: "
    "`kubectl -n {namespace} describe service {service}`. If two Services claim the same address, "
    "remove it from one of them.",
    facts=RULES_AND_MAPS,
)
def nodes_agree(cluster: Cluster) -> Findings:
    """All nodes handle each Service identically if the API specifies the same for them.

    If only some nodes handle a Service correctly, it fails for some clients, some of the time. A
    test from any single node can succeed.

    Except: nodes for which the API specifies different backends: by local traffic policies or
    topology hints.

    See: https://github.com/kubernetes/kubernetes/issues/35641
         https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    for each in cluster.disagreements:
        yield Finding(
            each,
            expected="identical on all nodes",
            found=each.found,
            level=Level.WARN,
            # While a rollout goes on, nodes follow one after the other: each time another one.
            key=each.found,
        )
    for ref, why in cluster.pods_elsewhere:
        yield Finding(
            replace(ref, part="connections of pods"),
            expected="identical on all nodes",
            found="not by kube-proxy's rules",
            inconclusive=why,
        )
