"""The referee of enforced policies, on a scene that a real kube-router programmed."""

from __future__ import annotations

import re
from collections import Counter
from itertools import islice, product
from pathlib import Path

import msgspec
import pytest

from testbed.enforcer_referee import record
from testbed.enforcer_referee.comparing import (
    FORWARDED,
    PORTS,
    REFUSED,
    Comparison,
    Connection,
    Kind,
)
from testbed.enforcer_referee.findings import due, reported
from testbed.enforcer_referee.mutations import RULES, SETS, mutate
from testbed.enforcer_referee.packets import crc32c, packet_of
from testbed.enforcer_referee.reading import Flaw, Subject
from testbed.enforcer_referee.results import BEGIN, END, PolicyScore, into_page
from testbed.enforcer_referee.scenes import random_policy_scenes, sentinel
from testbed.referee.dice import Dice
from testbed.referee.judging import Sight
from testbed.referee.scene import steps

SCENE = Path(__file__).parents[2] / "recorded" / "random-policies" / "kube-router.json.gz"


@pytest.fixture(scope="module")
def seen() -> Comparison:
    return record.read(SCENE)


@pytest.fixture(scope="module")
def outcomes(seen: Comparison) -> list[tuple[Connection, Kind, str]]:
    return list(seen.outcomes())


def changed(seen: Comparison, command: str, pattern: str, text: str) -> Comparison:
    """The scene with another text in the output of a command."""
    document = seen.sight.document
    before = document.commands[command]
    output = re.sub(pattern, text, before.output, count=1)
    assert output != before.output
    commands = {**document.commands, command: msgspec.structs.replace(before, output=output)}
    document = msgspec.structs.replace(document, commands=commands)
    return Comparison(seen.scene, Sight(seen.sight.api, document))


def test_the_node_enforces_what_is_expected_or_what_kube_router_reads(
    outcomes: list[tuple[Connection, Kind, str]],
) -> None:
    kinds = Counter(kind for _, kind, _ in outcomes)

    assert kinds[Kind.WRONG] == 0
    assert kinds[Kind.AGREES] == 16_185
    flaws = Counter(reason for _, kind, reason in outcomes if kind is Kind.FLAW)
    assert flaws == {Flaw.DIRECTIONS: 1_398, Flaw.EXCEPTIONS: 237}


def test_the_checks_report_what_each_connection_shows(seen: Comparison) -> None:
    assert reported(seen) == due(seen) != set()


def test_without_the_jump_everything_is_forwarded(seen: Comparison) -> None:
    jump = r"-A FORWARD -m comment --comment \"kube-router netpol[^\n]*\n"
    without = changed(seen, RULES, jump, "")

    refused = [*product(range(len(seen.pairs)), range(len(PORTS)))]
    refused = [each for each in refused if seen.fate(*each) == REFUSED]
    assert len(refused) > 1_000
    assert {without.fate(*each) for each in refused} == {FORWARDED}


def test_a_seed_gives_the_same_scenes() -> None:
    first, again = (list(islice(random_policy_scenes(3, 6), 3)) for _ in range(2))

    assert first == again
    assert first != list(islice(random_policy_scenes(4, 6), 3))


def test_steps_end_with_the_policy_by_which_the_scene_is_known() -> None:
    first, second = islice(random_policy_scenes(3, 6), 2)
    found = list(steps(first, second))

    assert found[-1].object == sentinel(2)
    assert found[-1].action == "create"
    assert {"create", "delete"} <= {each.action for each in found}
    assert not list(steps(second, second))


def test_mutations_change_what_forwarded_packets_meet(seen: Comparison) -> None:
    texts = [seen.sight.document.commands[name].output for name in (RULES, SETS)]
    found = [each for n in range(60) if (each := mutate(Dice(n), *texts)) is not None]

    assert {each.kind for each in found} == {
        "rule deleted", "chain flushed", "mark changed", "jump redirected", "rule inserted",
        "rules swapped", "member deleted", "member added", "set emptied",
    }  # fmt: skip
    assert all(bool(each.rules) != bool(each.sets) for each in found)
    assert all(each.undo for each in found if each.sets)
    assert not any("KUBE-ROUTER-INPUT" in each.what for each in found)


@pytest.mark.parametrize("protocol", ["tcp", "udp", "sctp"])
def test_packets_have_valid_checksums(protocol: str) -> None:
    ends = Subject("10.244.0.2"), Subject("192.0.2.1")
    packet = packet_of(Connection(*ends, (protocol, 8080)), 1234)

    assert folded(packet[:20]) == 0xFFFF
    assert packet[20:24] == bytes([4, 210, 31, 144])
    if protocol != "sctp":
        pseudo = packet[12:20] + bytes([0, packet[9], 0, len(packet) - 20])
        assert folded(pseudo + packet[20:]) == 0xFFFF


def folded(data: bytes) -> int:
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_the_checksum_of_sctp() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_results_are_put_between_the_marks_of_a_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    score = PolicyScore("2.1.0", 7, policies=20, scenes=1, kinds=Counter({Kind.AGREES: 9}))
    into_page(page, score)

    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| kube-router 2.1.0 | 20 | 1 | 9 | 0 | 0 | 0 | 0 | 0, 0, 0 | 7 |" in text
    assert score.is_good
    assert not PolicyScore("2.1.0", 7).is_good
    assert not PolicyScore("2.1.0", 7, policies=20, kinds=Counter({Kind.WRONG: 1})).is_good
