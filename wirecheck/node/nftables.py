"""The nftables tables of one node. Only the rules of kube-proxy's own tables are in a snapshot."""

from __future__ import annotations

from collections.abc import Mapping

from wirecheck.node.seen import NodeSeen

KUBE_PROXY = {4: "nft-kube-proxy", 6: "nft-kube-proxy6"}


def kube_proxy_tables(seen: NodeSeen) -> Mapping[int, str]:
    """The listings of kube-proxy's tables by family; empty texts if there is no such table."""
    return {family: seen.output_if_asked(command) for family, command in KUBE_PROXY.items()}


def has_listings(seen: NodeSeen) -> bool:
    """Whether the visit looked for kube-proxy's tables."""
    return KUBE_PROXY[4] in seen.facts.commands


def table_names(seen: NodeSeen) -> list[str]:
    """Family and name of each table, such as `inet firewalld`."""
    lines = seen.output_if_asked("nft-tables").splitlines()
    return [line.removeprefix("table ") for line in lines]
