"""Why a listing of iptables-save on a node cannot be what the kernel has, in one sentence each."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from wirecheck.dataplane.nftables.tables import PRIORITIES
from wirecheck.node.nftables import FAMILIES, OTHER
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.iptables_doubts import NATIVE_MATCHES_SINCE, Doubts, numbers_of

HOOKS = frozenset({"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"})
"""The names of iptables' own base chains."""
_LEGACY_REMARK = re.compile(r"# Warning: ip6?tables-legacy tables present, [^\n]*")
_NEWER = (
    "Install a newer iptables on the node, or check it through an agent pod, whose image has one "
    "(`agent.image` in the inventory)."
)
EMPTY = "not asked: the legacy tables have no rules"
LONGEST_RULE = 200


def listing_doubt(
    seen: NodeSeen, family: int, tables: Collection[str], command: str, text: str
) -> str:
    """Return the first reason to doubt the listing of a family; empty if there is none."""
    return next(_reasons(seen, family, tables, command, text), "")


def legacy_doubt(seen: NodeSeen, command: str, text: str) -> str:
    """Return the reason to doubt a listing of the legacy variant; empty if there is none."""
    doubts = seen.cluster.readers.texts.iptables_doubts.of(text, is_nft=False)
    return _unreadable(seen, command, doubts)


def lossy_version(seen: NodeSeen, family: int, command: str, text: str) -> str:
    """Return the tool's version if it does not print what a newer one writes; empty otherwise."""
    if not _is_nft(seen, family, command):
        return ""
    version = seen.cluster.readers.texts.iptables_doubts.of(text, is_nft=True).version
    return version if version and numbers_of(version) < NATIVE_MATCHES_SINCE else ""


def _reasons(
    seen: NodeSeen, family: int, tables: Collection[str], command: str, text: str
) -> Iterator[str]:
    is_nft = _is_nft(seen, family, command)
    doubts = seen.cluster.readers.texts.iptables_doubts.of(text, is_nft=is_nft)
    if doubts.bare:
        yield (
            f"{command} v{doubts.version} on {seen.name} does not print ports and marks in rules "
            f"that iptables 1.8.8 or later wrote, as in `{doubts.bare[:LONGEST_RULE]}`. "
            f"{_of_nft(seen, family)}{_NEWER}"
        )
    yield from filter(None, [_unreadable(seen, command, doubts)])
    for table, remark in doubts.remarks:
        if table in tables:
            yield _native(seen, family, table, f"{command} reports `{remark.lstrip('# ')}`")
    if is_nft and doubts.version:
        for table in _not_listed(seen, family, tables, text):
            yield _native(seen, family, table, f"{command} does not list table {table}")
    for table, what in _native_parts(seen, family):
        if is_nft and table in tables and f"*{table}\n" in text:
            yield _native(seen, family, table, f"iptables does not list {what}")
    record = seen.facts.commands.get(command)
    printed = f"{record.stderr}\n{text[:4096]}" if record else ""
    if (warning := _LEGACY_REMARK.search(printed)) and not _has_legacy(seen, command):
        yield (
            f"{seen.name} has legacy iptables tables beside the listed ones, and no "
            f"iptables-legacy-save listed them ({command}: `{warning[0].lstrip('# ')}`). "
            f"Install the legacy tools on the node, or check it through an agent pod, whose image "
            "has them (`agent.image` in the inventory)."
        )


def _of_nft(seen: NodeSeen, family: int) -> str:
    """Why nft did not complete the listing, as a sentence; empty if it was not asked."""
    for table in PRIORITIES:
        record = seen.facts.commands.get(f"{OTHER} {FAMILIES[family]} {table}")
        if record is not None and (record.problem or record.status):
            problem = record.problem or f"exit status {record.status}"
            limits = " (limits: 20 s and 4 MiB)" if record.problem else ""
            return f"`{' '.join(record.argv)}` did not show them: {problem}{limits}. "
    return ""


def _unreadable(seen: NodeSeen, command: str, doubts: Doubts) -> str:
    if not doubts.unreadable:
        return ""
    version = f" v{doubts.version}" if doubts.version else ""
    return (
        f"{command}{version} on {seen.name} cannot read rules that another version of iptables "
        f"wrote, as in `{doubts.unreadable[:LONGEST_RULE]}`. {_NEWER}"
    )


def _native(seen: NodeSeen, family: int, table: str, what: str) -> str:
    name = f"{FAMILIES[family]} {table}"
    return (
        f"Not all rules of table {name} on {seen.name} are known: {what}. Show the table on the "
        f"node with `nft list table {name}`, and move the rules that iptables did not write to a "
        "table of their own."
    )


def _not_listed(seen: NodeSeen, family: int, tables: Collection[str], text: str) -> Iterator[str]:
    """The tables that the kernel has, and the listing of other tables lacks."""
    kernels = seen.facts.commands.get("nft-tables")
    names = kernels.output.splitlines() if kernels and kernels.status == 0 else []
    for table in tables:
        if f"table {FAMILIES[family]} {table}" in names and f"*{table}\n" not in text:
            yield table


def _native_parts(seen: NodeSeen, family: int) -> Iterator[tuple[str, str]]:
    """Base chains and sets in tables of iptables that are not its own, each with its table."""
    record = seen.facts.commands.get("nft-native")
    for line in record.output.splitlines() if record and record.status == 0 else ():
        what, _, of = line.partition(" ")
        table, _, name = of.removeprefix(f"{FAMILIES[family]} ").partition(" ")
        if of.startswith(f"{FAMILIES[family]} ") and not (what == "chain" and name in HOOKS):
            yield table, f"{what} {name[:LONGEST_RULE]}"


def _is_nft(seen: NodeSeen, family: int, command: str) -> bool:
    """Whether the listing is one of the nft variant: plain iptables-save can be either."""
    if command.endswith("-nft-save"):
        return True
    version = seen.facts.commands.get("iptables-version")
    if version is not None and version.status == 0:
        return "nf_tables" in version.output
    kernels = seen.facts.commands.get("nft-tables")
    return kernels is not None and f"table {FAMILIES[family]} nat" in kernels.output.splitlines()


def _has_legacy(seen: NodeSeen, command: str) -> bool:
    tool = command.partition("-")[0]
    record = seen.facts.commands.get(f"{tool}-legacy-save")
    return record is not None and (record.status == 0 or record.problem == EMPTY)
