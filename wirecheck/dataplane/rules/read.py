"""Reads the entries of a rule set: its frontends, and what happens to connections to each."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address

from msgspec import structs

from wirecheck.addresses import IPAddress, number_of
from wirecheck.dataplane.clients import LOCALHOST, Clients
from wirecheck.dataplane.rules.accepted_before import are_accepted, with_decisive, with_new_stage
from wirecheck.dataplane.rules.cache import RuleCache
from wirecheck.dataplane.rules.dependencies import Consulted, Dependencies, Translated
from wirecheck.dataplane.rules.engine import RuleEngine, Shared
from wirecheck.dataplane.rules.flows import REFUSED, Flow, Result, is_refused, merged
from wirecheck.dataplane.rules.handlings import Sent, handlings_of, handlings_of_ways
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage
from wirecheck.dataplane.rules.service_connections import ServiceConnections
from wirecheck.dataplane.rules.sources import NeedsSplitError, Regions
from wirecheck.dataplane.rules.steps import IN, Packet
from wirecheck.dataplane.table import (
    SAME_PRIORITY,
    Client,
    Entry,
    Frontend,
    Handling,
    RuleText,
    Verdict,
)

_LOCALHOST = str(LOCALHOST)
MOST_BACKENDS = 8
"""Backends for which both orders of two chains are tried."""
NOWHERE: Mapping[int, IPAddress] = {4: IPv4Address("192.0.0.8"), 6: IPv6Address("100::")}
"""Represents the node's address if it has none of a family (RFC 7600, RFC 6666)."""


def read_entries(
    ruleset: Ruleset,
    clients: Clients,
    cache: RuleCache,
    also: Mapping[Frontend, object] | Iterable[Frontend] = (),
) -> dict[Frontend, Entry]:
    """An entry for each frontend that rules name, and for each of `also` in this family."""
    by, packets = _named(ruleset, clients, also if isinstance(also, dict) else dict.fromkeys(also))
    may_be_there = by is not ruleset.named or _LOCALHOST in ruleset.hosts
    on_localhost = [each for each in by if each.address == _LOCALHOST] if may_be_there else []
    for each in on_localhost:
        del packets[each]
    regions = Regions.of(ruleset.family, clients)
    inner = Regions.of(ruleset.family, clients.of_cluster_ips)

    def read(
        frontend: Frontend, packet: Packet, among: Regions | None = None
    ) -> tuple[Entry, Dependencies | None]:
        usual = inner if packet.address in clients.cluster_ips else regions
        found, dependencies = _handlings(ruleset, packet, among or usual)
        return Entry(frontend, found, programmed_by=by[frontend]), dependencies

    entries = cache.entries_of(ruleset, regions, packets, by, read)
    among = Regions.of(ruleset.family, clients.on_localhost)
    for frontend in on_localhost:
        entry, _ = read(frontend, _packet(ruleset, frontend, clients), among)
        if entry.is_decided:
            entries[frontend] = entry
    return entries


def _named(
    ruleset: Ruleset, clients: Clients, wanted: Mapping[Frontend, object]
) -> tuple[dict[Frontend, str], dict[Frontend, Packet]]:
    """The frontends that rules name or that are wanted: what names each, and its packet.

    A rule for one of the node's addresses is about a node port, unless a Service has that address.
    """
    if ruleset.hosts.isdisjoint(clients.local_addresses):
        named, packets = ruleset.named, ruleset.packets.copy()
        own = ruleset.node_ports
    else:
        named, packets = _named_on_node(ruleset, clients, wanted), {}
        own = tuple(named)
    others = [e for e in set(wanted).difference(named) if e.family == ruleset.family]
    if others:
        named = {**named, **dict.fromkeys(others, ruleset.owner)}
    packets.update((each, _packet(ruleset, each, clients)) for each in (*own, *others))
    return named, packets


def _named_on_node(
    ruleset: Ruleset, clients: Clients, wanted: Container[Frontend]
) -> dict[Frontend, str]:
    found: dict[Frontend, str] = {}
    for frontend, chain in ruleset.named.items():
        is_own = frontend.address in clients.local_addresses and frontend not in wanted
        found.setdefault(_on_node(frontend, clients, wanted) if is_own else frontend, chain)
    return found


