"""nftables tables of other programs as stages of a packet's path, in the order of priorities."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from wirecheck.dataplane.nftables.third_party import PacketTranslator
from wirecheck.dataplane.rules.chains import ChainCache, Chains
from wirecheck.dataplane.rules.leaving import also_by, is_about_marks, with_stages
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage
from wirecheck.dataplane.table import OF_TABLE
from wirecheck.parse.nftables import NftTable

DNAT, FILTER, MASQUERADING = -100, 0, 100
"""NF_IP_PRI_NAT_DST, NF_IP_PRI_FILTER and NF_IP_PRI_NAT_SRC."""
PRIORITIES = {"raw": -300, "mangle": -150, "nat": DNAT, "filter": FILTER}
"""Of the tables of iptables (NF_IP_PRI_*)."""
OF_FAMILY = {4: frozenset({"ip", "inet"}), 6: frozenset({"ip6", "inet"})}


@dataclass(frozen=True)
class NamedTable:
    """One table, with its family (ip, ip6, inet) and name."""

    of: str
    name: str
    table: NftTable

    @property
    def label(self) -> str:
        """`inet firewalld`."""
        return f"{self.of} {self.name}"


def stages_of(
    hook: str, family: int, tables: Iterable[NamedTable], cache: ChainCache
) -> Iterator[Stage]:
    """The base chains of one hook that packets of a family meet, in no order."""
    for each in tables:
        if each.of not in OF_FAMILY[family]:
            continue
        yield from stages_at(hook, each.table, chains_of(each, family, cache), diverts=False)


def chains_of(named: NamedTable, family: int, cache: ChainCache) -> Chains[Any]:
    """The chains of one table, as packets of a family meet them."""
    translator = PacketTranslator(family, named.label, named.table.sets)
    return Chains(
        f"{OF_TABLE}{named.label}",
        named.table.rules,
        translator.steps,
        translator.key_of,
        cache,
        variant=f"{OF_TABLE}{named.label}",
    )


def stages_at(hook: str, table: NftTable, chains: Chains[Any], *, diverts: bool) -> Iterator[Stage]:
    """The base chains of one hook in one table, in no order."""
    for chain in table.chains.values():
        if chain.hook == hook:
            yield Stage(
                chain.name,
                chains,
                chain.policy.upper() or "ACCEPT",
                diverts=diverts,
                priority=chain.prio,
                refuses_rest=chain.policy == "drop",
                translates=chain.type == "nat",
            )


def with_tables(
    ruleset: Ruleset, family: int, tables: Iterable[NamedTable], cache: ChainCache
) -> Ruleset:
    """The same rules, with what the tables do before a packet is translated, and to its mark later.

    What filters refuse after that is left out, as with iptables: it belongs to network policy and
    to the checks of the firewall.
    """
    tables = tuple(tables)
    arriving = tuple(stages_of("prerouting", family, tables, cache))
    sent = tuple(
        each
        for each in stages_of("output", family, tables, cache)
        if each.priority <= DNAT or each.translates
    )
    forwarded = tuple(filter(is_about_marks, stages_of("forward", family, tables, cache)))
    last = tuple(
        each
        for each in stages_of("postrouting", family, tables, cache)
        if each.priority < MASQUERADING and not each.translates and is_about_marks(each)
    )
    nat = tuple(each for each in stages_of("postrouting", family, tables, cache) if each.translates)
    if not (arriving or sent or forwarded or last or nat):
        return ruleset
    return replace(
        ruleset,
        arriving=in_order(ruleset.arriving, arriving),
        sent=in_order(ruleset.sent, sent),
        masquerading=with_stages(also_by(ruleset.masquerading, nat), forwarded, last),
        without_filters=ruleset,
    )


def in_order(own: Iterable[Stage], others: Iterable[Stage]) -> tuple[Stage, ...]:
    """All stages of a hook; of those with one priority the others first.

    Their rules show up then, and the tie says that the order is not known.
    """
    own = tuple(own)
    placed = [
        replace(each, tied=tuple(e for e in own if e.priority == each.priority)) for each in others
    ]
    return tuple(sorted([*placed, *own], key=lambda stage: stage.priority))
