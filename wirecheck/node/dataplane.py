"""The differences between a node's Service rules and the API, with names for a report."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref, SharedCauseError
from wirecheck.dataplane.clients import LOCALHOST, Clients, clients_of
from wirecheck.dataplane.compare import leftovers
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference, Differences, Kind
from wirecheck.dataplane.compare.leftovers import Leftover
from wirecheck.dataplane.compare.summary import Common, Summary, summarised
from wirecheck.dataplane.compare.wording import verdict_of
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import apart_on_localhost, read_iptables
from wirecheck.dataplane.ipvs.owner import Ownership
from wirecheck.dataplane.ipvs.reader import IpvsTexts, read_ipvs
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.dataplane.proxy import NEWEST, OLDEST, Mode, ProxyFacts
from wirecheck.dataplane.table import Client, ServiceTable
from wirecheck.node.iptables import Iptables
from wirecheck.node.missing_tools import BOUND_BY_IPVS
from wirecheck.node.nftables import kube_proxy_tables, other_tables
from wirecheck.node.seen import NodeSeen
from wirecheck.node.ways_in import bridge_of_pods, never_by_uplink, uplink, way_out, ways_in
from wirecheck.parse.errors import ParseError
from wirecheck.parse.ipset import parse_ipset_save

IP_VS = "/proc/net/ip_vs"


@dataclass(frozen=True)
class NamedDifference:
    """A difference between the API and a node's rules, with its Service port."""

    node: Ref
    difference: Difference
    by_cilium: bool = False
    """Whether it is in Cilium's eBPF maps, rather than in kube-proxy's rules."""
    where: str = ""
    """Where the connections are decided about; empty for rules."""

    @property
    def ref(self) -> Ref:
        """The Service with port and frontend; the node if no Service has the frontend."""
        each, owner = self.difference, self.difference.owner
        if owner is None:
            return replace(self.node, part=str(each.frontend))
        part = f"{owner.name} {each.frontend}".strip()
        return Ref("Service", owner.service, owner.namespace, part=part, uid=owner.uid)

    @property
    def expected(self) -> str:
        return f"{self.difference.expected} (for {_listed(self.difference.clients)})"

    @property
    def found(self) -> str:
        return self.difference.found

    @property
    def evidence(self) -> tuple[str, ...]:
        return (*self.difference.evidence, *filter(None, [self.where]))

    @property
    def is_not_understood(self) -> bool:
        return self.difference.kind is Kind.NOT_UNDERSTOOD

    @property
    def third_party(self) -> bool:
        """Whether a rule decides that neither kube-proxy nor the kubelet writes."""
        return self.difference.third_party

    @property
    def by_mark(self) -> bool:
        """Whether a rule accepts the packets that another one has marked: network policy."""
        return self.difference.by_mark


@dataclass(frozen=True)
class NamedCommon:
    """A difference that all frontends of a node have."""

    node: Ref
    common: Common
    by_cilium: bool = False
    """Whether it is in Cilium's eBPF maps, rather than in kube-proxy's rules."""

    @property
    def ref(self) -> Ref:
        return replace(self.node, part=f"{self.common.where} Service rules")

    @property
    def family(self) -> int:
        return self.common.family

    @property
    def expected(self) -> str:
        each = self.common
        return f"{each.extent} {each.wanted} (for {_listed(each.clients)})"

    @property
    def found(self) -> str:
        return f"all of them {self.common.found}"

    @property
    def evidence(self) -> tuple[str, ...]:
        return self.common.evidence

    @property
    def third_party(self) -> bool:
        """Whether a rule decides that neither kube-proxy nor the kubelet writes."""
        return self.common.third_party


