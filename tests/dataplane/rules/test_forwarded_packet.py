"""Whether a filter refuses one packet for certain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Any

from wirecheck.dataplane.rules.chains import Chains
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket, refusal_of
from wirecheck.dataplane.rules.steps import IN, OUT, End, Jump, MarkTest, SetMark, SourceTest, Step
from wirecheck.dataplane.table import Verdict

PACKET = ForwardedPacket(
    ip_address("10.244.1.2"), ip_address("10.244.2.3"), iif="cni0", oif="eth0", port=80
)
DROP, ACCEPT = (End(Verdict.DROP),), (End(Verdict.NOTHING),)


def refusal(
    *steps: Step,
    packet: ForwardedPacket = PACKET,
    policy: str = "ACCEPT",
    more: Mapping[str, Sequence[Step]] | None = None,
) -> str | None:
    chains = Chains("filter", {"FORWARD": steps, **(more or {})}, list)
    return refusal_of(chains, "FORWARD", policy, packet)


def is_dropped(packet: ForwardedPacket = PACKET, **conditions: Any) -> bool:
    return refusal(Step("rule", DROP, **conditions), packet=packet) is not None


def source(kind: str, value: str, *, negated: bool = False) -> dict[str, Any]:
    return {"sources": (SourceTest(kind, value, negated),)}


def test_a_rule_for_all_packets_refuses_and_is_shown():
    assert refusal(Step("drop", DROP)) == "drop"
    assert refusal(Step("reject", (End(Verdict.REJECT),))) == "reject"
    assert refusal(Step("accept", ACCEPT), Step("drop", DROP)) is None
    assert refusal() is None


def test_the_policy_refuses_what_no_rule_accepts():
    assert refusal(policy="DROP") == "policy DROP of FORWARD: no rule accepts it"
    assert refusal(Step("accept", ACCEPT), policy="DROP") is None
    some = Step("some", ACCEPT, **source("set", "some"))
    assert refusal(some, policy="DROP") is None
    assert refusal(Step("some", DROP, **source("set", "some"))) is None
    maybe = Step("some", DROP, **source("set", "some"))
    assert refusal(maybe, policy="DROP") == "policy DROP of FORWARD: no rule accepts it"


def test_conditions_on_the_destination_are_compared():
    for name, same, other in (
        ("protocol", "tcp", "udp"),
        ("host", "10.244.2.3", "10.244.2.4"),
        ("port", 80, 81),
    ):
        assert is_dropped(**{name: same})
        assert not is_dropped(**{name: other})
    any_port = replace(PACKET, port=None)
    assert is_dropped(any_port)
    assert not is_dropped(any_port, port=80)


def test_conditions_on_the_source_are_compared():
    assert is_dropped(**source("network", "10.244.1.0/24"))
    assert is_dropped(**source("network", "192.0.2.0/24,10.244.1.2/32"))
    assert not is_dropped(**source("network", "10.244.9.0/24"))
    assert is_dropped(**source("network", "10.244.9.0/24", negated=True))
    assert not is_dropped(**source("network", "10.244.1.0/24", negated=True))
    assert not is_dropped(**source("network", "::/0"))
    assert not is_dropped(**source("local", ""))
    assert is_dropped(**source("local", "", negated=True))


def test_devices_are_compared_in_their_direction_and_unknown_ones_are_open():
    assert is_dropped(**source(IN, "cni0"))
    assert is_dropped(**source(IN, "cni+"))
    assert is_dropped(**source(OUT, "eth0"))
    assert not is_dropped(**source(IN, "eth0"))
    assert not is_dropped(**source(OUT, "cni0"))
    assert is_dropped(**source(IN, "eth0", negated=True))
    unknown = replace(PACKET, iif="", oif="")
    for negated in (False, True):
        assert not is_dropped(unknown, **source(IN, "cni0", negated=negated))
        accept = Step("accept", ACCEPT, **source(OUT, "eth0", negated=negated))
        assert refusal(accept, Step("drop", DROP), packet=unknown) is None


def test_members_of_sets_count_where_they_are_known():
    for is_member in (True, False):
        known = replace(PACKET, known=(("pods", is_member),))
        assert is_dropped(known, **source("set", "pods")) is is_member
        assert is_dropped(known, **source("set", "pods", negated=True)) is not is_member
        assert not is_dropped(known, **source("set", "others"))


def test_what_depends_on_chance_or_the_past_is_not_certain():
    assert not is_dropped(probability=0.5)
    assert not is_dropped(recalls=("web", 60))
    assert not is_dropped(later=None)
    assert not is_dropped(**source("other", "-m geoip"))


def test_of_a_state_only_that_of_new_connections_matches():
    never = {"never": True, "first": False}
    translated = {"never": True, "first": True}
    untranslated = {"never": False, "first": False}
    direct = replace(PACKET, is_direct=True)

    assert not is_dropped(**never)
    assert not is_dropped(**translated)
    assert not is_dropped(direct, **translated)
    assert is_dropped(direct, **untranslated)
    assert not is_dropped(**untranslated)
    for packet, may_pass in ((PACKET, True), (direct, False)):
        accept = Step("translated", ACCEPT, **translated)
        found = refusal(accept, Step("drop", DROP), packet=packet)
        assert (found is None) is may_pass


MARKED = (MarkTest(0x1, 0x1, negated=False),)
UNMARKED = (MarkTest(0x1, 0x1, negated=True),)


def test_a_packet_has_the_marks_that_rules_have_set():
    mark = Step("mark", (SetMark(0x1, 0x1),))

    assert not is_dropped(marks=MARKED)
    assert is_dropped(marks=UNMARKED)
    assert refusal(mark, Step("drop", DROP, marks=MARKED)) == "drop"
    assert refusal(mark, Step("drop", DROP, marks=UNMARKED)) is None


def test_after_a_rule_that_restores_marks_none_is_known():
    restore = Step("restore", restores_mark=True)
    not_met = Step("restore", restores_mark=True, host="10.244.2.4")

    for marks in (MARKED, UNMARKED):
        assert refusal(restore, Step("drop", DROP, marks=marks)) is None
        assert refusal(restore, Step("drop", ACCEPT, marks=marks), Step("rest", DROP)) is None
    assert refusal(not_met, Step("drop", DROP, marks=UNMARKED)) == "drop"


def test_chains_are_followed():
    jump = Step("jump", (Jump("MINE"),))

    assert refusal(jump, more={"MINE": [Step("drop", DROP)]}) == "drop"
    assert refusal(jump, more={"MINE": []}) is None
    assert refusal(jump) is None


def test_a_packet_is_named_by_its_protocol_and_ends():
    assert str(PACKET) == "tcp from 10.244.1.2 to 10.244.2.3 port 80"
    assert str(replace(PACKET, port=None, protocol="udp")) == "udp from 10.244.1.2 to 10.244.2.3"
