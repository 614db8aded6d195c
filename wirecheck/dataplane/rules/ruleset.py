"""Reads a `ServiceTable` from chains of steps: which frontends there are, and what they meet."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from msgspec import structs

from wirecheck.addresses import IPAddress, canonical, number_of
from wirecheck.dataplane.clients import LOCALHOST, Clients
from wirecheck.dataplane.rules.cache import Basis, basis_of, entries_of
from wirecheck.dataplane.rules.chains import Chain, Chains
from wirecheck.dataplane.rules.engine import Shared, Trace, Walk
from wirecheck.dataplane.rules.flows import Flow, Result
from wirecheck.dataplane.rules.handlings import Masquerading, Sent, fold
from wirecheck.dataplane.rules.post_dnat import Onward, refusal
from wirecheck.dataplane.rules.sources import MOST_REGIONS, NeedsSplitError, Regions
from wirecheck.dataplane.rules.steps import Packet
from wirecheck.dataplane.table import Client, Entry, Frontend, Handling, Told, Verdict

_LOCALHOST = str(LOCALHOST)
NOWHERE = {4: IPv4Address("192.0.0.8"), 6: IPv6Address("100::")}
"""Stands for the node's address where it has none of a family (RFC 7600, RFC 6666)."""


@dataclass(frozen=True)
class Stage:
    """A base chain, and the chains that its rules can name."""

    base_chain: str
    chains: Chains[Any]
    diverts: bool = True
    """Whether it is searched for frontends: not where foreign policy alone is expected."""


@dataclass(frozen=True)
class Ruleset:
    """The stages of one family by the way that a packet takes, in their order.

    Filtering after DNAT is left out on purpose: once forwarded, a connection is subject to
    policies, which are not the Service's. But what refuses all of them is seen (`refuses`).
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
    owner: str = ""
    """Whose all of it is, if it is one's; else the chains' names tell."""

    @property
    def stages(self) -> tuple[Stage, ...]:
        """All of them."""
        return (*self.arriving, *self.to_node, *self.through_node, *self.sent)

    @cached_property
    def chains(self) -> Mapping[str, Chains[Any]]:
        """By label."""
        return {stage.chains.label: stage.chains for stage in self.stages}

    @cached_property
    def named(self) -> dict[Frontend, str]:
        """The frontends that rules are about, and the owner and first chain that names each."""
        found: dict[Frontend, str] = {}
        for stage in self.stages:
            if not stage.diverts:
                continue
            for chain in reachable(stage):
                by = f"{self.owner} {chain.name}".strip()
                for host, protocol, port in chain.destinations:
                    found.setdefault(Frontend(self.family, host, protocol, port), by)
                for frontend in chain.members:
                    found.setdefault(frontend, by)
        return found

    @cached_property
    def hosts(self) -> frozenset[str]:
        """The addresses that rules are about."""
        return frozenset(each.address for each in self.named if each.address)

    @cached_property
    def packets(self) -> dict[Frontend, Packet]:
        """The packet to each of them on nodes that have none of these addresses."""
        return {each: _packet_to(each, None, False) for each in self.named if each.address}

    @cached_property
    def node_ports(self) -> tuple[Frontend, ...]:
        """Those at whichever address the node has."""
        return tuple(each for each in self.named if not each.address)

    @cached_property
    def ways(self) -> tuple[object, ...]:
        """Equal for rule sets with the same hooks in the same order."""
        ways = (self.arriving, self.to_node, self.through_node, self.sent)
        return tuple(tuple((s.chains.label, s.base_chain) for s in way) for way in ways)

    def refuses(self, onward: Onward) -> Told | None:
        """The rule that refuses all connections which go on like this, if there is one."""
        if onward not in self._refusals:
            self._refusals[onward] = next(self._refusing(onward), None)
        return self._refusals[onward]

    @cached_property
    def _refusals(self) -> dict[Onward, Told | None]:
        return {}

    def _refusing(self, onward: Onward) -> Iterator[Told]:
        start = self.sent if onward.is_nodes else self.arriving
        forth, back = start[onward.stage + 1 :], self.through_node
        if onward.is_nodes:
            forth += self.to_node if onward.is_local else ()
            back = self.to_node
        elif onward.stage < len(start):
            # What IPVS translates on its way to the node is sent from there.
            forth += self.to_node if onward.is_local else self.through_node
        prefix = "" if self.owner else "KUBE-"
        for stages, is_first in ((forth, True), (() if onward.is_local else back, False)):
            for stage in stages:
                name, mark = stage.base_chain, onward.mark if is_first else 0
                told = refusal(stage.chains.find, name, mark, is_first=is_first, prefix=prefix)
                if told is not None:
                    yield told


def read_entries(
    ruleset: Ruleset, clients: Clients, also: Mapping[Frontend, object] | Iterable[Frontend] = ()
) -> dict[Frontend, Entry]:
    """An entry for each frontend that rules name, and for each of `also` in this family."""
    by, packets = _named(ruleset, clients, also if isinstance(also, dict) else dict.fromkeys(also))
    may_be_there = by is not ruleset.named or _LOCALHOST in ruleset.hosts
    on_localhost = [each for each in by if each.address == _LOCALHOST] if may_be_there else []
    for each in on_localhost:
        del packets[each]
    regions = Regions.of(ruleset.family, clients)

    def walk(
        frontend: Frontend, packet: Packet, among: Regions = regions
    ) -> tuple[Entry, Basis | None]:
        handlings, basis = _handlings(ruleset, packet, among)
        return Entry(frontend, handlings, programmed_by=by[frontend]), basis

    found = entries_of(ruleset, regions, packets, by, walk)
    among = Regions.of(ruleset.family, clients.on_localhost)
    for frontend in on_localhost:
        entry, _ = walk(frontend, _packet(frontend, clients), among)
        if entry.is_handled:
            found[frontend] = entry
    return found


def _named(
    ruleset: Ruleset, clients: Clients, wanted: Mapping[Frontend, object]
) -> tuple[dict[Frontend, str], dict[Frontend, Packet]]:
    """The frontends that rules are about or that are wanted: what names them, and their packets.

    Rules for one of the node's addresses are about a node port, unless some Service has
    that very address.
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
    packets.update((each, _packet(each, clients)) for each in (*own, *others))
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
    """What a rule about one of the node's addresses is about."""
    node_port = frontend._replace(address="")
    is_first = frontend.address == str(clients.node_addresses.get(frontend.family))
    return node_port if is_first or node_port in wanted else frontend


