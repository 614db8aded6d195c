"""Profiles: named subsets of the checks for typical occasions."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Profile:
    """The checks for one occasion; `patterns` are globs for check ids."""

    name: str
    when: str
    patterns: tuple[str, ...]
    without: tuple[str, ...] = ()
    """Globs for check ids that the profile excludes."""

    def has(self, check_id: str) -> bool:
        """Return whether the check belongs to the profile."""
        left_out = any(fnmatchcase(check_id, pattern) for pattern in self.without)
        return not left_out and any(fnmatchcase(check_id, pattern) for pattern in self.patterns)


HELPED = ("reachability.large_payloads_*",)
"""Checks that need helper pods; only the profile with all checks includes them."""

PATHS_OVER_NODES = (
    "paths.pods_to_pods",
    "paths.to_services",
    "paths.to_dns",
    "paths.to_api_server",
)
PATHS = (*PATHS_OVER_NODES, "paths.out_of_the_cluster")
"""Checks that follow packets of all pods through what the nodes reported. That takes about as long
as all other checks together, so a run without a profile leaves them out unless they are named."""

NODE_WORKS = (
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
)
"""What a node has to do, whether it is new or was rebooted."""

PROFILES = {
    each.name: each
    for each in (
        Profile(
            "upgrade",
            "after a cluster upgrade, compared with a run before it: what an upgrade of "
            "kube-proxy, the CNI plugin, DNS or the kubelet can break",
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
            "pre-upgrade",
            "before a cluster upgrade: what the next versions of Kubernetes, of the kernel and of "
            "the OS take away or change; --target-version limits it",
            ("deprecations.*", "nodes.ready", "kube_proxy.configured_mode"),
        ),
        Profile(
            "reboot",
            "after nodes were rebooted or patched: what does not come back by itself",
            (
                *NODE_WORKS,
                "cni.host_ports_mapped",
                "routes.local_table_first",
                "routes.rules_safe_from_networkd",
                "conntrack.limit_as_configured",
            ),
            without=HELPED,
        ),
        Profile(
            "node-added",
            "after nodes were added or replaced: whether they work like the others",
            (
                *NODE_WORKS,
                "dns.kubelet_cluster_dns",
            ),
            without=HELPED,
        ),
        Profile(
            "cron",
            "every hour or night: cheap, and sends only DNS queries",
            ("*",),
            without=("reachability.*", "paths.*"),
        ),
        Profile(
            "preprod",
            "before a cluster goes into production: everything; with --helper-pods also the checks "
            "that need helper pods",
            ("*",),
        ),
    )
}


def profiles_of(check_id: str) -> tuple[str, ...]:
    """Return the names of the profiles that include the check."""
    return tuple(name for name, profile in PROFILES.items() if profile.has(check_id))
