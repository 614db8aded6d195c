"""kube-proxy: whether it is healthy, up to date and configured, and left no old rules behind."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, NotApplicable, Threshold, check
from wirecheck.catalogue.settling import COMING_AND_GOING, ON_NODE
from wirecheck.model.node import Node

SYNC_DELAY = Threshold(
    "kube_proxy.sync_delay",
    120,
    "seconds",
    "kube-proxy itself considers 60 s too long; twice that tolerates a busy node",
)


@check(
    settles=COMING_AND_GOING,
    remedy="Read kube-proxy's log, which contains the line that the kernel rejected: `kubectl -n "
    "kube-system logs {kube_proxy_pod}`. Then see which of the services.* checks fail on {node}.",
    facts=[Fact.KUBE_PROXY],
)
def healthz(node: Node) -> Findings:
    """kube-proxy's /healthz reports that its rules are up to date.

    If every sync fails, kube-proxy stays Running and Ready, while the node keeps outdated rules.

    Except: nodes where another program forwards Services (Cilium, kube-router, OVN-Kubernetes,
    Antrea, Calico with eBPF).

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
            since=node.proxy.last_sync,
        )


@check(
    settles=ON_NODE,
    thresholds=(SYNC_DELAY,),
    remedy="Look for a failing or slow sync in kube-proxy's log: `kubectl -n kube-system logs "
    "{kube_proxy_pod} | grep -i sync`. On {node}, `time iptables-save > /dev/null` shows whether "
    "listing the rules is slow.",
    facts=[Fact.KUBE_PROXY],
)
def sync_lag(node: Node) -> Findings:
    """kube-proxy applies every change of a Service in time, according to its own metrics.

    After its first sync, kube-proxy can answer 200 at /healthz while every later sync fails. Only
    the metrics show it.

    Except: a change that has waited for less than the threshold.

    See: https://github.com/kubernetes/kubernetes/issues/76338
         https://github.com/kubernetes/kubernetes/issues/56720
         https://kubernetes.io/docs/reference/instrumentation/metrics/
    """
    if not node.proxy.syncs:
        raise NotApplicable("kube-proxy shows no syncs in its metrics")
    for sync in node.proxy.syncs:
        waiting = node.proxy.seconds_waiting(sync)
        if waiting > node.threshold(SYNC_DELAY):
            yield Finding(
                node.part(f"kube-proxy {sync.family}".strip()),
                expected=f"a sync within {node.threshold(SYNC_DELAY):.0f} s of a change",
                found=f"a change has been waiting for {waiting:.0f} s",
                evidence=node.proxy.sync_evidence,
                since=node.proxy.last_sync_of(sync),
            )


@check(
    remedy="Restart kube-proxy, which reads its configuration only when it starts: `kubectl -n "
    "kube-system delete pod {kube_proxy_pod}`. Then see `wirecheck explain "
    "kube_proxy.no_leftover_mode`.",
    facts=[Fact.KUBE_PROXY, Fact.API],
)
def configured_mode(node: Node) -> Findings:
    """kube-proxy runs in the mode that its ConfigMap specifies.

    After a change of the ConfigMap each node switches only when its kube-proxy restarts. An
    unrelated reboot then changes how the node forwards Services.

    Except: the ConfigMap of a kube-proxy whose DaemonSet has another name is not read. A kube-proxy
    that does not report its mode is not evaluated.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/
    """
    actual, configured = node.proxy.actual_mode, node.proxy.configured_mode
    if actual != configured:
        yield Finding(node.part("kube-proxy mode"), expected=configured, found=actual)


@check(
    settles=ON_NODE,
    remedy="Drain the node, `kubectl drain {node} --ignore-daemonsets`, and reboot it: these "
    "rules do not survive it. Then `kubectl uncordon {node}`. Do not flush tables instead: "
    "other programs have rules and virtual servers in them, too.",
    facts=[Fact.API, Fact.SERVICE_RULES, Fact.KUBE_PROXY],
)
def no_leftover_mode(node: Node) -> Findings:
    """No rules or virtual servers are left over from another mode of kube-proxy.

    Nothing updates leftover rules. They still forward deleted Services and outdated backends, or
    take effect at the next change of the mode.

    Except: the kubelet's own chains (KUBE-FIREWALL, KUBE-KUBELET-CANARY) exist in every mode.
    Virtual servers of other programs (kube-vip, lvscare, keepalived) are not kube-proxy's: those
    have their address on kube-ipvs0 or in an ipset KUBE-*. IPVS servers within ipvs.excludeCIDRs
    belong to another program, too.

    See: https://github.com/kubernetes/kubernetes/issues/102314
         https://github.com/kubernetes/kubernetes/issues/109286
         https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/2448-Remove-kube-proxy-automatic-clean-up-logic
    """
    for left in node.kube_proxy_rules.leftovers:
        yield Finding(
            left, expected="nothing", found=left.what, evidence=left.evidence, level=Level.WARN
        )
        for harm in left.harm:
            yield Finding(harm, expected=harm.expected, found=harm.found, evidence=harm.evidence)


@check(
    remedy="Find out which variant kube-proxy uses; it logs it at the start: `kubectl -n "
    "kube-system logs {kube_proxy_pod} | grep -i iptables`. On {node}, show the rules of both "
    "variants, `iptables-legacy-save` and `iptables-nft-save`, and flush the chains in the other "
    "one.",
    facts=[Fact.SERVICE_RULES],
)
def single_iptables_variant(node: Node) -> Findings:
    """Service rules exist in one variant of iptables only, legacy or nft.

    The kernel applies both. After a change of the operating system or of kube-proxy's image the
    old rules stay, are no longer updated, and still affect packets.

    Except: the kubelet's hint and canary chains do not count as Service rules.

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


@check(
    settles=COMING_AND_GOING,
    remedy="Decide which program is to forward Services. Remove the other one from the cluster "
    "(its DaemonSet, or its option to forward Services). Then drain the node, `kubectl drain "
    "{node} --ignore-daemonsets`, and reboot it: the other program's rules do not survive it. Then "
    "`kubectl uncordon {node}`.",
    facts=[Fact.API, Fact.NETNS, Fact.SERVICE_RULES, Fact.KUBE_PROXY],
)
def alone(node: Node) -> Findings:
    """Only one program forwards Services on the node.

    Two programs write rules for the same connections. Which of them a connection meets depends on
    hooks and priorities. Rules of a program that no longer runs forward to outdated backends.

    Except: Antrea forwards only pods' connections unless proxyAll is on. Cilium without
    kube-proxy-replacement and kube-router without its service proxy leave Services to kube-proxy.
    Virtual servers of IPVS count only at cluster IPs; kube-vip and lvscare have others.
    kube_proxy.no_leftover_mode reports rules of another mode of kube-proxy.

    See: https://docs.cilium.io/en/stable/network/kubernetes/kubeproxy-free/
         https://docs.tigera.io/calico/latest/operations/ebpf/enabling-ebpf
    """
    first = node.service_dataplanes.all[0]
    for each in node.service_dataplanes.further:
        yield Finding(
            node.part(each.name),
            expected=f"only {first.name}",
            found="also " + each.found,
            evidence=each.evidence,
            level=Level.WARN,
        )
