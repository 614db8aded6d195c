"""The closed table of commands that may run on a node, printed by `wirecheck node-commands`.

Tools come from the node's path, or from the folders that k3s and RKE2 bring along if they are
programs that root owns; in an agent pod, from its image if the node has none, or one too old.
Everything else that the node program reads comes from /proc, /sys, netlink, and on the loopback
address from kube-proxy's endpoints and the health endpoints of CNI agents. It writes nothing, and
sends nothing but its probes.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NodeCommand:
    """A command that may run on a node, at most once per visit, and once in each of some pods."""

    id: str
    argv: tuple[str, ...]
    why: str
    when: str


_IN_PODS = "; also inside up to 24 pods that have such tables, at most 256 KiB each and 4 s in all"
_NFT = f"the node has the nft variant of iptables, and nf_tables is loaded{_IN_PODS}"
_LEGACY = f"a legacy table is loaded (/proc/net/{{}}); otherwise listing would load one{_IN_PODS}"
_PLAIN = (
    "the node has no variant under its own name; if its iptables is the legacy one, a table is "
    "loaded"
)


def _conntrack(family: str) -> tuple[str, ...]:
    return ("conntrack", "-L", "-f", family, "-p", "udp")


def _nft_tables(identity: str, name: str, why: str) -> tuple[NodeCommand, NodeCommand]:
    """The commands that list the tables of that name for IPv4 and for IPv6."""
    return (
        NodeCommand(identity, _nft_list("ip", name), why, f"table ip {name} exists"),
        NodeCommand(
            f"{identity}6",
            _nft_list("ip6", name),
            "The same for IPv6.",
            f"table ip6 {name} exists",
        ),
    )


def _nft_list(family: str, name: str) -> tuple[str, ...]:
    return ("nft", "-j", "list", "table", family, name)


NODE_COMMANDS: tuple[NodeCommand, ...] = (
    NodeCommand(
        "conntrack-dns",
        _conntrack("ipv4"),
        "Finds UDP entries that send packets to a backend that no longer exists. One entry is kept "
        "for each client of a DNS Service and its backend, and of all other entries at most eight "
        "that are translated to the same backend.",
        "a DNS Service has an IPv4 address, and the kernel tracks connections",
    ),
    NodeCommand(
        "conntrack-dns6",
        _conntrack("ipv6"),
        "The same for IPv6.",
        "a DNS Service has an IPv6 address, and the kernel tracks connections",
    ),
    NodeCommand(
        "pod-nat",
        ("iptables-nft-save", "-t", "nat"),
        "Finds rules of a service mesh that explain why a DNS probe from a pod failed. Runs in "
        "the pod's network namespace; only redirecting rules are kept.",
        "a DNS probe from that pod failed, and no legacy nat table is loaded there",
    ),
    NodeCommand(
        "pod-nat-legacy",
        ("iptables-legacy-save", "-t", "nat"),
        "The same for rules of the legacy variant.",
        "a DNS probe from that pod failed, and a legacy nat table is loaded there",
    ),
    NodeCommand(
        "iptables-nft-save",
        ("iptables-nft-save",),
        "Reads the Service rules and all other rules that packets meet.",
        _NFT,
    ),
    NodeCommand(
        "ip6tables-nft-save",
        ("ip6tables-nft-save",),
        "The same for IPv6.",
        f"{_NFT}, and the node has IPv6",
    ),
    NodeCommand(
        "iptables-legacy-save",
        ("iptables-legacy-save",),
        "Reads rules of the legacy variant, which apply in addition to those of the nft variant.",
        _LEGACY.format("ip_tables_names"),
    ),
    NodeCommand(
        "ip6tables-legacy-save",
        ("ip6tables-legacy-save",),
        "The same for IPv6.",
        _LEGACY.format("ip6_tables_names"),
    ),
    NodeCommand(
        "iptables-version",
        ("iptables", "--version"),
        "Shows which variant the plain `iptables` is.",
        "the node has no variant under its own name",
    ),
    NodeCommand(
        "iptables-save",
        ("iptables-save",),
        "Reads the Service rules and all other rules that packets meet.",
        _PLAIN,
    ),
    NodeCommand("ip6tables-save", ("ip6tables-save",), "The same for IPv6.", _PLAIN),
    NodeCommand(
        "nft-version",
        ("nft", "--version"),
        "Shows whether nft is too old or too new for kube-proxy's nftables mode.",
        "the node has nft",
    ),
    *_nft_tables(
        "nft-kube-proxy", "kube-proxy", "Reads the Service rules of kube-proxy's nftables mode."
    ),
    *_nft_tables("nft-portmap", "cni_hostport", "Reads the host ports of the CNI plugin portmap."),
    *_nft_tables("nft-crio", "crio-hostports", "Reads the host ports of CRI-O."),
    NodeCommand(
        "nft-table",
        _nft_list("FAMILY", "NAME"),
        "Reads the rules of other programs (firewalld, Docker, block lists), which packets meet as "
        "well.",
        "table FAMILY NAME exists (ip, ip6 or inet), and no other command lists it; at most 16 "
        "tables, and 8 of the families bridge, arp and netdev, 10 s and 1 MiB for each. Names with "
        "other characters than letters, digits, `_`, `.` and `-` are left out. Tables of iptables "
        "only if its version is older than 1.8.8, which does not print all ports and marks: 20 s "
        "and 4 MiB for each. Also inside up to 24 pods that have such tables, at most 256 KiB each "
        "and 4 s in all",
    ),
    NodeCommand(
        "nft-table-terse",
        ("nft", "-j", "-t", *_nft_list("FAMILY", "NAME")[2:]),
        "The same without the elements of sets.",
        "the listing of that table was longer than 1 MiB",
    ),
    NodeCommand(
        "ipset-save",
        ("ipset", "save"),
        "Reads the sets that the rules of kube-proxy's IPVS mode and of Calico refer to.",
        "/proc/net/ip_vs or /sys/module/ip_set exists, so that nothing is loaded; at most 32 MiB, "
        "and without IPVS at most 10 s",
    ),
    NodeCommand(
        "ipvsadm-save",
        ("ipvsadm", "--save", "-n"),
        "Reads the virtual servers. /proc/net/ip_vs lacks some if another network namespace has "
        "any.",
        "/proc/net/ip_vs exists",
    ),
)
