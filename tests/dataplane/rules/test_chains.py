"""Chains find the steps for one packet, and know when two chains do the same."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.dataplane.rules.chains import (
    Chain,
    ChainCache,
    Chains,
    concerns,
    concerns_destination,
)
from wirecheck.dataplane.rules.steps import (
    Choose,
    Dnat,
    End,
    Jump,
    Lookup,
    MarkTest,
    Packet,
    Return,
    SetMark,
    Source,
    SourceTest,
    Step,
)
from wirecheck.dataplane.table import Frontend, Verdict

MARK = SetMark(clear=0, flip=0x4000)
GENERAL = [Step("first of all"), Step("last of all")]


def step(number: int, **changes: Any) -> Step:
    """The step for one Service."""
    found = {"host": f"10.96.0.{number}", "protocol": "tcp", "port": 80, **changes}
    return Step(f"for {number}", (Jump(f"SVC-{number}"),), **found)


SINGLE = [step(number) for number in range(9)]


CONDITIONS: dict[str, Any] = {
    "never": True,
    "protocol": "tcp",
    "host": "10.96.0.20",
    "port": 80,
    "tests": (lambda packet: packet.is_local,),
    "sources": (SourceTest("network", "10.0.0.0/8", negated=False),),
    "marks": (MarkTest(1, 1, negated=False),),
    "probability": 0.5,
    "recalls": ("web", 60),
}


def test_a_mark_with_a_condition_is_not_all_that_a_chain_does():
    rules = {name: Step("rule", (MARK,), **{name: value}) for name, value in CONDITIONS.items()}

    assert [name for name, each in rules.items() if Chain("MARK", [each]).only_mark] == []


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [Step("rule")],
        [Step("rule", (Return(),))],
        [Step("rule", (MARK, Return()))],
        [Step("rule", (MARK,)), Step("rule", (Return(),))],
    ],
    ids=["nothing", "no action", "another action", "two actions", "two steps"],
)
def test_a_chain_that_does_more_than_mark(steps: list[Step]):
    assert Chain("MARK", steps).only_mark is None


def test_a_chain_that_only_marks():
    assert Chain("MARK", [Step("rule", (MARK,))]).only_mark == MARK


def test_the_order_of_steps_for_single_services_does_not_matter():
    chain = Chain("KUBE-SERVICES", [*SINGLE, *GENERAL])

    assert chain.is_alike([*SINGLE, *GENERAL])
    assert chain.is_alike([*reversed(SINGLE), *GENERAL])


@pytest.mark.parametrize(
    "steps",
    [
        [*SINGLE, *reversed(GENERAL)],
        [*SINGLE, GENERAL[0]],
        [*SINGLE[1:], step(0), *GENERAL],
        [*SINGLE[:-1], GENERAL[0], SINGLE[-1], GENERAL[1]],
    ],
    ids=["general ones swapped", "one fewer", "one replaced", "one behind a general one"],
)
def test_chains_that_differ(steps: list[Step]):
    assert not Chain("KUBE-SERVICES", [*SINGLE, *GENERAL]).is_alike(steps)


@pytest.mark.parametrize(
    "other", [step(0), step(0, port=0), step(0, protocol="")], ids=["same", "port", "protocol"]
)
def test_the_order_matters_where_a_packet_can_match_two_steps(other: Step):
    steps = [*SINGLE, other]

    assert not Chain("KUBE-SERVICES", steps).is_alike(steps)


@pytest.mark.parametrize("number", [1, 8, 9])
def test_a_packets_candidates_keep_their_order(number: int):
    steps = [GENERAL[0], *SINGLE[:number], GENERAL[1]]
    packet = Packet(4, "10.96.0.0", 0, "tcp", 80, is_local=False)

    found = [each for each in Chain("C", steps).candidates(packet) if each in (*GENERAL, SINGLE[0])]

    assert found == [GENERAL[0], SINGLE[0], GENERAL[1]]


WEB = Frontend(4, "10.96.0.20", "tcp", 80)
DNAT = Dnat("10.244.1.2", 8080)


def test_a_packet_concerns_a_step_whose_conditions_on_the_destination_all_match():
    packet = Packet(4, "10.96.0.20", 0, "tcp", 80, is_local=True)
    matching: dict[str, Any] = {
        "host": "10.96.0.20",
        "port": 80,
        "protocol": "tcp",
        "tests": (lambda each: each.is_local, lambda each: each.port == 80),
    }
    other: dict[str, Any] = {
        "host": "10.96.0.21",
        "port": 81,
        "protocol": "udp",
        "tests": (lambda each: each.is_local, lambda each: each.port == 81),
    }
    assert concerns(packet, Step("rule"))
    assert concerns(packet, Step("rule", **matching))
    for name, value in other.items():
        differs = Step("rule", **{**matching, name: value})
        assert not concerns(packet, differs)
        assert not concerns_destination(packet, differs)
    never = Step("rule", never=True, **matching)
    assert not concerns(packet, never)
    assert concerns_destination(packet, never)


def test_destinations_are_those_of_steps_with_an_effect_on_one_port():
    effects = [Jump("A"), DNAT, End(Verdict.DROP), Choose((DNAT,))]
    chain = Chain(
        "C",
        [
            *(step(number, port=number + 1) for number in range(2)),
            *(Step("rule", (each,), protocol="tcp", port=90) for each in effects),
            Step("no effect", (MARK,), protocol="tcp", port=91),
            Step("never", (DNAT,), protocol="tcp", port=92, never=True),
            Step("any port", (DNAT,), protocol="tcp"),
            Step("any protocol", (DNAT,), port=93),
            Step("after a mark", (MARK, DNAT), protocol="tcp", port=94),
        ],
    )
    assert chain.destinations == (
        ("10.96.0.0", "tcp", 1),
        ("10.96.0.1", "tcp", 2),
        *[("", "tcp", 90)] * 4,
        ("", "tcp", 94),
    )


def test_jumps_for_single_destinations_and_by_maps_of_them_are_not_open():
    def lookup(number: int, members: int) -> Lookup:
        actions = {each: Jump(f"MAPPED-{each}") for each in range(number)}
        return Lookup(lambda _: 0, actions, (WEB,) * members)

    chain = Chain(
        "C",
        [
            step(1),
            Step("all", (MARK, Jump("ALL"))),
            Step("port", (Jump("PORT"),), protocol="tcp", port=80),
            Step("host", (Jump("HOST"),), protocol="tcp", host="10.96.0.9"),
            Step("address", (Jump("ADDRESS"),), port=80, host="10.96.0.9"),
            Step("verdicts", (lookup(2, 0),)),
            Step("frontends", (lookup(1, 1),)),
            Step("some", (Choose((Jump("ONE"), Jump("OTHER"))),)),
        ],
    )
    assert chain.open_jumps == (
        *("ALL", "PORT", "HOST", "ADDRESS", "MAPPED-0", "MAPPED-1", "ONE", "OTHER"),
    )
    assert chain.members == (WEB,)


def test_a_chain_of_up_to_eight_steps_is_searched_as_a_whole():
    packet = Packet(4, "10.96.0.0", 0, "tcp", 80, is_local=False)
    small, large = (Chain("C", [step(each) for each in range(number)]) for number in (8, 9))

    assert (small.is_small, large.is_small) == (True, False)
    assert len(small.candidates(packet)) == 8
    assert [each.rule for each in large.candidates(packet)] == ["for 0"]
    assert len(large.candidates(None)) == 9
    assert [each.rule for each in small.concerning(packet)] == ["for 0"]


def test_candidates_are_the_steps_for_the_address_the_port_and_everything():
    steps = [
        Step("port", port=80),
        Step("other port", port=81),
        *SINGLE,
        Step("all"),
        Step("protocol", protocol="udp"),
    ]
    packet = Packet(4, "10.96.0.3", 0, "tcp", 80, is_local=False)

    found = [each.rule for each in Chain("C", steps).candidates(packet)]

    assert found == ["port", "for 3", "all", "protocol"]


def chains(rules: dict[str, list[Step]], cache: ChainCache | None = None, **more: Any):
    return Chains("nat", rules, list, lambda steps: tuple(map(id, steps)) or None, cache, **more)


def test_equal_chains_of_two_nodes_are_one_object():
    cache, steps = ChainCache(), [Step("rule")]
    one, other = (chains({"A": steps, "B": []}, cache) for _ in range(2))

    assert one.find("A") is other.find("A")
    assert one.all["A"] is other.all["A"]
    assert one.find("B") is not other.find("B")
    assert one.find("MISSING") is None
    assert set(one.all) == {"A", "B"}


def test_a_long_chain_in_another_order_is_the_same_object():
    cache = ChainCache()
    first = cache.chain_of("nat", "C", [*SINGLE, *GENERAL])

    assert cache.chain_of("nat", "C", [*reversed(SINGLE), *GENERAL]) is first
    assert cache.chain_of("filter", "C", [*SINGLE, *GENERAL]) is not first
    assert cache.chain_of("nat", "C", [*SINGLE[1:], *GENERAL]) is not first
    assert cache.chain_of("nat", "C", [*SINGLE, *GENERAL]) is first
    short = SINGLE[:8]
    assert cache.chain_of("nat", "D", short) is not cache.chain_of("nat", "D", short)


def test_only_chains_of_other_programs_are_third_party():
    shared, owned = chains({}), chains({}, owner="kube-proxy")
    names = ("KUBE-SERVICES", "KUBE-SVC-X", "FORWARD", "KUBE-ROUTER-FORWARD")

    assert [shared.is_third_party(each) for each in names] == [False, False, True, True]
    assert not any(owned.is_third_party(each) for each in names)


def test_evidence_names_the_variant_where_two_are_in_use():
    plain, nft = chains({}), chains({}, variant="nft")

    assert plain.named(("rule",)) == ("rule",)
    assert nft.named(("rule", lambda: "made")) == ("nft: rule", "nft: made")
    assert nft.policy_drop("FORWARD") == "nft: policy DROP of FORWARD: no rule accepts it"


def test_a_source_address_for_a_chain_is_no_destination():
    assert Chain("C", [Step("rule", (Source(),), protocol="tcp", port=80)]).destinations == ()