@dataclass(frozen=True)
class NamedLeftover:
    """Leftovers of another mode on a node."""

    node: Ref
    leftover: Leftover

    @property
    def ref(self) -> Ref:
        return replace(self.node, part=f"{self.leftover.mode} leftovers")

    @property
    def what(self) -> str:
        return self.leftover.what

    @property
    def evidence(self) -> tuple[str, ...]:
        return self.leftover.evidence

    @property
    def harm(self) -> Iterator[NamedDifference]:
        """Their effect that no Service accounts for."""
        for each in self.leftover.harm:
            yield NamedDifference(self.node, each)


@dataclass(frozen=True)
class Dataplane:
    """All differences of one node."""

    node: Ref
    summary: Summary | None
    """Of kube-proxy's rules; None where Cilium forwards in its place."""
    left: tuple[Leftover, ...] = ()
    """Leftovers of other modes."""
    claims: Mapping[Ref, str] = field(default_factory=dict)
    """Frontends that several Services claim, and what this node does with each."""
    ignored: tuple[str, ...] = ()
    """Unrecognised third-party rules that change no Service's path."""
    problems: tuple[str, ...] = ()
    """Problems that concern no single frontend."""
    pods_elsewhere: str = ""
    """Why connections of pods were not compared; empty if they were."""
    cilium: Summary | None = None
    """Of Cilium's eBPF maps."""
    where: Callable[[Iterable[Client]], str] = lambda _: ""
    """Where Cilium decides about connections of some clients."""

    @property
    def compared(self) -> int:
        """The number of frontends that were compared."""
        return sum(each.compared for each, _ in self._summaries)

    @property
    def decided(self) -> int:
        """The number of frontends of which it is known what happens to some clients."""
        return sum(each.decided for each, _ in self._summaries)

    @property
    def of_rules(self) -> Summary:
        """The comparison of kube-proxy's rules. Raises NotApplicable where there is none."""
        if self.summary is None:
            raise NotApplicable("Cilium forwards Services on this node, not kube-proxy")
        return self.summary

    @property
    def _summaries(self) -> Iterator[tuple[Summary, bool]]:
        """Each with whether it is of Cilium's maps."""
        for each, by_cilium in ((self.summary, False), (self.cilium, True)):
            if each is not None:
                yield each, by_cilium

    def of(self, *kinds: Kind) -> Iterator[NamedDifference]:
        """The differences of the given kinds or of all, by frontend, without the common ones."""
        for summary, by_cilium in self._summaries:
            for each in summary.of(*(kinds or Kind)):
                where = self.where(each.clients) if by_cilium else ""
                yield NamedDifference(self.node, each, by_cilium, where)

    def common(self, *kinds: Kind) -> Iterator[NamedCommon]:
        """The differences that all frontends have, of the given kinds or of all."""
        for summary, by_cilium in self._summaries:
            for each in summary.shared(*(kinds or Kind)):
                yield NamedCommon(self.node, each, by_cilium)

    @property
    def leftovers(self) -> Iterator[NamedLeftover]:
        """Leftovers of other modes of kube-proxy."""
        for each in self.left:
            yield NamedLeftover(self.node, each)


def compared(
    seen: NodeSeen, facts: ProxyFacts, iptables: Iptables, pods_elsewhere: str = ""
) -> Dataplane:
    """The node's Service rules, compared with the API.

    `pods_elsewhere` is the reason if another program forwards what pods send to cluster IPs and
    external IPs.

    Raises FactMissingError if rules were not read or are malformed.
    """
    _require_known(seen, facts)
    clients = _clients(seen, facts, iptables)
    wanted, found = _tables(seen, facts, iptables, clients)
    try:
        left = tuple(_leftovers(seen, facts, iptables, clients, wanted))
    except ParseError as error:
        raise FactMissingError(f"{seen.name}: {error}") from error
    problems = dict.fromkeys(
        [*seen.cluster.service_index.problems, *wanted.problems, *found.problems]
    )
    differences = compare(wanted, found, seen.cluster.readers.equal)
    items = tuple(_with_doubts(differences, iptables))
    if pods_elsewhere:
        items = tuple(without_pods(items, seen.cluster.service_addresses.without_load_balancers))
    summary = summarised(wanted, replace(differences, items=items))
    claims = dict(_claims(wanted, found))
    return Dataplane(
        node=seen.ref,
        summary=summary,
        left=left,
        claims=claims,
        ignored=found.ignored,
        problems=tuple(problems),
        pods_elsewhere=pods_elsewhere,
    )