def _on_node(frontend: Frontend, clients: Clients, wanted: Container[Frontend]) -> Frontend:
    """The frontend of a rule for one of the node's addresses."""
    node_port = frontend._replace(address="")
    is_first = frontend.address == str(clients.node_addresses.get(frontend.family))
    return node_port if is_first or node_port in wanted else frontend


def _packet(ruleset: Ruleset, frontend: Frontend, clients: Clients) -> Packet:
    if frontend.is_node_port:
        own = clients.node_addresses.get(frontend.family, NOWHERE[frontend.family])
        return ruleset.packet_to(frontend, own, is_local=True)
    is_local = frontend.address in clients.local_addresses
    return ruleset.packet_to(frontend, None, is_local=is_local)


def _handlings(
    ruleset: Ruleset, packet: Packet, base: Regions
) -> tuple[dict[Client, Handling], Dependencies | None]:
    """The handling of each kind of client, and its dependencies.

    Without dependencies, and so not for other nodes, if kinds of clients had to be split: other
    nodes split them at other addresses.
    """
    regions = base
    has_policies = not ruleset.owner
    while True:
        consulted = Consulted()
        try:
            sent = _sent(ruleset, packet, regions, consulted)
            found = handlings_of(
                sent,
                regions,
                ruleset.masquerading,
                packet.protocol,
                has_policies,
                rule_with=ruleset.rule_with,
            )
            if are_accepted(found):
                past = _sent(ruleset, packet, regions, consulted, past_accepts=True)
                found = with_decisive(found, past, regions)
        except NeedsSplitError as needed:
            test = needed.test
            tests = ruleset.interfaces_beside(test) if test.kind == IN else (test,)
            regions = regions.split(*tests)
            if regions.are_too_many:
                return _followed_both_ways(ruleset, packet, base), None
            continue
        break
    if not packet.is_local:
        found = _not_local(found)
    exemptions = ruleset.masquerading.exemptions
    if regions is not base or consulted.way_out or (exemptions and exemptions.matters):
        return found, None
    return found, _dependencies(ruleset, regions, consulted, sent)


def _followed_both_ways(
    ruleset: Ruleset, packet: Packet, regions: Regions
) -> dict[Client, Handling]:
    """The handling of each kind of client, without telling its clients apart.

    It is known if the Service has no backend on any way, and all ways that no third-party policy
    ends are alike.
    """
    sent = _sent(ruleset, packet, regions, Consulted(), both_ways=True)
    return handlings_of_ways(sent, regions, ruleset.masquerading, packet.protocol)


def _sent(
    ruleset: Ruleset,
    packet: Packet,
    regions: Regions,
    consulted: Consulted,
    *,
    both_ways: bool = False,
    past_accepts: bool = False,
) -> list[Sent]:
    """The results for packets that arrive at the node, and for the node's own packets."""
    node = regions.by_client.get(Client.NODE, 0)
    onward = ruleset.to_node if packet.is_local else ruleset.through_node
    paths = (
        (regions.all & ~node, (*ruleset.arriving, *onward)),
        (node, (*ruleset.sent, *(ruleset.to_node if packet.is_local else ()))),
    )
    shared: Shared | None = None if past_accepts else {}
    sent: list[Sent] = []
    for clients, stages in paths:
        flows = [Flow(clients)] if clients else []
        results: list[Result] = []
        for at, stage in enumerate(stages):
            if not flows:
                break
            question = ServiceConnections(
                packet,
                regions,
                stage.chains,
                consulted,
                both_ways=both_ways,
                past_accepts=past_accepts,
            )
            engine = RuleEngine(question, stage.chains, consulted, shared=shared, everybody=clients)
            flows = with_new_stage(flows) if past_accepts else flows
            flows = _through(stage, engine, flows)
            if engine.results:
                if at < len(ruleset.arriving) and clients != node:
                    engine.results = [_by_source(each) for each in engine.results]
                if _is_contested(stage, packet, regions, engine.results, consulted):
                    engine.results = [_of_unknown_order(each) for each in engine.results]
                local = regions.clients.local_addresses
                results += _after_dnat(ruleset, engine, local, from_node=clients == node, stage=at)
        results += [Result(flow, Verdict.NOTHING) for flow in flows]
        sent.append(Sent(clients, results))
    return sent


