"""CNI: what the runtime goes by when it wires the next pod."""

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level, NotApplicable
from wirecheck.catalogue.registry import Threshold, check
from wirecheck.model.node import Node

POOL_WARN = Threshold("cni.pool_warn", 80, "%", "a rolling update needs addresses for a while")
POOL_FAIL = Threshold("cni.pool_fail", 95, "%", "the next pods get no address any more")
TOKEN_WARN = Threshold("cni.token_warn", 60, "minutes", "agents renew it hours before it ends")


@check(
    settles=True,
    remedy="kubectl describe the pod, or see why there is none: the DaemonSet's tolerations and "
    "node selector against the node's taints and labels.",
    looks_at=[Fact.API],
)
def agent_ready(node: Node) -> Findings:
    """The CNI plugin's agent runs on the node, and is Ready.

    A node stays Ready without it: new pods get no network, and routes are no longer kept.

    Except: plugins that no DaemonSet brings, and nodes that are being removed.

    See: https://github.com/cilium/cilium/issues/37271
         https://github.com/projectcalico/calico/issues/8607
    """
    if node.is_being_removed:
        raise NotApplicable("the node is being removed")
    plugin, agents = node.cni.agents
    if not agents:
        yield Finding(node.part(plugin), expected="a pod of its DaemonSet", found="none")
    for agent in agents:
        if not agent.is_ready and not agent.is_terminating:
            yield Finding(agent, expected="Ready", found="not Ready")


@check(
    remedy="Move the one that is not wanted out of /etc/cni/net.d (runtimes' packages and podman "
    "bring examples); pods that were wired by it have to be replaced.",
    looks_at=[Fact.CNI_FILES],
)
def single_config(node: Node) -> Findings:
    """There is one CNI configuration, and it is understood.

    The runtime takes the first by name: with a second one, an upgrade or a restart puts new
    pods on another network than the old ones.

    Except: a folder elsewhere (k3s, some managed nodes) is not looked at.

    See: https://github.com/kubernetes/kubeadm/issues/2400
         https://github.com/cri-o/cri-o/issues/2411
         https://github.com/projectcalico/calico/issues/1388
    """
    configurations = node.cni.configurations
    if not configurations:
        yield Finding(node.part("/etc/cni/net.d"), expected="a configuration", found="none")
    for each in configurations:
        if each.problem:
            yield Finding(node.part(each.file), expected="valid JSON", found=each.problem)
    for each in configurations[1:]:
        yield Finding(
            node.part(each.file),
            expected=f"{configurations[0].file} alone",
            found=f"a second configuration, of network {each.network or 'unknown'}",
            level=Level.WARN,
            key="second",
        )


@check(
    remedy="Install it again (package containernetworking-plugins, or the CNI plugin's own "
    "installer), into the folder that the runtime's configuration names.",
    looks_at=[Fact.CNI_FILES],
)
def plugins_present(node: Node) -> Findings:
    """Every plugin that the CNI configuration names is there, and can be executed.

    Running pods go on; none can be started or stopped any more.

    Except: folders elsewhere than /opt/cni/bin are not looked at.

    See: https://github.com/cilium/cilium/issues/14192
    """
    for configuration, plugin in node.cni.missing_binaries:
        yield Finding(
            node.part(f"/opt/cni/bin/{plugin}"),
            expected=f"a program, which {configuration.file} names",
            found="none that can be executed",
        )


@check(
    settles=True,
    remedy="Compare the file's first line (a sandbox) with crictl pods -q --no-trunc; remove the "
    "file in /var/lib/cni/networks if there is no such sandbox.",
    looks_at=[Fact.CNI_FILES, Fact.NETNS],
)
def no_leaked_addresses(node: Node) -> Findings:
    """Every address that host-local holds is carried by a network namespace of the node.

    What is held for pods that are gone is lost to the pool until somebody removes the file.

    Except: reservations younger than five minutes, and plugins with another IPAM.

    See: https://github.com/containernetworking/plugins/issues/697
         https://github.com/containerd/cri/issues/948
         https://github.com/k3s-io/k3s/issues/5885
    """
    for each in node.cni.leaked_addresses:
        yield Finding(
            node.part(f"{each.network} {each.address}"),
            expected="a netns that carries it",
            found="none",
            level=Level.WARN,
        )


@check(
    thresholds=(POOL_WARN, POOL_FAIL),
    remedy="See cni.no_leaked_addresses; else lower the node's maxPods, or give nodes larger "
    "ranges (--node-cidr-mask-size, for new nodes).",
    looks_at=[Fact.CNI_FILES, Fact.API],
)
def addresses_available(node: Node) -> Findings:
    """The node's range has addresses for further pods.

    Without one, pods stay in ContainerCreating, though the node has room for them.

    Except: plugins with another IPAM than host-local.

    See: https://github.com/containernetworking/plugins/issues/252
         https://github.com/k3s-io/k3s/issues/5885
    """
    for range_, used, size in node.cni.pools:
        use = 100 * used / size if size > 0 else 100.0
        if use > node.threshold(POOL_WARN):
            over = use > node.threshold(POOL_FAIL)
            limit = node.threshold(POOL_FAIL if over else POOL_WARN)
            yield Finding(
                node.part(str(range_)),
                expected=f"at most {limit:.0f} % of {size:,} addresses",
                found=f"{used:,} in use, {use:.0f} %",
                level=Level.FAIL if over else Level.WARN,
                key="use",
            )


@check(
    thresholds=(TOKEN_WARN,),
    remedy="Restart the CNI plugin's agent on the node, which writes the file anew; then read its "
    "log for why it did not renew the token.",
    looks_at=[Fact.CNI_FILES],
)
def token_valid(node: Node) -> Findings:
    """The token that the CNI plugin shows to the API server is valid, and was renewed in time.

    Once it has ended, no pod can be started or stopped on the node: `Unauthorized`.

    Except: plugins without a kubeconfig of their own, and tokens that never end.

    See: https://github.com/projectcalico/calico/issues/6546
         https://github.com/projectcalico/calico/issues/9428
         https://github.com/projectcalico/calico/issues/8777
    """
    for token in node.cni.tokens:
        left = token.minutes_left
        if left < node.threshold(TOKEN_WARN):
            yield Finding(
                node.part(token.file),
                expected=f"a token that is valid for {node.threshold(TOKEN_WARN):.0f} minutes more",
                found=f"it ended {-left:,.0f} minutes ago" if left < 0 else f"{left:.0f} minutes",
                level=Level.FAIL if left < 0 else Level.WARN,
                key="token",
            )


@check(
    settles=True,
    remedy="Delete the pod, so that it is wired again: portmap writes a pod's rules once. A rule "
    "that leads to no pod: iptables -t nat -S | grep CNI-HOSTPORT, and delete it and its jump.",
    looks_at=[Fact.API, Fact.SERVICE_RULES, Fact.CNI_FILES],
)
def host_ports_mapped(node: Node) -> Findings:
    """Every host port of a pod is translated to that pod, and no rule leads to one that is gone.

    A firewall that is reloaded takes the rules with it, and a rule that outlives its pod sends
    the port's connections to nobody, or to whoever has the address next.

    Except: host ports that another program than the CNI plugin portmap makes (Cilium, nftables'
    table cni_hostport), and rules for containers that are no pods.

    See: https://www.cni.dev/plugins/current/meta/portmap/
         https://github.com/containernetworking/plugins/issues/683
         https://github.com/projectcalico/calico/issues/3412
    """
    for each in node.port_mappings.mismatches:
        yield Finding(
            each.ref, expected=each.expected, found=each.found, evidence=filter(None, [each.rule])
        )
