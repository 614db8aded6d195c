"""`--shard K/N`: the part of the nodes that one of N concurrent runs visits."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

INDEX = "JOB_COMPLETION_INDEX"
"""The variable in which Kubernetes gives a pod of an Indexed Job its number, from 0."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Shard `number` (from 1) of `of`."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    def has(self, node: str) -> bool:
        """Whether the node belongs to this shard.

        The name alone decides: each run reads the list of nodes itself, and a node that is added
        meanwhile must not move the others.
        """
        digest = hashlib.sha256(node.encode()).digest()
        return int.from_bytes(digest[:8], "big") % self.of == self.number - 1


def read_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """Read `K/N`, or `/N` in a pod of an Indexed Job. Raises ValueError with a sentence."""
    match = re.fullmatch(r"([0-9]{0,5})/([0-9]{1,5})", text)
    if not match:
        raise ValueError(f"{text!r} is not a shard; write 2/8, or /8 in an Indexed Job.")
    if match[1]:
        number = int(match[1])
    elif environment.get(INDEX, "").isdigit():
        number = int(environment[INDEX]) + 1
    else:
        raise ValueError(f"{text!r} takes its number from ${INDEX}, which is not set; write 2/8.")
    if not 1 <= number <= int(match[2]):
        raise ValueError(f"Shard {number} does not exist: there are {int(match[2])}.")
    return Shard(number, int(match[2]))
