"""The rules of nftables tables of any program, as steps for the rule engine.

The same rule in a table of the family `inet` is read once for IPv4 and once for IPv6. Statements
and conditions that are not recognised are kept as text; their effect is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from msgspec.structs import replace

from wirecheck.addresses import canonical
from wirecheck.dataplane.nftables.keys import MALFORMED, UnknownError
from wirecheck.dataplane.nftables.packet_conditions import (
    FAMILIES,
    MOST_STEPS,
    Match,
    PacketConditions,
    alternatives,
    equal,
    values_of,
)
from wirecheck.dataplane.nftables.rules import FULL, mark_of
from wirecheck.dataplane.nftables.text import NftRuleText
from wirecheck.dataplane.rules.steps import (
    BY_PROGRAM,
    HERE,
    Action,
    Dnat,
    End,
    Jump,
    Opaque,
    Return,
    Source,
    Step,
)
from wirecheck.dataplane.table import Verdict
from wirecheck.parse.nftables import NftRule, NftRules, NftSet

WITHOUT_EFFECT = frozenset(
    {
        *("counter", "last", "log", "comment", "continue", "nftrace", "optstrip", "secmark"),
        *("ct helper", "ct timeout", "ct expectation", "flow", "dup", "map"),
    }
)
"""Statements after which the packet continues as it was."""
UNKNOWN_CONDITIONS = frozenset({"limit", "quota", "ct count", "meter"})
INERT_FIELDS = frozenset({"dscp", "ecn", "ttl", "hoplimit", "tos", "flowlabel"})
INERT_TARGETS = frozenset(
    {
        *("LOG", "NFLOG", "TRACE", "TCPMSS", "CLASSIFY", "CHECKSUM", "TOS", "DSCP", "TTL", "HL"),
        *("CONNMARK", "AUDIT", "SECMARK", "CONNSECMARK", "TEE", "SET"),
    }
)
"""Extensions of iptables that nft prints by name only."""

Branch = tuple[PacketConditions, tuple[Action, ...]]
"""What a rule asks, and what it does then."""


class PacketTranslator:
    """Makes steps of the rules of one table for one family (4, 6)."""

    def __init__(self, family: int, label: str, sets: Mapping[str, NftSet]) -> None:
        self.family = family
        self.label = label
        self.sets = sets

    def key_of(self, rules: NftRules) -> Hashable:
        """Equal for chains with equal steps: the same rules, and sets with the same elements."""
        texts = tuple(bytes(each.raw) for each in rules)
        used = (self.sets[name] for name in rules.sets if name in self.sets)
        content = tuple(json.dumps([each.name, each.timeout, each.elem]) for each in used)
        chain = rules.rules[0].chain if rules.rules else ""
        return ("third party", self.label, self.family, chain, texts, content)

    def steps(self, rules: Iterable[NftRule]) -> list[Step]:
        """The steps for the rules of a chain."""
        return [step for rule in rules for step in self._steps_of(rule)]

    def _steps_of(self, rule: NftRule) -> Iterator[Step]:
        branches: list[Branch] = [(PacketConditions(self.sets, family=self.family), ())]
        for each in rule.expr:
            kind, inner = next(iter(each.items())) if len(each) == 1 else ("", {})
            new = (each for branch in branches for each in self._after(branch, kind, inner))
            try:
                branches = list(islice(new, MOST_STEPS + 1))
            except MALFORMED:
                reason = Opaque(f"the statement {kind} has an unknown form")
                branches = [(conditions, (*actions, reason)) for conditions, actions in branches]
            if len(branches) > MOST_STEPS:
                reason = Opaque("the rule makes too many distinctions")
                branches = [(PacketConditions(self.sets, family=self.family), (reason,))]
                break
        for conditions, actions in branches:
            for step in conditions.steps(NftRuleText(rule), actions):
                restores = FULL if conditions.restores_mark else 0
                yield replace(
                    step,
                    restores_mark=bool(restores),
                    restores=restores,
                    saves_mark=conditions.saves_mark,
                )

    def _after(self, branch: Branch, kind: str, inner: Any) -> Iterator[Branch]:
        """The branch with one more condition or statement; several where it divides the rule."""
        conditions, actions = branch
        if kind in WITHOUT_EFFECT:
            yield branch
        elif kind == "match" and not actions:
            yield from self._divided(conditions, inner)
        elif kind in UNKNOWN_CONDITIONS or (kind == "set" and _limits(inner)):
            yield self._doubted(branch, kind, inner)
        elif kind == "xt":
            yield self._extension(branch, inner)
        elif kind in ("vmap", "dnat") and not actions:
            yield from self._mapped(conditions, kind, inner)
        else:
            yield self._acting(branch, kind, inner)

    def _doubted(self, branch: Branch, kind: str, inner: Any) -> Branch:
        conditions, actions = branch
        if actions:
            return conditions, (*actions, Opaque(f"the condition {kind} follows a statement"))
        return _with(conditions, lambda new: new.add_unrecognised({kind: inner})), ()

    def _extension(self, branch: Branch, inner: Any) -> Branch:
        """A match or target of iptables, of which nft prints at most the name."""
        conditions, actions = branch
        kind, name = (inner.get("type"), inner.get("name")) if isinstance(inner, dict) else ("", "")
        if (kind, name) == ("match", "comment") or (kind == "target" and name in INERT_TARGETS):
            return branch
        if kind == "match" and not actions:
            return _with(conditions, lambda new: new.add_unrecognised({"xt": name})), ()
        return conditions, (*actions, Opaque(f"nft does not print the iptables extension {name}"))

    def _divided(self, conditions: PacketConditions, inner: Match) -> Iterator[Branch]:
        try:
            found = alternatives(inner, self.sets)
        except MALFORMED:
            found = [[inner]]
        for each in found:
            yield _with_all(conditions, each), ()

    def _mapped(self, conditions: PacketConditions, kind: str, inner: Any) -> Iterator[Branch]:
        """A verdict map, or a map of destinations: one branch for each element."""
        try:
            if kind == "vmap":
                key, data = inner["key"], inner["data"]
            elif isinstance(inner.get("addr"), dict):
                key, data = inner["addr"]["map"]["key"], inner["addr"]["map"]["data"]
            else:
                key, data = None, None
            if key is None:
                yield self._acting((conditions, ()), kind, inner)
                return
            elements = values_of(data, self.sets)
            if len(elements) > MOST_STEPS:
                raise UnknownError(inner)
            found = [
                (equal(key, element), self._value(kind, inner, value))
                for element, value in elements
            ]
        except MALFORMED:
            yield conditions, (Opaque(f"the statement {kind} is not supported"),)
            return
        for matches, action in found:
            if action is not None:
                yield _with_all(conditions, matches), (action,)

    def _value(self, kind: str, inner: Mapping[str, Any], value: Any) -> Action | None:
        if kind == "vmap":
            ((name, argument),) = value.items()
            return None if name == "continue" else _ACTIONS[name](argument)
        parts = value["concat"] if isinstance(value, dict) else [value]
        return Dnat(canonical(parts[0]), int(parts[1] if parts[1:] else inner.get("port", 0)))

    def _acting(self, branch: Branch, kind: str, inner: Any) -> Branch:
        conditions, actions = branch
        family = inner.get("family") if isinstance(inner, dict) else None
        if FAMILIES.get(family or "", self.family) != self.family:
            return _with(conditions, PacketConditions.matches_nothing), actions
        if kind == "mangle" and inner["key"] == {"ct": {"key": "mark"}}:
            return replace(conditions, saves_mark=True), actions
        if kind == "set" or (kind == "mangle" and not _is_relevant(inner)):
            return branch
        if kind == "mangle" and inner["value"] == {"ct": {"key": "mark"}}:
            return replace(conditions, restores_mark=True), actions
        try:
            return conditions, (*actions, _ACTIONS[kind](inner))
        except MALFORMED:
            return conditions, (*actions, Opaque(f"the statement {kind} is not supported"))


def _with(
    conditions: PacketConditions, change: Callable[[PacketConditions], None]
) -> PacketConditions:
    new = replace(conditions)
    change(new)
    return new


def _with_all(conditions: PacketConditions, matches: Iterable[Match]) -> PacketConditions:
    new = replace(conditions)
    for each in matches:
        new.add(each)
    return new


def _limits(inner: Any) -> bool:
    """Whether adding to a set is a condition: `add @few { ip saddr limit rate 1/second }`."""
    element = inner.get("elem")
    in_element = set(element["elem"]) if isinstance(element, dict) and "elem" in element else set()
    kinds = {kind for each in inner.get("stmt", ()) for kind in each}
    return bool(UNKNOWN_CONDITIONS & (in_element | kinds))


def _is_relevant(inner: Mapping[str, Any]) -> bool:
    """Whether a changed field matters: the mark, and addresses and ports (NAT without state)."""
    key = inner["key"]
    if "payload" in key:
        return str(key["payload"].get("field")) not in INERT_FIELDS
    return bool(key == {"meta": {"key": "mark"}})


def _redirection(inner: Any) -> Action:
    """`redirect to :8080`; without a port the packet keeps its own."""
    return Dnat(HERE, int((inner or {}).get("port", 0)))


def _dnat(inner: Mapping[str, Any]) -> Action:
    address = inner.get("addr", "")
    if not isinstance(address, str):
        raise UnknownError(inner)
    return Dnat(canonical(address) if address else "", int(inner.get("port", 0)))


_ACTIONS: dict[str, Callable[[Any], Action]] = {
    "accept": lambda _: End(Verdict.NOTHING),
    "drop": lambda _: End(Verdict.DROP),
    "reject": lambda _: End(Verdict.REJECT),
    "return": lambda _: Return(),
    "jump": lambda inner: Jump(str(inner["target"])),
    "goto": lambda inner: Jump(str(inner["target"]), goto=True),
    "masquerade": lambda _: Source(),
    "snat": lambda _: Source(),
    "notrack": lambda _: End(Verdict.UNTRACKED),
    "mangle": mark_of,
    "dnat": _dnat,
    "redirect": _redirection,
    "queue": lambda _: Opaque(f"{BY_PROGRAM} (queue)"),
    "tproxy": lambda _: Opaque(f"{BY_PROGRAM} (tproxy)"),
}
