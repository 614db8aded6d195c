"""The addresses and prefixes that rules, sets and routes of a node name.

Packets to two addresses that are in the same ones of them take the same way through the node.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from functools import lru_cache
from typing import NamedTuple

from wirecheck.addresses import IPNetwork, address, network
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.dataplane.kube_chains import is_kubernetes
from wirecheck.node.routing import destination_of
from wirecheck.parse.iptables import IptablesDump
from wirecheck.paths.place import Place

ADDRESS = r"(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-fA-F]{0,4}:[0-9a-fA-F:.]{1,44})"
LITERAL = re.compile(rf"(?<![\w.:]){ADDRESS}(?:/\d{{1,3}})?(?![\w:])", re.ASCII)
OF_NFT = re.compile(rf'"addr": ?"({ADDRESS})", ?"len": ?(\d{{1,3}})', re.ASCII)
RANGE = re.compile(rf'({ADDRESS})(?:-|", ?")({ADDRESS})', re.ASCII)
"""`10.0.0.1-10.0.0.9` of iptables, and the two ends of a range of nftables."""
OF_SERVICES = re.compile(
    r"KUBE-(6-)?(LOOP-BACK|CLUSTER-IP|LOAD-BALANCER|NODE-PORT|EXTERNAL-IP|HEALTH-CHECK|IPVS)"
)
"""kube-proxy's sets in its mode IPVS: ports and addresses of Services and their endpoints."""
MOST = 20_000
"""Prefixes of one node's rules and sets."""


class Span(NamedTuple):
    """All addresses from the first to the last."""

    family: int
    first: int
    last: int


def routed_spans(place: Place, usual: Container[str] = ()) -> frozenset[Span]:
    """The destinations of its routes and routing rules, except `usual` ones."""
    record = place.netns.record
    routes = (*record.routes, *record.local_routes)
    found = (destination_of(each) for each in routes if each.destination not in usual)
    rules = (network(e.destination) for e in record.rules if e.destination)
    return frozenset(map(_span, (*found, *rules)))


def filtered_spans(place: Place) -> frozenset[Span]:
    """The addresses that routing rules have as sources, and those of rules and sets.

    Rules of kube-proxy for single Services are left out: they name no addresses that packets
    between pods have. Raises NotApplicable if there are too many, and what reading rules raises.
    """
    found = {_span(network(e.source)) for e in place.netns.record.rules if e.source}
    for text in (*iptables_blocks(place), *_others(place)):
        found |= named_in(text)
        if len(found) > MOST:
            why = f"the rules of {place.node} name more than {MOST:,} addresses"
            raise NotApplicable(why)
    return frozenset(found)


def iptables_blocks(place: Place) -> Iterator[str]:
    """The rules of each iptables chain of the node, except kube-proxy's chains for Services."""
    own = place.machine.hooks.iptables
    for text in (*own.rules.values(), *own.legacy.values()):
        yield from _of_iptables(own.dump(text))


def nft_listings(place: Place) -> Iterator[str]:
    """The nftables tables of the node in JSON, except kube-proxy's."""
    for name, record in place.machine.seen.facts.commands.items():
        if name.startswith("nft-table ") and not name.endswith(" kube-proxy"):
            yield record.output


def _others(place: Place) -> Iterator[str]:
    yield from nft_listings(place)
    for of_set in place.machine.hooks.sets.sets.values():
        if not OF_SERVICES.match(of_set.name):
            yield "\n".join((*of_set.entries, *of_set.excluded))


def _of_iptables(dump: IptablesDump) -> Iterator[str]:
    for name, table in dump.tables.items():
        for chain in table.chains.values():
            if chain.block and not (name == "nat" and is_kubernetes(chain.name)):
                yield chain.block


@lru_cache(maxsize=4_000)
def named_in(text: str) -> frozenset[Span]:
    """The addresses, prefixes and ranges in rules as their tools print them."""
    found: set[Span] = set()
    for one, other in RANGE.findall(text):
        try:
            first, last = address(one), address(other)
        except ValueError:
            continue
        if first.version == last.version:
            found.add(Span(first.version, int(first), int(last)))
    literals = [*LITERAL.findall(text), *("/".join(each) for each in OF_NFT.findall(text))]
    for each in literals:
        try:
            found.add(_span(network(each)))
        except ValueError:  # A MAC, a time or a part of a comment.
            continue
    return frozenset(found)


def _span(of: IPNetwork) -> Span:
    return Span(of.version, int(of.network_address), int(of.broadcast_address))
