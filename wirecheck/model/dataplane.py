"""A node's Service rules beside what the API asks of them: the differences, with names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wirecheck.dataplane.clients import Clients, clients_of
from wirecheck.dataplane.compare import Difference, Differences, Kind, compare
from wirecheck.dataplane.expected import expected_table
from wirecheck.dataplane.iptables import read_iptables
from wirecheck.dataplane.ipvs import IpvsTexts, read_ipvs
from wirecheck.dataplane.nftables import read_nftables
from wirecheck.dataplane.proxy import Mode, ProxyFacts
from wirecheck.dataplane.table import Client, ServiceTable
from wirecheck.findings import FactMissingError, Ref
from wirecheck.parse.errors import ParseError

if TYPE_CHECKING:
    from wirecheck.model.node import Node


@dataclass(frozen=True)
class NamedDifference:
    """A difference between the API and a node's rules, and the Service port that it is about."""

    node: Ref
    difference: Difference

    @property
    def ref(self) -> Ref:
        """The Service with port and frontend; what belongs to no Service is the node's."""
        each, owner = self.difference, self.difference.owner
        if owner is None:
            return Ref("Node", self.node.name, part=str(each.frontend), uid=self.node.uid)
        part = f"{owner.name} {each.frontend}".strip()
        return Ref("Service", owner.service, owner.namespace, part=part, uid=owner.uid)

    @property
    def expected(self) -> str:
        return f"{self.difference.expected} (for {self._clients})"

    @property
    def found(self) -> str:
        return self.difference.found

    @property
    def evidence(self) -> tuple[str, ...]:
        return self.difference.evidence

    @property
    def is_not_understood(self) -> bool:
        return self.difference.kind is Kind.NOT_UNDERSTOOD

    @property
    def _clients(self) -> str:
        concerned = self.difference.clients
        return "every client" if len(concerned) == len(Client) else ", ".join(concerned)


@dataclass(frozen=True)
class Dataplane:
    """All differences of one node."""

    node: Ref
    differences: Differences
    problems: tuple[str, ...] = ()
    """What could not be understood and concerns no single frontend."""

    def of(self, *kinds: Kind) -> Iterator[NamedDifference]:
        """Those of the given kinds, by frontend."""
        for each in self.differences.of(*kinds):
            yield NamedDifference(self.node, each)


def compared(node: Node) -> Dataplane:
    """The node's Service rules, compared with the API.

    Raises FactMissingError for rules that were not read or are not understood.
    """
    facts = node.proxy.facts
    index = node.cluster.service_index
    clients = clients_of(node.object, facts, map(str, node.host.addresses))
    wanted = expected_table(index, node.object, facts, clients)
    try:
        found = _read(node, facts, clients, wanted)
    except ParseError as error:
        raise FactMissingError(f"{node.name}: {error}") from error
    problems = dict.fromkeys([*index.problems, *wanted.problems, *found.problems])
    return Dataplane(node.ref, compare(wanted, found), tuple(problems))


def _read(node: Node, facts: ProxyFacts, clients: Clients, wanted: ServiceTable) -> ServiceTable:
    """What the node's rules do, in the mode that kube-proxy is in."""
    match facts.mode:
        case Mode.IPTABLES:
            legacy = {
                4: node.output_if_asked("iptables-legacy-save"),
                6: node.output_if_asked("ip6tables-legacy-save"),
            }
            return read_iptables(_iptables(node), clients, wanted.entries, legacy)
        case Mode.NFTABLES:
            tables = {
                4: node.output_if_asked("nft-kube-proxy"),
                6: node.output_if_asked("nft-kube-proxy6"),
            }
            return read_nftables(tables, clients, wanted.entries)
        case Mode.IPVS:
            texts = IpvsTexts(
                node.file("/proc/net/ip_vs"), node.output_of("ipset-save"), _iptables(node)
            )
            return read_ipvs(texts, clients, wanted, facts.ipvs_exclude_cidrs)


def _iptables(node: Node) -> dict[int, str]:
    """The iptables rules of both families, from whichever variant the node has."""
    return {4: _rules(node, "iptables"), 6: _rules(node, "ip6tables")}


def _rules(node: Node, tool: str) -> str:
    """The rules of one family, from whichever variant the node has."""
    return node.output_if_asked(f"{tool}-nft-save") or node.output_if_asked(f"{tool}-save")
