"""Reads what iptables rules do for Services, with nothing but the kernel's hooks for names.

    table = read_iptables({4: text_v4, 6: text_v6}, clients, also=expected.entries)

A rule set is walked for every destination that rules name, and for those in `also`. The name
of a chain counts only as `programmed_by`: to tell what kube-proxy left behind from what
others programmed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import zip_longest

from msgspec import structs

from wirecheck.dataplane.clients import Clients
from wirecheck.dataplane.iptables.rules import step_of, steps_of
from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.handlings import Masquerading
from wirecheck.dataplane.rules.masquerading import by_mark, in_turn
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage, reachable, read_entries
from wirecheck.dataplane.rules.steps import End, Jump, Opaque, Step
from wirecheck.dataplane.table import Entry, Frontend, ServiceTable, Verdict
from wirecheck.parse.iptables import Chain, IptablesDump
from wirecheck.parse.iptables_once import iptables_dump

LONGEST_SHARED = 50_000
NODE_PORTS = "KUBE-NODEPORTS"


def read_iptables(
    texts: Mapping[int, str],
    clients: Clients,
    also: Iterable[Frontend] = (),
    legacy_texts: Mapping[int, str] | None = None,
) -> ServiceTable:
    """The table of a node from its iptables-save output by family (4, 6).

    `texts` is what `iptables-save` prints, `legacy_texts` what `iptables-legacy-save` prints
    in addition where both backends are in use: the kernel asks both. Raises ParseError where
    a text is cut or not understood; a rule that is not understood makes the destinations
    that it may concern NOT_UNDERSTOOD, and no others.
    """
    also = also if isinstance(also, dict) else dict.fromkeys(also)
    entries: dict[Frontend, Entry] = {}
    health_checks: set[tuple[int, int]] = set()
    ignored: set[str] = set()
    for family in (4, 6):
        dumps = [
            iptables_dump(each[family]) for each in (texts, legacy_texts or {}) if each.get(family)
        ]
        is_shared = bool(dumps) and all(dump.is_shared for dump in dumps)
        ruleset = (_ruleset_once if is_shared else _ruleset)(family, *dumps)
        entries.update(read_entries(ruleset, clients, also))
        health_checks |= {(family, port) for port in _open_ports(ruleset)}
        ignored.update(rule for dump in dumps for rule in _not_understood(dump))
    met = {line for each in entries.values() for line in _doubts(each)} if ignored else set()
    return ServiceTable(
        entries=entries,
        health_check_ports=frozenset(health_checks),
        ignored=tuple(sorted(ignored - met)),
    )


def _ruleset(family: int, *dumps: IptablesDump) -> Ruleset:
    return ruleset_of(family, [*dumps])


_ruleset_once = lru_cache(maxsize=4)(_ruleset)
"""Of nodes with the same rules, which are one dump, the same."""


def _not_understood(dump: IptablesDump) -> tuple[str, ...]:
    """Rules of others in which a match or a target is not understood."""
    return _not_understood_once(dump) if dump.is_shared else _not_understood_of(dump)


def _not_understood_of(dump: IptablesDump) -> tuple[str, ...]:
    return tuple(
        step.text
        for table in dump.tables.values()
        for name, chain in table.chains.items()
        if chain.block and not name.startswith("KUBE-")
        for step in steps_of(chain)
        if not _is_understood(step, table.chains)
    )


_not_understood_once = lru_cache(maxsize=4)(_not_understood_of)


def _is_understood(step: Step, chains: Mapping[str, Chain]) -> bool:
    """A target that is not known looks like a jump to a chain that does not exist."""
    return not any(each.kind == "other" for each in step.sources) and not any(
        isinstance(each, Opaque) or (isinstance(each, Jump) and each.chain not in chains)
        for each in step.actions
    )


def _doubts(entry: Entry) -> Iterator[str]:
    """The rules for which a frontend is not understood."""
    for each in entry.handlings.values():
        if each.verdict is Verdict.NOT_UNDERSTOOD:
            yield from each.lines


def ruleset_of(
    family: int,
    dumps: list[IptablesDump],
    translate: Callable[[Chain], Sequence[Step]] = steps_of,
    key_of: Callable[[Chain], Hashable] | None = None,
) -> Ruleset:
    """The hooks of one family in the kernel's order.

    Of two backends on one hook the kernel asks the one first that was loaded last, which the
    output does not tell. The one with fewer rules goes first here: it is where rules are
    that nobody knows of, and they are to show.
    """
    dumps = sorted(dumps, key=_size)
    chains = {
        (at, name): Chains(f"{at} {name}", table.chains, translate, key_of or shared_text)
        for at, dump in enumerate(dumps)
        for name, table in dump.tables.items()
    }

    def stages(hook: str, *tables: str) -> tuple[Stage, ...]:
        return tuple(
            Stage(hook, chains[at, table], diverts=table in ("nat", "filter"))
            for table in tables
            for at, dump in enumerate(dumps)
            if dump.chain(table, hook)
        )

    marks = [
        by_mark(each.find, "POSTROUTING") for (_, table), each in chains.items() if table == "nat"
    ]
    return Ruleset(
        family=family,
        arriving=stages("PREROUTING", "raw", "mangle", "nat"),
        to_node=stages("INPUT", "filter"),
        through_node=stages("FORWARD", "filter"),
        sent=stages("OUTPUT", "raw", "mangle", "nat", "filter"),
        masquerading=Masquerading(
            by_mark=in_turn(marks),
        ),
    )


def apart_on_localhost(dump: IptablesDump) -> Iterator[int]:
    """Node ports whose rule for loopback addresses is not followed by the same for all.

    kube-proxy has such a rule for each, to count what meets it; both lead to one chain.
    """
    chain = dump.chain("nat", NODE_PORTS)
    rules = chain.rules if chain else []
    for line, following in zip_longest(rules, rules[1:], fillvalue=""):
        if " -d 127." in line:
            one = step_of(line)
            other = step_of(following) if following else None
            of_all = Step(one.told, one.actions, protocol=one.protocol, port=one.port)
            if one.port and (other is None or structs.replace(other, told=one.told) != of_all):
                yield one.port


def shared_text(chain: Chain) -> str | None:
    """What equal chains have in common; the large ones are in another order on each node."""
    return (chain.block or chain.name) if len(chain.block) < LONGEST_SHARED else None


def _size(dump: IptablesDump) -> int:
    return sum(len(c.block) for table in dump.tables.values() for c in table.chains.values())


def _open_ports(ruleset: Ruleset) -> set[int]:
    """TCP ports that rules of table filter accept, in chains called on the way to the node.

    Of several rules of a chain about one port the first one counts.
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
