"""Reads what iptables rules do for Services. It relies on no chain names but the kernel's hooks.

    table = read_iptables({4: text_v4, 6: text_v6}, clients, also=expected.entries)

It reads every destination that rules name, and those in `also`. Names of chains count only as
`programmed_by`: they distinguish kube-proxy's leftovers from third-party rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest

from msgspec import structs

from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import Clients
from wirecheck.dataplane.iptables.base_chains import VARIANTS
from wirecheck.dataplane.iptables.rules import make_step, steps_of
from wirecheck.dataplane.kube_chains import is_kubernetes
from wirecheck.dataplane.nftables.tables import PRIORITIES, NamedTable, with_tables
from wirecheck.dataplane.rules.cache import RuleCache
from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.handlings import Masquerading
from wirecheck.dataplane.rules.leaving import Leaving
from wirecheck.dataplane.rules.masquerading import by_mark, first_rule, in_turn, third_party_for
from wirecheck.dataplane.rules.read import read_entries
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage, reachable
from wirecheck.dataplane.rules.steps import End, Jump, Opaque, Step
from wirecheck.dataplane.table import Entry, Frontend, ServiceTable, Verdict
from wirecheck.parse.iptables import Chain, IptablesDump, Table

LONGEST_SHARED = 50_000
NODE_PORTS = "KUBE-NODEPORTS"
WAYS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
"""The base chains that decide where connections to Services go, and from whom, by table."""

AROUND_FILTER: Mapping[str, Sequence[tuple[str, str]]] = {
    "forward": (
        *(("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", "FORWARD")),
        *(("security", "FORWARD"), ("mangle", "POSTROUTING")),
    ),
    "input": (
        *(("raw", "PREROUTING"), ("mangle", "PREROUTING"), ("mangle", "INPUT")),
        ("security", "INPUT"),
    ),
    # Those of raw and mangle are on the path of connections to Services already.
    "output": (("security", "OUTPUT"), ("mangle", "POSTROUTING")),
}
"""Table and base chain, by the path of a packet."""

_TARGET = re.compile(r" -[jg] (\S+)")


def read_iptables(
    texts: Mapping[int, str],
    clients: Clients,
    also: Iterable[Frontend] = (),
    legacy_texts: Mapping[int, str] | None = None,
    cache: ReaderCache | None = None,
    *,
    tables: Sequence[NamedTable] = (),
) -> ServiceTable:
    """The table of a node from its iptables-save output by family (4, 6).

    `texts` is what `iptables-save` prints, `legacy_texts` what `iptables-legacy-save` prints
    in addition if both backends are in use: packets traverse the rules of both. `tables` are the
    nftables tables that iptables does not list. Raises ParseError if a text is truncated or
    malformed. An unrecognised rule makes only those destinations NOT_UNDERSTOOD that it may affect.
    """
    cache = cache or ReaderCache()
    also = also if isinstance(also, dict) else dict.fromkeys(also)
    entries: dict[Frontend, Entry] = {}
    health_checks: set[tuple[int, int]] = set()
    ignored: set[str] = set()
    for family in (4, 6):
        found = [each[family] for each in (texts, legacy_texts or {}) if each.get(family)]
        dumps = [cache.texts.iptables(text) for text in found]
        ruleset = ruleset_in(family, dumps, cache)
        ruleset = with_tables(ruleset, family, tables, cache.rules.chains)
        entries.update(read_entries(ruleset, clients, cache.rules, also))
        health_checks |= {(family, port) for port in _open_ports(ruleset)}
        ignored.update(rule for dump in dumps for rule in _unrecognised(dump, cache))
    met = {line for each in entries.values() for line in _doubts(each)} if ignored else set()
    return ServiceTable(
        entries=entries,
        health_check_ports=frozenset(health_checks),
        ignored=tuple(sorted(ignored - met)),
    )


def ruleset_in(family: int, dumps: list[IptablesDump], cache: ReaderCache) -> Ruleset:
    """The rule set of these rules, the same object for all nodes that share the dumps."""

    def make() -> Ruleset:
        translate = partial(steps_of, step_of=cache.step_of)
        return ruleset_of(family, dumps, cache.rules, translate)

    if dumps and all(dump.is_shared for dump in dumps):
        return cache.rulesets.get(("iptables", family, *dumps), make)
    return make()


def further_filters(dump: IptablesDump, cache: ReaderCache, path: str) -> Iterator[Stage]:
    """The base chains beside those of table filter that may drop packets on a path.

    `path` is `forward`, `input` or `output`. Nobody expects filters there; they drop all the same.
    """
    for name, hook in AROUND_FILTER[path]:
        if (chain := dump.chain(name, hook)) is not None and (
            chain.block or chain.policy == "DROP"
        ):
            chains = Chains(
                f"0 {name}",
                dump.tables[name].chains,
                partial(steps_of, step_of=cache.step_of),
                shared_text,
                cache.rules.chains,
            )
            yield Stage(hook, chains, chain.policy, translates=False)


def _unrecognised(dump: IptablesDump, cache: ReaderCache) -> tuple[str, ...]:
    """Third-party rules on packets' way to Services with an unrecognised match or target."""

    def make() -> tuple[str, ...]:
        return _unrecognised_in(dump, cache)

    return cache.unrecognised.get(dump, make) if dump.is_shared else make()


