"""Chance from one seed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TypeVar

Thing = TypeVar("Thing")


class Dice(random.Random):
    """The same seed gives the same objects."""

    def __init__(self, seed: int, *, contested: bool = True) -> None:
        super().__init__(seed)
        self.contested = contested
        """Whether several Services may claim one address."""

    def chance(self, part: float) -> bool:
        """True in this part of all cases."""
        return self.random() < part

    def some(self, things: Sequence[Thing], least: int, most: int) -> list[Thing]:
        """Between `least` and `most` different ones."""
        return self.sample(things, self.randint(least, min(most, len(things))))
