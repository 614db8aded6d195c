"""Single random changes of the rules and sets of a node."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from testbed.referee.dice import Dice

_MARK = re.compile(r"0x[12]0000/0x[12]0000|0x0/0x[12]0000")
_SET = re.compile(r"--match-set (\S+)")
_JUMP = re.compile(r"-j (KUBE-\S+)")
RULES, SETS = "iptables-nft-save", "ipset-save"


@dataclass(frozen=True, slots=True)
class Mutation:
    """One change: what it is, and the texts that the tools restore."""

    kind: str
    what: str
    rules: str = ""
    """The whole filter table; empty if it stays as it is."""
    sets: str = ""
    """Lines for `ipset restore`."""
    undo: str = ""
    """Lines for `ipset restore` that bring the set back."""


def _rule_deleted(dice: Dice, rules: Sequence[str], at: int) -> Mutation:
    del dice
    return Mutation("rule deleted", rules[at], text_of(rules[:at], rules[at + 1 :]))


def _chain_flushed(dice: Dice, rules: Sequence[str], at: int) -> Mutation:
    del dice
    chain = f"-A {rules[at].split()[1]} "
    left = [each for each in rules if not each.startswith(chain)]
    return Mutation("chain flushed", chain, text_of(left))


def _mark_changed(dice: Dice, rules: Sequence[str], at: int) -> Mutation | None:
    if not (found := _MARK.search(rules[at])):
        return None
    other = dice.choice([e for e in ("0x10000/0x10000", "0x20000/0x20000", "0x40000/0x40000")
                         if e != found[0]])  # fmt: skip
    changed = rules[at].replace(found[0], other)
    return Mutation("mark changed", changed, text_of(rules[:at], [changed], rules[at + 1 :]))


def _jump_redirected(dice: Dice, rules: Sequence[str], at: int) -> Mutation | None:
    if not (found := _JUMP.search(rules[at])):
        return None
    changed = rules[at].replace(found[0], f"-j {dice.choice(('ACCEPT', 'RETURN', 'DROP'))}")
    return Mutation("jump redirected", changed, text_of(rules[:at], [changed], rules[at + 1 :]))


def _rule_inserted(dice: Dice, rules: Sequence[str], at: int) -> Mutation:
    test = dice.choice(("", "-p tcp ", "-s 10.244.0.0/16 ", "-d 10.244.0.3/32 "))
    added = f"-A {rules[at].split()[1]} {test}-j {dice.choice(('ACCEPT', 'RETURN', 'DROP'))}"
    return Mutation("rule inserted", added, text_of(rules[:at], [added], rules[at:]))


def _rules_swapped(dice: Dice, rules: Sequence[str], at: int) -> Mutation | None:
    chain = rules[at].split()[1]
    own = [n for n, each in enumerate(rules) if each.split()[1] == chain]
    other = dice.choice(own)
    if rules[at] == rules[other]:
        return None
    changed = list(rules)
    changed[at], changed[other] = changed[other], changed[at]
    return Mutation("rules swapped", f"{rules[at]} and {rules[other]}", text_of(changed))


OF_RULES: tuple[Callable[[Dice, Sequence[str], int], Mutation | None], ...] = (
    _rule_deleted,
    _chain_flushed,
    _mark_changed,
    _jump_redirected,
    _rule_inserted,
    _rules_swapped,
)


def text_of(*parts: Sequence[str]) -> str:
    """The lines as one text."""
    return "".join(f"{each}\n" for part in parts for each in part)


def mutate(dice: Dice, rules: str, sets: str) -> Mutation | None:
    """A random change of what forwarded packets can meet; None if the draw does not fit."""
    lines = filter_table(rules)
    own = [each for each in lines if each.startswith("-A")]
    met = _met(own)
    if not met:
        return None
    if dice.chance(0.45):
        return _of_sets(dice, sets, {name for at in met for name in _SET.findall(own[at])})
    found = dice.choice(OF_RULES)(dice, own, dice.choice(met))
    if found is None:
        return None
    head = [each for each in lines if each.startswith((":", "*"))]
    return Mutation(found.kind, found.what, f"{text_of(head)}{found.rules}COMMIT\n")


def _met(rules: Sequence[str]) -> list[int]:
    """The numbers of the rules in chains to which jumps from FORWARD lead."""
    chains, new = set[str](), {"FORWARD"}
    while new:
        chains |= new
        jumps = (each for each in rules if each.split()[1] in new)
        new = {found[1] for each in jumps if (found := _JUMP.search(each))} - chains
    return [at for at, each in enumerate(rules) if each.split()[1] in chains]


def filter_table(rules: str) -> list[str]:
    """The lines of the filter table, up to its end."""
    lines = rules.splitlines()
    start = lines.index("*filter")
    return lines[start : lines.index("COMMIT", start)]


def _of_sets(dice: Dice, sets: str, names: set[str]) -> Mutation | None:
    """A member out of a set, one more in it, or none in it."""
    lines = [each.split() for each in sets.splitlines()]
    members = [" ".join(each) for each in lines if each[0] == "add" and each[1] in names]
    if not members:
        return None
    one = dice.choice(members)
    _, name, member, *_ = one.split()
    again = f"{one}\n"
    match dice.choice(("member deleted", "member added", "set emptied")):
        case "member deleted":
            return Mutation("member deleted", one, sets=f"del {name} {member}\n", undo=again)
        case "member added":
            added = dice.choice(members).split()[2]
            # A set of addresses takes no range.
            if "/" in added or any(each.startswith(f"add {name} {added} ") for each in members):
                return None
            line = f"add {name} {added}\n"
            return Mutation("member added", line, sets=line, undo=f"del {name} {added}\n")
    own = text_of([each for each in members if each.split()[1] == name])
    return Mutation("set emptied", name, sets=f"flush {name}\n", undo=own)
