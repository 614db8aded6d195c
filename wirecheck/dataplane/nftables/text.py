"""Rules of `nft -j` as nft itself would print them, to be shown as evidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec import Struct

from wirecheck.parse.nftables import Expression, NftRule

MOST_CHOICES = 4


class NftRuleText(Struct, frozen=True, gc=False):
    """Writes a rule when it is called; equal for equal rules, whoever has them."""

    rule: NftRule

    def __call__(self) -> str:
        """`chain services: ip daddr . meta l4proto . th dport vmap @service-ips`."""
        words = " ".join(_text(each) for each in self.rule.expr)
        return f"chain {self.rule.chain}: {words}"


def expression_text(expression: Expression) -> str:
    """One condition or statement."""
    return _text(dict(expression))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    if not isinstance(value, dict) or len(value) != 1:
        return _object(value) if isinstance(value, dict) else str(value)
    ((name, inner),) = value.items()
    write = _WRITERS.get(name)
    try:
        return write(inner) if write else _statement(name, inner)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return json.dumps(value)


def _statement(name: str, inner: Any) -> str:
    if inner is None:
        return name
    if isinstance(inner, dict) and set(inner) == {"target"}:
        return f"{name} {inner['target']}"
    return f"{name} {_text(inner)}" if not isinstance(inner, dict) else json.dumps({name: inner})


def _object(value: dict[str, Any]) -> str:
    return json.dumps(value)


def _match(inner: dict[str, Any]) -> str:
    operator = "" if inner["op"] in ("==", "in") else f"{inner['op']} "
    return f"{_text(inner['left'])} {operator}{_text(inner['right'])}"


def _set(inner: Any) -> str:
    if isinstance(inner, dict):
        return f"{inner['op']} {inner['set']} {{ {_text(inner['elem'])} }}"
    pairs = [
        f"{_text(each[0])} : {_text(each[1])}" if isinstance(each, list) else _text(each)
        for each in inner
    ]
    shown = ", ".join(pairs[:MOST_CHOICES])
    more = f", … {len(pairs) - MOST_CHOICES} more" if len(pairs) > MOST_CHOICES else ""
    return f"{{ {shown}{more} }}"


def _dnat(inner: dict[str, Any]) -> str:
    port = f":{inner['port']}" if "port" in inner else ""
    return f"dnat to {_text(inner['addr'])}{port}"


_WRITERS: dict[str, Callable[[Any], str]] = {
    "match": _match,
    "payload": lambda inner: f"{inner['protocol']} {inner['field']}",
    "meta": lambda inner: f"meta {inner['key']}",
    "ct": lambda inner: f"ct {inner['key']}",
    "fib": lambda inner: f"fib {' . '.join(inner['flags'])} {inner['result']}",
    "prefix": lambda inner: f"{inner['addr']}/{inner['len']}",
    "concat": lambda inner: " . ".join(map(_text, inner)),
    "numgen": lambda inner: f"numgen {inner['mode']} mod {inner['mod']}",
    "vmap": lambda inner: f"{_text(inner['key'])} vmap {_text(inner['data'])}",
    "map": lambda inner: f"{_text(inner['key'])} map {_text(inner['data'])}",
    "set": _set,
    "dnat": _dnat,
    "mangle": lambda inner: f"{_text(inner['key'])} set {_text(inner['value'])}",
    "masquerade": lambda _: "masquerade",
    "reject": lambda _: "reject",
    "&": lambda inner: f"{_text(inner[0])} & {inner[1]:#x}",
    "|": lambda inner: f"{_text(inner[0])} | {inner[1]:#x}",
    "^": lambda inner: f"{_text(inner[0])} ^ {inner[1]:#x}",
}
