"""Rules of `nft -j` as steps for the rule engine, for any layout of chains.

kube-proxy changed its layout in 1.30, 1.34 and 1.36, but uses the same few statements.
Unrecognised conditions and statements are kept as text; their effect is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from wirecheck.addresses import canonical
from wirecheck.dataplane.nftables.conditions import Conditions
from wirecheck.dataplane.nftables.keys import (
    MALFORMED,
    UnknownError,
    elements_of,
    key_of,
    key_parts,
    reader_of,
)
from wirecheck.dataplane.nftables.text import NftRuleText
from wirecheck.dataplane.rules.steps import (
    Action,
    Choose,
    Dnat,
    End,
    Jump,
    Lookup,
    Opaque,
    Remember,
    Return,
    SetMark,
    Source,
    Step,
)
from wirecheck.dataplane.table import Frontend, Verdict
from wirecheck.parse.nftables import Expression, NftRule, NftRules, NftSet

FULL = 0xFFFFFFFF
MOST_CHOICES = 100_000
"""More endpoints than a Service can have. A larger number is not a number of endpoints."""
PASS = SetMark(clear=0, flip=0)
"""No effect: for choices that a map has no entry for."""

WITHOUT_EFFECT = frozenset({"counter", "log", "comment", "continue"})
LIMITS = frozenset({"quota", "limit", "ct count"})
"""Conditions on the rate or number of packets, which are not in the snapshot."""


class Translator:
    """Makes steps of the rules of one table, whose sets and maps they name."""

    def __init__(self, family: int, sets: Mapping[str, NftSet]) -> None:
        self.family = family
        self.sets = sets

    def key_of(self, rules: NftRules) -> Hashable:
        """Equal for chains with equal steps: the same rules, and sets with the same elements."""
        return (self.family, rules, *map(self.sets.get, rules.sets))

    def steps(self, rules: Iterable[NftRule]) -> list[Step]:
        """The steps for the rules of a chain."""
        return [step for rule in rules for step in self._steps_of(rule)]

    def _steps_of(self, rule: NftRule) -> Iterator[Step]:
        conditions = Conditions(self.sets)
        actions: list[Action] = []
        for each in rule.expr:
            kind, inner = next(iter(each.items())) if len(each) == 1 else ("", {})
            if kind == "match" and not actions:
                conditions.add(inner)
            elif kind in LIMITS and not actions:
                conditions.add_unrecognised(each)
            elif kind not in WITHOUT_EFFECT:
                actions.append(self._action(kind, inner))
        yield from conditions.steps(NftRuleText(rule), tuple(actions))

    def _action(self, kind: str, inner: Any) -> Action:
        try:
            return _ACTIONS[kind](self, inner)
        except MALFORMED:
            return Opaque(f"the statement {kind} is not supported")

    def verdict(self, value: Expression) -> Action:
        """The action for a verdict, such as a value of a verdict map."""
        ((kind, inner),) = value.items()
        return PASS if kind == "continue" else _ACTIONS[kind](self, inner)

    def elements(self, data: Any) -> list[Any]:
        """The elements of a named set or map, or of one in the rule."""
        return elements_of(data, self.sets)

    def lookup(self, inner: Mapping[str, Any]) -> Action:
        """vmap: by the destination, or by chance."""
        if "numgen" in inner["key"]:
            return self._by_chance(inner["key"]["numgen"], inner["data"], self.verdict)
        parts = key_parts(inner["key"])
        if "saddr" in parts:
            raise UnknownError(inner)
        elements = self.elements(inner["data"])
        actions: dict[object, Action] = {
            key_of(parts, key): self.verdict(value) for key, value in elements
        }
        if len(actions) < len(elements):
            # The kernel has each key once.
            raise UnknownError(inner)
        return Lookup(reader_of(parts), actions, self._members(parts, actions))

    def _members(
        self, parts: tuple[str, ...], actions: Mapping[object, Action]
    ) -> tuple[Frontend, ...]:
        keys = [key for key in actions if isinstance(key, tuple)]
        if parts == ("daddr", "l4proto", "dport"):
            return tuple(Frontend(self.family, *key) for key in keys)
        if parts == ("l4proto", "dport"):
            return tuple(Frontend(self.family, "", *key) for key in keys)
        return ()

    def dnat(self, inner: Mapping[str, Any]) -> Action:
        """dnat to one backend, or to one of several by chance."""
        target = inner["addr"]
        if isinstance(target, str):
            return Dnat(canonical(target), int(inner.get("port", 0)))
        choices = target["map"]
        return self._by_chance(choices["key"]["numgen"], choices["data"], _backend)

    def _by_chance(
        self, numgen: Mapping[str, Any], data: Any, make: Callable[[Any], Action]
    ) -> Action:
        if numgen["mode"] != "random":
            raise UnknownError(numgen)
        by_number = {int(number): make(value) for number, value in self.elements(data)}
        first, number_of = int(numgen.get("offset", 0)), int(numgen["mod"])
        if not 0 < number_of <= MOST_CHOICES:
            raise UnknownError(numgen)
        numbers = range(first, first + number_of)
        return Choose(tuple(by_number.get(number, PASS) for number in numbers))


def _backend(value: Any) -> Action:
    host, port = value["concat"]
    return Dnat(canonical(host), int(port))


def mark_of(inner: Mapping[str, Any]) -> SetMark:
    """meta mark set …"""
    if inner["key"] != {"meta": {"key": "mark"}}:
        raise UnknownError(inner)
    return _mark_from(inner["value"])


def _mark_from(value: Any) -> SetMark:
    """A number, the mark itself, or one of them after an operation: `meta mark & 0xff | 0x100`."""
    if isinstance(value, int):
        return SetMark(FULL, value)
    if value == {"meta": {"key": "mark"}}:
        return SetMark(0, 0)
    ((operator, (left, operand)),) = value.items()
    before, number = _mark_from(left), int(operand)
    clear, flip = before.clear, before.flip
    return {
        "|": SetMark(clear | number, flip & ~number | number),
        "&": SetMark(clear | FULL & ~number, flip & number),
        "^": SetMark(clear, flip ^ number),
    }[operator]


def _name(value: Any) -> str:
    if not isinstance(value, str):
        raise UnknownError(value)
    return value


def _remember(inner: Mapping[str, Any]) -> Action:
    """Update @set { ip saddr }: the client is remembered."""
    if key_parts(inner["elem"]) != ("saddr",) or inner["op"] not in ("update", "add"):
        raise UnknownError(inner)
    return Remember(str(inner["set"]).removeprefix("@"))


_ACTIONS: dict[str, Callable[[Translator, Any], Action]] = {
    "jump": lambda _, inner: Jump(_name(inner["target"])),
    "goto": lambda _, inner: Jump(_name(inner["target"]), goto=True),
    "return": lambda *_: Return(),
    "accept": lambda *_: End(Verdict.NOTHING),
    "drop": lambda *_: End(Verdict.DROP),
    "reject": lambda *_: End(Verdict.REJECT),
    "masquerade": lambda *_: Source(),
    "notrack": lambda *_: End(Verdict.UNTRACKED),
    "mangle": lambda _, inner: mark_of(inner),
    "set": lambda _, inner: _remember(inner),
    "vmap": Translator.lookup,
    "dnat": Translator.dnat,
}