def reachable(stage: Stage) -> Iterator[Chain]:
    """The chains that rules can lead to, each once.

    Without those that only one destination leads to, which is known by what leads there.
    """
    seen: set[str] = {stage.base_chain}
    waiting = [stage.base_chain]
    while waiting:
        chain = stage.chains.find(waiting.pop())
        if chain is None:
            continue
        yield chain
        for name in chain.open_jumps:
            if name not in seen:
                seen.add(name)
                waiting.append(name)


def _packet(frontend: Frontend, clients: Clients) -> Packet:
    if frontend.is_node_port:
        own = clients.node_addresses.get(frontend.family, NOWHERE[frontend.family])
        return _packet_to(frontend, own, is_local=True)
    return _packet_to(frontend, None, is_local=frontend.address in clients.local_addresses)


@lru_cache(maxsize=50_000)
def _packet_to(frontend: Frontend, node_address: IPAddress | None, is_local: bool) -> Packet:
    """The same for all nodes, but for node ports."""
    destination = str(node_address) if node_address else canonical(frontend.address)
    return Packet(
        frontend.family,
        destination,
        number_of(destination),
        frontend.protocol,
        frontend.port,
        is_local,
    )


def _handlings(
    ruleset: Ruleset, packet: Packet, base: Regions
) -> tuple[dict[Client, Handling], Basis | None]:
    """What becomes of each kind of client, and what that rests on.

    Nothing that lasts where kinds of clients had to be told apart further: by addresses that
    are different ones on the next node.
    """
    regions = base
    while True:
        trace = Trace()
        try:
            results = _results(ruleset, packet, regions, trace)
        except NeedsSplitError as needed:
            regions = regions.split(needed.test)
            if len(regions.regions) > MOST_REGIONS:
                reason = "its rules tell apart too many kinds of clients"
                obscure = Handling(Verdict.NOT_UNDERSTOOD, reason=reason)
                return dict.fromkeys(base.by_client, obscure), None
            continue
        break
    has_policies = not ruleset.owner
    handlings = fold(results, regions, ruleset.masquerading, packet.protocol, has_policies)
    if not packet.is_local:
        handlings = _not_local(handlings)
    return handlings, basis_of(ruleset, regions, trace, results) if regions is base else None


def _as_they_go_on(ruleset: Ruleset, walk: Walk, is_nodes: bool, stage: int) -> Iterator[Result]:
    """The results of a walk, with a drop where what is translated is refused afterwards."""
    local = walk.regions.clients.local_addresses
    refusals: dict[tuple[int, bool], Told | None] = {}
    for each in walk.results:
        if each.backend is None:
            yield each
            continue
        way = each.flow.mark, each.backend.address in local
        if way not in refusals:
            onward = Onward(is_nodes, stage, *way)
            refusals[way] = walk.trace.onward[onward] = ruleset.refuses(onward)
        rule = refusals[way]
        if rule is None:
            yield each
        else:
            rules = (*each.rules, rule)
            yield structs.replace(each, verdict=Verdict.DROP, backend=None, rules=rules)


def _not_local(handlings: dict[Client, Handling]) -> dict[Client, Handling]:
    """What is exempt from NAT can only be answered by the node itself."""
    lost = Handling(Verdict.UNTRACKED, reason="and the address is not the node's")
    return {
        client: structs.replace(lost, evidence=each.evidence)
        if each.verdict is Verdict.UNTRACKED
        else each
        for client, each in handlings.items()
    }


def _results(ruleset: Ruleset, packet: Packet, regions: Regions, trace: Trace) -> list[Sent]:
    node = regions.by_client.get(Client.NODE, 0)
    onward = ruleset.to_node if packet.is_local else ruleset.through_node
    ways = (
        (regions.all & ~node, (*ruleset.arriving, *onward)),
        (node, (*ruleset.sent, *(ruleset.to_node if packet.is_local else ()))),
    )
    shared: Shared = {}
    sent: list[Sent] = []
    for clients, stages in ways:
        flows = [Flow(clients)] if clients else []
        results: list[Result] = []
        for at, stage in enumerate(stages):
            if not flows:
                break
            walk = Walk(packet, regions, stage.chains, trace, shared=shared, everybody=clients)
            flows = walk.through(stage.base_chain, flows)
            results += _as_they_go_on(ruleset, walk, clients == node, at)
        results += [Result(flow, Verdict.NOTHING) for flow in flows]
        sent.append(Sent(clients, results))
    return sent
