"""Reads what IPVS, with the iptables rules and ipsets around it, does for Services.

    texts = IpvsTexts(ip_vs, ipsets, {4: iptables, 6: ip6tables})
    table = read_ipvs(texts, clients, expected)

Virtual servers are steps of one more stage, after those of iptables: the rules only mark
what is to be masqueraded and refuse what is not allowed. A virtual server serves arriving
packets only where its address is the node's own, on kube-ipvs0: `clients` must know all
addresses of the node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from msgspec import structs

from wirecheck.addresses import IPNetwork, address, contains
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import Clients
from wirecheck.dataplane.compare.tolerance import KUBE_PROXY
from wirecheck.dataplane.iptables.reader import ruleset_of, shared_text
from wirecheck.dataplane.iptables.rules import MakeStep, steps_of
from wirecheck.dataplane.ipvs.owner import Ownership
from wirecheck.dataplane.nftables.tables import NamedTable, in_order, stages_of, with_tables
from wirecheck.dataplane.rules.chains import Chain, Chains
from wirecheck.dataplane.rules.flows import Flow, has_marks
from wirecheck.dataplane.rules.ipsets import resolver
from wirecheck.dataplane.rules.leaving import as_sent
from wirecheck.dataplane.rules.read import read_entries
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage, reachable
from wirecheck.dataplane.rules.steps import Action, Choose, Dnat, End, Return, Source, Step
from wirecheck.dataplane.table import Entry, Frontend, ServiceTable, Verdict
from wirecheck.parse import iptables
from wirecheck.parse.ipset import Ipset, parse_ipset_save
from wirecheck.parse.iptables import IptablesDump
from wirecheck.parse.ipvs import RealServer, VirtualServer
from wirecheck.parse.ipvsadm import TICKS_PER_SECOND, parse_ipvsadm_save

SERVERS = f"{KUBE_PROXY} virtual servers"
LOOP_BACK = ("dst", "dst", "src")
TICK_RATES = (250, 1000, 100, 300)
"""The values of CONFIG_HZ that kernels are built with, the most common first."""


@dataclass(frozen=True, slots=True)
class IpvsTexts:
    """What was read on the node: /proc/net/ip_vs, `ipset save`, iptables-save by family.

    `ipvsadm -Sn`, where the node has it, goes before /proc/net/ip_vs: of more than a page the
    kernel leaves entries out there while other network namespaces have virtual servers, too
    (ip_vs_info_seq_start counts the netns's own, ip_vs_info_seq_next all).
    """

    ip_vs: str
    ipsets: str
    iptables: Mapping[int, str]
    ipvsadm: str = ""
    legacy: Mapping[int, str] = field(default_factory=dict)
    """The output of iptables-legacy-save, by family: the kernel evaluates both backends."""
    bound: frozenset[str] = frozenset()
    """The addresses on kube-ipvs0. If there are none, every virtual server is kube-proxy's."""
    tables: Sequence[NamedTable] = ()
    """nftables tables of other programs."""

    def dumps(self, family: int, cache: ReaderCache) -> list[IptablesDump]:
        """The rules of a family, by variant."""
        texts = (self.iptables.get(family, ""), self.legacy.get(family, ""))
        return [cache.texts.iptables(each) for each in texts if each]


def read_ipvs(
    texts: IpvsTexts,
    clients: Clients,
    wanted: ServiceTable,
    excluded: Collection[IPNetwork] = (),
    scheduler: str = "",
    *,
    cache: ReaderCache | None = None,
) -> ServiceTable:
    """The table of a node. Raises ParseError if a text is truncated or malformed.

    `wanted` names further frontends to read, and determines the tick rate. `excluded` are
    kube-proxy's `ipvs.excludeCIDRs`: virtual servers there belong to others. `scheduler` is its
    `ipvs.scheduler`, empty if that was not seen.
    """
    cache = cache or ReaderCache()
    all_servers = parse_ipvsadm_save(texts.ipvsadm) or cache.texts.virtual_servers(texts.ip_vs)
    servers = [each for each in all_servers if not contains(excluded, address(each.address))]
    sets = parse_ipset_save(texts.ipsets)
    if texts.bound:
        ownership = Ownership.of(texts.bound, clients.local_addresses, sets)
        servers = [each for each in servers if ownership.has(each, wanted.entries)]
    rate = TICKS_PER_SECOND if texts.ipvsadm else _tick_rate(servers, wanted)
    steps = [(server.family, step) for server in servers for step in _steps(server, rate, cache)]
    entries: dict[Frontend, Entry] = {}
    for family in (4, 6):
        own = [step for of, step in steps if of == family]
        ruleset = _ruleset(family, own, sets, texts, cache)
        entries.update(read_entries(ruleset, clients, cache.rules, wanted.entries))
    for server in servers:
        if scheduler and server.scheduler != scheduler:
            _note_scheduler(server, entries, clients)
    open_ports = {
        (family, port)
        for family in (4, 6)
        for dump in texts.dumps(family, cache)
        for port in _open_ports(dump, sets, cache.step_of)
    }
    return ServiceTable(entries=entries, health_check_ports=frozenset(open_ports))


def _note_scheduler(
    server: VirtualServer, entries: dict[Frontend, Entry], clients: Clients
) -> None:
    """Put the scheduler into the entry of a server that has another one than it should."""
    frontend = Frontend(server.family, server.address, server.protocol, server.port)
    if server.address == str(clients.node_addresses.get(server.family)):
        frontend = frontend if frontend in entries else frontend._replace(address="")
    if entry := entries.get(frontend):
        handlings = {
            client: structs.replace(each, scheduler=server.scheduler)
            for client, each in entry.handlings.items()
        }
        entries[frontend] = structs.replace(entry, handlings=handlings)


def _tick_rate(servers: Iterable[VirtualServer], wanted: ServiceTable) -> int:
    """Ticks per second: of the usual rates the one by which most servers are as wanted."""
    votes: Counter[int] = Counter()
    for server in servers:
        if not server.persistent_ticks:
            continue
        frontend = Frontend(server.family, server.address, server.protocol, server.port)
        entry = wanted.entries.get(frontend)
        for each in entry.handlings.values() if entry else ():
            votes.update(r for r in TICK_RATES if server.persistent_ticks == r * each.affinity[0])
    return max(TICK_RATES, key=lambda rate: votes[rate])


def _ruleset(
    family: int,
    steps: Sequence[Step],
    sets: Mapping[str, Ipset],
    texts: IpvsTexts,
    cache: ReaderCache,
) -> Ruleset:
    dumps = texts.dumps(family, cache)
    resolve = resolver(sets, cache.ipsets)
    translate = partial(steps_of, step_of=cache.step_of, resolve=resolve)
    rules = ruleset_of(family, dumps, cache.rules, translate, key_of=_text_without_sets)
    kept = cache.rules.chains
    rules = with_tables(rules, family, texts.tables, kept)
    to_node = in_order(rules.to_node, stages_of("input", family, texts.tables, kept))
    servers = Chains(KUBE_PROXY, {SERVERS: steps}, list, cache=cache.rules.chains, owner=KUBE_PROXY)
    stage = Stage(SERVERS, servers)
    hairpins = frozenset(
        each
        for dump in dumps
        for name in _loop_back_sets(dump, cache.step_of)
        if name in sets
        for each in _hairpins(sets[name])
    )
    return replace(
        rules,
        # IPVS takes what comes in after the filters (NF_IP_PRI_NAT_SRC - 2).
        to_node=(*to_node, stage),
        without_filters=None,
        # IPVS sends packets on as if the node had made them (ip_vs_nat_send_or_cont).
        masquerading=as_sent(rules.masquerading)._replace(own=hairpins),
        # IPVS handles the node's own packets after nat and before filter. Filter rules
        # that refuse them recognise IPVS traffic, so filter may also be evaluated first.
        sent=(*rules.sent, stage),
    )


def _text_without_sets(chain: iptables.Chain) -> str | None:
    """As `shared_text`; rules that match ipsets have a different effect on each node."""
    return None if "--match-set" in chain.block else shared_text(chain)


def _loop_back_sets(dump: IptablesDump, step_of: MakeStep) -> Iterator[str]:
    """The sets of connections from a backend to itself that are masqueraded."""
    for chain in _raw_chains(dump, "nat", "POSTROUTING", step_of):
        for step in chain.steps:
            if _takes_hairpins(step):
                break
            if step.actions == (Source(),):
                yield from (each.name for each in step.sets if each.fields == LOOP_BACK)


def _takes_hairpins(step: Step) -> bool:
    """Whether the rule stops such connections, which have no mark."""
    is_for_some = step.protocol or step.host or step.port or step.tests or step.sources
    return (
        not is_for_some
        and any(isinstance(each, End | Return) for each in step.actions)
        and has_marks(Flow(0, 0), step.marks)
        and all(each.fields == LOOP_BACK and not each.negated for each in step.sets)
    )


def _steps(server: VirtualServer, tick_rate: int, cache: ReaderCache) -> Iterable[Step]:
    """The steps of a virtual server; all nodes share the objects."""
    seconds = server.persistent_ticks // tick_rate if server.persistent_ticks else None
    frontend = Frontend(server.family, server.address, server.protocol, server.port)
    reals = tuple(server.real_servers)
    key = (frontend, seconds, server.is_by_client, server.line, reals)
    return cache.virtual_servers.get(key, lambda: _steps_of(*key))


def _steps_of(
    frontend: Frontend,
    seconds: int | None,
    is_by_client: bool,
    line: str,
    reals: tuple[RealServer, ...],
) -> tuple[Step, ...]:
    """With persistence a step for returning clients comes first.

    `seconds` is how long clients stay with their backend, None for no persistence.
    """
    name = f"{frontend.address} {frontend.protocol} {frontend.port}"
    weights = [max(each.weight, 0) for each in reals]
    total = sum(weights)
    actions: tuple[Action, ...] = (End(Verdict.REJECT),)
    if total:
        targets = tuple(Dnat(each.address, each.port) for each in reals)
        shares = tuple(weight / total for weight in weights)
        actions = (Choose(targets, shares),)
    step = Step(
        rule="\n  ".join((line, *(each.line for each in reals))),
        actions=actions,
        protocol=frontend.protocol,
        host=frontend.address,
        port=frontend.port,
        remembers=name if seconds is not None and is_by_client else "",
    )
    if seconds is None:
        return (step,)
    return structs.replace(step, recalls=(name, seconds)), step


def _hairpins(loop_back: Ipset) -> Iterator[tuple[Backend, str]]:
    """`10.244.1.2,tcp:8080,10.244.1.2`: connections from an address to itself."""
    for entry in loop_back.entries:
        host, place, source = entry.split(",")
        protocol, _, port = place.partition(":")
        if host == source:
            yield Backend(host, int(port)), protocol


def _open_ports(dump: IptablesDump, sets: Mapping[str, Ipset], step_of: MakeStep) -> Iterator[int]:
    """The ports of sets that rules of table filter accept on the way to the node.

    Of several rules of a chain about one set the first one counts; none may refuse it.
    """
    opened, refused = set(), set()
    for chain in _raw_chains(dump, "filter", "INPUT", step_of):
        first: dict[str, Step] = {}
        for step in chain.steps:
            for each in step.sets:
                ports = sets.get(each.name)
                if ports and ports.type == "bitmap:port" and not each.negated:
                    first.setdefault(each.name, step)
        for name, step in first.items():
            if step.actions == (End(Verdict.NOTHING),):
                opened.add(name)
            elif step.actions in ((End(Verdict.DROP),), (End(Verdict.REJECT),)):
                refused.add(name)
    for name in opened - refused:
        yield from map(int, sets[name].entries)


def _raw_chains(dump: IptablesDump, name: str, hook: str, step_of: MakeStep) -> Iterator[Chain]:
    """The chains that a base chain of a table jumps to, with unresolved conditions on sets."""
    table = dump.tables.get(name)
    chains = Chains(
        name, table.chains if table else {}, lambda chain: [step_of(line) for line in chain.rules]
    )
    return reachable(Stage(hook, chains))
