"""From where connections are led to a chain of kube-proxy's nftables table, told from the text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from testbed.referee.mutation import NodeFacts

Json = Any


def is_led_to(source: str, chain: str, things: list[Json], facts: NodeFacts) -> bool:
    """Whether some way to a chain is open to what comes from one address."""
    seen: set[str] = set()
    waiting = [chain]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if _is_entered(name, things):
            return True
        waiting += [
            each["chain"]
            for each in leading_to(name, things)
            if not _leaves_out(each, source, facts)
        ]
    return False


def leading_to(chain: str, things: list[Json]) -> list[Json]:
    """The rules that lead to a chain."""
    name = json.dumps(chain)
    return [
        each["rule"]
        for each in things
        if "rule" in each and name in json.dumps(each["rule"]["expr"])
    ]


def _is_entered(chain: str, things: list[Json]) -> bool:
    """Whether it hangs at a hook, or an element of a map leads there."""
    name = json.dumps(chain)
    return any(
        (each.get("chain", {}).get("name") == chain and "hook" in each["chain"])
        or name in json.dumps(each.get("map", {}).get("elem", []))
        for each in things
    )


def _leaves_out(rule: Json, source: str, facts: NodeFacts) -> bool:
    """Whether a rule is about other sources."""
    for match in (each["match"] for each in rule["expr"] if "match" in each):
        left, right, op = match["left"], match["right"], match["op"]
        if left.get("payload", {}).get("field") == "saddr" and not str(right).startswith("@"):
            if any(ip_address(source) in span for span in spans(right)) is (op == "!="):
                return True
        elif left == {"fib": {"result": "type", "flags": ["saddr"]}} and right == "local":
            if (source in facts.addresses) is (op == "!="):
                return True
        elif left == {"meta": {"key": "iifname"}} and op == "==" and source not in facts.endpoints:
            # By an interface of pods only what pods here send comes in.
            return True
    return False


def spans(right: Json) -> Iterator[Any]:
    """The ranges that an address is compared with."""
    for each in right["set"] if isinstance(right, dict) and "set" in right else [right]:
        if isinstance(each, dict):
            yield ip_network(f"{each['prefix']['addr']}/{each['prefix']['len']}")
        else:
            yield ip_network(each)
