"""Reads a `ServiceTable` from chains of steps: which frontends there are, and what they meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from msgspec import structs

from wirecheck.addresses import address
from wirecheck.dataplane.clients import Clients
from wirecheck.dataplane.fold import Masquerading, fold
from wirecheck.dataplane.sources import MOST_REGIONS, NeedsSplitError, Regions
from wirecheck.dataplane.steps import Choose, Dnat, End, Jump, Lookup, Packet, Step
from wirecheck.dataplane.table import Client, Entry, Frontend, Handling, Verdict
from wirecheck.dataplane.walk import Chain, Flow, Result, Walk

NOWHERE = {4: IPv4Address("192.0.0.8"), 6: IPv6Address("100::")}
"""Stands for the node's address where it has none of a family (RFC 7600, RFC 6666)."""


@dataclass(frozen=True)
class Stage:
    """A base chain, and how to find the chains that its rules name."""

    base_chain: str
    find_chain: Callable[[str], Chain | None]
    diverts: bool = True
    """Whether it is searched for frontends: not where foreign policy alone is expected."""


@dataclass(frozen=True)
class Ruleset:
    """The stages of one family by the way that a packet takes, in their order.

    Filtering after DNAT is left out on purpose: once forwarded, a connection is subject to
    policies, which are not the Service's.
    """

    family: int
    arriving: tuple[Stage, ...]
    """Until the routing decision."""
    to_node: tuple[Stage, ...]
    """Then, for addresses of the node,"""
    through_node: tuple[Stage, ...]
    """and for others."""
    sent: tuple[Stage, ...]
    """What the node itself sends; to its own addresses, `to_node` follows."""
    masquerading: Masquerading

    def stages(self) -> Iterator[Stage]:
        """Every stage once."""
        seen = set()
        for stage in (*self.arriving, *self.sent, *self.to_node, *self.through_node):
            if id(stage) not in seen:
                seen.add(id(stage))
                yield stage


def read_entries(
    ruleset: Ruleset, clients: Clients, also: Iterable[Frontend] = ()
) -> Iterator[Entry]:
    """An entry for each frontend that rules name, and for each of `also` in this family."""
    named: dict[Frontend, str] = {}
    for frontend, chain in _named(ruleset, clients):
        named.setdefault(frontend, chain)
    for frontend in also:
        if frontend.family == ruleset.family:
            named.setdefault(frontend, "")
    regions = Regions.of(ruleset.family, clients)
    for frontend, chain in named.items():
        handlings = _handlings(ruleset, clients, regions, frontend)
        entry = Entry(frontend, handlings, programmed_by=chain)
        if entry.is_handled:
            yield entry


def _named(ruleset: Ruleset, clients: Clients) -> Iterator[tuple[Frontend, str]]:
    """The frontends that rules are about, each with a chain that names it."""
    own = clients.node_addresses.get(ruleset.family)
    for stage in ruleset.stages():
        if not stage.diverts:
            continue
        for chain in reachable(stage):
            for step in chain.steps:
                for frontend in _frontends(step, ruleset.family):
                    if frontend.address == str(own):
                        continue
                    yield frontend, chain.name


def reachable(stage: Stage) -> Iterator[Chain]:
    """The chains that rules can lead to, each once."""
    seen: set[str] = set()
    waiting = [stage.base_chain]
    while waiting:
        name = waiting.pop()
        chain = stage.find_chain(name)
        if name in seen or chain is None:
            continue
        seen.add(name)
        yield chain
        for step in chain.steps:
            waiting += [each.chain for each in _jumps(step.actions)]


def _jumps(actions: Iterable[object]) -> Iterator[Jump]:
    for action in actions:
        match action:
            case Jump():
                yield action
            case Lookup(_, found):
                yield from _jumps(found.values())
            case Choose(choices):
                yield from _jumps(choices)


def _frontends(step: Step, family: int) -> Iterator[Frontend]:
    """What a step is about, if it is about one address and port, or one node port."""
    for action in step.actions:
        if isinstance(action, Lookup):
            yield from action.members
    is_effective = any(isinstance(each, Jump | Dnat | End) for each in step.actions)
    if step.port and step.protocol and is_effective and not step.never:
        yield Frontend(family, step.host, step.protocol, step.port)


def _handlings(
    ruleset: Ruleset, clients: Clients, regions: Regions, frontend: Frontend
) -> dict[Client, Handling]:
    packet = _packet(frontend, clients)
    while True:
        try:
            results = _results(ruleset, packet, regions)
        except NeedsSplitError as needed:
            regions = regions.split(needed.test)
            if len(regions.regions) > MOST_REGIONS:
                reason = "its rules tell apart too many kinds of clients"
                obscure = Handling(Verdict.NOT_UNDERSTOOD, reason=reason)
                return dict.fromkeys(clients.of(frontend.family), obscure)
            continue
        handlings = fold(results, regions, ruleset.masquerading, packet.protocol)
        return handlings if packet.is_local else _not_local(handlings)


def _not_local(handlings: dict[Client, Handling]) -> dict[Client, Handling]:
    """What is exempt from NAT can only be answered by the node itself."""
    lost = Handling(Verdict.UNTRACKED, reason="and the address is not the node's")
    return {
        client: structs.replace(lost, evidence=each.evidence)
        if each.verdict is Verdict.UNTRACKED
        else each
        for client, each in handlings.items()
    }


def _packet(frontend: Frontend, clients: Clients) -> Packet:
    destination = (
        clients.node_addresses.get(frontend.family, NOWHERE[frontend.family])
        if frontend.is_node_port
        else address(frontend.address)
    )
    return Packet(
        frontend.family,
        str(destination),
        int(destination),
        frontend.protocol,
        frontend.port,
        frontend.is_node_port or str(destination) in clients.local_addresses,
    )


def _results(ruleset: Ruleset, packet: Packet, regions: Regions) -> list[Result]:
    node = regions.by_client.get(Client.NODE, 0)
    onward = ruleset.to_node if packet.is_local else ruleset.through_node
    ways = (
        (regions.all & ~node, (*ruleset.arriving, *onward)),
        (node, (*ruleset.sent, *(ruleset.to_node if packet.is_local else ()))),
    )
    results: list[Result] = []
    for clients, stages in ways:
        flows = [Flow(clients)] if clients else []
        for stage in stages:
            if not flows:
                break
            walk = Walk(packet, regions, stage.find_chain)
            flows = walk.through(stage.base_chain, flows)
            results += walk.results
        results += [Result(flow, Verdict.NOTHING) for flow in flows]
    return results