def without_pods(differences: Iterable[Difference], of: frozenset[str]) -> Iterator[Difference]:
    """Yield the differences without the node's own pods as clients of some addresses.

    Stale frontends stay: pods' connections that no other program knows meet kube-proxy's rules.
    """
    for each in differences:
        if each.frontend.address not in of or each.kind is Kind.FRONTEND_STALE:
            yield each
        elif left := tuple(client for client in each.clients if client is not Client.POD):
            yield replace(each, clients=left)


def _with_doubts(differences: Differences, iptables: Iptables) -> Iterator[Difference]:
    """The differences; one is inconclusive where its rules may match less than is printed."""
    for each in differences:
        if iptables.may_lack_conditions(each.frontend.family, each.evidence):
            yield replace(each, kind=Kind.CONDITIONS_UNKNOWN)
        else:
            yield each


def _require_known(seen: NodeSeen, facts: ProxyFacts) -> None:
    if not facts.is_known:
        raise SharedCauseError(
            f"kube-proxy 1.{facts.minor} on {seen.name} is not supported: this wirecheck knows the "
            f"rules of kube-proxy 1.{OLDEST} to 1.{NEWEST}. Upgrade "
            f"{'kube-proxy' if facts.minor < OLDEST else 'wirecheck'}."
        )


def programmed_modes(seen: NodeSeen) -> tuple[Mode, ...]:
    """The modes with rules for Services on the node."""
    bound = any(each.name == BOUND_BY_IPVS and each.addresses for each in seen.host.interfaces)
    # IPVS mode has KUBE-SERVICES as well, but no chains of single Services.
    rules = _printed(seen, "iptables-nft-save", "iptables-save", "iptables-legacy-save")
    signs = {
        Mode.IPVS: bound,
        Mode.NFTABLES: bool(_printed(seen, "nft-kube-proxy", "nft-kube-proxy6")),
        Mode.IPTABLES: any(map(_has_chains_of_services, rules)),
    }
    return tuple(mode for mode, is_there in signs.items() if is_there)


def _bound_by_ipvs(seen: NodeSeen) -> frozenset[str]:
    """The addresses that kube-proxy has on its own interface."""
    own = (each for each in seen.host.interfaces if each.name == BOUND_BY_IPVS)
    return frozenset(str(where) for each in own for where in each.addresses)


def _has_chains_of_services(text: str) -> bool:
    return "KUBE-SVC-" in text


def _printed(seen: NodeSeen, *commands: str) -> list[str]:
    records = (seen.facts.commands.get(each) for each in commands)
    return [each.output for each in records if each and each.status == 0 and each.output]


def _clients(seen: NodeSeen, facts: ProxyFacts, iptables: Iptables) -> Clients:
    own = {
        str(each)
        for interface in seen.host.interfaces
        if interface.name != BOUND_BY_IPVS
        for each in interface.addresses
    }
    local = {*map(str, seen.host.addresses), str(LOCALHOST)}
    known = seen.cluster.known_spans
    clients = clients_of(seen.object, facts, local, {*own, str(LOCALHOST)}, known)
    device = uplink(seen)
    clients = replace(
        clients,
        interfaces=ways_in(seen),
        uplink=device,
        cluster_ips=frozenset(map(str, seen.cluster.service_addresses.cluster_ips)),
        never_by_uplink=never_by_uplink(seen, device) if device else frozenset(),
        way_out=partial(way_out, seen),
        bridge=bridge_of_pods(seen),
    )
    if facts.mode is not Mode.IPTABLES:
        return clients
    apart = apart_on_localhost(iptables.dump(iptables.rules[4]))
    return replace(clients, apart_on_localhost=frozenset(apart))


