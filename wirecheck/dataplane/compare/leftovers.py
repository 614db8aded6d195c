"""Leftovers of a former mode of kube-proxy on a node, and whether they do harm.

Nobody updates them any more. Between iptables and IPVS mode kube-proxy removes nothing; switching
to or from nftables mode it cleans up when it starts (from 1.29).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from wirecheck.addresses import IPNetwork, address, contains
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import Clients
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.compare.tolerance import is_foreign
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.ipvs.owner import Ownership
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.dataplane.proxy import Mode
from wirecheck.dataplane.table import Client, Frontend, ServiceTable
from wirecheck.parse.ipvs import VirtualServer, parse_ip_vs

_SERVICE_CHAIN = re.compile(r"^:KUBE-(?:SVC|SVL|SEP|EXT|FW|XLB)-\S+", re.MULTILINE)
_HARM = frozenset({Kind.FRONTEND_STALE, Kind.BACKEND_STALE, Kind.BACKEND_WRONG, Kind.VERDICT})
_MOST_LINES = 6


@dataclass(frozen=True, slots=True)
class Leftover:
    """The leftovers of one mode; `harm` is their effect that no Service accounts for."""

    mode: Mode
    what: str
    """`12 virtual servers`."""
    evidence: tuple[str, ...]
    harm: tuple[Difference, ...] = ()


def of_ipvs(
    text: str,
    wanted: ServiceTable,
    ownership: Ownership,
    excluded: Collection[IPNetwork] = (),
) -> Iterator[Leftover]:
    """kube-proxy's virtual servers in /proc/net/ip_vs on a node where it is not in IPVS mode.

    Rules translate connections to existing Services before IPVS sees them. Connections to deleted
    Services reach IPVS, and their virtual servers still answer.
    """
    servers = [
        each
        for each in parse_ip_vs(text)
        if not contains(excluded, address(each.address)) and ownership.has(each, wanted.entries)
    ]
    if servers:
        harm = [_stale(each) for each in servers if not _is_wanted(each, wanted)]
        lines = tuple(each.line for each in servers[:_MOST_LINES])
        yield Leftover(Mode.IPVS, f"{len(servers):,} virtual servers", lines, tuple(harm))


def of_nftables(
    texts: Mapping[int, str], clients: Clients, wanted: ServiceTable, cache: ReaderCache
) -> Iterator[Leftover]:
    """kube-proxy's own nftables tables on a node where it is not in nftables mode."""
    if any(texts.values()):
        found = read_nftables(texts, clients, cache=cache)
        names = [f"table {'ip6' if family == 6 else 'ip'} kube-proxy" for family in texts]
        what = f"nftables tables for {len(found.entries):,} frontends"
        yield Leftover(Mode.NFTABLES, what, tuple(names), _harm(found, wanted, cache))


def of_iptables(
    texts: Mapping[int, str],
    clients: Clients,
    wanted: ServiceTable,
    mode: Mode,
    cache: ReaderCache,
) -> Iterator[Leftover]:
    """Chains of single Services on a node where kube-proxy is in another mode.

    IPVS mode has its own chain KUBE-SERVICES; the comparison of that mode includes its rules.
    """
    chains = [name[1:] for text in texts.values() for name in _SERVICE_CHAIN.findall(text)]
    if chains:
        harm: tuple[Difference, ...] = ()
        if mode is not Mode.IPVS:
            harm = _harm(read_iptables(texts, clients, cache=cache), wanted, cache)
        what = f"{len(chains):,} chains of iptables mode"
        yield Leftover(Mode.IPTABLES, what, tuple(chains[:_MOST_LINES]), harm)


def _is_wanted(server: VirtualServer, wanted: ServiceTable) -> bool:
    """Whether some Service has its address and port, or its port as a node port."""
    frontend = Frontend(server.family, server.address, server.protocol, server.port)
    return any(each in wanted.entries for each in (frontend, frontend._replace(address="")))


def _stale(server: VirtualServer) -> Difference:
    backends = ", ".join(f"{each.address}:{each.port}" for each in server.real_servers)
    return Difference(
        Kind.FRONTEND_STALE,
        Frontend(server.family, server.address, server.protocol, server.port),
        owner=None,
        clients=tuple(Client),
        backend=None,
        expected="nothing: no Service has this frontend",
        found=f"forwarded to {backends}" if backends else "refused: no real server",
        evidence=(server.line, *(each.line for each in server.real_servers)),
    )


def _harm(found: ServiceTable, wanted: ServiceTable, cache: ReaderCache) -> tuple[Difference, ...]:
    """The frontends that they handle otherwise than the API requires; missing ones are harmless."""
    return tuple(
        each
        for each in compare(wanted, found, cache.equal)
        if each.kind in _HARM
        and (entry := found.entries.get(each.frontend)) is not None
        and not is_foreign(entry)
    )
