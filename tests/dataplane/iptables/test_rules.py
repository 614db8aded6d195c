"""Lines of iptables-save as steps: actions, and conditions that are kept as text."""

from __future__ import annotations

import pytest

from wirecheck.dataplane.iptables.rules import make_step, steps_of
from wirecheck.dataplane.rules.steps import (
    HERE,
    Action,
    Dnat,
    End,
    Jump,
    Opaque,
    Return,
    SetMark,
    SetTest,
    Source,
    SourceTest,
    Step,
)
from wirecheck.dataplane.table import Verdict
from wirecheck.parse.iptables import Chain


def unrecognised(conditions: str) -> list[str]:
    step = make_step(f"-A FORWARD {conditions} -j DROP")
    return [each.value for each in step.sources if each.kind == "other"]


@pytest.mark.parametrize(
    ("conditions", "texts"),
    [
        ("-m geoip --src-cc DE", ["-m geoip --src-cc DE"]),
        ("-m geoip ! --src-cc DE,FR", ["-m geoip ! --src-cc DE,FR"]),
        ("-p tcp -m tcp --dport 80 -m geoip --src-cc DE", ["-m geoip --src-cc DE"]),
        (
            "-m geoip --src-cc DE -m string --string x --algo bm",
            ["-m geoip --src-cc DE", "-m string --string x --algo bm"],
        ),
        ("-m tcp --dport 80 --tcp-option 2", ["-m tcp --dport 80 --tcp-option 2"]),
        ("-s 192.0.2.7/32 -m owner --uid-owner x", ["-m owner --uid-owner x"]),
        ("-p tcp -m tcp --dport 80", []),
    ],
)
def test_an_unrecognised_match_is_kept_with_all_its_options(conditions: str, texts: list[str]):
    assert unrecognised(conditions) == texts


def test_an_unrecognised_option_without_a_match_is_kept_alone():
    assert unrecognised("-s 192.0.2.7/32 -f") == ["-f"]


@pytest.mark.parametrize(
    ("target", "actions"),
    [
        ("-j ACCEPT", (End(Verdict.NOTHING),)),
        ("-j DROP", (End(Verdict.DROP),)),
        ("-j REJECT --reject-with icmp-port-unreachable", (End(Verdict.REJECT),)),
        ("-j RETURN", (Return(),)),
        ("-j MASQUERADE --random-fully", (Source(),)),
        ("-j SNAT --to-source 192.0.2.1", (Source(),)),
        ("-j NOTRACK", (End(Verdict.UNTRACKED),)),
        ("-j CT --notrack", (End(Verdict.UNTRACKED),)),
        ("-j CT --helper ftp", ()),
        ("-j LOG --log-prefix x", ()),
        ("-j CONNMARK --restore-mark", ()),
        ("", ()),
        ("-j CHAIN", (Jump("CHAIN"),)),
        ("-g CHAIN", (Jump("CHAIN", goto=True),)),
        ("-j MARK --set-xmark 0x4000/0x4000", (SetMark(0x4000, 0x4000),)),
        ("-j MARK --set-xmark 0x4000/0x0", (SetMark(0, 0x4000),)),
        ("-j MARK --set-xmark 0x1", (SetMark(0xFFFFFFFF, 1),)),
        ("-j DNAT --to-destination 10.244.1.3:8080", (Dnat("10.244.1.3", 8080),)),
        ("-j DNAT --to-destination 10.244.1.3", (Dnat("10.244.1.3", 0),)),
        ("-j DNAT --to-destination [fd00::3]:8080", (Dnat("fd00::3", 8080),)),
        ("-j DNAT --to-destination fd00::3", (Dnat("fd00::3", 0),)),
        ("-j REDIRECT --to-ports 9", (Dnat(HERE, 9),)),
        ("-j REDIRECT", (Dnat(HERE, 0),)),
        ("-j REDIRECT --to-ports 9 --random", (Dnat(HERE, 9),)),
    ],
)
def test_targets_are_actions(target: str, actions: tuple[Action, ...]):
    assert make_step(f"-A PREROUTING {target}".rstrip()).actions == actions


