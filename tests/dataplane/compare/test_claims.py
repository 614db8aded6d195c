"""Several Services that claim one address: a node may follow any of them, or parts of each."""

from collections.abc import Mapping

import pytest

from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.table import Client, Entry, Frontend, Handling, ServiceTable, Verdict

SHARED = Frontend(4, "198.51.100.1", "tcp", 80)
A, B = Backend("10.244.1.2", 8080), Backend("10.244.2.3", 8080)
OFFICE, HALF_OF_IT, MORE = "203.0.113.0/24", "203.0.113.0/25", "203.0.112.0/23"
BRANCH = "192.0.2.0/24"


def to(backend: Backend, *allowed: str) -> Handling:
    """Forwarded to the backend, from the given sources only where there are any."""
    return Handling(Verdict.FORWARD, (backend,), (1.0,), allowed=allowed or None)


def entry(handling: Handling, service: str) -> Entry:
    owner = ServicePort("shop", service, "http", "TCP")
    known = frozenset({A, B})
    return Entry(SHARED, {Client.OUTSIDE: handling}, owner, known, programmed_by="KUBE-SERVICES")


def kinds(found: Handling, *claims: Handling) -> set[Kind]:
    """The differences of an address that these Services claim, and that is handled like this."""
    entries = tuple(entry(each, f"web-{number}") for number, each in enumerate(claims))
    contested: Mapping[Frontend, tuple[Entry, ...]] = {SHARED: entries}
    wanted = ServiceTable(entries={SHARED: entries[0]}, contested=contested)
    actual = ServiceTable(entries={SHARED: entry(found, "web-0")})
    return {each.kind for each in compare(wanted, actual)}


def mixed(*parts: Handling) -> Handling:
    return Handling(Verdict.MIXED, reason="some sources are handled otherwise", parts=parts)


@pytest.mark.parametrize("found", [to(A), to(B)])
def test_a_node_may_follow_either_claim(found: Handling) -> None:
    assert not kinds(found, to(A), to(B))


def test_what_no_claim_asks_for_is_found() -> None:
    elsewhere = to(Backend("10.9.9.9", 8080))
    assert Kind.BACKEND_STALE in kinds(elsewhere, to(A), to(B))


@pytest.mark.parametrize("found", [to(A, OFFICE), Handling(Verdict.DROP)], ids=["some", "all"])
def test_sources_must_not_be_refused_where_no_claim_restricts_them(found: Handling) -> None:
    assert kinds(found, to(A), to(B))


def test_a_part_may_serve_fewer_sources_than_its_claim() -> None:
    assert not kinds(to(A, HALF_OF_IT), to(A, OFFICE), to(B, BRANCH))


def test_a_part_must_not_serve_more_sources_than_its_claim() -> None:
    assert kinds(to(A, MORE), to(A, OFFICE), to(B, BRANCH)) == {Kind.SOURCES}
    assert kinds(to(A), to(A, OFFICE), to(B, BRANCH)) == {Kind.SOURCES}


def test_each_part_may_be_of_another_claim() -> None:
    both = to(A, OFFICE), to(B, BRANCH)
    assert not kinds(mixed(to(A, OFFICE), to(B, BRANCH)), *both)
    assert not kinds(mixed(to(A, OFFICE), Handling(Verdict.DROP)), *both)
    assert kinds(mixed(to(B, OFFICE), to(A, BRANCH)), *both)


def test_parts_may_follow_different_claims_where_none_restricts_sources() -> None:
    both = to(A), to(B)
    assert not kinds(mixed(to(A, OFFICE), to(B, BRANCH)), *both)
    assert kinds(mixed(to(A, OFFICE), Handling(Verdict.DROP)), *both)


def test_one_claim_that_drops_restricts_sources_as_well() -> None:
    assert not kinds(to(A, OFFICE), to(A), Handling(Verdict.DROP))
