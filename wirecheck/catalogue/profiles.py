"""Profiles: named subsets of the checks, for the moments at which people run them."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Profile:
    """The checks for one moment; `patterns` are globs over check ids."""

    name: str
    when: str
    patterns: tuple[str, ...]
    without: tuple[str, ...] = ()
    """Globs over check ids that it leaves out all the same."""

    def has(self, check_id: str) -> bool:
        """Whether the check belongs to it."""
        left_out = any(fnmatchcase(check_id, pattern) for pattern in self.without)
        return not left_out and any(fnmatchcase(check_id, pattern) for pattern in self.patterns)


HELPED = ("reachability.large_payloads_*",)
"""What needs helper pods: only who asks for everything may make pods in the cluster."""

PROFILES = {
    each.name: each
    for each in (
        Profile(
            "upgrade",
            "after a cluster upgrade, against the run taken before it: what an upgrade of "
            "kube-proxy, CNI plugin, DNS or kubelet can break",
            (
                "nodes.*",
                "settings.*",
                "pods.*",
                "links.*",
                "dns.*",
                "coredns.*",
                "reachability.*",
                "services.*",
                "kube_proxy.*",
                "endpoints.*",
                "cni.host_ports_mapped",
                "routes.local_table_first",
                "conntrack.limit_as_configured",
                "conntrack.no_stale_udp_entries",
            ),
            without=HELPED,
        ),
        Profile(
            "reboot",
            "after nodes were rebooted or their system was patched: what does not come back by "
            "itself",
            (
                "nodes.*",
                "settings.*",
                "pods.*",
                "links.*",
                "dns.pods_resolve_*",
                "dns.nodes_resolve",
                "dns.parallel_a_aaaa",
                "dns.latency",
                "dns.no_packet_loss",
                "dns.node_local_cache",
                "reachability.*",
                "services.*",
                "kube_proxy.*",
                "cni.host_ports_mapped",
                "routes.local_table_first",
                "routes.rules_safe_from_networkd",
                "conntrack.limit_as_configured",
            ),
            without=HELPED,
        ),
        Profile(
            "node-added",
            "after nodes were added or replaced: whether they are like the others",
            (
                "nodes.*",
                "settings.*",
                "pods.*",
                "links.*",
                "dns.pods_resolve_*",
                "dns.nodes_resolve",
                "dns.parallel_a_aaaa",
                "dns.latency",
                "dns.no_packet_loss",
                "dns.node_local_cache",
                "dns.kubelet_cluster_dns",
                "reachability.*",
                "services.*",
                "kube_proxy.*",
            ),
            without=HELPED,
        ),
        Profile(
            "cron",
            "every hour or night: cheap, and sends nothing but DNS",
            ("*",),
            without=("reachability.*",),
        ),
        Profile(
            "preprod",
            "before a cluster is handed over: everything; with --helper-pods also what needs pods "
            "of its own",
            ("*",),
        ),
    )
}


def profiles_of(check_id: str) -> tuple[str, ...]:
    """The profiles that the check belongs to."""
    return tuple(name for name, profile in PROFILES.items() if profile.has(check_id))
