"""Which clients of a Service match a step, and which go on to the next one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.dataplane.small import clients
from wirecheck.addresses import number_of
from wirecheck.dataplane.clients import Clients
from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.dependencies import Consulted
from wirecheck.dataplane.rules.engine import Flows
from wirecheck.dataplane.rules.flows import Flow
from wirecheck.dataplane.rules.service_connections import ServiceConnections
from wirecheck.dataplane.rules.sources import NeedsSplitError, Regions
from wirecheck.dataplane.rules.steps import (
    IN,
    LOOPBACK,
    OUT,
    Action,
    End,
    Jump,
    MarkTest,
    Packet,
    SetMark,
    SourceTest,
    Step,
)
from wirecheck.dataplane.table import Client, Verdict

RULES = {
    "SEP": [Step("dnat", (End(Verdict.DROP),))],
    "MARK": [Step("mark", (SetMark(0, 0x4000),))],
    "OTHERS": [Step("another port", (End(Verdict.DROP),), port=9)],
}
PODS = SourceTest("network", "10.244.1.0/24", negated=False)
ONE_POD = SourceTest("network", "10.244.1.2/32", negated=False)
UNKNOWN = SourceTest("other", "-m geoip", negated=False)


def connections(
    here: Clients | None = None, *, is_local: bool = False, both_ways: bool = False
) -> ServiceConnections:
    """New connections to one Service, from all clients of a node."""
    packet = Packet(4, "10.96.0.20", number_of("10.96.0.20"), "tcp", 80, is_local)
    regions = Regions.of(4, here or clients())
    return ServiceConnections(
        packet, regions, Chains("nat", RULES, list), Consulted(), both_ways=both_ways
    )


def step(*actions: Action, **conditions: Any) -> Step:
    return Step("rule", actions or (Jump("SEP"),), **conditions)


def mask_of(question: ServiceConnections, *kinds: Client) -> int:
    return sum(question.regions.by_client[each] for each in kinds)


def sources(flows: Flows) -> int:
    found = 0
    for each in flows:
        found |= each.sources
    return found


def test_without_a_condition_everybody_matches():
    question = connections()
    flows = [Flow(question.everybody)]

    assert question.split(step(), flows) == (flows, [])


def test_clients_are_divided_by_their_address():
    question = connections()
    flows = [Flow(question.everybody)]
    pods = mask_of(question, Client.POD)

    for negated, wanted in ((False, pods), (True, question.everybody & ~pods)):
        test = SourceTest("network", "10.244.1.0/24", negated)
        matched, others = question.split(step(sources=(test,)), flows)
        assert sources(matched) == wanted
        assert sources(others) == question.everybody & ~wanted


def test_a_condition_that_everybody_or_nobody_matches_divides_nothing():
    question = connections()
    flows = [Flow(question.everybody)]
    everybody, nobody = (
        SourceTest("network", each, negated=False) for each in ("0.0.0.0/0", "127.9.0.0/16")
    )

    assert question.split(step(sources=(everybody,)), flows) == (flows, [])
    assert question.split(step(sources=(nobody,)), flows) == ([], flows)


def test_a_random_choice_divides_the_weight():
    question = connections()
    flows = [Flow(question.everybody, weight=0.5)]

    matched, others = question.split(step(probability=0.25), flows)

    assert [each.weight for each in matched] == [0.125]
    assert [each.weight for each in others] == [0.375]
    assert sources(matched) == sources(others) == question.everybody


def test_a_random_choice_among_some_clients_leaves_the_others_alone():
    question = connections()
    matched, others = question.split(
        step(probability=0.25, sources=(PODS,)), [Flow(question.everybody)]
    )
    pods = mask_of(question, Client.POD)
    assert [(each.sources, each.weight) for each in matched] == [(pods, 0.25)]
    assert sorted((each.sources == pods, each.weight) for each in others) == [
        (False, 1.0),
        (True, 0.75),
    ]


def test_marks_select_flows():
    question = connections()
    marked, unmarked = Flow(1, mark=0x4000), Flow(2)

    for negated, wanted in ((False, marked), (True, unmarked)):
        tests = (MarkTest(0x4000, 0x4000, negated),)
        matched, others = question.split(step(marks=tests), [marked, unmarked])
        assert matched == [wanted]
        assert [*matched, *others] == [wanted, *({marked, unmarked} - {wanted})]


def test_returning_clients_are_recalled_only_before_a_random_choice():
    question = connections()
    flows = [Flow(1), Flow(2, weight=0.5)]

    matched, others = question.split(step(recalls=("web", 60)), flows)

    assert [each.recalled for each in matched] == [("web", 60), ("web", 0)]
    assert others == flows


def test_nobody_is_recalled_where_nobody_matches():
    question = connections()
    nobody = SourceTest("network", "127.9.0.0/16", negated=False)
    flows = [Flow(question.everybody)]

    assert question.split(step(recalls=("web", 60), sources=(nobody,)), flows) == ([], flows)


def test_the_mark_for_one_address_is_kept_apart_without_a_split():
    question = connections()
    flow = Flow(question.everybody)
    own = {"own": "10.244.1.2", "sources": (ONE_POD,)}

    for action in (SetMark(0, 0x4000), Jump("MARK")):
        matched, (other,) = question.split(step(action, **own), [flow])
        assert matched == []
        assert other.own_marks == {("10.244.1.2", 0x4000)}
        assert (other.sources, other.mark) == (flow.sources, 0)
    for chain in ("SEP", "MISSING"):
        with pytest.raises(NeedsSplitError):
            question.split(step(Jump(chain), **own), [flow])


def test_a_condition_on_some_clients_of_a_kind_needs_a_split():
    question = connections()
    flows = [Flow(question.everybody)]
    for test in (ONE_POD, UNKNOWN):
        with pytest.raises(NeedsSplitError):
            question.split(step(sources=(test,)), flows)
        assert connections(both_ways=True).split(step(sources=(test,)), flows) == (flows, flows)


def test_no_split_is_needed_for_a_step_without_effect_on_the_packet():
    question = connections()
    flows = [Flow(question.everybody)]

    assert question.split(step(Jump("OTHERS"), sources=(UNKNOWN,)), flows) == ([], flows)
    for action in (Jump("OTHERS", goto=True), Jump("MISSING"), Jump("SEP"), SetMark(0, 1)):
        with pytest.raises(NeedsSplitError):
            question.split(step(action, sources=(UNKNOWN,)), flows)
    with pytest.raises(NeedsSplitError):
        question.split(step(Jump("OTHERS"), Jump("SEP"), sources=(UNKNOWN,)), flows)


def on_device(device: str) -> Clients:
    """A node whose routes to Services leave by this device."""
    devices = frozenset({"eth0", "cni0"})
    return replace(clients(), interfaces=devices, way_out=lambda _: device)


def test_the_route_says_by_which_device_packets_leave():
    flows = [Flow(1)]

    def matches(value: str, *, negated: bool, device: str = "eth0", is_local: bool = False) -> bool:
        question = connections(on_device(device), is_local=is_local)
        test = SourceTest(OUT, value, negated)
        return question.split(step(sources=(test,)), flows) == (flows, [])

    assert matches("eth0", negated=False)
    assert matches("eth+", negated=False)
    assert matches("cni0", negated=True)
    assert not matches("cni0", negated=False)
    assert not matches("eth0", negated=True)
    assert matches(LOOPBACK, negated=False, is_local=True)
    assert not matches("eth0", negated=False, is_local=True)


def test_other_conditions_count_beside_a_known_device():
    question = connections(on_device("eth0"))
    leaving = SourceTest(OUT, "eth0", negated=False)

    matched, _ = question.split(step(sources=(leaving, PODS)), [Flow(question.everybody)])

    assert sources(matched) == mask_of(question, Client.POD)


def test_an_unknown_route_needs_a_split():
    for here in (on_device(""), replace(clients(), way_out=None)):
        test = SourceTest(OUT, "eth0", negated=False)
        with pytest.raises(NeedsSplitError):
            connections(here).split(step(sources=(test,)), [Flow(1)])


def test_packets_of_one_address_with_a_mark_of_their_own_are_followed_apart():
    here = clients()
    regions = Regions.of(4, here).split(ONE_POD)
    packet = Packet(4, "10.96.0.20", number_of("10.96.0.20"), "tcp", 80, is_local=False)
    question = ServiceConnections(packet, regions, Chains("nat", RULES, list), Consulted())
    one = regions.matching((ONE_POD,))
    flow = Flow(regions.all, own_marks=frozenset({("10.244.1.2", 0x4000)}))

    marked = (MarkTest(0x4000, 0x4000, False),)
    matched, others = question.split(step(marks=marked), [flow])

    assert [(each.sources, each.mark) for each in matched] == [(one, 0x4000)]
    assert [(each.sources, each.mark) for each in others] == [(regions.all & ~one, 0)]


def test_the_nodes_own_packets_come_in_by_no_device():
    question = connections(on_device("eth0"))
    loopback = SourceTest(IN, LOOPBACK, negated=False)
    flows = [Flow(question.everybody)]

    assert question.split(step(sources=(loopback,)), flows) == ([], flows)
