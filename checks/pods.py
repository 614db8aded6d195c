"""Pods: whether each pod has the addresses that the API shows for it."""

from wirecheck.addresses import contains
from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, Level, NotApplicable, check
from wirecheck.catalogue.settling import API_ALONE, COMING_AND_GOING, ON_NODE, READINESS
from wirecheck.dataplane.rules.egress import Masqueraded
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.node.hidden_sources import UNKNOWN

ENDED = (
    "The evidence is the rule. Find the program on {node} that adds it, and configure it to match "
    "fewer packets, or to put its rules behind those of the CNI plugin: `iptables-save -t nat -c | "
    "grep POSTROUTING` shows their order."
)


@check(
    settles=API_ALONE,
    remedy="Read the pod's events: `kubectl -n {namespace} describe pod {pod}`. Then read the CNI "
    "plugin's log: `kubectl -n {cni_namespace} logs {cni_pod} --all-containers`.",
    facts=[Fact.API],
)
def have_ip(node: Node) -> Findings:
    """Every running pod has an IP address.

    A pod without an address counts as started, but no Service can use it.

    Except: pods that are finished or terminating.

    See: https://github.com/kubernetes/kubernetes/issues/69925
    """
    for pod in node.running_pods:
        if not pod.addresses:
            yield Finding(pod, expected="an address", found="none in its status")


@check(
    settles=API_ALONE,
    remedy="Recreate the pod so that it gets a new address: `kubectl -n {namespace} delete pod "
    "{pod}`. Then compare the range in /etc/cni/net.d and /run/flannel/subnet.env on {node} with "
    "`kubectl get node {node} -o jsonpath='{.spec.podCIDRs}'`.",
    facts=[Fact.API],
)
def ip_in_node_range(node: Node) -> Findings:
    """Every pod's IP address is in the pod range of its node.

    Other nodes have routes to ranges, not to single addresses. They cannot reach a pod outside the
    range.

    Except: CNI plugins that allocate addresses from their own pools (Calico, Cilium, those of the
    clouds), and pods on the host network.

    See: https://github.com/kubernetes/kubeadm/issues/2400
         https://github.com/cri-o/cri-o/issues/2411
    """
    if node.why_left_out:
        raise NotApplicable(node.why_left_out)
    if not node.assigns_from_pod_cidrs:
        raise NotApplicable(f"{node.cni_plugin} allocates addresses from its own pools")
    pods = [pod for pod in node.running_pods if not pod.on_host_network]
    if not pods:
        raise NotApplicable("all pods of the node are on the host network")
    for pod in pods:
        for address in pod.addresses:
            if not contains(node.pod_ranges, address):
                yield Finding(
                    pod,
                    expected=f"an address in {', '.join(map(str, node.pod_ranges))}",
                    found=address,
                )


@check(
    settles=API_ALONE,
    remedy="Delete the younger of the pods: `kubectl -n {namespace} delete pod {pod}`. Then look "
    "for stale or missing reservations of the CNI plugin's IPAM on the nodes: `ls -l "
    "/var/lib/cni/networks/*`.",
    facts=[Fact.API],
)
def unique_ips(cluster: Cluster) -> Findings:
    """No two pods have the same IP address.

    Packets to the address reach only one of the pods, and which one can change at any time.

    Except: finished pods, which keep their address in the API, pods on the host network, which
    share the address of their node, and pods of virtual nodes.

    See: https://github.com/kubernetes/kubernetes/issues/51322
         https://github.com/kubernetes/kubernetes/issues/72186
         https://github.com/flannel-io/flannel/issues/1549
    """
    for address, pods in cluster.shared_addresses:
        first, *others = sorted(pods, key=lambda pod: pod.ref)
        yield Finding(
            first,
            expected=f"{address} on this pod only",
            found=f"also on {', '.join(f'{o.namespace}/{o.name}' for o in others)}",
            concerns=others,
        )


@check(
    counts=True,
    settles=COMING_AND_GOING,
    remedy="Check on {node} whether the pod's sandbox exists: `crictl pods --name {pod}`. If not, "
    "recreate the pod: `kubectl -n {namespace} delete pod {pod}`.",
    facts=[Fact.API, Fact.PROCESSES],
)
def have_netns(node: Node) -> Findings:
    """Every running pod has a network namespace on its node.

    A pod without processes, or without its own network namespace, exists in the API only.

    Except: pods in a virtual machine or sandbox (KubeVirt, Kata, gVisor), whose network the node
    cannot see, are inconclusive. If no pod of the node can be mapped to its processes, nothing is
    known about any of them.

    See: https://github.com/kubernetes/kubernetes/issues/69723
    """
    for pod in node.running_pods:
        if pod.has_own_netns and node.namespaces.netns_of(pod) is None:
            yield Finding(
                pod,
                expected="processes in their own netns",
                found=node.namespaces.why_no_netns(pod),
            )
        elif why := node.namespaces.why_hidden(pod):
            yield Finding(pod, expected="a netns", found="a sandbox of its own", inconclusive=why)
        elif pod.has_own_netns:
            yield CONCLUSIVE


