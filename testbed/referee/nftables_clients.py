"""Whose connections meet a rule of nftables: pods', the node's own or those of others."""

from __future__ import annotations

import json
from ipaddress import ip_address, ip_network
from typing import Any

from testbed.referee.mutation import NodeFacts
from testbed.referee.nftables_ways import leading_to
from testbed.referee.nftables_words import (
    is_by_interface,
    own_source,
)

Json = Any


def is_never_pods(chain: str, things: list[Json]) -> bool:
    """Whether only clients from outside are led to an endpoint: policy Local spares pods."""
    return are_for_outside({each["chain"] for each in leading_to(chain, things)}, things)


def are_for_outside(callers: set[str], things: list[Json]) -> bool:
    """Whether chains are those of policy Local, and pods are led past them."""
    outer = [each for caller in callers for each in leading_to(caller, things)]
    spared = {
        each["rule"]["chain"]
        for each in things
        if "rule" in each
        and '"service-' in json.dumps(each["rule"]["expr"])
        and any(word in json.dumps(each["rule"]["expr"]) for word in ('"saddr"', '"iifname"'))
    }
    in_maps = any(
        caller in json.dumps(each["map"].get("elem", []))
        for caller in callers
        for each in things
        if "map" in each
    )
    return (
        bool(callers)
        and not in_maps
        and all(each.startswith("local-") for each in callers)
        and all(each["chain"] in spared for each in outer)
    )


def is_pod_or_node(one: list[Json], other: list[Json], facts: NodeFacts) -> bool:
    """Whether one is about sources in a range, and the other about the node's own, elsewhere."""
    for left, right in ((one, other), (other, one)):
        prefixes = [
            each["match"]["right"]["prefix"]
            for each in left
            if "match" in each
            and each["match"]["op"] == "=="
            and isinstance(each["match"]["right"], dict)
            and "prefix" in each["match"]["right"]
            and each["match"]["left"].get("payload", {}).get("field") == "saddr"
        ]
        is_local = any(
            each.get("match", {}).get("right") == "local" and '"saddr"' in json.dumps(each)
            for each in right
        )
        if is_local and any(is_by_interface(each) for each in left):
            return True
        for prefix in prefixes if is_local else ():
            span = ip_network(f"{prefix['addr']}/{prefix['len']}")
            return not any(ip_address(each) in span for each in facts.addresses)
    return False


def is_marked_before(rule: Json, things: list[Json]) -> bool:
    """Whether all that gets to a rule is marked, where what comes for ClusterIPs always is."""
    chain = rule["chain"]
    if own_source(rule):
        callers = {each["chain"] for each in leading_to(chain, things)}
        return not any(each.startswith("local-") for each in callers)
    rules = [each["rule"] for each in things if "rule" in each]
    external = {each["chain"] for each in rules if each["chain"].startswith("external-")}
    mark = [{"jump": {"target": "mark-for-masquerade"}}]
    return chain == "masquerading" and external <= {
        each["chain"] for each in rules if each["expr"] == mark
    }