def _through(stage: Stage, engine: RuleEngine, flows: list[Flow]) -> list[Flow]:
    """The flows that leave a base chain; where its policy counts, only those that it accepts."""
    if not stage.refuses_rest:
        return engine.through(stage.base_chain, flows)
    rest = engine.to_end_of(stage.base_chain, flows)
    rules = (stage.chains.policy_drop(stage.base_chain),)
    engine.results += [
        Result(each, Verdict.DROP, rules=rules, third_party=True, by_source=True) for each in rest
    ]
    return merged(engine.accepted)


def _is_contested(
    stage: Stage,
    packet: Packet,
    regions: Regions,
    results: Sequence[Result],
    consulted: Consulted,
) -> bool:
    """Whether a stage that may be asked first handles packets which this one handles."""
    sources = _sources_of(results)
    only_refuses = not stage.translates and all(map(is_refused, results))
    for tied in stage.tied if sources else ():
        question = ServiceConnections(packet, regions, tied.chains, consulted)
        engine = RuleEngine(question, tied.chains, consulted)
        engine.through(tied.base_chain, [Flow(sources)])
        if engine.results and not (only_refuses and _refuses(stage, engine, regions, consulted)):
            return True
    return False


def _refuses(stage: Stage, tied: RuleEngine, regions: Regions, consulted: Consulted) -> bool:
    """Whether a stage also refuses what a tied one has translated: the order does not matter."""
    packet = tied.question.packet
    backends = {each.backend for each in tied.results}
    if packet is None or len(backends) > MOST_BACKENDS:
        return False
    sources = _sources_of(tied.results)
    for backend in backends:
        if backend is None:
            return False
        there = structs.replace(
            packet, address=backend.address, number=number_of(backend.address), port=backend.port
        )
        question = ServiceConnections(there, regions, stage.chains, consulted)
        engine = RuleEngine(question, stage.chains, consulted)
        if _through(stage, engine, [Flow(sources)]) or not all(map(is_refused, engine.results)):
            return False
    return True


def _sources_of(results: Iterable[Result]) -> int:
    """The clients that any of the results is for, as bits."""
    sources = 0
    for each in results:
        sources |= each.flow.sources
    return sources


def _of_unknown_order(result: Result) -> Result:
    return structs.replace(
        result, verdict=Verdict.NOT_UNDERSTOOD, backend=None, reason=SAME_PRIORITY
    )


def _by_source(result: Result) -> Result:
    """Before DNAT nothing but their source distinguishes refused packets from the others."""
    is_ban = result.third_party and result.verdict in REFUSED
    return structs.replace(result, by_source=True) if is_ban else result


def _after_dnat(
    ruleset: Ruleset, engine: RuleEngine, local: Container[str], *, from_node: bool, stage: int
) -> Iterator[Result]:
    """The engine's results; a drop instead where later rules refuse the translated connection."""
    refusals: dict[tuple[int, bool], RuleText | None] = {}
    for each in engine.results:
        if each.backend is None:
            yield each
            continue
        key = each.flow.mark, each.backend.address in local
        if key not in refusals:
            connection = Translated(from_node, stage, *key)
            rule = ruleset.refuses(connection)
            refusals[key] = engine.consulted.translated[connection] = rule
        rule = refusals[key]
        if rule is None:
            yield each
        else:
            rules = (*each.rules, rule)
            yield structs.replace(each, verdict=Verdict.DROP, backend=None, rules=rules)


def _not_local(found: dict[Client, Handling]) -> dict[Client, Handling]:
    """Only the node itself can answer connections that are exempt from NAT."""
    lost = Handling(Verdict.UNTRACKED, reason="the rules of Services never see it")
    return {
        client: structs.replace(lost, evidence=each.evidence, third_party=each.third_party)
        if each.verdict is Verdict.UNTRACKED
        else each
        for client, each in found.items()
    }


def _dependencies(
    ruleset: Ruleset, regions: Regions, consulted: Consulted, sent: Iterable[Sent]
) -> Dependencies:
    """The dependencies of the results."""
    results = [each for path in sent for each in path.results]
    marks = {each.flow.mark for each in results}
    marks |= {mark for each in results for _, mark in each.flow.own_marks}
    return Dependencies(
        frozenset(consulted.chains),
        {tests: regions.matching(tests) for tests in consulted.tests},
        {mark: ruleset.masquerading.by_mark(mark) for mark in marks},
        consulted.translated,
    )
