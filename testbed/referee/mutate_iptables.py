"""Random single changes of what iptables-save prints."""

from __future__ import annotations

import re

from testbed.referee.dice import Dice
from testbed.referee.mutation import Edit

_TARGET = re.compile(r" -j (\S+)")
_MATCHES = re.compile(r"^-A \S+ (?P<match>.*?)-j ")
_PORT = re.compile(r"(--to-destination \S+:)(\d+)")
_PROBABILITY = re.compile(r"(--probability )([0-9.]+)")
KINDS = ("delete", "redirect", "reorder", "weight", "shadow")


def edit_iptables(dice: Dice, text: str) -> Edit | None:
    """One random change; None where the one that was drawn does not apply."""
    lines = text.splitlines()
    # By their words: kube-proxy writes its Services in an order of chance.
    rules = sorted(
        (at for at, line in enumerate(lines) if line.startswith("-A ")), key=lines.__getitem__
    )
    if not rules:
        return None
    kind = dice.choice(KINDS)
    at = dice.choice(rules)
    if kind == "weight":
        weighted = [each for each in rules if _PROBABILITY.search(lines[each])]
        if not weighted:
            return None
        at = dice.choice(weighted)
    change = _changed(dice, kind, lines, at)
    if change is None:
        return None
    end = at + (2 if kind == "reorder" else 1)
    if change == lines[at:end]:
        return None
    fresh = [*lines[:at], *change, *lines[end:]]
    return Edit(kind, lines[at], "\n".join(change), "\n".join(fresh) + "\n")


def _changed(dice: Dice, kind: str, lines: list[str], at: int) -> list[str] | None:
    """What comes in the place of the rule, or of it and the next one."""
    match kind:
        case "delete":
            return []
        case "redirect":
            return _redirected(dice, lines, at)
        case "reorder":
            return _swapped(lines, at)
        case "weight":
            return [_PROBABILITY.sub(r"\g<1>0.07000000000", lines[at])]
    return _shadowed(lines, at)


def _redirected(dice: Dice, lines: list[str], at: int) -> list[str] | None:
    line = lines[at]
    if _PORT.search(line):
        return [_PORT.sub(lambda found: f"{found[1]}{int(found[2]) + 1}", line)]
    target = _TARGET.search(line)
    if not target or "-" not in target[1]:
        return None
    prefix = target[1][:9]
    table = _table_of(lines, at)
    others = sorted(
        {each.split()[0][1:] for each in table if each.startswith(f":{prefix}")} - {target[1]}
    )
    if not others:
        return None
    return [line.replace(f"-j {target[1]}", f"-j {dice.choice(others)}")]


def _table_of(lines: list[str], at: int) -> list[str]:
    start = max(each for each in range(at) if lines[each].startswith("*"))
    return lines[start:at]


def _swapped(lines: list[str], at: int) -> list[str] | None:
    both = lines[at : at + 2]
    if len(both) < 2 or both[0].split()[:2] != both[1].split()[:2]:
        return None
    return both[::-1]


def _shadowed(lines: list[str], at: int) -> list[str] | None:
    """Before the rule another one with the same matches, which ends the packet's way."""
    match = _MATCHES.match(lines[at])
    if not match:
        return None
    in_nat = any(each == "*nat" for each in _table_of(lines, at))
    chain = lines[at].split()[1]
    ending = "ACCEPT" if in_nat else "DROP"
    return [f"-A {chain} {match['match']}-j {ending}", lines[at]]
