"""Rules of iptables-save as words: what they ask for, and what follows from that alone.

Nothing of the reader that is on trial is used here.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

BUILT_IN = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: its table, its chain and the value of each of its options."""

    table: str
    chain: str
    options: dict[str, str]
    line: str

    @property
    def target(self) -> str:
        return self.options.get("-j", "")

    @property
    def does(self) -> str:
        """The target with its own options."""
        return self.line.partition(" -j ")[2]

    @property
    def matches(self) -> dict[str, str]:
        """The conditions, without comments."""
        head = self.line.partition(" -j ")[0]
        return {
            key: each
            for key, each in _options(shlex.split(head)[2:]).items()
            if key not in ("--comment", "-m")
        }


def rules_of(text: str) -> Iterator[Rule]:
    """The rules of what iptables-save prints."""
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A "):
            words = shlex.split(line)
            yield Rule(table, words[1], _options(words[2:]), line)


def _options(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    negated = ""
    name = ""
    for word in words:
        if word == "!":
            negated = "! "
        elif word.startswith("-"):
            name = negated + word
            negated = ""
            found.setdefault(name, "")
        elif name:
            found[name] = word
    return found


def is_exclusive(
    one: dict[str, str], other: dict[str, str], addresses: Collection[str] = ()
) -> bool:
    """Whether no packet matches both sets of conditions; `addresses` are the node's own."""
    for key in ("-p", "--dport"):
        if key in one and key in other and one[key] != other[key]:
            return True
    if _are_of_other_states(one, other):
        return True
    for key in ("-s", "-d"):
        if key in one and key in other and not overlap(one[key], other[key]):
            return True
    for left, right in ((one, other), (other, one)):
        if "-d" in left and right.get("--dst-type") == "LOCAL":
            return not any(overlap(left["-d"], each) for each in addresses)
    # A packet with an address of the node itself does not come in by an interface of pods.
    if any(
        left.get("-i", "lo") != "lo" and right.get("--src-type") == "LOCAL"
        for left, right in ((one, other), (other, one))
    ):
        return True
    return any(
        "-s" in left
        and right.get("--src-type") == "LOCAL"
        and not any(overlap(left["-s"], each) for each in addresses)
        for left, right in ((one, other), (other, one))
    )


def _are_of_other_states(one: dict[str, str], other: dict[str, str]) -> bool:
    """Whether the states of connections that they ask for exclude each other."""
    states = [{*each.get("--ctstate", "").split(",")} - {""} for each in (one, other)]
    is_sure = all(states) and not {"DNAT", "SNAT"} & (states[0] | states[1])
    return is_sure and not states[0] & states[1]


def overlap(one: str, other: str) -> bool:
    """Whether two ranges, or addresses, have an address in common."""
    left, right = ip_network(one), ip_network(other)
    return int(left[0]) <= int(right[-1]) and int(right[0]) <= int(left[-1])


def is_within(inner: dict[str, str], outer: dict[str, str]) -> bool:
    """Whether all packets that meet the first conditions meet the others."""
    return all(
        key in inner and (value == inner[key] or (key == "-s" and _holds(value, inner[key])))
        for key, value in outer.items()
    )


def _holds(outer: str, inner: str) -> bool:
    """Whether a range has all addresses of another."""
    left, right = ip_network(outer), ip_network(inner)
    return int(left[0]) <= int(right[0]) and int(right[-1]) <= int(left[-1])


def called(rule: Rule, rules: list[Rule]) -> list[Rule]:
    """The rules of the chain that a rule calls."""
    return [each for each in rules if (each.table, each.chain) == (rule.table, rule.target)]


def chains_from(names: Iterable[str], own: list[Rule]) -> set[str]:
    """The chains of a table that these lead to."""
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += [each.target for each in own if each.chain == name]
    return seen


def is_reachable(rule: Rule, rules: list[Rule]) -> bool:
    """Whether some hook leads to a rule's chain."""
    return rule.chain in chains_from(BUILT_IN, [e for e in rules if e.table == rule.table])


def is_twin(one: Rule, other: Rule) -> bool:
    """Whether two rules of a chain say the same."""
    return (one.table, one.chain, one.matches, one.does) == (
        other.table,
        other.chain,
        other.matches,
        other.does,
    )
