"""CoreDNS: its Corefile, permissions and replicas, as the API shows them."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, check
from wirecheck.model.cluster import Cluster
from wirecheck.text import plural

OWNERS = (
    "Where an operator, a chart or an add-on manager writes it, change it there: `oc edit "
    "dns.operator/default` (OpenShift), HelmChartConfig rke2-coredns (RKE2), ConfigMap "
    "coredns-custom (AKS, k3s)."
)


@check(
    remedy="Edit the Corefile: `kubectl -n {dns_namespace} edit configmap {dns_configmap}`. The "
    "server block for `.` needs `kubernetes {dns_domain} in-addr.arpa ip6.arpa`, with the "
    "clusterDomain of the kubelets. " + OWNERS,
    facts=[Fact.API, Fact.KUBELET],
)
def serves_cluster_domain(cluster: Cluster) -> Findings:
    """The Corefile has the plugin `kubernetes` with a cluster domain.

    Without it CoreDNS runs and is Ready, but does not know any Service. Where the Corefile is
    unknown, the kubelets' domains are compared with each other.

    Except: a Corefile that imports files which were not read, or takes the domain from a variable,
    and DNS servers other than CoreDNS. dns.kubelet_cluster_dns compares each kubelet's domain with
    the Corefile's.

    See: https://coredns.io/plugins/kubernetes/
         https://github.com/coredns/kubernetai/issues/25
    """
    for usual, domain, nodes in cluster.other_domains:
        yield Finding(
            cluster.part(f"clusterDomain of {', '.join(nodes[:3])}"),
            expected=f"{usual}, as of the other kubelets",
            found=f"{domain} on {plural(len(nodes), 'node')}",
        )
    if not cluster.coredns.zone:
        yield Finding(
            cluster.part("Corefile"),
            expected="plugin kubernetes with the cluster's domain",
            found="none",
        )


@check(
    remedy="Compare the Corefile with your installer's, and replace what a newer CoreDNS no longer "
    "supports: `kubectl -n {dns_namespace} get configmap {dns_configmap} -o yaml`. " + OWNERS,
    facts=[Fact.API],
)
def plugins(cluster: Cluster) -> Findings:
    """The Corefile has forward, health, ready and loop, and no plugin that CoreDNS removed.

    A Corefile that was edited by hand or carried over an upgrade can fail at the next restart. A
    missing plugin is noticed only when it would have helped.

    Except: unknown plugins are accepted. loop is required only if queries are forwarded to the
    servers of a file, and not in OpenShift, whose operator writes the Corefile without it. In a
    Corefile with imports no plugin is missed. In a cluster without internet access forward may be
    missing, which a waiver can state.

    See: https://github.com/kubernetes/kubernetes/issues/82889
         https://github.com/kubernetes/kubernetes/issues/91979
         https://github.com/coredns/coredns/issues/2087
    """
    for plugin, version in cluster.coredns.removed_plugins:
        yield Finding(
            cluster.part(f"Corefile, {plugin}"),
            expected="only plugins that CoreDNS still has",
            found=f"{plugin}: CoreDNS {version} and later does not start with it",
            level=Level.WARN,
        )
    for plugin, consequence in cluster.coredns.missing_plugins:
        yield Finding(
            cluster.part(f"Corefile, {plugin}"),
            expected=f"plugin {plugin}",
            found=f"missing: {consequence}",
            level=Level.WARN,
        )


@check(
    remedy="Show the permissions: `kubectl get clusterrole,clusterrolebinding system:coredns -o "
    "yaml`. Apply your installer's manifest again; CoreDNS 1.8.1 and later needs endpointslices of "
    "discovery.k8s.io.",
    facts=[Fact.API],
)
def rbac(cluster: Cluster) -> Findings:
    """CoreDNS may list and watch Services, pods, namespaces and EndpointSlices.

    Without a permission CoreDNS serves what it read before. After a restart it answers NXDOMAIN
    for all cluster names, or never becomes Ready.

    Except: if neither the ClusterRole system:coredns nor its binding exists, CoreDNS was installed
    under another name, and the check does not apply.

    See: https://github.com/coredns/coredns/issues/5495
         https://github.com/kubernetes/kops/issues/11459
    """
    for right in cluster.coredns.missing_permissions:
        yield Finding(
            cluster.part("ClusterRole system:coredns"),
            expected=f"may {right}",
            found="no permission",
        )
    if not cluster.coredns.is_bound:
        yield Finding(
            cluster.part("ClusterRoleBinding system:coredns"),
            expected="bound to the replicas' service account",
            found="not bound",
        )


@check(
    remedy="Delete one replica so that it is scheduled again: `kubectl -n {namespace} delete pod "
    "{pod}`. Then give the Deployment a topology spread constraint over kubernetes.io/hostname.",
    facts=[Fact.API],
)
def replicas_spread(cluster: Cluster) -> Findings:
    """DNS replicas run on at least two nodes.

    If all replicas are on one node, a drain or a crash of that node stops DNS in the whole
    cluster.

    Except: a single replica, and clusters with fewer than two schedulable nodes.

    See: https://github.com/kubernetes/kubernetes/issues/77650
         https://kubernetes.io/docs/tasks/administer-cluster/dns-horizontal-autoscaling/
    """
    for replica in cluster.coredns.colocated_replicas:
        yield Finding(
            replica,
            expected="replicas on at least two nodes",
            found=f"all on {replica.node_name}",
            level=Level.WARN,
        )
