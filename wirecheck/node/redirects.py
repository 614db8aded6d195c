"""Rules in a pod's own network namespace that may redirect its queries, as service meshes add."""

from __future__ import annotations

from collections.abc import Mapping

from wirecheck.node.firewall import IPTABLES_TABLES
from wirecheck.snapshot.command import Command
from wirecheck.snapshot.netns import Namespace

LISTINGS = ("iptables-nft-save", "iptables-legacy-save", "iptables-save")
OF_IPTABLES = frozenset(
    f"{family}{table}" for family in ("", "ip ", "ip6 ") for table in IPTABLES_TABLES
)
"""Tables of the legacy variant and of the nft variant."""
NOT_READ = "packet filter tables in the pod's own netns, whose rules were not read"


def redirect_in(netns: Namespace, commands: Mapping[str, Command]) -> str:
    """Why the pod's queries may end elsewhere, as a noun phrase; empty if they do not.

    Its rules of iptables are listed where a query was lost, if the node has a tool for it. Other
    tables are known by name only (nft-based modes of Istio and of kuma).
    """
    if netns.redirect:
        return "redirect rules in the pod's own netns"
    was_listed = any(commands[name].status == 0 for name in LISTINGS if name in commands)
    known = OF_IPTABLES if was_listed else ()
    return NOT_READ if any(each not in known for each in netns.filters or ()) else ""
