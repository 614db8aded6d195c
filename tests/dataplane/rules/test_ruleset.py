"""Paths of packets through the hooks: which rules can still refuse a translated connection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.dependencies import Translated
from wirecheck.dataplane.rules.handlings import Masquerading
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage, packet_to, reachable
from wirecheck.dataplane.rules.steps import IN, Dnat, End, Jump, MarkTest, SourceTest, Step
from wirecheck.dataplane.table import Frontend, Verdict

DROP = (End(Verdict.DROP),)
NEW = Step("new packets", DROP, later=False)
LATER = Step("later packets", DROP, first=False)
MARKED = (MarkTest(0x4000, 0x4000, False),)
UNMARKED = (MarkTest(0x4000, 0x4000, True),)
PLACES = ("arriving", "arriving, later on", "to node", "through node", "sent", "sent, later on")


def stage(name: str, *steps: Step, owner: str = "", label: str = "filter") -> Stage:
    """A hook that calls one chain with these steps."""
    rules = {"HOOK": [Step("jump", (Jump(name),))], name: list(steps)}
    return Stage("HOOK", Chains(label, rules, list, owner=owner))


def ruleset(refusing: str = "", *steps: Step, chain: str = "KUBE-FORWARD", owner: str = ""):
    """All hooks; the one named `refusing` has these steps in a chain."""
    stages = {
        each: stage(chain, *(steps if each == refusing else ()), owner=owner, label=each)
        for each in PLACES
    }
    return Ruleset(
        4,
        arriving=(stages[PLACES[0]], stages[PLACES[1]]),
        to_node=(stages["to node"],),
        through_node=(stages["through node"],),
        sent=(stages[PLACES[4]], stages[PLACES[5]]),
        masquerading=Masquerading(by_mark=lambda _: False),
        owner=owner,
    )


def refusing_places(connection: Translated, step: Step) -> list[str]:
    """The hooks in which the step refuses the connection."""
    return [each for each in PLACES if ruleset(each, step).refuses(connection)]


def test_new_packets_meet_the_hooks_behind_their_translation():
    found = {
        (from_node, to_node): refusing_places(Translated(from_node, 0, 0, to_node), NEW)
        for from_node in (False, True)
        for to_node in (False, True)
    }
    assert found == {
        (False, False): ["arriving, later on", "through node"],
        (False, True): ["arriving, later on", "to node"],
        (True, False): ["sent, later on"],
        (True, True): ["to node", "sent, later on"],
    }


def test_later_packets_meet_the_hooks_on_the_way_back():
    found = {
        (from_node, to_node): refusing_places(Translated(from_node, 0, 0, to_node), LATER)
        for from_node in (False, True)
        for to_node in (False, True)
    }
    assert found == {
        (False, False): ["through node"],
        (False, True): [],
        (True, False): ["to node"],
        (True, True): [],
    }


def test_ipvs_sends_packets_on_after_the_last_hook():
    assert refusing_places(Translated(False, 2, 0, False), NEW) == []
    assert refusing_places(Translated(False, 2, 0, False), LATER) == ["through node"]
    assert refusing_places(Translated(False, 1, 0, False), NEW) == ["through node"]


def test_only_first_packets_have_the_mark():
    def refused(mark: int, step: Step) -> bool:
        found = ruleset("through node", step)
        return found.refuses(Translated(False, 0, mark, False)) is not None

    assert refused(0x4000, Step("marked", DROP, marks=MARKED, later=False))
    assert not refused(0, Step("marked", DROP, marks=MARKED, later=False))
    assert not refused(0x4000, Step("marked", DROP, marks=MARKED, first=False))
    assert refused(0x4000, Step("unmarked", DROP, marks=UNMARKED, first=False))


def test_the_refusing_rule_is_shown_and_the_same_answer_is_kept():
    found = ruleset("through node", NEW)
    connection = Translated(False, 0, 0, False)

    assert found.refuses(connection) == "new packets"
    assert found.refuses(connection) == "new packets"
    assert ruleset().refuses(connection) is None


def test_third_party_chains_contain_policy_unless_one_program_owns_the_rules():
    connection = Translated(False, 0, 0, False)

    assert ruleset("through node", NEW, chain="POLICY").refuses(connection) is None
    owned = ruleset("through node", NEW, chain="POLICY", owner="kube-proxy")
    assert owned.refuses(connection) == "new packets"
    of_others = replace(owned, through_node=(stage("POLICY", NEW),))
    assert of_others.refuses(connection) is None


def test_packets_that_may_pass_are_not_refused():
    connection = Translated(False, 0, 0, False)
    accepts_some = Step("some", (End(Verdict.NOTHING),), protocol="tcp")
    for steps in (
        [accepts_some, NEW],
        [Step("some", DROP, port=80, later=False)],
        [Step("half of them", DROP, probability=0.5, later=False)],
        [Step("unknown state", DROP, first=False, later=None)],
    ):
        assert ruleset("through node", *steps).refuses(connection) is None


WEB, PORT = Frontend(4, "10.96.0.20", "tcp", 80), Frontend(4, "", "tcp", 30080)
TO_WEB = Step("web", (Jump("KUBE-SVC-WEB"),), protocol="tcp", host="10.96.0.20", port=80)
TO_PORT = Step("port", (Dnat("10.244.1.2", 80),), protocol="tcp", port=30080)


def test_the_frontends_that_rules_name_have_the_chain_and_the_owner_that_names_them():
    found = ruleset("arriving", TO_WEB, TO_PORT, owner="kube-proxy")

    assert found.named == {
        WEB: "kube-proxy KUBE-FORWARD",
        PORT: "kube-proxy KUBE-FORWARD",
    }
    assert ruleset("arriving", TO_WEB).named == {WEB: "KUBE-FORWARD"}
    assert found.hosts == {"10.96.0.20"}
    assert found.node_ports == (PORT,)
    assert found.packets == {WEB: packet_to(WEB, None, is_local=False)}


def test_stages_that_divert_nothing_name_no_frontend():
    found = ruleset("arriving", TO_WEB)
    policy = replace(found, arriving=tuple(replace(e, diverts=False) for e in found.arriving))

    assert policy.named == {}
    filtered = replace(policy, without_filters=found)
    assert filtered.named is found.named
    assert filtered.packets is found.packets
    assert filtered.hosts is found.hosts


def test_a_packet_to_a_node_port_goes_to_the_nodes_address():
    found = packet_to(WEB, None, is_local=True)

    assert (found.address, found.number, found.port) == ("10.96.0.20", 0x0A600014, 80)
    assert (found.family, found.protocol, found.is_local) == (4, "tcp", True)


def test_chains_are_reached_once_and_not_by_jumps_for_one_destination():
    steps: dict[str, Sequence[Step]] = {
        "HOOK": [Step("a", (Jump("A"),)), Step("b", (Jump("B"),)), Step("x", (Jump("MISSING"),))],
        "A": [Step("b", (Jump("B"),)), Step("back", (Jump("HOOK"),)), TO_WEB],
        "B": [],
        "KUBE-SVC-WEB": [],
    }
    found = [each.name for each in reachable(Stage("HOOK", Chains("nat", steps, list)))]

    assert found[0] == "HOOK"
    assert sorted(found[1:]) == ["A", "B"]
    assert list(reachable(Stage("MISSING", Chains("nat", steps, list)))) == []


def test_conditions_on_interfaces_come_with_those_beside_them():
    one, two, alone = (SourceTest(IN, each, negated=False) for each in ("a", "b", "c"))
    network = SourceTest("network", "10.0.0.0/8", negated=False)
    found = ruleset(
        "arriving", Step("1", sources=(one, network)), Step("2", sources=(two,)), chain="FROM-PODS"
    )
    assert found.interfaces_beside(one) == (one, two)
    assert found.interfaces_beside(alone) == (alone,)


def test_hooks_are_equal_if_their_stages_have_the_same_order():
    one, same = ruleset(), ruleset("arriving", NEW)
    other = replace(one, arriving=one.arriving[::-1])
    differs = replace(one, to_node=(replace(one.to_node[0], refuses_rest=True),))
    tied = replace(one, to_node=(replace(one.to_node[0], tied=one.sent),))

    assert one.hooks == same.hooks
    others = (other, differs, tied, replace(one, sent=()))
    assert len({one.hooks, *(each.hooks for each in others)}) == 5
