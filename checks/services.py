"""Services: the rules on each node, against what the API asks kube-proxy to forward."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level
from wirecheck.catalogue.registry import check
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node

RULES = (Fact.API, Fact.SERVICE_RULES, Fact.KUBE_PROXY)
RESYNC = (
    "Restart kube-proxy on the node (delete its pod): it writes all rules again at its start. It "
    "does not repair rules that something else has changed; find out what did."
)
OF_OTHERS = "rules of others that are not understood, and that no Service's connections meet"


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def rules_reachable(node: Node) -> Findings:
    """Connections reach the node's Service rules: no hook is missing, nothing ends them before.

    The rules may all be there and in order, and not one packet meets them: a firewall that
    was reloaded removes the jumps to them, or puts rules of its own first. Or a rule behind
    them, in a chain of Kubernetes, ends all that they have translated.

    Except: chains that nothing leads to, IPVS real servers that drain, addresses that several
    Services claim.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/95409
         https://github.com/rancher/rke2/issues/774
    """
    for each in node.dataplane.common(Kind.FRONTEND_MISSING):
        yield Finding(
            each,
            expected=each.expected,
            found=each.found,
            evidence=[*each.evidence, *node.iptables.nat_hooks(each.family)],
        )


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def frontends_programmed(node: Node) -> Findings:
    """Every address and port of every Service is handled on the node.

    Without its rule a Service exists in the API alone: connections from this node leave for
    the default route, where a stranger may answer them.

    Except: headless Services, ExternalName and Services with the label
    service.kubernetes.io/service-proxy-name are none of kube-proxy's.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/112292
         https://github.com/kubernetes/kubernetes/issues/35641
    """
    for problem in node.dataplane.problems:
        yield Finding(node, expected="rules to compare", found=problem, level=Level.ERROR)
    for rule in node.dataplane.ignored:
        yield Finding(
            node.part(rule), expected="a rule that is understood", found=rule, unless=OF_OTHERS
        )
    for each in node.dataplane.of(Kind.FRONTEND_MISSING, Kind.NOT_UNDERSTOOD):
        level = Level.ERROR if each.is_not_understood else Level.FAIL
        yield Finding(
            each, expected=each.expected, found=each.found, evidence=each.evidence, level=level
        )


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def no_stale_frontends(node: Node) -> Findings:
    """No rule handles an address or port that no Service has.

    An address that was given to another Service since, or to something outside the cluster,
    leads to the wrong place from this node alone. A node port that is left stays open.

    Except: chains that nothing leads to, IPVS real servers that drain, addresses that several
    Services claim.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/71071
    """
    for each in node.dataplane.of(Kind.FRONTEND_STALE):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(
    settles=True,
    remedy="The evidence shows the rule. Give its owner another port: a pod's hostPort, a port "
    "mapping of a container on the node, or a rule made by hand.",
    looks_at=RULES,
)
def not_shadowed(node: Node) -> Findings:
    """No rule of others takes a Service's connections before kube-proxy's rules do.

    A hostPort or a port mapping with a node port's number wins on its node, and the Service
    works on all others.

    Except: port mappings for ports that no Service has are left alone.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://kubernetes.io/docs/concepts/services-networking/service/
    """
    for each in node.dataplane.of(Kind.SHADOWED):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def refused_or_dropped(node: Node) -> Findings:
    """Connections are forwarded, rejected or dropped, as the Service's endpoints ask.

    A reject that outlives the Service's lack of endpoints turns clients away; where it is
    missing they wait for a timeout instead; and a port that should be closed is open.

    Except: chains that nothing leads to, IPVS real servers that drain, addresses that several
    Services claim.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/48370
    """
    for each in node.dataplane.of(Kind.VERDICT):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def backends_programmed(node: Node) -> Findings:
    """Every endpoint that is to get connections gets them.

    The others carry its load, and nothing shows it but their latency.

    Except: traffic policies, topology hints and terminating endpoints are followed as kube-
    proxy of that node's version does.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/kubernetes/kubernetes/issues/76338
         https://github.com/kubernetes/kubernetes/issues/56720
    """
    for each in node.dataplane.of(Kind.BACKEND_MISSING):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def no_stale_backends(node: Node) -> Findings:
    """No rule sends connections to what is no endpoint of the Service, or must not be used.

    With one dead backend of four, every fourth connection hangs until it times out.

    Except: chains that nothing leads to, IPVS real servers that drain, addresses that several
    Services claim.

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
        )


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def even_weights(node: Node) -> Findings:
    """Each backend of a Service gets the same share of its new connections.

    A changed probability overloads one pod while its neighbours idle.

    Except: the rounding of probabilities by the kernel is evened out on reading.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    for each in node.dataplane.of(Kind.WEIGHTS):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def session_affinity(node: Node) -> Findings:
    """A client keeps its backend for as long as the Service's session affinity says, or not at all.

    Sessions that jump between backends lose what only one of them knows; unwanted affinity
    sends all of one proxy's clients to one pod.

    Except: none are known.

    See: https://kubernetes.io/docs/concepts/services-networking/service/
         https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    for each in node.dataplane.of(Kind.AFFINITY):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def source_ranges(node: Node) -> Findings:
    """loadBalancerSourceRanges are enforced: those and no others reach the Service.

    Otherwise a load balancer that was meant for a few is open to everyone.

    Except: Before 1.30 and its feature gates, and in other versions, ranges are compared as
    that version of kube-proxy programs them.

    See: https://kubernetes.io/docs/concepts/services-networking/service/
    """
    for each in node.dataplane.of(Kind.SOURCES):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def masquerade(node: Node) -> Findings:
    """Connections get the node's source address where their answer has to come back this way.

    Without it the backend answers the client directly, which drops answers from an address
    that it never asked; with too much of it backends no longer see who asks.

    Except: where kube-proxy's configuration is not known, masquerading is not compared.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
         https://github.com/flannel-io/flannel/issues/1155
    """
    for every in node.dataplane.common(Kind.MASQUERADE):
        yield Finding(every, expected=every.expected, found=every.found, evidence=every.evidence)
    for each in node.dataplane.of(Kind.MASQUERADE, Kind.HAIRPIN):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC, looks_at=RULES)
def health_check_ports_open(node: Node) -> Findings:
    """The node accepts a load balancer's health checks at each healthCheckNodePort.

    A load balancer takes a node that it cannot check for dead, and sends it nothing.

    Except: only Services with externalTrafficPolicy Local have such a port.

    See: https://kubernetes.io/docs/concepts/services-networking/service/
    """
    for each in node.dataplane.of(Kind.HEALTH_CHECK_PORT):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(
    settles=True,
    compares_nodes=True,
    remedy="See the other services.* findings of the nodes that differ from the rest. Where two "
    "Services claim one address, take it from one of them.",
    looks_at=RULES,
)
def nodes_agree(cluster: Cluster) -> Findings:
    """All nodes handle each Service alike, where the API asks the same of them.

    A Service that works from most nodes fails for some of its clients some of the time, and
    a test from any single place may say that all is well.

    Except: nodes are compared only where the API asks the same of them: local traffic policies
    and topology hints make no difference.

    See: https://github.com/kubernetes/kubernetes/issues/35641
         https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    for each in cluster.disagreements:
        yield Finding(each, expected="alike on all nodes", found=each.found, level=Level.WARN)
