"""What one rule of kube-proxy's nftables table says, told from its own expressions."""

from __future__ import annotations

import json
from typing import Any

Json = Any


def equalities(expr: list[Json]) -> dict[str, str]:
    """The fields that must have one value, by what is looked at."""
    found = {}
    for each in expr:
        match = each.get("match")
        is_plain = match and match["op"] == "==" and isinstance(match["right"], (str, int))
        if is_plain and not str(match["right"]).startswith("@"):
            found[json.dumps(match["left"], sort_keys=True)] = str(match["right"])
    return found


def is_exclusive(one: list[Json], other: list[Json]) -> bool:
    """Whether some field must be one value for the first rule and another for the second."""
    left, right = equalities(one), equalities(other)
    return any(key in right and right[key] != value for key, value in left.items())


def is_recall(expr: list[Json]) -> bool:
    """Whether it leads clients back to the endpoint that they were sent to before."""
    return any("@affinity-" in str(each.get("match", {}).get("right", "")) for each in expr)


def only_remembers(expr: list[Json]) -> bool:
    """Whether a rule puts the client into an affinity set and does nothing else."""
    return all("set" in each for each in expr)


def only_clears_the_mark(rule: Json) -> bool:
    """Whether a rule after routing takes the mark away: all that looks at it came before."""
    return rule["chain"] == "masquerading" and all("mangle" in each for each in rule["expr"])


def addresses_alone(expr: list[Json]) -> bool:
    """Whether its only condition is a destination in a range, or in the set of ClusterIPs."""
    matches = [each["match"] for each in expr if "match" in each]
    return bool(matches) and all(
        each["left"].get("payload", {}).get("field") == "daddr" for each in matches
    )


def is_by_interface(expr: Json) -> bool:
    """Whether it is about packets that come in by an interface of pods.

    One with an address of the node itself never does: the kernel drops it as martian.
    """
    match = expr.get("match", {})
    return bool(match.get("op") == "==" and match.get("left") == {"meta": {"key": "iifname"}})


def own_source(rule: Json) -> str:
    """The endpoint that a rule masquerades the connections to itself of."""
    if not rule.get("chain", "").startswith("endpoint-"):
        return ""
    for expr in rule["expr"]:
        left = expr.get("match", {}).get("left", {})
        if left.get("payload", {}).get("field") == "saddr":
            source = expr["match"]["right"]
            return source if isinstance(source, str) else ""
    return ""
