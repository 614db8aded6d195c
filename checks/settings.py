"""Settings: whether nodes are configured alike, correctly and persistently."""

from wirecheck.catalogue import Fact, Finding, Findings, Level, NotApplicable, check
from wirecheck.catalogue.settling import ON_NODE
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node


@check(
    compares_nodes=True,
    remedy="Find out when the node changed, by comparing an earlier run with this one: `wirecheck "
    "diff EARLIER/results.jsonl LATER/results.jsonl`. Then give the node the value of the others, "
    "or its own pool, by the label that names pools: `kubectl label node NODE LABEL=POOL`.",
    facts=[Fact.API, Fact.SYSCTLS, Fact.NETNS, Fact.SERVICE_RULES],
)
def uniform_in_pool(cluster: Cluster) -> Findings:
    """Nodes of one pool have the same kernel, versions, MTUs, sysctls and iptables variant.

    If something works on one node and fails on its twin, such a difference is the usual reason: an
    update that reached half of the nodes, or a sysctl that somebody set by hand.

    Except: what depends on a node's size (conntrack limits), what is unique to it (ranges, names)
    and what has its own check (forwarding, bridges). Interfaces are compared by name. Without a
    node pool label, the control plane and the workers are one pool each.

    See: https://github.com/rancher/rke2/issues/8042
         https://github.com/kubernetes/kubernetes/issues/112477
         https://kubernetes.io/releases/version-skew-policy/
    """
    if len(cluster.fingerprints) < 2:
        raise NotApplicable("a comparison needs at least two nodes")
    for drift in cluster.drifts:
        yield Finding(
            cluster.part(f"{drift.pool}: {drift.what}"),
            expected=f"{drift.most} on all nodes" if drift.most else "the same on all nodes",
            found=drift.found,
            level=Level.WARN,
            key=drift.what,
        )


@check(
    settles=ON_NODE,
    remedy="On {node}, switch to loose filtering: `sysctl -w "
    "net/ipv4/conf/{interface}/rp_filter=2 net/ipv4/conf/all/rp_filter=2` (0 if the CNI plugin "
    "requires it). Then correct the file that sets it: `grep -r rp_filter /etc/sysctl.d "
    "/usr/lib/sysctl.d /etc/sysctl.conf`.",
    facts=[Fact.SYSCTLS, Fact.NETNS, Fact.API],
)
def rp_filter(node: Node) -> Findings:
    """No interface with strict rp_filter receives packets whose responses leave by another one.

    The kernel silently drops such packets before any firewall rule counts them. That includes
    packets to node ports, if a routing rule sends the responses of pods by another interface.

    Except: strict filtering on interfaces with symmetric traffic: packets of a node are expected
    on the interface in its network. IPv6 has no rp_filter. Packets from behind a router that can
    arrive at several interfaces are inconclusive.

    See: https://github.com/cilium/cilium/issues/10645
         https://github.com/flatcar/Flatcar/issues/181
         https://www.kernel.org/doc/html/latest/networking/ip-sysctl.html
    """
    for each in node.reverse_path.drops:
        yield Finding(
            node.part(each.name),
            expected=f"not 1: {each.who} arrive on {each.interface.name}",
            found=f"1 (strict), and their responses leave {each.answered}",
            key=each.who,
            inconclusive=each.inconclusive,
            names={"interface": each.interface.name},
        )


@check(
    remedy="On {node}, correct the line in {file}, or put the correct value into a file that sorts "
    "after it: `echo '{sysctl} = {value}' > /etc/sysctl.d/99-{sysctl}.conf`. Apply all files now: "
    "`sysctl --system`.",
    facts=[Fact.BOOT_SETTINGS, Fact.SYSCTLS],
)
def persistent(node: Node) -> Findings:
    """No file resets a kernel setting that pods need at the next boot.

    The node works until it is updated and rebooted, long after the mistake.

    Except: settings that no file contains are left to the programs that set them on start-up. The
    conntrack limit is not evaluated if kube-proxy sets it. /etc/sysctl.conf counts only if sysctl.d
    has a link to it.

    See: https://github.com/openshift/origin/issues/9931
         https://github.com/kubernetes/kubernetes/issues/20475
         https://www.freedesktop.org/software/systemd/man/latest/sysctl.d.html
    """
    for each in node.boot_settings.reverted:
        yield Finding(
            node.part(each.sysctl),
            expected=f"{each.now}, as it is now",
            found=f"{each.then.value}, by {each.then.file}",
            level=Level.WARN,
            key=each.sysctl,
            names={"sysctl": each.sysctl, "value": each.now, "file": each.then.file},
        )


@check(
    remedy="Remove the interval, so that felix uses its default: `kubectl edit "
    "felixconfigurations {configuration}`, field `spec.{setting}`. If it was set to save CPU on "
    "large nodes, use minutes rather than zero.",
    facts=[Fact.API],
)
def refreshed_by_calico(cluster: Cluster) -> Findings:
    """Calico's agent repairs rules, sets and routes that other programs change.

    felix compares them with its own state every few minutes. With an interval of zero, a rule that
    a firewall's reload removed stays away until felix restarts or writes it for another reason.

    Except: clusters without a FelixConfiguration, and what environment variables of the DaemonSet
    set.

    See: https://docs.tigera.io/calico/latest/reference/resources/felixconfig
    """
    for each in cluster.refreshes_off:
        yield Finding(
            each.ref,
            expected=f"felix refreshes {each.what}",
            found=f"{each.setting} is 0: it never does",
            level=Level.WARN,
            key=each.setting,
            names={"configuration": each.ref.name, "setting": each.setting},
        )
