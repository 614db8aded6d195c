"""CNI: what the container runtime needs on a node to set up the network of the next pod."""

from wirecheck.catalogue import (
    CONCLUSIVE,
    Fact,
    Finding,
    Findings,
    Level,
    Limits,
    NotApplicable,
    Threshold,
    check,
)
from wirecheck.catalogue.settling import CLAIMS, LEFT_OVER, ON_NODE, READINESS
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node

POOL = Limits(
    warn=Threshold("cni.pool_warn", 80, "%", "a rolling update needs extra addresses for a while"),
    fail=Threshold("cni.pool_fail", 95, "%", "the next pods get no address"),
)
TOKEN_WARN = Threshold("cni.token_warn", 60, "minutes", "agents renew it hours before it expires")


OF_AGENT = (
    "List the files on {node}: `ls -l {folder}`, and keep the one of the CNI plugin whose agent "
    "runs in the cluster. Its agent writes it again when it starts: `kubectl -n {cni_namespace} "
    "delete pod {cni_pod}`. Move only files of other plugins out of the folder."
)


@check(
    settles=CLAIMS,
    remedy="Compare both: `kubectl get ipamblocks,blockaffinities -o yaml`. If the node is gone, "
    "Calico's kube-controllers should have freed its blocks: `kubectl get pods -A -l "
    "k8s-app=calico-kube-controllers` finds them. `calicoctl ipam check --show-problem-ips` lists "
    "what is inconsistent. Do not edit a block that has pods.",
    facts=[Fact.API],
)
def blocks_claimed(cluster: Cluster) -> Findings:
    """Each address block of Calico belongs to the node that has claimed it.

    Calico routes a block by the affinity of its IPAMBlock, and nodes assign addresses by their
    BlockAffinity. If they differ, each pod of the block needs a route of its own. Addresses in a
    block of a node that is gone are lost to all others.

    Except: claims that are pending, and blocks of no node. Packets arrive nevertheless.

    See: https://docs.tigera.io/calico/latest/reference/resources/blockaffinity
    """
    for each in cluster.odd_blocks:
        yield Finding(each.block.ref, expected=each.expected, found=each.found, level=Level.WARN)


@check(
    settles=READINESS,
    remedy="Read the log of the agent: `kubectl -n {namespace} logs {pod} --tail 50`. If it hangs, "
    "recreate its pod: `kubectl -n {namespace} delete pod {pod}`. Connections that exist are not "
    "interrupted. Before that, keep what shows why it hangs: on {node}, the state and stack of its "
    "process (`/proc/PID/status`, `/proc/PID/stack`).",
    # Connections count where other checks have them made; this one does not ask for any.
    facts=[Fact.AGENTS, Fact.API],
)
def agent_responds(node: Node) -> Findings:
    """The agent of the CNI plugin answers health checks if its pod is Ready.

    A hung agent stays Ready for a while, and the node forwards with what the agent wrote before:
    new pods get no network, and Services send connections to pods that no longer exist.

    Except: agents that are not Ready, as cni.agent_ready reports them, and other ports than the
    default ones. Where the agent forwards Services, it also answers the health checks of load
    balancers. It counts as hung if the node gets no answer from itself, in a run that tries them.

    See: https://docs.cilium.io/en/stable/operations/troubleshooting/
         https://docs.tigera.io/calico/latest/reference/felix/configuration
    """
    for each in node.agent_health.states:
        if each.problem:
            yield Finding(
                each.pod, expected=each.expected, found=each.problem, evidence=each.evidence
            )


@check(
    counts=True,
    settles=READINESS,
    remedy="Find out why the pod is missing or not Ready: `kubectl get pods -A -o wide "
    "--field-selector spec.nodeName={node}`, then `kubectl -n {cni_namespace} describe pod "
    "{cni_pod}`. If there is no pod, compare the DaemonSet's tolerations and node selector with "
    "`kubectl describe node {node}`.",
    facts=[Fact.API],
)
def agent_ready(node: Node) -> Findings:
    """The CNI plugin's agent runs on the node and is Ready.

    The node stays Ready without it. New pods get no network, and routes are no longer updated.

    Except: CNI plugins that are not installed by a DaemonSet, nodes that are being removed, virtual
    nodes, and nodes that the DaemonSet leaves out by its node selector, affinity or tolerations.

    See: https://github.com/cilium/cilium/issues/37271
         https://github.com/projectcalico/calico/issues/8607
    """
    if node.is_being_removed:
        raise NotApplicable("the node is being removed")
    plugin, agents = node.cni.agents
    if not agents:
        yield Finding(
            node.part(plugin),
            expected="a pod of its DaemonSet",
            found="none",
            inconclusive=node.cni.why_agent_is_unknown,
        )
    for agent in [*agents, *node.cni.agents_beside]:
        if agent.is_ready or agent.is_terminating:
            yield CONCLUSIVE
        else:
            yield Finding(agent, expected="Ready", found="not Ready", since=agent.since_readiness)


