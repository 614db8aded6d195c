"""The closed table of what is run on a node, to be printed before anybody allows it.

The rest of what the node program reads comes from /proc, /sys, netlink and kube-proxy's
endpoints on the loopback; it writes nothing but packets of its probes.
"""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.collect.on_node.commands import TABLE


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """A command that may be run on a node, at most once a visit (`pod-…`: once a pod)."""

    id: str
    argv: tuple[str, ...]
    why: str
    when: str


_NFT_RULES = "the node has iptables' nft variant, and nf_tables is loaded"
_LEGACY_RULES = "a legacy table is loaded (/proc/net/{}): listing would load one otherwise"
_PLAIN_RULES = "the node lacks the variants; of legacy kind, only where a table is loaded"

_REASONS: dict[str, tuple[str, str]] = {
    "conntrack-dns": (
        "Entries that send DNS queries to a backend that is gone. Of its output only the entries "
        "towards the DNS Service addresses are kept.",
        "a DNS Service address is IPv4",
    ),
    "conntrack-dns6": (
        "The same for IPv6.",
        "a DNS Service address is IPv6",
    ),
    "pod-nat": (
        "Rules of a service mesh that explain why a pod's DNS probe failed. Run in the pod's "
        "netns; only lines that redirect are kept.",
        "a DNS probe from that pod failed, and no legacy nat table is loaded there",
    ),
    "pod-nat-legacy": (
        "The same, for rules of the legacy kind.",
        "a DNS probe from that pod failed, and a legacy nat table is loaded there",
    ),
    "iptables-nft-save": ("The Service rules, and what else packets meet.", _NFT_RULES),
    "ip6tables-nft-save": ("The same for IPv6.", f"{_NFT_RULES}, and the node has IPv6"),
    "iptables-legacy-save": (
        "Rules of the legacy kind, which act beside those of the nft kind.",
        _LEGACY_RULES.format("ip_tables_names"),
    ),
    "ip6tables-legacy-save": ("The same for IPv6.", _LEGACY_RULES.format("ip6_tables_names")),
    "iptables-version": ("Of which kind plain iptables is.", "the node lacks the variants"),
    "iptables-save": ("The Service rules, and what else packets meet.", _PLAIN_RULES),
    "ip6tables-save": ("The same for IPv6.", _PLAIN_RULES),
    "nft-kube-proxy": ("The Service rules of nftables mode.", "table ip kube-proxy exists"),
    "nft-kube-proxy6": ("The same for IPv6.", "table ip6 kube-proxy exists"),
    "ipset-save": ("The sets that the rules of IPVS mode refer to.", "/proc/net/ip_vs exists"),
    "ipvsadm-save": (
        "The virtual servers: /proc/net/ip_vs lacks some where another netns has any.",
        "/proc/net/ip_vs exists",
    ),
}

NODE_COMMANDS: tuple[NodeCommand, ...] = tuple(
    NodeCommand(name, argv, *_REASONS[name]) for name, argv in TABLE.items()
)
