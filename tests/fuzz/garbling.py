"""Values that nobody would send, put somewhere into values that somebody did."""

from __future__ import annotations

import copy
import random
from typing import Any

HOSTILE = (
    "<script>alert(1)</script>",
    "\x1b[31mred\x1b[0m",
    "\"'`$(id);|&",
    "line\nbreak\r\n",
    "\u202egnp.exe\u2066",
    "]]>&lt;!--",
    "../../etc/passwd",
    "\x00",
    "\ud83d",
    "x" * 3000,
    "",
)
EXTREME = (0, -1, 2**31, 2**63 - 1, -(2**63), 2**64, 10**40, 1e308, -0.0, 65536)
ODD: tuple[Any, ...] = (
    *HOSTILE,
    *EXTREME,
    None,
    True,
    [],
    {},
    [[]],
    "10.0.0.1",
    "999.1.1.1",
    "::",
    "fe80::1%eth0",
    "10.96.0.0/99",
    "0x10",
    "1e5",
    "٣",
    "NaN",
    "2026-99-99T99:99:99Z",
)


def garbled(value: Any, chance: random.Random, times: int) -> Any:
    """A copy in which so many things, deep inside, are something else, gone or doubled."""
    value = copy.deepcopy(value)
    for _ in range(times):
        _garble(value, chance)
    return value


def _garble(value: Any, chance: random.Random) -> None:
    while isinstance(value, dict | list) and value:
        key = (
            chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        )
        inner = value[key]
        if not isinstance(inner, dict | list) or not inner or chance.random() < 0.08:
            _replace(value, key, chance)
            return
        value = inner


def _replace(holder: Any, key: Any, chance: random.Random) -> None:
    match chance.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        case 2 | 3 | 4:
            # Of the same kind: it is decoded, and only then does not make sense.
            same = [each for each in ODD if type(each) is type(holder[key])]
            holder[key] = copy.deepcopy(chance.choice(same or list(ODD)))
        case _:
            holder[key] = copy.deepcopy(chance.choice(ODD))


def garbled_text(text: str, chance: random.Random) -> str:
    """The text with words changed, lines lost or doubled, or cut somewhere."""
    lines = text.split("\n")
    for _ in range(chance.randint(1, 5)):
        at = chance.randrange(len(lines))
        words = lines[at].split(" ")
        match chance.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(chance.randrange(len(lines)), lines[at])
            case 2:
                lines[at] = lines[at][: chance.randint(0, len(lines[at]))]
            case _:
                words[chance.randrange(len(words))] = str(chance.choice(ODD))
                lines[at] = " ".join(words)
        lines = lines or [""]
    return "\n".join(lines)
