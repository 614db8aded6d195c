"""Shards of the nodes: each node is in exactly one, and the whole is what a single run gives."""

from __future__ import annotations

import pytest

from wirecheck.run.shard import Shard, read_shard

NAMES = [f"node-{number}" for number in range(500)]


def test_every_node_is_in_exactly_one_shard() -> None:
    shards = [Shard(number, 7) for number in range(1, 8)]

    assert all(sum(shard.has(name) for shard in shards) == 1 for name in NAMES)
    assert all(sum(map(shard.has, NAMES)) > 40 for shard in shards)


def test_a_node_that_is_added_moves_no_other() -> None:
    before = [name for name in NAMES if Shard(2, 5).has(name)]

    assert [name for name in [*NAMES, "a-new-one"] if Shard(2, 5).has(name)][
        : len(before)
    ] == before


def test_a_shard_is_read() -> None:
    assert read_shard("2/8") == Shard(2, 8)
    assert read_shard("/8", {"JOB_COMPLETION_INDEX": "0"}) == Shard(1, 8)
    assert read_shard("/8", {"JOB_COMPLETION_INDEX": "7"}) == Shard(8, 8)


@pytest.mark.parametrize(
    ("text", "environment", "sentence"),
    [
        ("2", {}, "is not a shard"),
        ("a/b", {}, "is not a shard"),
        ("0/4", {}, "Shard 0 does not exist"),
        ("5/4", {}, "Shard 5 does not exist"),
        ("/4", {}, "which is not set"),
        ("/4", {"JOB_COMPLETION_INDEX": "4"}, "Shard 5 does not exist"),
    ],
)
def test_what_is_not_a_shard_is_refused(
    text: str, environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_shard(text, environment)
