"""How one kind of client sees a frontend that differs from the expected one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from wirecheck.api_index.backend import Backend, ServicePort
from wirecheck.dataplane.compare.deviations import Deviation, deviations_of
from wirecheck.dataplane.compare.differences import ACCEPTED_BEFORE, Kind
from wirecheck.dataplane.table import (
    OF_TABLE,
    SAME_PRIORITY,
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    Verdict,
)

FRONTEND = Frontend(4, "10.96.0.20", "tcp", 80)
OWNER = ServicePort("shop", "web", "http", "tcp")
A, B, OLD = (Backend(f"10.244.1.{each}", 8080) for each in (2, 3, 9))
RULES = ("-A KUBE-SVC-WEB -j KUBE-SEP-A",)


def forwarded(*backends: Backend, **changes: Any) -> Handling:
    even = (1 / len(backends),) * len(backends)
    evidence = tuple((f"to {each.address}",) for each in backends)
    return replace(Handling(Verdict.FORWARD, backends, even, evidence=evidence), **changes)


def entry(handling: Handling, *known: Backend) -> Entry:
    return Entry(FRONTEND, dict.fromkeys(Client, handling), OWNER, frozenset(known))


def deviations(
    wanted: Handling,
    found: Handling,
    *known: Backend,
    client: Client = Client.OUTSIDE,
    local: frozenset[Backend] = frozenset(),
) -> list[Deviation]:
    return deviations_of(client, entry(wanted, *known), entry(found), local)


def kinds(wanted: Handling, found: Handling) -> list[Kind]:
    return [each.kind for each in deviations(wanted, found)]


REJECTED, DROPPED, UNHANDLED = (
    Handling(each, evidence=(RULES,)) for each in (Verdict.REJECT, Verdict.DROP, Verdict.NOTHING)
)
WEB = forwarded(A, B)


def test_equal_handlings_have_no_deviation():
    for handling in (WEB, REJECTED, DROPPED):
        assert deviations(handling, handling) == []
    assert deviations_of(Client.POD, Entry(FRONTEND, {}), entry(WEB), frozenset()) == []


def test_a_frontend_that_no_rule_handles_is_missing():
    missing = [
        *deviations_of(Client.POD, entry(WEB), None, frozenset()),
        *deviations(WEB, Handling(Verdict.NOTHING)),
        *deviations(REJECTED, Handling(Verdict.NOTHING)),
    ]
    assert [each.kind for each in missing] == [Kind.FRONTEND_MISSING] * 3
    handled_for_others = Entry(FRONTEND, {Client.POD: WEB})
    (found,) = deviations_of(Client.OUTSIDE, entry(WEB), handled_for_others, frozenset())
    assert found.kind is Kind.VERDICT


def test_a_frontend_that_a_third_party_rule_accepts_is_not_missing():
    accepted = replace(UNHANDLED, third_party=True)

    (forwarding,), (refusing,) = (deviations(each, accepted) for each in (WEB, REJECTED))

    assert (forwarding.kind, forwarding.found) == (Kind.VERDICT, "not handled")
    assert (refusing.kind, refusing.found) == (Kind.VERDICT, ACCEPTED_BEFORE)
    assert forwarding.third_party
    assert refusing.third_party


def test_another_verdict_is_shown_with_its_rules():
    (found,) = deviations(WEB, DROPPED)

    assert (found.kind, found.found, found.evidence) == (Kind.VERDICT, "dropped", RULES)
    assert not found.third_party
    assert kinds(REJECTED, DROPPED) == [Kind.VERDICT]
    assert kinds(REJECTED, replace(DROPPED, allowed=("10.0.0.0/8",))) == []


def test_of_a_policy_that_accepts_some_sources_that_part_is_shown():
    accepting = replace(UNHANDLED, third_party=True, by_mark=True)
    mixed = Handling(Verdict.MIXED, reason="mixed", parts=(REJECTED, accepting))

    (found,) = deviations(REJECTED, mixed)

    assert (found.kind, found.found, found.by_mark) == (Kind.VERDICT, ACCEPTED_BEFORE, True)
    assert deviations(DROPPED, mixed) == []
    assert kinds(DROPPED, replace(mixed, parts=(UNHANDLED,))) == [Kind.VERDICT]
    # Who is accepted is not forwarded: the rule takes him away from the Service.
    (taken,) = deviations(WEB, mixed)
    assert (taken.kind, taken.evidence, taken.third_party) == (
        Kind.VERDICT,
        accepting.lines,
        True,
    )
    assert kinds(WEB, replace(mixed, parts=(REJECTED, UNHANDLED))) == [Kind.SOURCES]
    assert kinds(REJECTED, replace(mixed, parts=(REJECTED, WEB))) == [Kind.SOURCES]


@pytest.mark.parametrize(
    ("accepted", "kinds_found"),
    [
        # Of containers of the node, which the Service refuses.
        ("172.17.0.0/16", []),
        ("198.51.100.0/25", [Kind.VERDICT]),
        ("198.0.0.0/8", [Kind.VERDICT]),
    ],
)
def test_who_is_not_allowed_may_be_accepted_and_lost(accepted: str, kinds_found: list[Kind]):
    allowed = ("198.51.100.0/24",)
    kept = replace(WEB, allowed=allowed)
    lost = replace(UNHANDLED, third_party=True, allowed=(accepted,))
    refused = replace(DROPPED, allowed=("0.0.0.0/2",))
    mixed = Handling(Verdict.MIXED, reason="mixed", parts=(kept, lost, refused))

    assert kinds(replace(WEB, allowed=allowed), mixed) == kinds_found


def test_unrecognised_rules_are_inconclusive_by_their_kind():
    def kind(reason: str, rule: str) -> Kind:
        found = Handling(Verdict.NOT_UNDERSTOOD, reason=reason, evidence=(("first", rule),))
        (deviation,) = deviations(WEB, found)
        assert deviation.evidence == ("first", rule)
        assert not deviation.third_party
        return deviation.kind

    assert kind("-m geoip", "-A PREROUTING -m geoip") is Kind.NOT_UNDERSTOOD
    assert kind("-m geoip", f"{OF_TABLE}ip admin: x") is Kind.RULE_UNKNOWN
    assert kind(SAME_PRIORITY, f"{OF_TABLE}ip admin: x") is Kind.ORDER_UNKNOWN


def test_missing_and_extra_backends_are_named_one_by_one():
    found = deviations(WEB, forwarded(A, OLD), A, B)

    assert [(each.kind, each.backend) for each in found] == [
        (Kind.BACKEND_MISSING, B),
        (Kind.BACKEND_STALE, OLD),
    ]
    assert found[1].expected == "10.244.1.2:8080, 10.244.1.3:8080"
    assert found[1].evidence == ("to 10.244.1.9",)
    wrong = deviations(WEB, forwarded(A, B, OLD), A, B, OLD)
    assert [(each.kind, each.backend) for each in wrong] == [(Kind.BACKEND_WRONG, OLD)]


def test_a_backend_that_gets_no_new_connections_is_missing():
    unused = forwarded(A, B, shares=(1.0, 0.0))

    assert kinds(WEB, unused) == [Kind.BACKEND_MISSING]
    assert kinds(forwarded(A), replace(unused, draining=frozenset({B}))) == []


def test_a_service_that_should_refuse_names_the_backends_that_it_has():
    first, second = deviations(REJECTED, forwarded(OLD, third_party=True))

    assert (first.kind, first.expected) == (Kind.VERDICT, "rejected")
    assert (second.kind, second.expected, second.backend) == (Kind.BACKEND_STALE, "rejected", OLD)
    assert first.third_party
    assert second.third_party


def test_each_property_of_forwarding_is_compared_by_itself():
    found = {
        "weights": kinds(WEB, replace(WEB, shares=(0.75, 0.25))),
        "scheduler": kinds(WEB, replace(WEB, scheduler="sh")),
        "affinity": kinds(WEB, replace(WEB, affinity=(60,))),
        "masquerade": kinds(WEB, replace(WEB, masquerade=Masquerade.ALWAYS)),
    }
    assert found == {
        "weights": [Kind.WEIGHTS],
        "scheduler": [Kind.WEIGHTS],
        "affinity": [Kind.AFFINITY],
        "masquerade": [Kind.MASQUERADE],
    }


def test_uneven_shares_count_only_between_the_expected_backends():
    assert kinds(WEB, forwarded(A, B, OLD)) == [Kind.BACKEND_STALE]
    assert kinds(WEB, forwarded(A)) == [Kind.BACKEND_MISSING]


def test_masquerading_that_is_not_known_is_not_compared_unless_packets_are_lost():
    unknown = replace(WEB, masquerade=Masquerade.UNKNOWN)
    found = {each: kinds(unknown, replace(WEB, masquerade=each)) for each in Masquerade}

    assert [each for each in found if found[each]] == [Masquerade.DROPPED]
    assert kinds(WEB, replace(WEB, masquerade=Masquerade.DROPPED)) == [Kind.MASQUERADE]


def test_refused_sources_are_compared_and_a_third_party_is_said_to_refuse_them():
    own = replace(WEB, allowed=("10.0.0.0/8",))

    for third_party in (False, True):
        (found,) = deviations(WEB, replace(own, third_party=third_party))
        assert (found.kind, found.third_party) == (Kind.SOURCES, third_party)
        assert (found.expected, found.found) == ("from all addresses", "only from 10.0.0.0/8")
    assert deviations(own, own) == []


def test_differences_of_forwarding_are_not_blamed_on_a_third_party():
    changed = replace(
        WEB, shares=(0.75, 0.25), affinity=(60,), masquerade=Masquerade.ALWAYS, scheduler="sh"
    )
    mixed = Handling(Verdict.MIXED, reason="mixed", third_party=True)
    found = [
        *deviations(WEB, replace(changed, third_party=True)),
        *deviations(WEB, replace(forwarded(A), third_party=True)),
        *deviations(WEB, mixed),
    ]
    assert len(found) == 6
    assert not any(each.third_party or each.by_mark for each in found)


def test_packets_that_the_node_answers_itself_are_no_deviation():
    assert kinds(WEB, Handling(Verdict.UNTRACKED)) == []
    assert kinds(WEB, Handling(Verdict.UNTRACKED, reason="not the node's")) == [Kind.VERDICT]


def test_connections_of_local_backends_to_themselves_need_masquerading():
    local = frozenset({A})

    def hairpins(found: Handling, client: Client = Client.POD) -> list[Backend | None]:
        every = deviations(found, found, client=client, local=local)
        return [each.backend for each in every if each.kind is Kind.HAIRPIN]

    by_masquerade = {each: hairpins(replace(WEB, masquerade=each)) for each in Masquerade}
    assert [each for each, found in by_masquerade.items() if not found] == [Masquerade.ALWAYS]
    assert by_masquerade[Masquerade.NEVER] == [A]
    assert hairpins(replace(WEB, hairpin=local)) == []
    assert hairpins(WEB, Client.OUTSIDE) == []
    assert hairpins(forwarded(B)) == []
    assert hairpins(REJECTED) == []