def tables_of(
    seen: NodeSeen, facts: ProxyFacts, iptables: Iptables
) -> tuple[ServiceTable, ServiceTable]:
    """The Service rules that the API requires on the node, and those that it has.

    Raises FactMissingError if rules were not read or are malformed.
    """
    return _tables(seen, facts, iptables, _clients(seen, facts, iptables))


def _tables(
    seen: NodeSeen, facts: ProxyFacts, iptables: Iptables, clients: Clients
) -> tuple[ServiceTable, ServiceTable]:
    wanted = expected_table(seen.cluster.service_index, seen.object, facts, clients)
    try:
        return wanted, _read(seen, facts, iptables, clients, wanted)
    except ParseError as error:
        raise FactMissingError(f"{seen.name}: {error}") from error


def _claims(wanted: ServiceTable, found: ServiceTable) -> Iterator[tuple[Ref, str]]:
    """kube-proxy may follow any of several claims, but all nodes should follow the same one."""
    for frontend, entries in wanted.contested.items():
        names = sorted({str(each.owner) for each in entries})
        ways = dict.fromkeys(verdict_of(found.handling(frontend, each)) for each in Client)
        yield Ref("frontend", str(frontend), part=f"of {', '.join(names)}"), "; ".join(ways)


def _read(
    seen: NodeSeen, facts: ProxyFacts, iptables: Iptables, clients: Clients, wanted: ServiceTable
) -> ServiceTable:
    """What the node's rules do, in the mode that kube-proxy is in."""
    cache = seen.cluster.readers
    tables = tuple(other_tables(seen))
    match facts.mode:
        case Mode.IPTABLES:
            return read_iptables(
                iptables.rules, clients, wanted.entries, iptables.legacy, cache, tables=tables
            )
        case Mode.NFTABLES:
            beside = {
                family: [
                    iptables.dump(each)
                    for each in (iptables.rules[family], iptables.legacy[family])
                ]
                for family in (4, 6)
            }
            own = kube_proxy_tables(seen)
            return read_nftables(own, clients, wanted.entries, cache, beside, tables=tables)
        case Mode.IPVS:
            texts = IpvsTexts(
                seen.file(IP_VS),
                seen.output_of("ipset-save"),
                iptables.rules,
                _ipvsadm(seen),
                iptables.legacy,
                _bound_by_ipvs(seen),
                tables,
            )
            is_seen = facts.cluster_cidrs is not None
            scheduler = facts.ipvs_scheduler if is_seen else ""
            return read_ipvs(
                texts, clients, wanted, facts.ipvs_exclude_cidrs, scheduler, cache=cache
            )


def _leftovers(
    seen: NodeSeen, facts: ProxyFacts, iptables: Iptables, clients: Clients, wanted: ServiceTable
) -> Iterator[Leftover]:
    """Leftovers of other modes on the node."""
    cache = seen.cluster.readers
    if facts.mode is not Mode.IPTABLES:
        yield from leftovers.of_iptables(iptables.rules, clients, wanted, facts.mode, cache)
    if facts.mode is not Mode.NFTABLES:
        yield from leftovers.of_nftables(kube_proxy_tables(seen), clients, wanted, cache)
    if facts.mode is not Mode.IPVS and IP_VS in seen.files:
        sets = "".join(_printed(seen, "ipset-save"))
        local = map(str, seen.host.addresses)
        own = Ownership.of(_bound_by_ipvs(seen), local, parse_ipset_save(sets))
        yield from leftovers.of_ipvs(seen.files[IP_VS], wanted, own, facts.ipvs_exclude_cidrs)


def _ipvsadm(seen: NodeSeen) -> str:
    """The output of ipvsadm, which many nodes do not have."""
    record = seen.facts.commands.get("ipvsadm-save")
    return record.output if record is not None and record.status == 0 else ""


def _listed(clients: tuple[Client, ...]) -> str:
    return "every client" if len(clients) == len(Client) else ", ".join(clients)
