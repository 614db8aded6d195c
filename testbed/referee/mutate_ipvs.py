"""Random single changes of virtual servers, ipsets and the addresses that IPVS mode binds."""

from __future__ import annotations

import re
from collections.abc import Iterable

from testbed.referee.dice import Dice
from testbed.referee.mutation import Edit

SERVER_KINDS = ("delete", "delete server", "redirect", "drain", "weight", "scheduler", "affinity")
SET_KINDS = ("delete element", "add element")
_PORT = re.compile(r"( -r \S+:)(\d+)")
_WEIGHT = re.compile(r" -w \d+")
_SCHEDULER = re.compile(r" -s \w+")
_PERSISTENCE = re.compile(r" -p (\d+)")


def edit_servers(dice: Dice, text: str) -> Edit | None:
    """One random change of what `ipvsadm --save` prints."""
    lines = text.splitlines()
    kind = dice.choice(SERVER_KINDS)
    is_real = kind in ("delete", "redirect", "drain", "weight")
    mark = "-a " if is_real else "-A "
    found = sorted(
        (at for at, each in enumerate(lines) if each.startswith(mark)), key=lines.__getitem__
    )
    if not found:
        return None
    at = dice.choice(found)
    end = at + 1
    if kind == "delete server":
        end += next((n for n, each in enumerate(lines[end:]) if each[:2] != "-a"), len(lines[end:]))
    change = _changed_server(dice, kind, lines[at])
    return Edit(kind, lines[at], "\n".join(change), _joined([*lines[:at], *change, *lines[end:]]))


def _changed_server(dice: Dice, kind: str, line: str) -> list[str]:
    if kind.startswith("delete"):
        return []
    match kind:
        case "redirect":
            return [_PORT.sub(lambda found: f"{found[1]}{int(found[2]) + 1}", line)]
        case "drain":
            return [_WEIGHT.sub(" -w 0", line)]
        case "weight":
            return [_WEIGHT.sub(" -w 5", line)]
        case "scheduler":
            return [_SCHEDULER.sub(f" -s {dice.choice(('sh', 'wrr', 'lc'))}", line)]
    return [_with_other_persistence(dice, line)]


def _with_other_persistence(dice: Dice, line: str) -> str:
    found = _PERSISTENCE.search(line)
    if not found:
        return f"{line} -p 77"
    return _PERSISTENCE.sub(f" -p {int(found[1]) + 60}" if dice.chance(0.5) else "", line)


def edit_sets(dice: Dice, text: str) -> Edit | None:
    """One random change of what `ipset save` prints: an entry less, or one more."""
    lines = text.splitlines()
    types = {each.split()[1]: each.split()[2] for each in lines if each.startswith("create ")}
    entries: dict[str, list[str]] = {name: [] for name in sorted(types)}
    for each in lines:
        if each.startswith("add "):
            entries[each.split()[1]].append(each.split()[2])
    kind = dice.choice(SET_KINDS)
    if kind == "delete element":
        name = dice.choice([each for each, of in entries.items() if of])
        gone = f"add {name} {dice.choice(sorted(entries[name]))}"
        return Edit(kind, gone, "", _joined(each for each in lines if each != gone))
    # Of another set of the same type and family: it means something there.
    name = dice.choice(list(entries))
    like = [
        entry
        for other, of in entries.items()
        if types[other] == types[name] and other.startswith("KUBE-6-") == name.startswith("KUBE-6-")
        for entry in of
        if entry not in entries[name]
    ]
    if not like:
        return None
    fresh = f"add {name} {dice.choice(sorted(set(like)))}"
    at = next(n for n, each in enumerate(lines) if each.startswith(f"create {name} ")) + 1
    return Edit(kind, "", fresh, _joined([*lines[:at], fresh, *lines[at:]]))


def edit_addresses(dice: Dice, text: str) -> Edit | None:
    """One address less on the interface that has those of Services."""
    lines = text.splitlines()
    bound = sorted(each for each in lines if each.startswith("kube-ipvs0 "))
    if not bound:
        return None
    gone = dice.choice(bound)
    return Edit("delete", gone, "", _joined(each for each in lines if each != gone))


def _joined(lines: Iterable[str]) -> str:
    return "".join(f"{each}\n" for each in lines)
