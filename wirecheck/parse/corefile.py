"""The Corefile of CoreDNS, as far as it names the cluster's domain."""

from __future__ import annotations

REVERSE_ZONES = (".arpa", ".arpa.")


def cluster_zone(corefile: str) -> str:
    """The first forward zone of the `kubernetes` plugin, or nothing where there is none.

    >>> cluster_zone(".:53 {\\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\\n    }\\n}")
    'cluster.local'
    """
    for line in corefile.splitlines():
        keyword, *zones = line.split("#")[0].split() or [""]
        if keyword != "kubernetes":
            continue
        for zone in zones:
            if zone != "{" and not zone.endswith(REVERSE_ZONES):
                return zone.rstrip(".")
    return ""