@check(
    settles=ON_NODE,
    remedy="Compare with the addresses on {node}: `nsenter --net={netns} ip address show`. "
    "Recreate the pod: `kubectl -n {namespace} delete pod {pod}`. Then read the CNI plugin's log: "
    "`kubectl -n {cni_namespace} logs {cni_pod} --all-containers`.",
    facts=[Fact.API, Fact.PROCESSES, Fact.NETNS],
)
def ip_on_interface(node: Node) -> Findings:
    """Every pod's network namespace has each address that the API shows for the pod.

    A pod that lost its address stays Running and Ready, but nothing can reach it.

    Except: additional addresses, such as those of secondary networks.

    See: https://github.com/kubernetes/kubernetes/issues/69925
         https://github.com/kubernetes/kubernetes/issues/48510
    """
    for pod, netns in node.pods_with_netns:
        for address in pod.addresses - netns.addresses:
            yield Finding(pod, expected=f"{address} on an interface", found=netns.addresses)


@check(
    counts=True,
    settles=READINESS,
    remedy="Find out why the pod is missing or not Ready: `kubectl -n kube-system get pods -o wide "
    "--field-selector spec.nodeName={node}`, then `kubectl -n {namespace} describe pod {pod}`. If "
    "there is no pod, compare the DaemonSet's tolerations and node selector with `kubectl describe "
    "node {node}`.",
    facts=[Fact.API],
)
def network_daemons_ready(node: Node) -> Findings:
    """kube-proxy and NodeLocal DNSCache, if a DaemonSet runs them, are Ready on the node.

    The node stays Ready without them, but its rules are no longer updated.

    Except: nodes that are being removed, virtual nodes, and nodes that the DaemonSet leaves out by
    its node selector, affinity or tolerations. cni.agent_ready covers the CNI plugin's agent. What
    a static pod or a service of the operating system runs is not evaluated.

    See: https://github.com/kubernetes/dns/issues/561
         https://github.com/kubernetes/kubernetes/issues/56720
    """
    for part in node.network_daemons:
        if not part.pods:
            yield Finding(
                node.part(part.name),
                expected="a pod of its DaemonSet",
                found="none",
                inconclusive=part.unknown,
            )
        for pod in part.pods:
            if pod.is_ready or pod.is_terminating:
                yield CONCLUSIVE
            else:
                yield Finding(pod, expected="Ready", found="not Ready", since=pod.since_readiness)


@check(
    counts=True,
    settles=ON_NODE,
    remedy="Restart the agent of the CNI plugin, which writes its masquerade rules again: `kubectl "
    "-n {cni_namespace} delete pod {cni_pod}`. Then find out what removed them, or put a rule "
    "before them: on {node}, `iptables-save -t nat -c | grep POSTROUTING`.",
    facts=[Fact.API, Fact.NETNS, Fact.SERVICE_RULES],
)
def egress_masqueraded(node: Node) -> Findings:
    """What pods send outside the cluster leaves with the node's address, if that is configured.

    Otherwise it leaves with the pod's address, which no router outside the cluster knows: pods
    reach each other and all Services, but nothing on the internet.

    Except: nodes that show no such configuration. It is known from flannel's subnet.env, from
    natOutgoing of Calico's IPPools, from ipMasq of the CNI configuration, from kindnet and
    ip-masq-agent, and from a plugin's own chain of masquerade rules. What ip-masq-agent exempts is
    not masqueraded on purpose, and neither is IPv6 of k3s without its option. Rules of other
    nftables tables are not read; without a rule of iptables the node is inconclusive then.
    Programs of eBPF that masquerade are not evaluated.

    See: https://github.com/flannel-io/flannel/blob/master/Documentation/configuration.md
         https://docs.tigera.io/calico/latest/networking/configuring/workloads-outside-cluster
         https://github.com/kubernetes-sigs/ip-masq-agent
    """
    for each in node.egress.all:
        if each.answer is not Masqueraded.YES:
            yield Finding(
                node.part(f"packets of pods to outside, IPv{each.pod.version}"),
                expected=f"masqueraded, by {each.why}",
                found=each.found,
                evidence=[each.ended_by] if each.ended_by else [],
                remedy=ENDED if each.ended_by else "",
                inconclusive=each.inconclusive,
                key=f"IPv{each.pod.version}",
            )
        else:
            yield CONCLUSIVE


