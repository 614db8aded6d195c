"""Reads what kube-proxy's nftables rules do for Services.

    table = read_nftables({4: json_of_ip, 6: json_of_ip6}, clients, also=expected.entries)

The rule engine follows rules into the maps that they consult, so that a map without a rule has
no effect, and layouts of chains, which differ between versions, do not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import Clients
from wirecheck.dataplane.compare.tolerance import KUBE_PROXY
from wirecheck.dataplane.nftables.beside import stages_beside
from wirecheck.dataplane.nftables.keys import MALFORMED, elements_of, key_of, key_parts
from wirecheck.dataplane.nftables.rules import Translator
from wirecheck.dataplane.nftables.tables import NamedTable, in_order, with_tables
from wirecheck.dataplane.rules.cache import RuleCache
from wirecheck.dataplane.rules.chains import ChainCache, Chains
from wirecheck.dataplane.rules.handlings import Masquerading
from wirecheck.dataplane.rules.leaving import (
    Leaving,
    also_by,
    is_about_marks,
    mark_bits,
    with_stages,
)
from wirecheck.dataplane.rules.masquerading import by_mark, in_turn
from wirecheck.dataplane.rules.read import read_entries
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage, reachable
from wirecheck.dataplane.table import Entry, Frontend, ServiceTable
from wirecheck.parse.iptables import IptablesDump
from wirecheck.parse.nftables import NftTable
from wirecheck.snapshot.blocks import BlockText

HAIRPIN_KEY = ("saddr", "daddr", "l4proto", "dport")


def read_nftables(
    texts: Mapping[int, str],
    clients: Clients,
    also: Iterable[Frontend] = (),
    cache: ReaderCache | None = None,
    iptables: Mapping[int, Sequence[IptablesDump]] | None = None,
    *,
    tables: Sequence[NamedTable] = (),
) -> ServiceTable:
    """The table of a node from `nft -j list table ip kube-proxy`, and `ip6`, by family (4, 6).

    `iptables` are the node's iptables rules of both variants, nft first: port mappings there take
    connections before or after kube-proxy's rules. `tables` are nftables tables of other programs.

    An empty text means that there is no such table. Raises ParseError if a text is
    truncated or malformed. An unrecognised rule makes only those destinations NOT_UNDERSTOOD that
    it may affect.
    """
    cache = cache or ReaderCache()
    also = also if isinstance(also, dict) else dict.fromkeys(also)
    entries: dict[Frontend, Entry] = {}
    for family in (4, 6):
        beside = (iptables or {}).get(family, ())
        ruleset = ruleset_beside(family, texts.get(family, ""), beside, cache)
        ruleset = with_tables(ruleset, family, tables, cache.rules.chains)
        entries.update(read_entries(ruleset, clients, cache.rules, also))
    return ServiceTable(entries=entries)


def ruleset_in(family: int, text: str, cache: ReaderCache) -> Ruleset:
    """The rule set of one text, the same object for all nodes that have the same blocks."""

    def make() -> Ruleset:
        return ruleset_of(family, cache.texts.nft_table(text), cache.rules)

    if isinstance(text, BlockText):
        return cache.rulesets.get(("nftables", family, text), make)
    return make()


def ruleset_beside(
    family: int, text: str, dumps: Sequence[IptablesDump], cache: ReaderCache
) -> Ruleset:
    """The same rule set, with the stages of iptables rules in the order of their priorities."""

    def make() -> Ruleset:
        own = ruleset_in(family, text, cache)
        arriving = in_order(own.arriving, stages_beside("PREROUTING", dumps, cache))
        sent = in_order(own.sent, stages_beside("OUTPUT", dumps, cache))
        forwarded, last = (
            tuple(filter(is_about_marks, stages_beside(hook, dumps, cache, ("mangle",))))
            for hook in ("FORWARD", "POSTROUTING")
        )
        nat = tuple(stages_beside("POSTROUTING", dumps, cache, ("nat",)))
        masquerading = with_stages(also_by(own.masquerading, nat), forwarded, last)
        return replace(own, arriving=arriving, sent=sent, masquerading=masquerading)

    if not dumps:
        return ruleset_in(family, text, cache)
    if isinstance(text, BlockText) and all(each.is_shared for each in dumps):
        return cache.rulesets.get(("nftables", family, text, *dumps), make)
    return make()


def own_chains(family: int, table: NftTable, cache: ChainCache) -> Chains[Any]:
    """The chains of kube-proxy's own table."""
    translator = Translator(family, table.sets)
    return Chains(
        KUBE_PROXY,
        table.rules,
        translator.steps,
        translator.key_of,
        cache=cache,
        owner=KUBE_PROXY,
    )


def ruleset_of(family: int, table: NftTable, cache: RuleCache | None = None) -> Ruleset:
    """The base chains of one family by hook, in the order of their priorities."""
    cache = cache or RuleCache()
    chains = own_chains(family, table, cache.chains)

    def stages(hook: str) -> tuple[Stage, ...]:
        found = sorted(
            (each for each in table.chains.values() if each.hook == hook),
            key=lambda chain: chain.prio,
        )
        return tuple(
            Stage(
                each.name,
                chains,
                policy=each.policy.upper(),
                priority=each.prio,
                translates=each.type == "nat",
            )
            for each in found
        )

    after = stages("postrouting")
    marks = [by_mark(chains, each.base_chain) for each in after]
    hairpins = frozenset(_hairpins(table, after))
    return Ruleset(
        family=family,
        arriving=stages("prerouting"),
        to_node=stages("input"),
        through_node=stages("forward"),
        sent=stages("output"),
        masquerading=Masquerading(
            by_mark=in_turn(marks),
            own=hairpins,
            exemptions=Leaving(bits=mark_bits(after)),
        ),
        owner=KUBE_PROXY,
        packet_to=cache.packet_to,
    )


def _hairpins(table: NftTable, after: Iterable[Stage]) -> Iterator[tuple[Backend, str]]:
    """Backends whose connections to themselves are masqueraded by a set that lists them."""
    for stage in after:
        for chain in reachable(stage):
            for rule in table.rules[chain.name]:
                statements = rule.expr
                if any("masquerade" in each for each in statements):
                    for each in statements:
                        yield from _own_connections(each.get("match"), table)


def _own_connections(
    match: Mapping[str, Any] | None, table: NftTable
) -> Iterator[tuple[Backend, str]]:
    try:
        if not match or match["op"] != "==" or "concat" not in match["left"]:
            return
        if key_parts(match["left"]) != HAIRPIN_KEY:
            return
        elements = elements_of(match["right"], table.sets)
        for source, destination, protocol, port in (key_of(HAIRPIN_KEY, e) for e in elements):
            if source == destination:
                yield Backend(str(destination), int(str(port))), str(protocol)
    except MALFORMED:
        return
