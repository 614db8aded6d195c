"""The jumps from base chains to the chains of Kubernetes and of the CNI plugin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from wirecheck.dataplane.nftables.tables import NamedTable, stages_of
from wirecheck.dataplane.rules.chains import ChainCache
from wirecheck.dataplane.rules.ruleset import reachable
from wirecheck.network.plugin import CniPlugin
from wirecheck.node.seen import NodeSeen

OF_KUBERNETES = {
    "KUBE-FORWARD": ("FORWARD",),
    "KUBE-FIREWALL": ("INPUT", "OUTPUT"),
}
"""Chains of kube-proxy and the kubelet in table filter, and the base chains that call them."""
FAMILIES = {"ip": 4, "ip6": 6}


class Anchor(NamedTuple):
    """A base chain, and a chain that it must call."""

    base: str
    chain: str
    is_plugins: bool
    """Whether it is a chain of the CNI plugin, and not of Kubernetes."""


class MissingAnchor(NamedTuple):
    """A chain that exists, and that its base chain does not call."""

    family: str
    """`IPv4`."""
    base: str
    chain: str
    is_plugins: bool = False


def plugins_of(seen: NodeSeen) -> tuple[CniPlugin, ...]:
    """The node's CNI plugin, and those that only enforce policies beside it."""
    return tuple(dict.fromkeys((seen.cni, *seen.cluster.cni_agents)))


def anchors_in_iptables(
    plugins: Iterable[CniPlugin], tables: Iterable[NamedTable]
) -> Iterator[Anchor]:
    """The chains that table filter must call. A plugin that uses nftables has left its own."""
    for chain, bases in OF_KUBERNETES.items():
        yield from (Anchor(base, chain, is_plugins=False) for base in bases)
    names = {each.name for each in tables}
    for plugin in plugins:
        if plugin.nftables_filter[0] not in names:
            yield from (
                Anchor(base, chain, is_plugins=True) for chain, base in plugin.filter_chains
            )


def missing_in_nftables(
    plugins: Iterable[CniPlugin], tables: Iterable[NamedTable]
) -> Iterator[MissingAnchor]:
    """The chains in a plugin's own nftables table that no base chain of their hook leads to."""
    tables = tuple(tables)
    for plugin in plugins:
        name, prefix = plugin.nftables_filter
        for table in (each for each in tables if each.name == name and each.of in FAMILIES):
            family, cache = FAMILIES[table.of], ChainCache()
            for chain, base in plugin.filter_chains:
                rules = table.table.rules.get(prefix + chain)
                if rules is None or not rules.rules:
                    continue
                stages = stages_of(base.lower(), family, [table], cache)
                called = {each.name for stage in stages for each in reachable(stage)}
                if prefix + chain not in called:
                    where = f"{prefix}{base} of table {table.label}"
                    yield MissingAnchor(f"IPv{family}", where, prefix + chain, is_plugins=True)