@check(
    settles=ON_NODE,
    remedy="The evidence is the rule. If it is the CNI plugin's or its agent's, restart that one, "
    "which writes its exceptions for pods again: `kubectl -n {cni_namespace} delete pod "
    "{cni_pod}`, or the pod of ip-masq-agent on {node}, whose nonMasqueradeCIDRs must have the pod "
    "network. Otherwise find the program that adds it, and configure it to leave packets to the "
    "pod network alone: `iptables-save -t nat -c | grep -e POSTROUTING -e MASQ` shows all of them.",
    facts=[Fact.API, Fact.NETNS, Fact.SERVICE_RULES],
)
def addresses_kept(node: Node) -> Findings:
    """What pods send to pods of other nodes keeps the pods' own addresses.

    Rules that masquerade what leaves the cluster begin with exceptions for the pod network. If one
    is lost, connections still work, but every pod seems to be the node: NetworkPolicies by pods
    refuse them or accept too much, and servers log, limit and trust the wrong client.

    Except: only packets that are masqueraded in any case count. At most eight other nodes are
    tried. Where a rule depends on an ipset that is not known, that is inconclusive. Programs of
    eBPF that masquerade are not evaluated.

    See: https://kubernetes.io/docs/concepts/services-networking/
         https://github.com/kubernetes-sigs/ip-masq-agent
    """
    for each in node.hidden_sources.all:
        yield Finding(
            node.part(f"packets to pods of other nodes, IPv{each.family}"),
            expected="with the address of the pod that sends them",
            found=each.found,
            evidence=filter(None, [each.rule]),
            inconclusive="" if each.rule else UNKNOWN,
            key=f"IPv{each.family} {each.rule}",
        )


@check(
    compares_nodes=True,
    remedy="Restart the CNI plugin's agent on {node}, which writes its masquerade rules again: "
    "`kubectl -n kube-system get pods -o wide --field-selector spec.nodeName={node}` lists it. To "
    "compare by hand, on both nodes: `iptables-save -t nat | grep cali-nat-outgoing`, and `kubectl "
    "get ippools -o yaml`.",
    facts=[Fact.API, Fact.NETNS, Fact.SERVICE_RULES],
)
def egress_uniform(cluster: Cluster) -> Findings:
    """If a node masquerades the pods of the plugin's pools, all nodes with pods do.

    A pool belongs to the whole cluster, so every node has the same rules for it. On a node without
    them pods reach each other and all Services of pods, but neither the API server nor the
    internet.

    Except: Calico's pools are compared this way only if its IPPools could not be read. Otherwise
    pods.egress_masqueraded knows what each pool asks for.

    See: https://docs.tigera.io/calico/latest/networking/configuring/workloads-outside-cluster
    """
    for each in cluster.unlike_egress:
        yield Finding(
            each.ref,
            expected=f"pods are masqueraded to outside of the pools, as on {each.others}",
            found=f"no rule in the chain for it (IPv{each.family})",
            key=f"IPv{each.family}",
        )


DOUBLED = (
    "Compare them on {node}: `bpftool net list dev {device}` and `tc filter show dev {device} "
    "ingress`. Restart the CNI plugin's agent, which attaches its programs again and removes "
    "older ones: `kubectl -n {cni_namespace} delete pod {cni_pod}`. If the second one stays, "
    "recreate the pods that the finding names."
)


@check(
    settles=ON_NODE,
    remedy="Find out who attached it, on {node}: `bpftool net list` and `tc filter show dev "
    "{device} ingress`. Ask the owner before you remove it: a plugin or an agent may rely on it.",
    facts=[Fact.DEVICE_PROGRAMS, Fact.NETNS, Fact.PROCESSES],
)
def device_programs(node: Node) -> Findings:
    """Only the CNI plugin's programs are on pods' interfaces and tunnel devices, each once.

    A program or filter that somebody else attached, or that another plugin left behind, can drop,
    delay or redirect packets of pods. No iptables rule, route or NetworkPolicy shows that. One that
    an upgrade left behind beside its successor can decide first, by outdated state.

    Except: programs that are known to only observe packets, and the tbf queue of the CNI plugin
    bandwidth. With an unknown CNI plugin programs are inconclusive.

    See: https://docs.ebpf.io/linux/program-type/BPF_PROG_TYPE_SCHED_CLS/
         https://man7.org/linux/man-pages/man8/tc-bpf.8.html
    """
    for each in node.device_programs.unexpected:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.found,
            level=Level.WARN,
            evidence=each.evidence,
            inconclusive=each.inconclusive,
            key=each.ref.part,
            names={"device": each.device},
        )
    for double in node.device_programs.doubled:
        yield Finding(
            double.ref,
            expected=double.expected,
            found=double.found,
            level=Level.WARN,
            evidence=double.evidence,
            key=f"doubled {double.ref.part}",
            remedy=DOUBLED,
            names={"device": double.device},
        )
