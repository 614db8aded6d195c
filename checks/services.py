"""Services: the rules on each node, against what the API asks kube-proxy to forward."""

from wirecheck.catalogue import check
from wirecheck.dataplane.compare import Kind
from wirecheck.findings import Finding, Findings, Level
from wirecheck.model.node import Node

RESYNC = (
    "Restart kube-proxy on the node (delete its pod): it writes all rules again at its start. It "
    "does not repair rules that something else has changed; find out what did."
)


@check(
    settles=True,
    remedy="Read kube-proxy's log on the node: a failed sync is logged with the line of the rules "
    "that the kernel refused. Then see which services.* checks of the node are red.",
)
def kube_proxy_is_in_sync(node: Node) -> Findings:
    """kube-proxy says of itself that its last sync is as new as the last change.

    A kube-proxy whose every sync fails stays Running and Ready, and its node keeps the rules
    of the day before.
    """
    if problem := node.proxy.health_problem:
        yield Finding(
            node.part("kube-proxy"),
            expected="status 200 at http://127.0.0.1:10256/healthz",
            found=problem,
            evidence=node.proxy.sync_evidence,
        )


@check(settles=True, remedy=RESYNC)
def frontends_are_programmed(node: Node) -> Findings:
    """Every address and port of every Service is handled on the node as the API asks.

    Without its rule a Service exists in the API alone: connections from this node leave for
    the default route, where a stranger may answer them.
    """
    for problem in node.dataplane.problems:
        yield Finding(node, expected="rules to compare", found=problem, level=Level.ERROR)
    for each in node.dataplane.of(Kind.FRONTEND_MISSING, Kind.VERDICT, Kind.NOT_UNDERSTOOD):
        level = Level.ERROR if each.is_not_understood else Level.FAIL
        yield Finding(
            each, expected=each.expected, found=each.found, evidence=each.evidence, level=level
        )


@check(settles=True, remedy=RESYNC)
def backends_are_programmed(node: Node) -> Findings:
    """Every endpoint that is to get connections gets them.

    The others carry its load, and nothing shows it but their latency.
    """
    for each in node.dataplane.of(Kind.BACKEND_MISSING):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC)
def backends_exist(node: Node) -> Findings:
    """No rule sends connections to what is no endpoint of the Service, or must not be used.

    With one dead backend of four, every fourth connection hangs until it times out.
    """
    for each in node.dataplane.of(Kind.BACKEND_STALE, Kind.BACKEND_WRONG):
        yield Finding(
            each,
            expected=each.expected,
            found=each.found,
            evidence=each.evidence,
            key=f"not {each.found}",
        )


@check(settles=True, remedy=RESYNC)
def frontends_exist(node: Node) -> Findings:
    """No rule handles an address or port that no Service has.

    An address that was given to another Service since, or to something outside the cluster,
    leads to the wrong place from this node alone.
    """
    for each in node.dataplane.of(Kind.FRONTEND_STALE):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC)
def backends_share_evenly(node: Node) -> Findings:
    """Each backend of a Service gets the same share of its new connections.

    A changed probability overloads one pod while its neighbours idle.
    """
    for each in node.dataplane.of(Kind.WEIGHTS):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)


@check(settles=True, remedy=RESYNC)
def clients_are_treated_as_asked(node: Node) -> Findings:
    """Affinity, allowed sources and masquerading are as the API asks.

    Sessions that jump between backends, a load balancer that is open to everyone, or answers
    that bypass the node on their way back come from here.
    """
    kinds = (Kind.AFFINITY, Kind.SOURCES, Kind.MASQUERADE, Kind.HAIRPIN, Kind.HEALTH_CHECK_PORT)
    for each in node.dataplane.of(*kinds):
        yield Finding(each, expected=each.expected, found=each.found, evidence=each.evidence)
