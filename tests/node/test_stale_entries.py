"""UDP entries of conntrack that forward to something else than the Service's endpoints."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.udp_services import UdpService, UdpServices
from wirecheck.catalogue.findings import Ref
from wirecheck.node.stale_entries import MOST_LINES, StaleEntries, stale_entries
from wirecheck.parse.conntrack import parse_connections

NODE, SYSLOG = address("192.0.2.1"), "10.96.0.77"
ENDPOINT = (address("10.244.0.9"), 5140)


def entry(to: str, port: int, back: str, back_port: int, client: int = 40000) -> str:
    return (
        f"udp 17 29 src=10.244.1.5 dst={to} sport={client} dport={port} "
        f"src={back} dst=10.244.1.5 sport={back_port} dport={client} mark=0 use=1"
    )


def stale(
    *lines: str, endpoints: frozenset[tuple[IPAddress, int]] | None = None
) -> list[StaleEntries]:
    """The stale entries of a node whose only Services are that of syslog and one node port."""
    known = frozenset({ENDPOINT}) if endpoints is None else endpoints
    service = UdpService(Ref("Service", "syslog", "ops"), known)

    def at(where: IPAddress, port: int, *, is_local: bool) -> UdpService | None:
        frontends = {(address(SYSLOG), 514), (address("fd00::77"), 514)}
        return service if (where, port) in frontends or (is_local and port == 30514) else None

    services = cast(UdpServices, SimpleNamespace(at=at))
    return list(stale_entries(parse_connections("\n".join(lines)), services, {NODE}))


@pytest.mark.parametrize(
    ("line", "frontend"),
    [
        (entry(SYSLOG, 514, "10.244.0.9", 5140), None),
        (entry(SYSLOG, 514, "10.244.0.8", 5140), "10.96.0.77:514/udp"),
        (entry(SYSLOG, 514, "10.244.0.9", 5141), "10.96.0.77:514/udp"),
        (entry("192.0.2.1", 30514, "10.244.0.8", 5140), "192.0.2.1:30514/udp"),
        # The node port of another node is that node's own.
        (entry("192.0.2.2", 30514, "10.244.0.8", 5140), None),
        (entry(SYSLOG, 515, "10.244.0.8", 5140), None),
        # Nothing was translated: the packet went past the Service's rules.
        (entry(SYSLOG, 514, SYSLOG, 514), None),
        (entry(SYSLOG, 514, SYSLOG, 515), "10.96.0.77:514/udp"),
        (entry("fd00::77", 514, "fd00::8", 5140), "[fd00::77]:514/udp"),
    ],
)
def test_an_entry_for_no_endpoint_is_stale(line: str, frontend: str | None) -> None:
    assert [each.frontend for each in stale(line)] == ([frontend] if frontend else [])


def test_entries_of_one_frontend_and_backend_are_one() -> None:
    lines = [entry(SYSLOG, 514, "10.244.0.8", 5140, 40000 + n) for n in range(8)]

    first, second = stale(*lines, entry(SYSLOG, 514, "10.244.0.7", 5140))

    assert (str(first.service), str(first.backend), first.backend_port) == (
        "Service ops/syslog",
        "10.244.0.8",
        5140,
    )
    assert first.lines == tuple(lines[:MOST_LINES])
    assert len(second.lines) == 1


@pytest.mark.parametrize(
    ("endpoints", "found"),
    [
        (frozenset({ENDPOINT}), "translated to 10.244.0.8:5140, which is not one"),
        (frozenset(), "translated to 10.244.0.8:5140, although the Service has none"),
    ],
)
def test_what_is_wrong_with_it(endpoints: frozenset[tuple[IPAddress, int]], found: str) -> None:
    (only,) = stale(entry(SYSLOG, 514, "10.244.0.8", 5140), endpoints=endpoints)

    assert only.found == found
