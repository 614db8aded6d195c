"""Sets of packets: their marks, which tests these pass, and which flows are merged."""

from __future__ import annotations

from msgspec.structs import replace

from wirecheck.dataplane.rules.flows import (
    Accepted,
    Flow,
    Result,
    apart,
    has_marks,
    is_refused,
    marked_otherwise,
    merged,
    only_from,
    split_by_mark,
    with_mark,
    with_own_mark,
)
from wirecheck.dataplane.rules.steps import MarkTest, SetMark, Step
from wirecheck.dataplane.table import Verdict

POD = "10.244.1.2"
MASQUERADE = SetMark(clear=0x4000, flip=0x4000)
MARKED, UNMARKED = (MarkTest(0x4000, 0x4000, negated) for negated in (False, True))
OWN = Flow(0b111, own_marks=frozenset({(POD, 0x4000), ("10.244.1.3", 0)}))


def test_all_tests_have_to_pass_for_the_bits_that_they_are_about():
    marked = Flow(1, mark=0x4001)

    assert has_marks(marked, ())
    assert has_marks(marked, (MARKED,))
    assert not has_marks(marked, (UNMARKED,))
    assert not has_marks(marked, (MARKED, UNMARKED))
    assert not has_marks(marked, (MarkTest(0x4000, 0xFFFFFFFF, negated=False),))
    assert has_marks(Flow(1), (UNMARKED,))


def test_flows_are_divided_by_their_mark_and_are_in_both_parts_where_more_is_unknown():
    flows = marked, unmarked = [Flow(1, mark=0x4000), Flow(2)]
    step = Step("rule", marks=(MARKED,))

    assert split_by_mark(step, flows, is_sure=True) == ([marked], [unmarked])
    assert split_by_mark(step, flows, is_sure=False) == ([marked], flows)
    assert split_by_mark(Step("rule"), flows, is_sure=True) == (flows, [])
    assert split_by_mark(Step("rule"), flows, is_sure=False) == (flows, flows)


def test_a_mark_of_one_address_follows_the_mark_of_all():
    first = with_own_mark(Flow(1, mark=0x1), POD, MASQUERADE)
    assert first.own_marks == {(POD, 0x4001)}
    assert first.mark == 0x1

    second = with_own_mark(first, POD, SetMark(clear=0x4000, flip=0))
    assert second.own_marks == {(POD, 0x1)}

    both = with_own_mark(first, "10.244.1.3", MASQUERADE)
    assert both.own_marks == {(POD, 0x4001), ("10.244.1.3", 0x4001)}

    cleared = with_mark(first, SetMark(clear=0xFFFFFFFF, flip=0x8))
    assert (cleared.mark, cleared.own_marks) == (0x8, {(POD, 0x8)})


def test_an_address_is_marked_otherwise_if_the_tests_tell_its_packets_apart():
    assert marked_otherwise(OWN, (MARKED,)) == POD
    assert marked_otherwise(OWN, (UNMARKED,)) == POD
    assert marked_otherwise(replace(OWN, mark=0x4000), (MARKED,)) == "10.244.1.3"
    assert marked_otherwise(OWN, (MarkTest(0, 0x8, negated=False),)) == ""
    assert marked_otherwise(Flow(1), (MARKED,)) == ""


def test_the_packets_of_one_address_leave_the_others_with_the_remaining_marks():
    own, others = apart(OWN, POD, 0b010)

    assert (own.sources, own.mark, own.own_marks) == (0b010, 0x4000, frozenset())
    assert (others.sources, others.mark, others.own_marks) == (0b101, 0, {("10.244.1.3", 0)})
    assert [each.mark for each in apart(replace(OWN, sources=0b010), POD, 0b010)] == [0x4000]
    assert [each.mark for each in apart(replace(OWN, sources=0b100), POD, 0b010)] == [0]


def test_flows_of_some_clients_are_cut_to_them():
    flows = [Flow(0b011), Flow(0b100), Flow(0b110, mark=1)]

    assert only_from(flows, 0b010) == [Flow(0b010), Flow(0b010, mark=1)]
    assert only_from(flows, 0) == []


def test_only_flows_that_go_on_alike_are_merged():
    assert merged([Flow(0b01), Flow(0b10)]) == [Flow(0b11)]
    assert merged([]) == []
    differing = [
        Flow(1),
        Flow(1, mark=1),
        Flow(1, weight=0.5),
        Flow(1, recalled=("web", 60)),
        Flow(1, own_marks=frozenset({(POD, 1)})),
        Flow(1, remembered="web"),
    ]
    assert merged(differing) == differing
    assert len(merged([*differing, Flow(2, mark=1), Flow(4)])) == len(differing)


def test_merged_flows_keep_the_rules_that_accepted_either_once_and_up_to_eight():
    rules = [Accepted((str(each),)) for each in range(10)]
    one, other = Flow(1, accepted=tuple(rules[:2])), Flow(2, accepted=tuple(rules[1:3]))

    (found,) = merged([one, other])
    assert found.accepted == tuple(rules[:3])

    (found,) = merged([Flow(1, accepted=(each,)) for each in rules])
    assert found.accepted == tuple(rules[:8])


def test_dropped_and_rejected_packets_are_refused():
    refused = [each for each in Verdict if is_refused(Result(Flow(1), each))]

    assert sorted(refused) == sorted([Verdict.DROP, Verdict.REJECT])