@check(
    settles=ON_NODE,
    remedy="Bring it up on {node}: `ip link set {device} up`. The kernel removed the routes "
    "through it. The CNI plugin's agent adds them again when it starts: `kubectl -n "
    "{cni_namespace} delete pod {cni_pod}`. Then find out what took the device down; "
    "NetworkManager and systemd-networkd must not manage it.",
    facts=[Fact.API, Fact.NETNS],
)
def devices_up(node: Node) -> Findings:
    """The devices that the CNI plugin creates for itself are up.

    They are the pods' bridge, the tunnel to the other nodes and the like. If one is down, pods lose
    a part of their network, while the agent stays Ready: no agent sets a device up again before it
    restarts.

    Except: devices of pods (links.up) and of an earlier configuration. The devices of Cilium,
    kube-router and Antrea, the tunnels of Calico and flannel (VXLAN, WireGuard, IPIP) and of Open
    vSwitch, and bridges with pods and an address from the node's range are known, if they exist.

    See: https://github.com/flannel-io/flannel/blob/master/Documentation/backends.md
         https://docs.cilium.io/en/stable/network/concepts/routing/
    """
    for device in node.plugin_devices.down:
        yield Finding(
            node.part(device.name),
            expected="UP",
            found=f"{device.name} is DOWN",
            names={"device": device.name},
        )


@check(
    remedy="List the files on {node}: `ls -l {folder}`. Move the unwanted one out of the "
    "folder (packages of container runtimes and podman install examples): `mv "
    "{folder}/{file} /root/`. Then recreate the pods that were set up by it.",
    facts=[Fact.CNI_FILES],
)
def single_config(node: Node) -> Findings:
    """The node has exactly one CNI configuration, and it is valid.

    The runtime uses the first file by name. With a second file, an upgrade or a restart can put
    new pods on another network than the existing ones. It is a failure if the first file is an
    example, or of a plugin that was removed, and a later one is of the plugin whose agent runs.

    Except: the configuration that Multus delegates to, and files that set up lo only. The folder is
    the one that containerd or CRI-O is configured to use.

    See: https://github.com/kubernetes/kubeadm/issues/2400
         https://github.com/cri-o/cri-o/issues/2411
         https://github.com/projectcalico/calico/issues/1388
    """
    for each in node.cni.configuration_problems:
        yield Finding(
            node.part(each.part),
            expected=each.expected,
            found=each.found,
            level=each.level,
            key=each.key,
            remedy=OF_AGENT if each.is_written_by_agent else "",
            names={"folder": node.cni.folder, "file": each.file},
        )


@check(
    remedy="Look for it on {node}: `ls -l {folder}/{plugin}`. Install it again: with the "
    "package containernetworking-plugins, or by restarting the CNI plugin's agent, "
    "`kubectl -n {cni_namespace} delete pod {cni_pod}`.",
    facts=[Fact.CNI_FILES],
)
def plugins_present(node: Node) -> Findings:
    """Every plugin that the CNI configuration names is installed and executable.

    Running pods keep their network, but no pod can be started or stopped on the node.

    Except: IPAM that is not a program but part of the plugin's daemon (azure-cns). The folders are
    those that containerd or CRI-O is configured to use.

    See: https://github.com/cilium/cilium/issues/14192
    """
    for each in node.cni.missing_programs:
        yield Finding(
            node.part(f"{each.folders[0]}/{each.plugin}"),
            expected=f"an executable file, as {each.configuration} names this plugin",
            found=f"no executable file{each.elsewhere}",
            names={"folder": each.folders[0], "plugin": each.plugin},
        )


@check(
    settles=LEFT_OVER,
    remedy="On {node}, read which sandbox the address is reserved for: `head -1 "
    "{folder}/{network}/{address}`. If `crictl pods -q --no-trunc` does not list that "
    "sandbox, release the address: `rm {folder}/{network}/{address}`.",
    facts=[Fact.CNI_FILES, Fact.NETNS],
)
def no_leaked_addresses(node: Node) -> Findings:
    """Every address that host-local has reserved is in use by a network namespace of the node.

    An address that stays reserved for a deleted pod is lost until somebody removes the file. Once
    all are reserved, new pods on the node do not start.

    Except: reservations younger than five minutes, plugins with another IPAM than host-local, and
    networks that no configuration in force names and no pod uses.

    See: https://github.com/containernetworking/plugins/issues/697
         https://github.com/containerd/cri/issues/948
         https://github.com/k3s-io/k3s/issues/5885
    """
    for each in node.cni.reservations.leaked:
        yield Finding(
            node.part(f"{each.network} {each.address}"),
            expected="a network namespace with this address",
            found="none: the reservation is leaked",
            level=Level.WARN,
            names={"folder": each.folder, "network": each.network, "address": each.file},
        )


