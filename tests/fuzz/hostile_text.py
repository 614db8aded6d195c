"""Makes hostile texts of one that a reader reads."""

from __future__ import annotations

import random

from tests.fuzz.garbling import ODD, garbled_text

LONGEST = 20_000


def hostile_text(text: str, chance: random.Random) -> str:
    """The text with words changed, parts repeated, moved or cut out, or with other characters."""
    found = text
    for _ in range(chance.randint(1, 3)):
        found = chance.choice(CHANGES)(found, chance)
    return found[:LONGEST]


def _characters(text: str, chance: random.Random) -> str:
    letters = list(text)
    for _ in range(chance.randint(1, 8)):
        most = chance.choice((128, 0xD800))
        letters.insert(chance.randint(0, len(letters)), chr(chance.randrange(most)))
    return "".join(letters)


def _repeated(text: str, chance: random.Random) -> str:
    start = chance.randint(0, len(text))
    part = text[start : start + chance.randint(1, 30)]
    return text[:start] + part * chance.choice((2, 10, 500)) + text[start:]


def _cut(text: str, chance: random.Random) -> str:
    start = chance.randint(0, len(text))
    return text[:start] + text[start + chance.randint(1, 50) :]


def _nested(text: str, chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + chance.choice("[{(\"'\\-:") * chance.choice((2, 30, 3000)) + text[at:]


def _odd(text: str, chance: random.Random) -> str:
    at = chance.randint(0, len(text))
    return text[:at] + str(chance.choice(ODD)) + text[at + chance.randint(0, 10) :]


CHANGES = (garbled_text, _characters, _repeated, _cut, _nested, _odd)
