"""Base chains of other programs' tables take their place among kube-proxy's, by priority."""

from __future__ import annotations

from dataclasses import replace

from tests.dataplane.nftables.tables import DROP, table_of
from wirecheck.dataplane.nftables.tables import NamedTable, in_order, stages_of, with_tables
from wirecheck.dataplane.rules.chains import ChainCache
from wirecheck.dataplane.rules.handlings import Masquerading
from wirecheck.dataplane.rules.ruleset import Ruleset, Stage

OWN = Ruleset(4, (), (), (), (), Masquerading(by_mark=lambda _: False))


def places(*tables: NamedTable, family: int = 4) -> tuple[list[int], list[int]]:
    """The priorities of the base chains that arriving and sent packets meet."""
    found = with_tables(OWN, family, tables, ChainCache())
    return [each.priority for each in found.arriving], [each.priority for each in found.sent]


def test_only_what_happens_before_dnat_counts_for_packets_of_the_node():
    def sent(priority: int, kind: str) -> NamedTable:
        return table_of([DROP], hook="output", priority=priority, type=kind)

    assert places(sent(-150, "filter"))[1] == [-150]
    assert places(sent(-100, "filter"))[1] == [-100]
    assert places(sent(-99, "filter"))[1] == []
    assert places(sent(0, "filter"))[1] == []
    assert places(sent(0, "nat"))[1] == [0]


def test_arriving_packets_meet_every_chain_of_their_hook_in_order():
    tables = [table_of([DROP], priority=each) for each in (0, -300, -100)]

    assert places(*tables) == ([-300, -100, 0], [])
    assert places(table_of([DROP], hook="forward")) == ([], [])


def test_a_table_is_for_the_packets_of_its_family():
    found = {
        of: [f for f in (4, 6) if places(table_of([DROP], of=of), family=f)[0]]
        for of in ("ip", "ip6", "inet", "arp", "bridge")
    }

    assert found == {"ip": [4], "ip6": [6], "inet": [4, 6], "arp": [], "bridge": []}


def test_without_a_chain_that_counts_the_rules_are_the_same_object():
    assert with_tables(OWN, 4, [table_of([DROP], hook="forward")], ChainCache()) is OWN


def test_a_stage_has_the_policy_and_the_type_of_its_chain():
    def stage(**chain: str) -> Stage:
        (found,) = stages_of("prerouting", 4, [table_of([DROP], **chain)], ChainCache())
        return found

    accepts, drops, nat = stage(), stage(policy="drop"), stage(type="nat")
    assert [each.policy for each in (accepts, drops)] == ["ACCEPT", "DROP"]
    assert [each.refuses_rest for each in (accepts, drops)] == [False, True]
    assert [each.translates for each in (accepts, nat)] == [False, True]
    assert not any(each.diverts for each in (accepts, drops, nat))


def test_of_equal_priorities_the_other_programs_come_first_and_are_tied():
    (other,) = stages_of("prerouting", 4, [table_of([DROP], priority=-100)], ChainCache())
    earlier, same = (
        replace(other, base_chain=f"own{each}", priority=each) for each in (-150, -100)
    )

    found = in_order([same, earlier], [other])

    assert [each.base_chain for each in found] == ["own-150", "first", "own-100"]
    assert found[1].tied == (same,)
    assert found[0].tied == found[2].tied == ()
