"""Text from a cluster, made harmless to look at: what does not print is written as an escape.

Names, routes and log lines are chosen by whoever may create a pod. An ANSI sequence among them
would repaint a terminal, and a bidirectional override would make one address read as another.
"""

from __future__ import annotations


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


def _shown(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
