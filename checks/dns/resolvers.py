"""DNS: which servers and search path the kubelet gives to pods, and pods have."""

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, check
from wirecheck.catalogue.settling import ON_NODE
from wirecheck.model.node import Node


@check(
    remedy="On {node}, correct clusterDNS and clusterDomain: `grep -A2 -E "
    "'clusterDNS|clusterDomain' /var/lib/kubelet/config.yaml` (with kubeadm: `kubectl -n "
    "kube-system edit configmap kubelet-config`, then `kubeadm upgrade node`). Restart the "
    "kubelet: `systemctl restart kubelet`. Then recreate its pods.",
    facts=[Fact.API, Fact.NETNS, Fact.KUBELET],
)
def kubelet_cluster_dns(node: Node) -> Findings:
    """The kubelet gives new pods the DNS Service's address and the cluster domain.

    Running pods keep their resolv.conf, so a wrong setting only shows in the next pod.

    Except: the address of a cache on the node is accepted, and so is every server that answered
    correctly. A link-local address that nothing on the node has is inconclusive. Without the
    Corefile the domain is compared with the one in which DNS answered. A domain that the Corefile
    rewrites to the cluster's is accepted, and one that it has a template or a server block of its
    own for is inconclusive. In k3s the kubelet's settings are evaluated as k3s writes them, without
    those in kubelet-arg, and in MicroK8s as kubelite reads them. A kubelet inside another process
    is not evaluated.

    See: https://github.com/kubernetes/release/issues/188
         https://github.com/poseidon/matchbox/issues/180
    """
    for each in node.kubelet.dns_deviations:
        yield Finding(
            node.part(f"kubelet's {each.setting}"),
            expected=each.expected,
            found=each.found,
            inconclusive=each.unsure,
        )


@check(
    counts=True,
    settles=ON_NODE,
    remedy="Compare the pod's file, `kubectl -n {namespace} exec {pod} -- cat /etc/resolv.conf`, "
    "with the kubelet's clusterDNS and clusterDomain in /var/lib/kubelet/config.yaml on {node}. A "
    "pod keeps the file that it started with, so recreate it after a change: `kubectl -n "
    "{namespace} delete pod {pod}`.",
    facts=[Fact.API, Fact.POD_FILES],
)
def resolv_conf(node: Node) -> Findings:
    """Each pod's resolv.conf has the nameservers and search path that its dnsPolicy implies.

    With another nameserver cluster names do not resolve. With another search path short names do
    not.

    Except: dnsPolicy and dnsConfig are applied. The servers that dns.kubelet_cluster_dns accepts
    are accepted. A file that a pod mounts itself is not evaluated, and one that it may mount is
    inconclusive.

    See: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/
         https://github.com/openshift/origin/issues/16688
    """
    for pod, resolver in node.dns.resolvers:
        deviations = list(resolver.deviations)
        if not deviations:
            yield CONCLUSIVE
        for each in deviations:
            yield Finding(pod, expected=each.expected, found=each.found, inconclusive=each.unsure)
