"""What the results of the rule engine mean for each kind of client."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from tests.dataplane.small import clients
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.rules.flows import Accepted, Flow, Result
from wirecheck.dataplane.rules.handlings import (
    TOO_MANY,
    Masquerading,
    Sent,
    handlings_of,
    handlings_of_ways,
)
from wirecheck.dataplane.rules.sources import Regions
from wirecheck.dataplane.rules.steps import SourceTest
from wirecheck.dataplane.table import Client, Handling, Masquerade, Verdict

A, B = Backend("10.244.1.2", 8080), Backend("10.244.1.3", 8080)
REGIONS = Regions.of(4, clients())
EVERYBODY = REGIONS.all
BY_MARK = Masquerading(by_mark={0: False, 0x4000: True, 0x8000: None}.get)


def flow(weight: float = 1.0, **changes: Any) -> Flow:
    return Flow(EVERYBODY, weight=weight, **changes)


def to(backend: Backend, weight: float = 1.0, remembers: str = "", **changes: Any) -> Result:
    rules = (f"to {backend.address}",)
    return Result(
        flow(weight, **changes), Verdict.FORWARD, backend, remembers=remembers, rules=rules
    )


def ended(verdict: Verdict, rule: str = "ends", sources: int = EVERYBODY, **more: Any) -> Result:
    return Result(Flow(sources), verdict, rules=(rule,), **more)


def handling(*results: Result, masquerading: Masquerading = BY_MARK) -> Handling:
    """That of all clients, which is the same."""
    found = handlings_of([Sent(EVERYBODY, results)], REGIONS, masquerading, "tcp")
    assert set(found) == set(Client)
    assert len(set(map(repr, found.values()))) == 1
    return found[Client.POD]


def test_shares_that_differ_by_rounding_are_even():
    def shares(*weights: float) -> tuple[float, ...]:
        each = (Backend("10.244.1.2", 8000 + at) for at in range(len(weights)))
        return handling(*(to(b, w) for b, w in zip(each, weights, strict=True))).shares

    assert shares(0.5, 0.5) == (0.5, 0.5)
    assert shares(0.50004, 0.49996) == (0.5, 0.5)
    assert shares(0.5001, 0.4999) == (0.5001, 0.4999)
    assert shares(0.49, 0.51) == (0.49, 0.51)
    assert shares(0.75, 0.25) == (0.75, 0.25)
    assert shares(0.33334, 0.33333, 0.33333) == (1 / 3,) * 3
    assert shares(0.34, 0.33, 0.33) == (0.34, 0.33, 0.33)


def test_shares_of_one_backend_by_several_paths_are_added():
    found = handling(to(A, 0.25), to(B, 0.5), to(A, 0.25))

    assert (found.backends, found.shares) == ((A, B), (0.5, 0.5))


def test_returning_clients_do_not_count_among_new_connections():
    recalled = to(B, remembers="web", recalled=("web", 60))
    found = handling(recalled, to(A, remembers="other"))

    assert (found.backends, found.shares) == ((A, B), (1.0, 0.0))
    assert found.draining == frozenset()


def test_a_backend_that_nobody_is_sent_to_is_draining():
    found = handling(to(A, 1.0), to(B, 0.0))

    assert found.draining == {B}
    assert found.shares == (1.0, 0.0)


def test_affinity_is_that_of_clients_recalled_and_remembered_by_one_list():
    def affinity(*results: Result) -> tuple[int, ...]:
        return handling(*results).affinity

    new = to(A, remembers="web")
    assert affinity(to(A)) == (0,)
    assert affinity(new) == (0,)
    assert affinity(new, to(A, remembers="web", recalled=("web", 60))) == (60,)
    assert affinity(to(A, recalled=("web", 60)), to(A)) == (0,)
    assert affinity(new, to(A, remembers="web", recalled=("other", 60))) == (0,)
    late = to(A, remembers="web", recalled=("web", 0))
    assert affinity(new, to(A, remembers="web", recalled=("web", 60)), late) == (0,)
    one = to(A, 0.5, remembers="web"), to(A, remembers="web", recalled=("web", 60))
    assert affinity(*one, to(B, 0.5)) == (0, 60)


def test_returning_clients_without_a_backend_have_no_affinity():
    returning = Result(flow(recalled=("web", 60)), Verdict.DROP)
    served = to(A, remembers="web"), to(A, remembers="web", recalled=("web", 60))

    assert handling(*served, returning).affinity == (0, 60)
    assert handling(*served, Result(flow(), Verdict.NOTHING)).affinity == (60,)


def test_the_mark_says_whether_connections_are_masqueraded():
    found = {
        marks: handling(
            *(to(each, 0.5, mark=mark) for each, mark in zip((A, B), marks, strict=True))
        )
        for marks in ((0, 0), (0x4000, 0x4000), (0x8000, 0x8000), (0, 0x4000), (0, 0x8000))
    }
    assert [each.masquerade for each in found.values()] == [
        Masquerade.NEVER,
        Masquerade.ALWAYS,
        Masquerade.DROPPED,
        Masquerade.SOMETIMES,
        Masquerade.SOMETIMES,
    ]


def test_a_backends_connections_to_itself_need_a_mark_on_every_path():
    own = frozenset({(A.address, 0x4000)})
    other = frozenset({(B.address, 0x4000)})

    assert handling(to(A)).hairpin == frozenset()
    assert handling(to(A, mark=0x4000)).hairpin == {A}
    assert handling(to(A, own_marks=own), to(B)).hairpin == {A}
    assert handling(to(A, own_marks=other)).hairpin == frozenset()
    assert handling(to(A, 0.5, own_marks=own), to(A, 0.5)).hairpin == frozenset()
    always = BY_MARK._replace(own=frozenset({(A, "tcp"), (B, "udp")}))
    assert handling(to(A), to(B), masquerading=always).hairpin == {A}


def test_the_evidence_is_the_path_of_new_clients():
    returning = replace(to(A, recalled=("web", 60)), rules=("recalled",))

    assert handling(returning, to(A), to(B)).evidence == (("to 10.244.1.2",), ("to 10.244.1.3",))
    assert handling(returning).evidence == (("recalled",),)


def test_only_rules_that_are_all_third_party_forward_for_a_third_party():
    own, other = to(A), replace(to(B), third_party=True)

    assert not handling(own, other).third_party
    assert handling(other).third_party


def test_without_a_backend_the_heaviest_result_decides():
    light, heavy = (
        replace(ended(verdict), flow=flow(weight))
        for verdict, weight in ((Verdict.REJECT, 0.25), (Verdict.DROP, 0.75))
    )
    assert handling(light, heavy).verdict is Verdict.DROP
    assert handling(heavy, light).verdict is Verdict.DROP
    assert handling().verdict is Verdict.NOTHING


def test_a_refusal_shows_its_rule_and_whose_it_is():
    found = handling(ended(Verdict.DROP, third_party=True, by_source=True))

    assert (found.verdict, found.evidence) == (Verdict.DROP, (("ends",),))
    assert (found.third_party, found.by_source) == (True, True)
    assert handling(Result(flow(), Verdict.DROP)).evidence == ()


def test_of_accepted_packets_the_last_rule_that_accepted_them_counts():
    own, others = Accepted(("own",), third_party=False), Accepted(("other",), by_mark=True)

    def accepted(*rules: Accepted) -> Handling:
        return handling(Result(flow(accepted=rules), Verdict.NOTHING))

    found = [accepted(), accepted(own), accepted(own, others), accepted(others, own)]
    assert [each.third_party for each in found] == [False, False, True, False]
    assert [each.by_mark for each in found] == [False, False, True, False]
    assert found[2].evidence == (("own",), ("other",))


def test_an_unrecognised_rule_for_some_packets_makes_all_inconclusive():
    unknown = ended(Verdict.NOT_UNDERSTOOD, "unknown", reason="-m geoip")
    found = handling(to(A), unknown)

    assert (found.verdict, found.reason) == (Verdict.NOT_UNDERSTOOD, "-m geoip")
    assert found.evidence == (("unknown",),)


def split_by(*results: tuple[bool, Result], has_policies: bool = True) -> Handling:
    """How pods are handled whose first half has the results with True, and the others the rest."""
    regions = REGIONS.split(SourceTest("network", "10.244.1.0/25", negated=False))
    return _of_parts(regions, "10.244.1.0/25", *results, has_policies=has_policies)


def _of_parts(
    regions: Regions, network: str, *results: tuple[bool, Result], has_policies: bool
) -> Handling:
    half = regions.matching((SourceTest("network", network, negated=False),))
    sent = [
        replace(each, flow=replace(each.flow, sources=half if first else regions.all & ~half))
        for first, each in results
    ]
    found = handlings_of([Sent(regions.all, sent)], regions, BY_MARK, "tcp", has_policies)
    return found[Client.POD]


def test_sources_that_are_dropped_leave_the_others_allowed():
    found = split_by((True, ended(Verdict.DROP, third_party=True)), (False, to(A)))

    assert (found.verdict, found.backends) == (Verdict.FORWARD, (A,))
    assert found.allowed == ("10.244.1.128/25",)
    assert found.refusing == ("ends",)
    assert found.third_party
    own = split_by((True, ended(Verdict.DROP)), (False, to(A)))
    assert not own.third_party


def test_sources_that_are_forwarded_elsewhere_are_parts():
    found = split_by((True, to(B)), (False, to(A)))

    assert found.verdict is Verdict.MIXED
    assert sorted((each.allowed, each.backends) for each in found.parts) == [
        (("10.244.1.0/25",), (B,)),
        (("10.244.1.128/25",), (A,)),
    ]
    rejected = split_by((True, ended(Verdict.REJECT)), (False, to(A)))
    assert rejected.verdict is Verdict.MIXED
    assert "10.244.1.0/25: rejected" in rejected.reason


def test_sources_that_differ_by_masquerading_alone_go_the_same_way():
    found = split_by((True, to(A, mark=0x4000)), (False, to(A)))

    assert (found.verdict, found.masquerade) == (Verdict.FORWARD, Masquerade.SOMETIMES)
    assert found.allowed is None
    assert split_by((True, to(A)), (False, to(A))).masquerade is Masquerade.NEVER


UNKNOWN = SourceTest("other", "-m geoip", negated=False)


def assumed(matching: Result, plain: Result, *, has_policies: bool = True) -> Verdict:
    """The verdict where clients that match an unrecognised condition have another result."""
    regions = REGIONS.split(UNKNOWN)
    mask = regions.matching((UNKNOWN,))
    sent = [
        replace(matching, flow=replace(matching.flow, sources=mask)),
        replace(plain, flow=replace(plain.flow, sources=regions.all & ~mask)),
    ]
    found = handlings_of([Sent(regions.all, sent)], regions, BY_MARK, "tcp", has_policies)
    return found[Client.POD].verdict


def test_what_an_unrecognised_condition_refuses_is_policy():
    dropped, nothing = ended(Verdict.DROP), ended(Verdict.NOTHING)
    rejected = ended(Verdict.REJECT)
    unclear = Verdict.NOT_UNDERSTOOD

    assert assumed(to(A), to(A)) is Verdict.FORWARD
    assert assumed(dropped, to(A)) is Verdict.FORWARD
    assert assumed(to(B), to(A)) is unclear
    assert assumed(nothing, to(A)) is unclear
    assert assumed(nothing, rejected) is Verdict.REJECT
    assert assumed(dropped, rejected) is Verdict.REJECT
    assert assumed(to(A), rejected) is unclear


def test_without_policies_of_others_an_unrecognised_condition_always_counts():
    dropped = ended(Verdict.DROP)

    assert assumed(dropped, to(A), has_policies=False) is Verdict.NOT_UNDERSTOOD
    by_other = replace(dropped, third_party=True)
    assert assumed(by_other, to(A), has_policies=False) is Verdict.FORWARD


def of_ways(*results: Result) -> Handling:
    return handlings_of_ways([Sent(EVERYBODY, results)], REGIONS, BY_MARK, "tcp")[Client.POD]


def test_clients_that_are_followed_together_are_known_where_all_end_alike():
    policy = ended(Verdict.DROP, "policy", third_party=True)
    rejected = ended(Verdict.REJECT)

    assert of_ways(policy, rejected).verdict is Verdict.REJECT
    assert of_ways(policy).verdict is Verdict.DROP
    assert of_ways(rejected, replace(rejected, rules=("again",))).verdict is Verdict.REJECT
    for results in ([to(A)], [to(A), rejected], [rejected, ended(Verdict.NOTHING)]):
        found = of_ways(*results)
        assert (found.verdict, found.reason) == (Verdict.NOT_UNDERSTOOD, TOO_MANY)


def test_clients_on_another_path_do_not_count():
    pods = REGIONS.by_client[Client.POD]
    sent = [Sent(pods, [to(A)]), Sent(EVERYBODY & ~pods, [ended(Verdict.DROP)])]

    found = handlings_of(sent, REGIONS, BY_MARK, "tcp")

    assert found[Client.POD].verdict is Verdict.FORWARD
    assert {found[each].verdict for each in Client if each is not Client.POD} == {Verdict.DROP}