def _unrecognised_in(dump: IptablesDump, cache: ReaderCache) -> tuple[str, ...]:
    return tuple(
        step.text
        for name, hooks in WAYS.items()
        if (table := dump.tables.get(name)) is not None
        for chain in _called(table, hooks)
        if not is_kubernetes(chain.name)
        for step in steps_of(chain, cache.step_of)
        if step.actions and not _is_understood(step, table.chains)
    )


def _called(table: Table, hooks: Iterable[str]) -> Iterator[Chain]:
    """The chains with rules that packets meet from some base chains on."""
    waiting = [*hooks]
    seen = {*hooks}
    while waiting:
        chain = table.chains.get(waiting.pop())
        if chain is None or not chain.block:
            continue
        yield chain
        for name in _TARGET.findall(chain.block):
            if name not in seen:
                seen.add(name)
                waiting.append(name)


def _is_understood(step: Step, chains: Mapping[str, Chain]) -> bool:
    """An unrecognised target looks like a jump to a chain that does not exist."""
    return not any(each.kind == "other" for each in step.sources) and not any(
        isinstance(each, Opaque) or (isinstance(each, Jump) and each.chain not in chains)
        for each in step.actions
    )


def _doubts(entry: Entry) -> Iterator[str]:
    """The rules that make a frontend inconclusive."""
    for each in entry.handlings.values():
        if each.verdict is Verdict.NOT_UNDERSTOOD:
            for line in each.lines:
                yield line.removeprefix("nft: ").removeprefix("legacy: ")


def ruleset_of(
    family: int,
    dumps: list[IptablesDump],
    cache: RuleCache,
    translate: Callable[[Chain], Sequence[Step]],
    key_of: Callable[[Chain], Hashable] | None = None,
) -> Ruleset:
    """The hooks of one family in the kernel's order.

    Packets meet the backend first that was loaded last, which the output does not show. The
    backend with fewer rules goes first here, so that rules which nobody knows about show up.
    Of two backends the first of `dumps` is nft.
    """
    is_mixed = len(dumps) == len(VARIANTS) and all(map(_size, dumps))
    variants = {id(dump): name for dump, name in zip(dumps, VARIANTS, strict=False) if is_mixed}
    dumps = sorted(dumps, key=_size)
    chains = {
        (at, name): Chains(
            f"{at} {name}",
            table.chains,
            translate,
            key_of or shared_text,
            cache.chains,
            variant=variants.get(id(dump), ""),
        )
        for at, dump in enumerate(dumps)
        for name, table in dump.tables.items()
    }

    def stages(hook: str, *tables: str) -> tuple[Stage, ...]:
        return tuple(
            Stage(
                hook,
                chains[at, table],
                chain.policy,
                diverts=table in ("nat", "filter"),
                priority=PRIORITIES[table],
                translates=table == "nat",
            )
            for table in tables
            for at, dump in enumerate(dumps)
            if (chain := dump.chain(table, hook))
        )

    nat = [each for (_, table), each in chains.items() if table == "nat"]
    leaving = Leaving(
        stages("FORWARD", "mangle"), stages("POSTROUTING", "mangle"), stages("POSTROUTING", "nat")
    )
    return Ruleset(
        family=family,
        arriving=stages("PREROUTING", "raw", "mangle", "nat"),
        to_node=stages("INPUT", "filter"),
        through_node=stages("FORWARD", "filter"),
        sent=stages("OUTPUT", "raw", "mangle", "nat", "filter"),
        masquerading=Masquerading(
            by_mark=in_turn([by_mark(each, "POSTROUTING") for each in nat]),
            rule_for=first_rule([third_party_for(each, "POSTROUTING") for each in nat]),
            exemptions=leaving,
        ),
        packet_to=cache.packet_to,
    )


def apart_on_localhost(dump: IptablesDump) -> Iterator[int]:
    """Node ports whose rule for loopback addresses is not followed by the same for all addresses.

    kube-proxy writes such a pair for each node port, to count packets; both jump to one chain.
    """
    chain = dump.chain("nat", NODE_PORTS)
    rules = chain.rules if chain else []
    for line, following in zip_longest(rules, rules[1:], fillvalue=""):
        if " -d 127." in line:
            one = make_step(line)
            other = make_step(following) if following else None
            of_all = Step(one.rule, one.actions, protocol=one.protocol, port=one.port)
            if one.port and (other is None or structs.replace(other, rule=one.rule) != of_all):
                yield one.port


def shared_text(chain: Chain) -> str | None:
    """Equal for equal chains; None for large ones, which have another order on each node."""
    return (chain.block or chain.name) if len(chain.block) < LONGEST_SHARED else None


def _size(dump: IptablesDump) -> int:
    return sum(len(c.block) for table in dump.tables.values() for c in table.chains.values())


def _open_ports(ruleset: Ruleset) -> set[int]:
    """TCP ports that rules of table filter accept, in chains called for packets to the node.

    If several rules of a chain match one port, the first one counts.
    """
    found: set[int] = set()
    for stage in ruleset.to_node:
        for chain in reachable(stage):
            first: dict[int, Step] = {}
            for step in chain.steps:
                if step.port and step.protocol == "tcp" and not step.host:
                    first.setdefault(step.port, step)
            found |= {
                port for port, step in first.items() if step.actions == (End(Verdict.NOTHING),)
            }
    return found
