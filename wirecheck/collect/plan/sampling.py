"""Chooses each node's sample of a list, so that all nodes together cover the list. Pure."""

from collections.abc import Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


def share(things: Sequence[Thing], place: int, most: int) -> list[Thing]:
    """At most `most` of the things; each node starts at a different one."""
    count = min(most, len(things))
    return _from(things, place * count, count)


def following(things: Sequence[Thing], place: int, most: int) -> list[Thing]:
    """At most `most` of the things after the one at `place`, which is never included."""
    return _from(things, place + 1, min(most, len(things) - 1))


def _from(things: Sequence[Thing], start: int, count: int) -> list[Thing]:
    return [things[(start + offset) % len(things)] for offset in range(count)]
