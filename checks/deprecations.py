"""Deprecations: what the next version of Kubernetes, of the kernel or of the OS takes away."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, check
from wirecheck.model.node import Node
from wirecheck.node.deprecations import Deprecation


def _announced(each: Deprecation) -> Finding:
    """A warning that names the first version affected, and its source."""
    return Finding(
        each.ref,
        expected=f"{each.expected} (first affected: {each.change.first})",
        found=each.found,
        level=Level.WARN,
        evidence=[*each.evidence, f"Source: {each.change.source}"],
        key=f"{each.ref.part} {each.change.first}",
    )


@check(
    remedy="Set the mode before the upgrade, to the one that is in use or to nftables: `kubectl "
    "-n kube-system edit configmap kube-proxy`. Read `wirecheck explain deprecations.node_ports` "
    "before you choose nftables.",
    facts=[Fact.KUBE_PROXY, Fact.API],
)
def default_proxy_mode(node: Node) -> Findings:
    """kube-proxy's mode is set explicitly, before the default changes.

    From Kubernetes 1.40 on, a kube-proxy without a configured mode uses nftables instead of
    iptables. An upgrade then changes how every node forwards Services.

    Except: a kube-proxy whose configuration is not in the ConfigMap kube-proxy is not evaluated.

    See: https://github.com/kubernetes/enhancements/issues/5343
    """
    yield from map(_announced, node.deprecations.default_mode)


@check(
    remedy="Move to nftables mode on a few nodes first, and compare: `kubectl -n kube-system edit "
    "configmap kube-proxy`. Kernels before 5.13 need iptables mode. Load balancers that rely on "
    "kube-ipvs0, such as MetalLB with strictARP, keep working without that setting.",
    facts=[Fact.KUBE_PROXY, Fact.API],
)
def ipvs_mode(node: Node) -> Findings:
    """kube-proxy does not run in IPVS mode.

    IPVS mode is deprecated since Kubernetes 1.35. From 1.40 on it is off by default, and
    kube-proxy does not start with it. 1.43 removes it.

    Except: IPVS servers of other programs, such as keepalived, are not kube-proxy's.

    See: https://github.com/kubernetes/enhancements/issues/5495
         https://github.com/kubernetes/kubernetes/pull/134539
    """
    yield from map(_announced, node.deprecations.ipvs_mode)


@check(
    remedy="Upgrade the kernel of {node} before kube-proxy, or set iptables mode explicitly: "
    "`kubectl -n kube-system edit configmap kube-proxy`.",
    facts=[Fact.VISIT, Fact.KUBE_PROXY, Fact.API],
)
def nftables_kernel(node: Node) -> Findings:
    """The kernel is new enough for kube-proxy's nftables mode.

    kube-proxy does not start in nftables mode on a kernel before 5.13. The node then has no
    Service rules.

    Except: nodes whose kube-proxy is configured for iptables mode are not affected.

    See: https://kubernetes.io/docs/reference/networking/virtual-ips/#proxy-mode-nftables
    """
    yield from map(_announced, node.deprecations.kernel)


@check(
    remedy="Compare the versions, on {node}: `nft --version`. Upgrade nft to 1.0.1 or later, and "
    "beside nft 1.1.3 or later kube-proxy to 1.37 or later.",
    facts=[Fact.SERVICE_RULES, Fact.KUBE_PROXY, Fact.API],
)
def nft_version(node: Node) -> Findings:
    """The node's nft works beside kube-proxy's nftables mode.

    nft before 1.0.1 crashes when it lists kube-proxy's tables, and firewalls that use it fail.
    Sets that nft 1.1.3 or later wrote crash the nft in older images of kube-proxy, which then
    stops updating Services.

    Except: some patch releases of kube-proxy before 1.37 avoid the crash too.

    See: https://github.com/kubernetes/kubernetes/issues/136786
         https://github.com/kubernetes/kubernetes/issues/122572
         https://github.com/kubernetes/kubernetes/pull/140405
    """
    yield from map(_announced, node.deprecations.nft)


@check(
    remedy="Find who writes these rules, on {node}: `iptables-legacy-save`. Switch it to "
    "iptables-nft or nftables before you upgrade the OS.",
    facts=[Fact.SERVICE_RULES, Fact.KUBE_PROXY],
)
def legacy_iptables(node: Node) -> Findings:
    """Nothing depends on the kernel's legacy iptables.

    Red Hat Enterprise Linux 10 and its relatives have no kernel modules for legacy tables, and
    their images lack modules that iptables-nft needs. Programs that write such rules fail there.

    Except: rules of the nft variant of iptables are not legacy, and a legacy table that is loaded
    without rules is not used.

    See: https://github.com/kubernetes/kops/pull/18179
         https://github.com/kubernetes/kops/pull/17920
    """
    yield from map(_announced, node.deprecations.legacy_iptables)


@check(
    remedy="Point these clients to the node's primary address. For secondary addresses, list them "
    "in nodePortAddresses instead: `kubectl -n kube-system edit configmap kube-proxy`.",
    facts=[Fact.KUBE_PROXY, Fact.NEW_CONNECTIONS, Fact.NETNS, Fact.API],
)
def node_ports(node: Node) -> Findings:
    """No client uses node ports where kube-proxy's nftables mode does not open them.

    nftables mode never answers at node ports on 127.0.0.1. Unless nodePortAddresses is set, it
    answers at the node's primary address only.

    Except: packets on localhost are counted since kube-proxy started, but connections to secondary
    addresses only during the visit. A pass does not prove that nobody uses them.

    See: https://kubernetes.io/blog/2025/02/28/nftables-kube-proxy/
         https://kubernetes.io/docs/reference/networking/virtual-ips/#migrating-from-iptables-mode-to-nftables
    """
    yield from map(_announced, node.deprecations.node_ports)


@check(
    remedy="Show the plugin's settings, on {node}: `grep -A5 portmap /etc/cni/net.d/*.conflist`. "
    "Set its backend to nftables with CNI plugins 1.6 or later, then recreate the pods.",
    facts=[Fact.SERVICE_RULES, Fact.KUBE_PROXY, Fact.API],
)
def host_ports(node: Node) -> Findings:
    """Host ports do not depend on iptables where kube-proxy uses nftables.

    A node whose Services are in nftables still needs iptables for its host ports. On a system
    without iptables, new pods with a host port do not start.

    Except: nodes whose kube-proxy is configured for iptables mode are not affected.

    See: https://www.cni.dev/plugins/current/meta/portmap/
         https://github.com/kubernetes/enhancements/issues/5343
    """
    yield from map(_announced, node.deprecations.host_ports)


@check(
    remedy="Switch Calico and kube-proxy to nftables together, as Calico's documentation says, or "
    "set iptables mode in kube-proxy's configuration: `kubectl -n kube-system edit configmap "
    "kube-proxy`.",
    facts=[Fact.SERVICE_RULES, Fact.KUBE_PROXY, Fact.API],
)
def cni_plugin(node: Node) -> Findings:
    """The CNI plugin works beside kube-proxy's nftables mode.

    Calico's iptables dataplane does not work beside kube-proxy in nftables mode: Calico needs its
    own nftables mode then.

    Except: only Calico's iptables dataplane is known not to work. Other plugins are not evaluated.

    See: https://docs.tigera.io/calico/latest/getting-started/kubernetes/nftables
         https://github.com/kubernetes-sigs/kubespray/issues/12198
    """
    yield from map(_announced, node.deprecations.cni_plugin)
