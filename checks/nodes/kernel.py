"""Nodes: whether the kernel forwards packets, has room, knows the time and logs no errors."""

from collections.abc import Iterable

from wirecheck.catalogue import (
    Fact,
    Finding,
    Findings,
    Level,
    Limits,
    NotApplicable,
    Threshold,
    check,
)
from wirecheck.model.node import Node

CLOCK = Limits(
    warn=Threshold("nodes.clock_warn", 5, "s", "logs of different nodes cannot be correlated"),
    fail=Threshold("nodes.clock_fail", 60, "s", "leases and new certificates depend on it"),
)
NEIGHBOURS = Limits(
    warn=Threshold(
        "nodes.neighbours_warn", 80, "%", "the table grows with pods and nodes, and in bursts"
    ),
    fail=Threshold(
        "nodes.neighbours_fail", 95, "%", "at the limit packets to new neighbours are dropped"
    ),
)
LOG_AGE = Threshold(
    "nodes.log_age", 1440, "minutes", "an earlier run reported what is older than a day"
)


OF_A_DEVICE = (
    "On {node}: `sysctl -w {sysctl}=1`. Writing ip_forward=1 switches all devices on, so something "
    "switched this one off later; look for it: `grep -rsE 'forwarding|IPForward|IPv4Forwarding' "
    "/etc/sysctl.d /etc/sysctl.conf /etc/systemd/network`."
)


def _switched_off(node: Node, sysctls: Iterable[str]) -> Findings:
    """The sysctls that are not 1."""
    for sysctl in sysctls:
        if (value := node.sysctl(sysctl)) != "1":
            yield Finding(node.part(sysctl), expected="1", found=value, names={"sysctl": sysctl})


@check(
    remedy="On {node}: `sysctl -w {sysctl}=1`. Keep it over a reboot: `echo '{sysctl} = 1' > "
    "/etc/sysctl.d/90-{sysctl}.conf`. Then look for a hardening tool that resets it.",
    facts=[Fact.SYSCTLS, Fact.API],
)
def ip_forward(node: Node) -> Findings:
    """The kernel forwards packets of the node's pods, in every address family that they use.

    Without forwarding, pods reach only other pods on the same bridge. For IPv4 each device has a
    setting of its own: a packet that arrives at a device which does not forward is dropped.

    Except: an address family that no pod of the node uses. Devices count only if packets of pods
    arrive there, and not where eBPF takes them from the device.

    See: https://github.com/openshift/origin/issues/9931
         https://github.com/kubernetes-sigs/kubespray/issues/680
    """
    if not node.forwarding_sysctls:
        raise NotApplicable("no pod of the node has an address of its own")
    yield from _switched_off(node, node.forwarding_sysctls)
    for device in node.refusing_devices:
        sysctl = f"net/ipv4/conf/{device.name}/forwarding"
        names = {"sysctl": sysctl}
        yield Finding(node.part(sysctl), expected="1", found="0", names=names, remedy=OF_A_DEVICE)


@check(
    remedy="On {node}: `modprobe br_netfilter && sysctl -w {sysctl}=1`. Keep it over a reboot: "
    "`echo br_netfilter > /etc/modules-load.d/br_netfilter.conf` and `echo '{sysctl} = 1' > "
    "/etc/sysctl.d/90-{sysctl}.conf`.",
    facts=[Fact.SYSCTLS, Fact.NETNS],
)
def bridge_nf_call(node: Node) -> Findings:
    """Packets between pods on the same bridge pass through the node's Service rules.

    Otherwise a response from a pod on the same node bypasses the reverse translation. A Service
    then works for all clients except those on the node of its backend.

    Except: nodes whose pods are not on a bridge.

    See: https://github.com/kubernetes/kubernetes/issues/127031
         https://github.com/kubernetes/kubernetes/issues/20475
    """
    if not node.has_pods_on_a_bridge:
        raise NotApplicable("no pod of this node is on a bridge")
    yield from _switched_off(node, node.bridge_sysctls)


@check(
    thresholds=CLOCK,
    remedy="Check the time synchronisation on {node}: `timedatectl` or `chronyc tracking`. All "
    "nodes and this machine need the same time source.",
    facts=[Fact.VISIT],
)
def clock_skew(node: Node) -> Findings:
    """The node's clock agrees with the clock of the machine that runs wirecheck.

    With a wrong clock, new certificates are not valid yet, leases expire too early, and logs of
    different nodes cannot be correlated.

    Except: a difference that the duration of the check can explain.

    See: https://kubernetes.io/docs/setup/best-practices/certificates/
         https://kubernetes.io/docs/concepts/architecture/leases/
    """
    off = node.kernel.clock_skew
    if exceeded := CLOCK.exceeded_by(abs(off), node):
        yield Finding(
            node.part("clock"),
            expected=f"at most {exceeded.limit:.0f} s difference to this machine",
            found=f"at least {abs(off):.1f} s {'ahead' if off > 0 else 'behind'}",
            level=exceeded.level,
            key="clock",
        )


@check(
    thresholds=NEIGHBOURS,
    remedy="Double the limits on all nodes, for IPv4: `sysctl -w "
    "net.ipv4.neigh.default.gc_thresh1={low} net.ipv4.neigh.default.gc_thresh2={middle} "
    "net.ipv4.neigh.default.gc_thresh3={high}` (for IPv6 net.ipv6.neigh.default). Keep them in a "
    "file in /etc/sysctl.d.",
    facts=[Fact.SYSCTLS],
)
def neighbour_table(node: Node) -> Findings:
    """The kernel's neighbour tables (ARP and NDP) have free entries.

    When a table is full, packets to new neighbours are dropped. Lookups and connections fail at
    random, on large nodes first.

    Except: a node that is a container does not see the kernel's limits.

    See: https://github.com/kubernetes/kops/issues/4533
         https://github.com/Azure/aks-engine/issues/2732
    """
    for table in node.kernel.neighbour_tables:
        if exceeded := NEIGHBOURS.exceeded_by(table.use, node):
            double = 2 * table.limit
            yield Finding(
                table,
                expected=f"at most {exceeded.limit:.0f} % of {table.limit:,} entries",
                found=f"{table.entries:,} entries, {table.use:.0f} %",
                level=exceeded.level,
                key="use",
                names={"low": str(double // 8), "middle": str(double // 2), "high": str(double)},
            )


@check(
    thresholds=(LOG_AGE,),
    remedy="Read the surrounding messages on {node}: `dmesg -T | grep -i -B5 -A5 {pattern}`. "
    "Compare the time with changes of the node.",
    facts=[Fact.KERNEL_LOG],
)
def kernel_log(node: Node) -> Findings:
    """The kernel log shows no network errors.

    Full tables, duplicate addresses and hanging network devices are often over when somebody
    investigates. The log still shows them.

    Except: conntrack.no_table_full_logged reports a full conntrack table. Messages older than the
    threshold and warnings of SYN floods do not count. What the kernel's ring buffer no longer has
    is inconclusive.

    See: https://github.com/kubernetes/kops/issues/4533
         https://github.com/kubernetes/kubernetes/issues/71261
    """
    if gap := node.kernel.log_gap(node.threshold(LOG_AGE)):
        yield Finding(
            node.part("kernel log"), expected="a log of a day", found="less", inconclusive=gap
        )
    for error in node.kernel.network_errors:
        if error.age_minutes <= node.threshold(LOG_AGE):
            yield Finding(
                node.part("kernel log"),
                expected=f"no {error.pattern}",
                found=error,
                level=Level.WARN,
                key=error.pattern,
                names={"pattern": error.pattern},
                since=error.since,
            )
