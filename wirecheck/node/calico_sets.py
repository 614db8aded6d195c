"""Calico's sets of addresses on one node, compared with what the API implies.

felix keeps them in ipsets, and with its nftables dataplane in sets of its own table. Only sets
that a rule uses are evaluated: felix leaves others behind when it changes its dataplane.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address, summarize_address_range
from typing import Any

from wirecheck.addresses import IPAddress, IPNetwork, network
from wirecheck.api_index.calico import CalicoVtep
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.dataplane.nftables.keys import MALFORMED, elements_of
from wirecheck.node.iptables import Iptables
from wirecheck.node.nftables import FAMILIES, OTHER, TERSE
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.parse.nftables import NftTable
from wirecheck.snapshot.objects.ip_pool import IpPoolObject

MASQUERADED = "masq-ipam-pools"
ALL_POOLS = ("network-ip-pools", "all-ipam-pools")
"""The name since 2025, and the one before."""
OF_PEERS = {
    "all-vxlan-net": ({4: "IPv4VXLANTunnelAddr", 6: "IPv6VXLANTunnelAddr"}, "VXLAN"),
    "all-hosts-net": ({4: "IPv4IPIPTunnelAddr"}, "IPIP"),
}
"""The sets of the addresses from which a node accepts packets of the overlay, each with the
annotation of nodes that send such packets."""
USED = re.compile(r"--match-set (cali[46]0[a-z-]+) ")
WORKLOAD = "Workload"
OLDER = "not asked: the node has no IPVS"
"""What a program says that reads sets only for kube-proxy."""


@dataclass(frozen=True)
class SetMismatch:
    """An address or range that a set lacks, or that it has although it must not."""

    ref: Ref
    set: str
    expected: str
    found: str
    is_harmful: bool = True
    concerns: tuple[Ref, ...] = ()
    inconclusive: str = ""


@dataclass(frozen=True)
class CalicoSets:
    """The sets in rules of Calico on one node."""

    seen: NodeSeen
    iptables: Iptables

    @property
    def mismatches(self) -> Iterator[SetMismatch]:
        """What the sets lack. Raises NotApplicable if no rule uses any of them."""
        if not self._used:
            raise NotApplicable("no rule on the node uses a set of Calico's pools or nodes")
        for family, name in sorted(self._used):
            members = self._members(family, name)
            if isinstance(members, str):
                yield self._inconclusive(family, name, members)
            elif name in OF_PEERS:
                yield from self._of_peers(family, name, members)
            elif not self.seen.cluster.api.ip_pools:
                yield self._inconclusive(family, name, "IPPools of Calico were not read")
            else:
                yield from self._of_pools(family, name, members)

    def _of_pools(
        self, family: int, name: str, members: tuple[IPNetwork, ...]
    ) -> Iterator[SetMismatch]:
        for pool, range_ in self._pools(family):
            where = f"range {range_} of IPPool {pool.metadata.name}"
            is_there = _covers(members, range_)
            if name != MASQUERADED:
                if not is_there:
                    lost = "packets to its pods are masqueraded, so policies see the node"
                    yield self._mismatch(family, name, where, f"not in it: {lost}")
            elif pool.spec.nat_outgoing and not is_there:
                lost = "its pods' packets leave the cluster with addresses of pods"
                yield self._mismatch(family, name, f"{where} (natOutgoing)", f"not in it: {lost}")
            elif not pool.spec.nat_outgoing and range_ in members:
                found = "in it: its pods' packets leave with the node's address"
                wanted = f"without {where}, which has no natOutgoing"
                yield self._mismatch(family, name, wanted, found, is_harmful=False)

    def _pools(self, family: int) -> Iterator[tuple[IpPoolObject, IPNetwork]]:
        """The pools that pods have addresses of: felix keeps out those of load balancers."""
        for each in self.seen.cluster.api.ip_pools:
            if each.spec.allowed_uses and WORKLOAD not in each.spec.allowed_uses:
                continue
            with suppress(ValueError):
                range_ = network(each.spec.cidr)
                if range_.version == family:
                    yield each, range_

    def _of_peers(
        self, family: int, name: str, members: tuple[IPNetwork, ...]
    ) -> Iterator[SetMismatch]:
        annotations, overlay = OF_PEERS[name]
        for node in self.seen.cluster.nodes.values():
            peer = CalicoVtep(node, family)
            is_sender = f"projectcalico.org/{annotations.get(family)}" in node.metadata.annotations
            if peer.name == self.seen.name or not is_sender or not peer.endpoints:
                continue
            if not any(_covers(members, _alone(each)) for each in peer.endpoints):
                wanted = f"{peer.endpoints[0]}, an address of node {peer.name}"
                found = f"not in it: {overlay} packets from {peer.name} are dropped"
                yield self._mismatch(family, name, wanted, found, concerns=(peer.ref,))

    def _mismatch(
        self,
        family: int,
        name: str,
        expected: str,
        found: str,
        *,
        is_harmful: bool = True,
        concerns: tuple[Ref, ...] = (),
    ) -> SetMismatch:
        full = _full(family, name)
        ref = self.seen.part(f"set {full}")
        return SetMismatch(ref, full, expected, found, is_harmful, concerns)

    def _inconclusive(self, family: int, name: str, why: str) -> SetMismatch:
        full = _full(family, name)
        ref = self.seen.part(f"set {full}")
        return SetMismatch(ref, full, "known members", "unknown", inconclusive=why)

    # What the node has.

    @cached_property
    def _used(self) -> frozenset[tuple[int, str]]:
        """Family and short name of each set that a rule uses."""
        short = (MASQUERADED, *ALL_POOLS, *OF_PEERS)
        known = {(family, name): _full(family, name) for family in FAMILIES for name in short}
        if self._tables:
            names = {
                each
                for table in self._tables.values()
                for rules in table.rules.values()
                for each in rules.sets
            }
        else:
            texts = (*self.iptables.rules.values(), *self.iptables.legacy.values())
            names = {each for text in texts for each in USED.findall(text)}
        return frozenset(key for key, full in known.items() if full in names)

    def _members(self, family: int, name: str) -> tuple[IPNetwork, ...] | str:
        """What the set has, or why that is not known."""
        full = _full(family, name)
        if self._tables:
            return self._in_table(family, full)
        record = self.seen.facts.commands.get("ipset-save")
        if record is None or record.problem == OLDER:
            return "an older version of wirecheck did not read ipsets"
        if record.status != 0:
            return f"ipsets were not read: {record.problem or 'ipset failed'}"
        found = self.seen.ipsets.get(full)
        if found is None:
            return "a rule uses a set that ipset does not list"
        return _networks(found.entries)

    def _in_table(self, family: int, full: str) -> tuple[IPNetwork, ...] | str:
        if TERSE in self.seen.facts.commands[_table_of(family)].argv:
            return "nft listed the table without the members of sets, because it is too large"
        try:
            elements = elements_of(f"@{full}", self._tables[family].sets)
            return tuple(each for element in elements for each in _ranges(element))
        except MALFORMED:
            return "nft lists the set in an unknown form"

    @cached_property
    def _tables(self) -> Mapping[int, NftTable]:
        """Calico's own nftables tables by family; none with its iptables dataplane."""
        found = {}
        for family in FAMILIES:
            record = self.seen.facts.commands.get(_table_of(family))
            if record is not None and record.is_whole:
                has_elements = TERSE not in record.argv
                texts = self.seen.cluster.readers.texts
                with suppress(ParseError):
                    found[family] = texts.nft_other(record.output, has_elements=has_elements)
        return found


