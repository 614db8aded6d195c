"""Who is let in to the load balancers of kube-proxy's nftables table, told from the text alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from testbed.referee.mutation import Edit, NodeFacts
from testbed.referee.nftables_maps import elements, key_of, keys, maps_asked, parts

Json = Any


def of_firewall(edit: Edit, rule: Json, things: list[Json], facts: NodeFacts) -> Iterator[str]:
    """Why a change of the rule does no harm where load balancers are open to a few alone."""
    own = _is_nodes_own(rule["expr"])
    if own and _refuses_the_node(rule["chain"], things, facts.addresses):
        yield "the node's own connections do not get there"
    if edit.kind == "delete" and _asks_empty_maps(rule["expr"], things):
        yield "there is nothing in the map that it asks"


def _is_nodes_own(expr: list[Json]) -> bool:
    """Whether a rule is about what the node itself sends."""
    of_source = {"fib": {"result": "type", "flags": ["saddr"]}}
    return any(
        each.get("match", {}).get("left") == of_source and each["match"]["right"] == "local"
        for each in expr
    )


def _refuses_the_node(chain: str, things: list[Json], addresses: Collection[str]) -> bool:
    """Whether all that leads to a chain is a load balancer that drops what the node sends."""
    lead = {"goto": {"target": chain}}
    if any(each[1] == lead for each in elements("service-nodeports", things)):
        return False
    places = [key_of(each) for each in elements("service-ips", things) if each[1] == lead]
    guards = {key_of(each): each[1]["goto"]["target"] for each in elements("firewall-ips", things)}
    return bool(places) and all(
        each in guards and not _let_in(guards[each], things, addresses) for each in places
    )


def _let_in(guard: str, things: list[Json], addresses: Collection[str]) -> bool:
    """Whether one of the addresses is in the ranges that a firewall chain spares."""
    for each in things:
        if each.get("rule", {}).get("chain") == guard:
            match = each["rule"]["expr"][0].get("match", {})
            if match.get("op") != "!=":
                return True
            if any(ip_address(own) in span for own in addresses for span in _spans(match["right"])):
                return True
    return False


def _spans(right: Json) -> Iterator[Any]:
    for each in right["set"] if isinstance(right, dict) and "set" in right else [right]:
        if isinstance(each, dict):
            yield ip_network(f"{each['prefix']['addr']}/{each['prefix']['len']}")
        else:
            yield ip_network(each)


def _asks_empty_maps(expr: list[Json], things: list[Json]) -> bool:
    """Whether a rule only jumps to a chain that only asks maps, in which there is nothing."""
    targets = [value["target"] for kind, value in parts(expr) if kind == "jump"]
    follow = [
        each["rule"]["expr"] for each in things if each.get("rule", {}).get("chain") in targets
    ]
    only_asks = all([*each[0]] == ["vmap"] and len(each) == 1 for each in follow)
    return bool(follow) and only_asks and not any(keys(m, things) for m in maps_asked(expr, things))