@pytest.mark.parametrize(
    "target",
    [
        "-j NETMAP --to 10.0.0.0/8",
        "-j REDIRECT --to-ports 9-12",
        "-j NFQUEUE --queue-num 0 --queue-bypass",
        "-j TPROXY --on-port 9 --on-ip 127.0.0.1 --tproxy-mark 0x1/0x1",
        "-j DNAT --to-destination 10.0.0.1-10.0.0.9",
        "-j DNAT --to-destination 0.0.0.0:80",
        "-j DNAT --to-destination [::]:80",
        "-j DNAT --to-destination 10.244.1.3:0",
        "-j DNAT --to-destination 10.244.1.3 --to-destination 10.244.1.4",
        "-j DNAT --random",
        "-j MARK --set-xmark x",
        "-j MARK --or-mark 1",
    ],
)
def test_targets_whose_effect_is_not_known(target: str):
    (action,) = make_step(f"-A PREROUTING {target}").actions

    assert isinstance(action, Opaque)


def test_only_connmark_restores_a_mark():
    lines = ("-A A -j CONNMARK --restore-mark", "-A A -j MARK --set-xmark 0x1/0x1", "-A A")

    assert [make_step(each).restores_mark for each in lines] == [True, False, False]


def test_a_step_for_one_address_sets_its_own_mark_unless_it_depends_on_more():
    own = "-A SEP -s 10.244.1.2/32"

    assert make_step(f"{own} -j KUBE-MARK-MASQ").own == "10.244.1.2"
    assert make_step(f"{own} -m mark --mark 0x1/0x1 -j KUBE-MARK-MASQ").own == ""
    assert make_step(f"{own} -m set --match-set x src -j KUBE-MARK-MASQ").own == ""
    assert make_step(f"{own} -j DROP").own == ""


IN_SET = "-A CHAIN -m set --match-set blocked src -j DROP"


def chain(*lines: str) -> Chain:
    return Chain("CHAIN", block="".join(f"{each}\n" for each in lines))


def test_a_set_that_is_not_resolved_is_an_unrecognised_condition():
    plain, in_set = steps_of(chain("-A CHAIN -j LOG", IN_SET))

    assert plain.sources == ()
    assert [each.kind for each in in_set.sources] == ["set"]
    assert in_set.sets == ()


def test_a_set_is_resolved_where_its_members_are_known():
    def resolve(step: Step) -> list[Step]:
        return [step, step] if step.sets == (SetTest("blocked", ("src",), False),) else []

    assert [each.rule for each in steps_of(chain(IN_SET), resolve=resolve)] == [IN_SET, IN_SET]


@pytest.mark.parametrize(("number", "is_long"), [(8, False), (9, True)])
def test_steps_of_long_chains_are_made_by_the_given_function(number: int, is_long: bool):
    made: list[str] = []

    def make(line: str) -> Step:
        made.append(line)
        return make_step(line)

    lines = [f"-A CHAIN -s 192.0.2.{each}/32 -j DROP" for each in range(number)]
    found = steps_of(chain(*lines), make)

    assert [each.rule for each in found] == lines
    assert made == (lines if is_long else [])
    tests = [each.sources for each in found]
    assert tests[1] == (SourceTest("network", "192.0.2.1/32", negated=False),)


BY_NODE = SourceTest("local", "", negated=False)
BY_OTHERS = SourceTest("local", "", negated=True)


@pytest.mark.parametrize(
    ("condition", "never", "sources"),
    [
        ("--uid-owner 0", False, (BY_NODE,)),
        ("--uid-owner 0-999", False, (BY_NODE,)),
        ("--gid-owner 0", False, (BY_NODE,)),
        ("--socket-exists", False, (BY_NODE,)),
        ("! --uid-owner 0", False, (BY_OTHERS,)),
        ("--uid-owner 1337", True, ()),
        ("--uid-owner 1000-60000", True, ()),
        ("--gid-owner 1337", True, ()),
        ("! --uid-owner 110", False, ()),
    ],
)
def test_the_nodes_own_programs_run_as_root(
    condition: str, never: bool, sources: tuple[SourceTest, ...]
):
    step = make_step(f"-A OUTPUT -p tcp -m owner {condition} -j ACCEPT")

    assert (step.never, step.sources) == (never, sources)
