"""Conditions of steps by themselves: devices, single addresses, marks."""

from __future__ import annotations

from wirecheck.dataplane.rules.steps import (
    IN,
    OUT,
    Action,
    Jump,
    Return,
    SetMark,
    SourceTest,
    own_address,
)

MARK = SetMark(clear=0, flip=0x4000)


def test_a_device_is_named_in_full_or_by_its_beginning():
    names = ("cali1", "cali12", "cali", "eth0")
    found = {
        value: [each for each in names if SourceTest(IN, value, negated=False).names_device(each)]
        for value in ("cali1", "cali1+", "cali+", "+", "eth", "")
    }
    assert found == {
        "cali1": ["cali1"],
        "cali1+": ["cali1", "cali12"],
        "cali+": ["cali1", "cali12", "cali"],
        "+": ["cali1", "cali12", "cali", "eth0"],
        "eth": [],
        "": [],
    }


def test_a_condition_has_one_name_with_its_negation_and_another_than_that_of_the_other_direction():
    one, negated = (SourceTest(IN, "eth0", negated=each) for each in (False, True))

    assert one.name == negated.name == "interface eth0"
    assert SourceTest(OUT, "eth0", negated=False).name != one.name
    assert SourceTest("local", "", negated=False).name == "local"


def test_a_mark_is_cleared_and_flipped_bit_by_bit():
    assert SetMark(clear=0xFFFFFFFF, flip=0x1).of(0x4008) == 0x1
    assert SetMark(clear=0x4000, flip=0x4000).of(0x8) == 0x4008
    assert SetMark(clear=0x4000, flip=0x4000).of(0x4008) == 0x4008
    assert SetMark(clear=0, flip=0x4000).of(0x4008) == 0x8
    assert SetMark(clear=0x8, flip=0).of(0x4008) == 0x4000


def test_a_step_that_marks_the_packets_of_one_address_is_about_this_address():
    def own(value: str, *actions: Action, kind: str = "network", negated: bool = False) -> str:
        return own_address((SourceTest(kind, value, negated),), actions or (MARK,))

    assert own("10.244.1.2/32") == "10.244.1.2"
    assert own("fd00::2/128") == "fd00::2"
    assert own("10.244.1.2/32", Jump("KUBE-MARK-MASQ")) == "10.244.1.2"
    assert own("10.244.1.0/24") == ""
    assert own("fd00::/64") == ""
    assert own("10.244.1.2/32", negated=True) == ""
    assert own("10.244.1.2/32", kind="set") == ""
    assert own("10.244.1.2/32", Return()) == ""
    assert own("10.244.1.2/32", MARK, MARK) == ""


def test_steps_with_another_number_of_conditions_or_actions_are_about_no_single_address():
    test = SourceTest("network", "10.244.1.2/32", negated=False)

    assert own_address((), (MARK,)) == ""
    assert own_address((test, test), (MARK,)) == ""
    assert own_address((test,), ()) == ""