def _full(family: int, name: str) -> str:
    return f"cali{family}0{name}"


def _table_of(family: int) -> str:
    return f"{OTHER} {FAMILIES[family]} calico"


def _networks(texts: list[str]) -> tuple[IPNetwork, ...]:
    found = []
    for each in texts:
        with suppress(ValueError):
            found.append(network(each))
    return tuple(found)


def _ranges(element: Any) -> Iterator[IPNetwork]:
    """The ranges in one element of nft: an address, a prefix, or the first and last address."""
    if isinstance(element, str):
        yield network(element)
    elif "prefix" in element:
        yield network(f"{element['prefix']['addr']}/{element['prefix']['len']}")
    else:
        first, last = map(ip_address, element["range"])
        yield from summarize_address_range(first, last)


def _alone(address: IPAddress) -> IPNetwork:
    return network(f"{address}/{address.max_prefixlen}")


def _covers(members: tuple[IPNetwork, ...], range_: IPNetwork) -> bool:
    """Whether one member has the whole range. An ipset cannot have 0.0.0.0/0: it has two halves."""
    if any(each.version == range_.version and _within(range_, each) for each in members):
        return True
    halves = list(range_.subnets()) if range_.prefixlen == 0 else []
    return bool(halves) and all(each in members for each in halves)


def _within(one: IPNetwork, other: IPNetwork) -> bool:
    return one.prefixlen >= other.prefixlen and one.network_address in other
