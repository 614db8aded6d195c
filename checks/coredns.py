"""CoreDNS: what the API shows of how it is set up, before anything is asked of it."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level
from wirecheck.catalogue.registry import check
from wirecheck.model.cluster import Cluster


@check(
    remedy="kubectl -n kube-system edit configmap coredns: the server block for `.` needs "
    "`kubernetes cluster.local in-addr.arpa ip6.arpa`, with the domain that kubelets have as "
    "clusterDomain.",
    looks_at=[Fact.API],
)
def serves_cluster_domain(cluster: Cluster) -> Findings:
    """The Corefile has the plugin `kubernetes` with a domain of Services.

    Without it CoreDNS runs, is Ready, and knows no Service.

    Except: a Corefile that imports files is not judged by what it lacks; another DNS server
    than CoreDNS has no Corefile.

    See: https://coredns.io/plugins/kubernetes/
         https://github.com/coredns/kubernetai/issues/25
    """
    if not cluster.coredns.zone:
        yield Finding(
            cluster.part("Corefile"),
            expected="plugin kubernetes with the cluster's domain",
            found="none",
        )


@check(
    remedy="kubectl -n kube-system get configmap coredns -o yaml; compare it with the Corefile of "
    "your installer, and replace what a newer CoreDNS no longer knows.",
    looks_at=[Fact.API],
)
def plugins(cluster: Cluster) -> Findings:
    """The Corefile has forward, health, ready and loop, and nothing that CoreDNS dropped.

    A Corefile that was edited by hand or carried over an upgrade works until the next restart,
    or until the day on which the plugin that is missing would have helped.

    Except: plugins that are not known are taken for good; loop is needed only where queries
    are forwarded to servers named in a file; with imports nothing is missed; a cluster without
    a way out may do without forward, which a waiver can say.

    See: https://github.com/kubernetes/kubernetes/issues/82889
         https://github.com/kubernetes/kubernetes/issues/91979
         https://github.com/coredns/coredns/issues/2087
    """
    for plugin, version in cluster.coredns.removed_plugins:
        yield Finding(
            cluster.part(f"Corefile, {plugin}"),
            expected="plugins that CoreDNS has",
            found=f"{plugin}, with which CoreDNS from {version} on does not start",
            level=Level.WARN,
        )
    for plugin, consequence in cluster.coredns.missing_plugins:
        yield Finding(
            cluster.part(f"Corefile, {plugin}"),
            expected=f"plugin {plugin}",
            found=f"none: {consequence}",
            level=Level.WARN,
        )


@check(
    remedy="kubectl get clusterrole,clusterrolebinding system:coredns -o yaml; apply those of "
    "your installer again: CoreDNS from 1.8.1 on needs endpointslices of discovery.k8s.io.",
    looks_at=[Fact.API],
)
def rbac(cluster: Cluster) -> Findings:
    """CoreDNS may list and watch Services, pods, namespaces and EndpointSlices.

    Without a right it goes on with what it read before, and knows nothing after a restart:
    then every cluster name is unknown, or the replica never becomes Ready.

    Except: where neither the ClusterRole system:coredns nor its binding exists, CoreDNS was
    installed under another name, and is not judged.

    See: https://github.com/coredns/coredns/issues/5495
         https://github.com/kubernetes/kops/issues/11459
    """
    for right in cluster.coredns.missing_permissions:
        yield Finding(
            cluster.part("ClusterRole system:coredns"), expected=f"may {right}", found="may not"
        )
    if not cluster.coredns.is_bound:
        yield Finding(
            cluster.part("ClusterRoleBinding system:coredns"),
            expected="bound to the replicas' service account",
            found="not bound",
        )


@check(
    remedy="kubectl -n kube-system get pods -l k8s-app=kube-dns -o wide; delete one, and give the "
    "Deployment an anti-affinity or a topology spread over kubernetes.io/hostname.",
    looks_at=[Fact.API],
)
def replicas_spread(cluster: Cluster) -> Findings:
    """DNS replicas are not all on one node.

    Replicas on one node share its fate: a drain or a crash takes all names away at once.

    Except: a single replica, or a cluster with fewer than two nodes that take any pod.

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
