"""eBPF: the maps by which Cilium forwards, and how full they are."""

from wirecheck.catalogue import CONCLUSIVE, Fact, Finding, Findings, Limits, Threshold, check
from wirecheck.model.node import Node

USE = Limits(
    warn=Threshold("ebpf.use_warn", 75, "%", "a rollout can take the last quarter of a map"),
    fail=Threshold("ebpf.use_fail", 90, "%", "the next entries will be missing on this node"),
)

FIND = (
    "Compare with the other maps: `kubectl -n {cni_namespace} exec {cni_pod} -- cilium-dbg map "
    "list`. "
)
FIXED = FIND + (
    "Cilium has no setting for the size of this map: find out which entries are not needed, and "
    "what has created them."
)


@check(
    thresholds=USE,
    counts=True,
    remedy=FIND + "If the entries are needed, raise {setting} in `kubectl -n {cni_namespace} edit "
    "configmap cilium-config`. The agent creates the map again when it starts. With maps of "
    "connections or NAT that breaks the node's connections: restart the agent of one node at a "
    "time, outside peak load.",
    facts=[Fact.EBPF_MAPS],
)
def map_usage(node: Node) -> Findings:
    """Cilium's eBPF maps have free entries.

    Cilium cannot add a Service, a backend, an address or a policy to a full map: the node forwards
    to what it had before, and only the agent's log shows it. In a full map of connections or NAT
    the kernel replaces entries that are in use, and these connections break.

    Except: maps that are made to be full, such as those of neighbours and fragments.

    See: https://docs.cilium.io/en/stable/network/ebpf/maps/
    """
    for ref, why in node.ebpf_map_usage.unread:
        yield Finding(ref, expected="the number of entries", found="unread", inconclusive=why)
    for each in node.ebpf_map_usage.maps:
        if exceeded := USE.exceeded_by(each.use, node):
            yield Finding(
                each,
                expected=f"at most {exceeded.limit:.0f} % of {each.limit:,} entries",
                found=each.found,
                level=exceeded.level,
                key="use",
                remedy="" if each.setting else FIXED,
                names={"setting": each.setting},
            )
        elif why := each.why_incomplete:
            yield Finding(each, expected="all entries", found=each.found, inconclusive=why)
        else:
            yield CONCLUSIVE