@check(
    thresholds=POOL,
    remedy="Release leaked addresses first, see `wirecheck explain cni.no_leaked_addresses`. "
    "Otherwise lower maxPods in the kubelet's configuration on {node}, or give new nodes larger "
    "ranges (--node-cidr-mask-size of kube-controller-manager).",
    facts=[Fact.CNI_FILES, Fact.API],
)
def addresses_available(node: Node) -> Findings:
    """The node's pod range has free addresses.

    When the range is exhausted, new pods stay in ContainerCreating, although the scheduler still
    places them on the node.

    Except: plugins with another IPAM than host-local.

    See: https://github.com/containernetworking/plugins/issues/252
         https://github.com/k3s-io/k3s/issues/5885
    """
    for range_, used, size in node.cni.reservations.pools:
        use = 100 * used / size if size > 0 else 100.0
        if exceeded := POOL.exceeded_by(use, node):
            yield Finding(
                node.part(str(range_)),
                expected=f"at most {exceeded.limit:.0f} % of {size:,} addresses in use",
                found=f"{used:,} in use, {use:.0f} %",
                level=exceeded.level,
                key="use",
            )


@check(
    thresholds=(TOKEN_WARN,),
    remedy="Restart the CNI plugin's agent on {node}, which writes a new token: `kubectl -n "
    "{cni_namespace} delete pod {cni_pod}`. Read its log for the reason of the failed renewal: "
    "`kubectl -n {cni_namespace} logs {cni_pod} --all-containers`.",
    facts=[Fact.CNI_FILES],
)
def token_valid(node: Node) -> Findings:
    """The token that the CNI plugin sends to the API server is valid and was renewed in time.

    With an expired token no pod can be started or stopped on the node: the API server answers
    `Unauthorized`.

    Except: plugins without a kubeconfig of their own, tokens that do not expire, and kubeconfigs
    that the CNI configuration in force does not name.

    See: https://github.com/projectcalico/calico/issues/6546
         https://github.com/projectcalico/calico/issues/9428
         https://github.com/projectcalico/calico/issues/8777
    """
    for token in node.cni.tokens:
        left = token.minutes_left
        if left < node.threshold(TOKEN_WARN):
            yield Finding(
                node.part(token.file),
                expected=f"valid for at least {node.threshold(TOKEN_WARN):.0f} minutes",
                found=f"expired {-left:,.0f} minutes ago" if left < 0 else f"{left:.0f} minutes",
                level=Level.FAIL if left < 0 else Level.WARN,
                key="token",
            )


@check(
    settles=ON_NODE,
    remedy="Recreate the pod, as the rules of its host ports are written only once: `kubectl -n "
    "{namespace} delete pod {pod}`. For a rule that forwards to a deleted pod, find its chain on "
    "{node} with `iptables-save -t nat | grep -e CNI-DN -e CNI-HOSTPORT -e KUBE-HOSTPORTS -e "
    "KUBE-HP`, and delete only that rule and the jump to it.",
    facts=[Fact.API, Fact.SERVICE_RULES, Fact.CNI_FILES],
)
def host_ports_mapped(node: Node) -> Findings:
    """Every host port is forwarded to the pod that has it, and none to a pod that is gone.

    A firewall reload removes the rules while the pod runs. A stale rule drops the port's
    connections, or sends them to the pod that got the address next.

    Except: host ports that programs implement whose rules are not read (Cilium, other tables of
    nftables), and rules for containers that are not pods. The rules of portmap, CRI-O, kubenet,
    Docker and Podman in iptables are read, and those of portmap and CRI-O in nftables.

    See: https://www.cni.dev/plugins/current/meta/portmap/
         https://github.com/cri-o/cri-o/issues/7217
         https://github.com/containernetworking/plugins/issues/683
         https://github.com/projectcalico/calico/issues/3412
    """
    for each in node.port_mappings.mismatches:
        yield Finding(
            each.ref,
            expected=each.expected,
            found=each.found,
            evidence=filter(None, [each.rule]),
            inconclusive=each.unknown,
        )
