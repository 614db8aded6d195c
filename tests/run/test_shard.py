"""Shares of the nodes: each node is in exactly one, and the whole is what a single run gives."""

from __future__ import annotations

import pytest

from wirecheck.run.shard import Share, read_share

NAMES = [f"node-{number}" for number in range(500)]


def test_every_node_is_in_exactly_one_share() -> None:
    shares = [Share(number, 7) for number in range(1, 8)]

    assert all(sum(share.has(name) for share in shares) == 1 for name in NAMES)
    assert all(sum(map(share.has, NAMES)) > 40 for share in shares)


def test_a_node_that_comes_moves_no_other() -> None:
    before = [name for name in NAMES if Share(2, 5).has(name)]

    assert [name for name in [*NAMES, "a-new-one"] if Share(2, 5).has(name)][
        : len(before)
    ] == before


def test_a_share_is_read() -> None:
    assert read_share("2/8") == Share(2, 8)
    assert read_share("/8", {"JOB_COMPLETION_INDEX": "0"}) == Share(1, 8)
    assert read_share("/8", {"JOB_COMPLETION_INDEX": "7"}) == Share(8, 8)


@pytest.mark.parametrize(
    ("text", "environment", "sentence"),
    [
        ("2", {}, "is no share"),
        ("a/b", {}, "is no share"),
        ("0/4", {}, "no share 0 of 4"),
        ("5/4", {}, "no share 5 of 4"),
        ("/4", {}, "which is not set"),
        ("/4", {"JOB_COMPLETION_INDEX": "4"}, "no share 5 of 4"),
    ],
)
def test_what_is_no_share_is_said(text: str, environment: dict[str, str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        read_share(text, environment)
