"""Tools that the program lacked on a node, in one sentence that every check gives as its reason."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.catalogue.facts import Fact
from wirecheck.snapshot.node_document import NodeDocument

MISSING = "missing"
"""The problem of a command whose tool the node does not have."""

BOUND_BY_IPVS = "kube-ipvs0"
"""The interface on which kube-proxy has Services' addresses in IPVS mode."""

TOOLS = {
    "conntrack-dns": "conntrack",
    "conntrack-dns6": "conntrack",
    "iptables-nft-save": "iptables",
    "ip6tables-nft-save": "iptables",
    "iptables-legacy-save": "iptables-legacy",
    "ip6tables-legacy-save": "iptables-legacy",
    "iptables-save": "iptables",
    "ip6tables-save": "iptables",
    "nft-kube-proxy": "nft",
    "nft-kube-proxy6": "nft",
    "ipset-save": "ipset",
}
"""The tools of commands. ipvsadm is not needed: /proc/net/ip_vs has the virtual servers."""

CONNTRACK = "/proc/sys/net/netfilter/nf_conntrack_"
FAMILIES = {"iptables-save": "ip", "ip6tables-save": "ip6"}


def is_missing(document: NodeDocument, command: str) -> bool:
    """Return whether the visit needed the command, and the node does not have its tool."""
    record = document.commands.get(command)
    if record is None:
        return False
    return record.problem == MISSING or _was_given_up(document, command)


def _was_given_up(document: NodeDocument, command: str) -> bool:
    """Whether an older program, finding no iptables, did not ask for rules that the node has."""
    version = document.commands.get("iptables-version")
    if version is None or version.problem != MISSING or command not in FAMILIES:
        return False
    record = document.commands[command]
    if record.problem != "not asked: no legacy table is loaded":
        return False
    tables = document.commands.get("nft-tables")
    family = f"table {FAMILIES[command]} "
    names = tables.output.splitlines() if tables and tables.status == 0 else [f"{family}nat"]
    return any(each in (f"{family}nat", f"{family}filter") for each in names)


def tracks_connections(document: NodeDocument) -> bool:
    """Return whether the kernel tracks connections, or the visit could not find out."""
    files = document.files or ()
    is_there = document.conntrack or any(each.startswith(CONNTRACK) for each in files)
    return bool(is_there or document.problem_with(Fact.SYSCTLS))


def names_of_missing(document: NodeDocument) -> tuple[str, ...]:
    """Return the tools that a command of the visit needed and the node does not have, sorted."""
    return tuple(sorted(set(_names(document))))


def _names(document: NodeDocument) -> Iterator[str]:
    for command, tool in TOOLS.items():
        if is_missing(document, command) and _is_needed(document, tool):
            yield tool


def _is_needed(document: NodeDocument, tool: str) -> bool:
    if tool == "conntrack":
        return tracks_connections(document)
    # Without kube-proxy's device the IPVS servers and sets are those of another program.
    return tool != "ipset" or _has_ipvs_device(document)


def _has_ipvs_device(document: NodeDocument) -> bool:
    own = document.namespaces[:1]
    return any(link.name == BOUND_BY_IPVS for each in own for link in each.links)


def missing_tools(node: str, document: NodeDocument) -> str:
    """Return the sentence that names them, with the way to fix it."""
    names = " or ".join(names_of_missing(document)) or "such tool"
    return (
        f"{node} has no {names} that wirecheck can run. Install what is missing on the node, or "
        "check it through an agent pod, whose image has these tools (`agent.image` in the "
        "inventory)."
    )
