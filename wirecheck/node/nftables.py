"""The nftables tables of one node: kube-proxy's own, and those of other programs.

Snapshots of older versions have the rules of kube-proxy's only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress

from wirecheck.dataplane.nftables.tables import PRIORITIES, NamedTable
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.nftables import NftTable

KUBE_PROXY = {4: "nft-kube-proxy", 6: "nft-kube-proxy6"}
FAMILIES = {4: "ip", 6: "ip6"}
LINK_FAMILIES = frozenset({"bridge", "arp", "netdev"})
"""Families whose chains frames meet, and questions for addresses."""
OF_DEVICES = frozenset({"ingress", "egress"})
"""Hooks of single devices, which are not part of a packet's path here."""
PAIR = 2
OTHER, TERSE = "nft-table", "-t"
"""How the id of a table's record begins, before family and name; nft's option for no elements."""


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


def other_tables(seen: NodeSeen) -> Iterator[NamedTable]:
    """The tables of other programs, as far as their rules are in the snapshot."""
    for command, record in seen.facts.commands.items():
        kind, _, label = command.partition(" ")
        family, _, name = label.partition(" ")
        is_own = family != "inet" and name in PRIORITIES
        is_met = family not in LINK_FAMILIES and not is_own
        if kind == OTHER and is_met and record.is_whole:
            try:
                text, has_elements = record.output, TERSE not in record.argv
                table = seen.cluster.readers.texts.nft_other(text, has_elements=has_elements)
            except ParseError:
                continue  # It counts as one that was not read.
            if not any(each.hook in OF_DEVICES for each in table.chains.values()):
                yield NamedTable(family, name, table)


def tables_of_iptables(seen: NodeSeen, family: int) -> Mapping[str, NftTable]:
    """The tables of iptables as nft lists them, by name; only where its own tool is too old."""
    found = {}
    for name in PRIORITIES:
        record = seen.facts.commands.get(f"{OTHER} {FAMILIES[family]} {name}")
        if record is not None and record.is_whole:
            with suppress(ParseError):
                text = record.output
                found[name] = seen.cluster.readers.texts.nft_other(text, has_elements=True)
    return found


def has_target(seen: NodeSeen, address: str, port: int, among: str = "nft-") -> bool:
    """Whether a rule or a map of a table that is not kube-proxy's has this address and port.

    Host ports of portmap and CRI-O are such tables, and ports that Docker publishes. `among` is
    the beginning of the ids of the commands that listed them.
    """
    for command, record in seen.facts.commands.items():
        is_other = command.startswith(among) and command not in KUBE_PROXY.values()
        if is_other and record.status == 0 and address in record.output:
            try:
                found = [*_targets(json.loads(record.output))]
            except (ValueError, RecursionError):
                continue
            if (address, port) in found:
                return True
    return False


def _targets(value: object) -> Iterator[tuple[object, object]]:
    """Each `dnat` of a rule, and each value of a map that is an address and a port."""
    if isinstance(value, dict):
        if "addr" in value and "port" in value:
            yield value["addr"], value["port"]
        for inner in value.values():
            yield from _targets(inner)
    elif isinstance(value, list):
        is_element = len(value) == PAIR and isinstance(value[1], dict)
        parts = value[1].get("concat") if is_element else None
        if isinstance(parts, list) and len(parts) == PAIR:
            yield tuple(parts)
        for each in value:
            yield from _targets(each)
