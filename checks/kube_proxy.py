"""kube-proxy: that it keeps up with the API, runs as configured, and left nothing behind."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level
from wirecheck.catalogue.registry import Threshold, check
from wirecheck.model.node import Node

SYNC_DELAY = Threshold(
    "kube_proxy.sync_delay",
    120,
    "seconds",
    "kube-proxy itself takes 60 s for too long; twice that spares a node that is merely busy",
)


@check(
    settles=True,
    remedy="Read kube-proxy's log on the node: a failed sync is logged with the line of the rules "
    "that the kernel refused. Then see which services.* checks of the node are red.",
    looks_at=[Fact.KUBE_PROXY],
)
def healthz(node: Node) -> Findings:
    """kube-proxy answers at /healthz that its rules are as new as the last change.

    A kube-proxy whose every sync fails stays Running and Ready, and its node keeps the rules
    of the day before.

    Except: where something else forwards Services (Cilium, kube-router, OVN-Kubernetes,
    Antrea, Calico's eBPF) the check does not apply.

    See: https://github.com/kubernetes/kubernetes/issues/56720
         https://github.com/kubernetes/kubernetes/issues/112292
         https://kubernetes.io/docs/reference/command-line-tools-reference/kube-proxy/
    """
    if problem := node.proxy.health_problem:
        yield Finding(
            node.part("kube-proxy"),
            expected="status 200 at http://127.0.0.1:10256/healthz",
            found=problem,
            evidence=node.proxy.sync_evidence,
        )


@check(
    settles=True,
    thresholds=(SYNC_DELAY,),
    remedy="Read kube-proxy's log on the node for the sync that fails or takes so long; "
    "iptables-save there tells by its own time whether the rules are slow to list.",
    looks_at=[Fact.KUBE_PROXY],
)
def sync_lag(node: Node) -> Findings:
    """No change of a Service waits for its sync for long, by kube-proxy's own metrics.

    Once it has synced, kube-proxy goes on to answer 200 at /healthz while every further sync
    fails: only the metrics tell.

    Except: a change that waits for less than the threshold is only on its way.

    See: https://github.com/kubernetes/kubernetes/issues/76338
         https://github.com/kubernetes/kubernetes/issues/56720
         https://kubernetes.io/docs/reference/instrumentation/metrics/
    """
    for sync in node.proxy.syncs:
        waiting = node.proxy.seconds_waiting(sync)
        if waiting > node.threshold(SYNC_DELAY):
            yield Finding(
                node.part(f"kube-proxy {sync.family}".strip()),
                expected=f"a sync within {node.threshold(SYNC_DELAY):.0f} s of a change",
                found=f"a change that has waited for {waiting:.0f} s",
                evidence=node.proxy.sync_evidence,
            )


@check(
    remedy="Restart kube-proxy on the node (delete its pod): it reads its configuration once, when "
    "it starts. Then see kube_proxy.no_leftover_mode.",
    looks_at=[Fact.KUBE_PROXY, Fact.API],
)
def configured_mode(node: Node) -> Findings:
    """kube-proxy is in the mode that its ConfigMap asks for.

    After the ConfigMap was changed, nodes follow one by one as their kube-proxy restarts, if
    at all: the next reboot then changes how a node forwards, and nobody knows why.

    Except: a kube-proxy from a DaemonSet of another name has a ConfigMap that is not read; one
    that does not tell its mode is not judged.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    actual, configured = node.proxy.actual_mode, node.proxy.configured_mode
    if actual != configured:
        yield Finding(node.part("kube-proxy mode"), expected=configured, found=actual)


@check(
    settles=True,
    remedy="Drain the node; run `kube-proxy --cleanup` there in kube-proxy's image, or reboot it; "
    "then let kube-proxy start again.",
    looks_at=[Fact.API, Fact.SERVICE_RULES, Fact.KUBE_PROXY],
)
def no_leftover_mode(node: Node) -> Findings:
    """No rules or virtual servers are left of a mode that kube-proxy is no longer in.

    Nothing updates them. They go on to answer for Services that are gone, and for backends
    that were others then; at best they wait for the next change of mode.

    Except: the kubelet's own chains (KUBE-FIREWALL, KUBE-KUBELET-CANARY) are in every mode;
    IPVS servers within ipvs.excludeCIDRs are somebody else's.

    See: https://github.com/kubernetes/kubernetes/issues/102314
         https://github.com/kubernetes/kubernetes/issues/109286
         https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/2448-Remove-kube-proxy-automatic-clean-up-logic
    """
    for left in node.dataplane.leftovers:
        yield Finding(
            left, expected="nothing", found=left.what, evidence=left.evidence, level=Level.WARN
        )
        for harm in left.harm:
            yield Finding(harm, expected=harm.expected, found=harm.found, evidence=harm.evidence)


@check(
    remedy="Find which variant kube-proxy uses (its log names it at the start) and flush its "
    "chains in the other: iptables-legacy-save or iptables-nft-save show them.",
    looks_at=[Fact.SERVICE_RULES],
)
def single_iptables_variant(node: Node) -> Findings:
    """Service rules are in one variant of iptables, legacy or nft, and not in both.

    The kernel asks both. After a change of the node's system or of kube-proxy's image the
    older rules stay, are updated no more, and act beside the new ones.

    Except: the kubelet's hint and canary chains alone are no Service rules.

    See: https://github.com/kubernetes/kubernetes/issues/71305
         https://github.com/kubernetes-sigs/iptables-wrappers
    """
    for family in node.iptables.families_with_two_service_rules:
        yield Finding(
            node.part(f"IPv{family} chain KUBE-SERVICES"),
            expected="rules in one variant",
            found="rules in legacy and in nft iptables",
            evidence=node.iptables.service_hooks(family),
        )
