"""Text for people: counts, lists, durations, and text from a cluster made safe to print.

Pure functions over strings and numbers. It imports nothing from wirecheck.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime


def plural(number: int, word: str, words: str = "") -> str:
    """`1 node`, `6,120 pods`."""
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def listed(names: Sequence[str], most: int) -> str:
    """`a, b and 7 more`."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def duration(seconds: float) -> str:
    """`4.2 s`, `3 min 20 s`, `1 h 2 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def rfc3339(seconds: float) -> str:
    """The time, in seconds since 1970, as RFC 3339 in UTC: `2026-11-30T02:58:32Z`."""
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(time: str) -> str:
    """RFC 3339 in UTC as people read it; anything else as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(:\d\d)(\.\d+)?(Z|\+00:00)", time)
    return f"{found[1]} {found[2]} UTC" if found else time


# Names, routes and log lines are chosen by whoever may create a pod. An ANSI sequence among them
# would repaint a terminal, and a bidirectional override would make one address read as another.


def harmless(text: str) -> str:
    r"""One line: line breaks and tabs become spaces, other unprintable characters `\x1b`."""
    if text.isprintable():
        return text
    return "".join(map(_shown, " ".join(text.split())))


def harmless_lines(text: str) -> list[str]:
    r"""The same, line by line, with the columns that tabs and spaces make."""
    return ["".join(map(_shown, line.expandtabs())) for line in text.split("\n")]


def shortened(text: str, most: int) -> str:
    """At most about `most` characters, and how many are missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most:,} more characters)"


# The last rule on a path decides, and the first ones say how a packet got there.


def middle_shortened(text: str, most: int) -> str:
    """At most about `most` characters: the beginning and the end, and how many are missing."""
    if len(text) <= most:
        return text
    head, tail = text[: most - most // 2], text[len(text) - most // 2 :]
    return f"{head}… ({len(text) - most:,} more characters) …{tail}"


def middle_cut(lines: Sequence[str], most: int) -> list[str]:
    """At most `most` lines: the first and the last ones, and how many are missing between them.

    The last line always stays.
    """
    if len(lines) <= most:
        return list(lines)
    shown = max(1, most - 1)
    head = shown // 2
    left_out = f"… {plural(len(lines) - shown, 'more line')} …"
    return [*lines[:head], *[left_out] * (most > 1), *lines[len(lines) - (shown - head) :]]


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
