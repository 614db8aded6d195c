"""UDP entries of conntrack that forward a Service's packets to something else than its endpoints.

kube-proxy deletes such entries when an endpoint is removed, as UDP has no end of a connection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress
from wirecheck.api_index.backend import with_port
from wirecheck.api_index.udp_services import UdpService, UdpServices
from wirecheck.catalogue.findings import Ref
from wirecheck.parse.conntrack import Connection

MOST_LINES = 6


@dataclass(frozen=True, slots=True)
class StaleEntries:
    """The entries of one frontend that lead to the same address, which is not an endpoint."""

    service: Ref
    address: IPAddress
    port: int
    backend: IPAddress
    backend_port: int
    has_endpoints: bool
    lines: tuple[str, ...]

    @property
    def frontend(self) -> str:
        """`10.96.0.77:514/udp`."""
        return f"{with_port(str(self.address), self.port)}/udp"

    @property
    def found(self) -> str:
        """Where they send packets, and why that is wrong."""
        where = with_port(str(self.backend), self.backend_port)
        why = "which is not one" if self.has_endpoints else "although the Service has none"
        return f"translated to {where}, {why}"


def stale_entries(
    entries: Iterable[Connection], services: UdpServices, own: Collection[IPAddress]
) -> Iterator[StaleEntries]:
    """Yield the stale entries for Services, those of one frontend and backend together.

    `own` are the node's addresses, where node ports are.
    """
    groups: dict[tuple[IPAddress, int, IPAddress, int], list[Connection]] = {}
    owners: dict[tuple[IPAddress, int], UdpService | None] = {}
    for each in entries:
        to, back = each.original, each.reply
        frontend = (to.destination, to.destination_port)
        if frontend not in owners:
            owners[frontend] = services.at(*frontend, is_local=to.destination in own)
        service = owners[frontend]
        backend = (back.source, back.source_port)
        if service and frontend != backend and backend not in service.endpoints:
            groups.setdefault((*frontend, *backend), []).append(each)
    for (where, port, backend_address, backend_port), some in groups.items():
        owner = owners[where, port]
        if owner:
            lines = tuple(each.text for each in some[:MOST_LINES])
            yield StaleEntries(
                owner.ref,
                where,
                port,
                backend_address,
                backend_port,
                bool(owner.endpoints),
                lines,
            )
