"""What kube-proxy's nftables table refuses and whom, told from the text alone."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from testbed.referee.mutation import Edit, NodeFacts
from testbed.referee.nftables_maps import elements, key_of, keys, maps_asked, parts
from testbed.referee.nftables_ways import spans

Json = Any

DSTNAT = -100
"""The priority of translation (NF_IP_PRI_NAT_DST)."""


def of_firewall(edit: Edit, rule: Json, things: list[Json], facts: NodeFacts) -> Iterator[str]:
    """Why a change does no harm in rules about what is refused, or open to a few alone."""
    if _is_past_refusals(edit, rule, things, facts):
        yield "what gets there is translated already, or for no Service"
    own = _is_nodes_own(rule["expr"])
    if own and _refuses_the_node(rule["chain"], things, facts.sources):
        yield "none of the node's own connections get there"
    lead = {"goto": {"target": rule["chain"]}}
    if edit.kind == "delete" and lets_everyone_in(lead, things):
        yield "its firewall accepts all sources"
    if edit.kind == "delete" and _asks_empty_maps(rule["expr"], things):
        yield "there is nothing in the map that it asks"


def _is_past_refusals(edit: Edit, rule: Json, things: list[Json], facts: NodeFacts) -> bool:
    """Whether those to Services without endpoints are refused before, or are none here."""
    asks = {"jump": {"target": "service-endpoints-check"}}
    if rule["chain"] != "filter-input" or _refused_here(things, facts):
        return False
    is_left_out = edit.kind == "delete" and asks in rule["expr"]
    return is_left_out or (edit.kind == "shadow" and not _is_translated_here(things, facts))


def _is_translated_here(things: list[Json], facts: NodeFacts) -> bool:
    """Whether connections to some Service go on to an address of the node."""
    translations = [value for each in things for kind, value in parts(each) if kind == "dnat"]
    text = json.dumps(translations)
    return any(json.dumps(each) in text for each in facts.addresses)


def _refused_here(things: list[Json], facts: NodeFacts) -> bool:
    """Whether a Service without endpoints is refused at an address of the node."""
    places = keys("no-endpoint-services", things)
    return any(each.partition(",")[0] in facts.addresses for each in places)


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
    refused = keys("no-endpoint-services", things) if _refuses_before_dnat(things) else set()
    return bool(places) and all(
        each in refused or (each in guards and not _let_in(guards[each], things, addresses))
        for each in places
    )


def _refuses_before_dnat(things: list[Json]) -> bool:
    """Whether what the node sends to a Service without endpoints ends before it is translated."""
    asks = {"jump": {"target": "service-endpoints-check"}}
    bases = [each["chain"] for each in things if each.get("chain", {}).get("hook") == "output"]
    early = {each["name"] for each in bases if each["prio"] < DSTNAT}
    return any(
        each["rule"]["chain"] in early and asks in each["rule"]["expr"]
        for each in things
        if "rule" in each
    )


def lets_everyone_in(verdict: Json, things: list[Json]) -> bool:
    """Whether a firewall chain spares all addresses."""
    guard = verdict.get("goto", {}).get("target")
    rules = [each["rule"] for each in things if each.get("rule", {}).get("chain") == guard]
    matches = [each["expr"][0].get("match", {}) for each in rules]
    return (
        str(guard).startswith("firewall-")
        and bool(matches)
        and all(
            each.get("op") == "!=" and any(span.prefixlen == 0 for span in spans(each["right"]))
            for each in matches
        )
    )


def lets_in_whom_it_leads(element: Json, things: list[Json], facts: NodeFacts) -> bool:
    """Whether only pods and the node get to endpoints, whom the firewall spares.

    All others are dropped as well where the Service has no endpoint for them.
    """
    place, guard = key_of(element), element[1].get("goto", {}).get("target")
    dropped = [e[1] for e in elements("no-endpoint-services", things) if key_of(e) == place]
    chains = [
        each[1].get("goto", {}).get("target")
        for each in elements("service-ips", things)
        if key_of(each) == place
    ]
    rules = [each["rule"] for each in things if "rule" in each]
    leads = [r["expr"] for r in rules if r["chain"] in chains and "goto" in r["expr"][-1]]
    spared = [
        span
        for rule in rules
        if rule["chain"] == guard and rule["expr"][0]["match"]["op"] == "!="
        for span in spans(rule["expr"][0]["match"]["right"])
    ]
    return {"drop": None} in dropped and all(
        (own := _led(expr, ":" in place.partition(",")[0], facts))
        and all(any(_is_within(each, span) for span in spared) for each in own)
        for expr in leads
    )


def _led(expr: list[Json], is_v6: bool, facts: NodeFacts) -> list[Any]:
    """The ranges of sources that a rule is about, of one family; none for everybody."""
    matches = [each["match"] for each in expr if "match" in each]
    found = {json.dumps(each["left"]): each["right"] for each in matches}
    for field, right in found.items():
        if '"saddr"' in field and "payload" in field:
            return list(spans(right))
    is_pods = any("iifname" in field for field in found)
    chosen = facts.pod_ranges if is_pods else facts.sources if _is_nodes_own(expr) else ()
    return [ip_network(each) for each in chosen if (":" in each) is is_v6]


def _is_within(inner: Any, outer: Any) -> bool:
    return inner.version == outer.version and bool(inner.subnet_of(outer))


def _let_in(guard: str, things: list[Json], addresses: Collection[str]) -> bool:
    """Whether one of the addresses is in the ranges that a firewall chain spares."""
    for each in things:
        if each.get("rule", {}).get("chain") == guard:
            match = each["rule"]["expr"][0].get("match", {})
            if match.get("op") != "!=":
                return True
            if any(ip_address(own) in span for own in addresses for span in spans(match["right"])):
                return True
    return False


def _asks_empty_maps(expr: list[Json], things: list[Json]) -> bool:
    """Whether a rule only jumps to a chain that only asks maps, in which there is nothing."""
    targets = [value["target"] for kind, value in parts(expr) if kind == "jump"]
    follow = [
        each["rule"]["expr"] for each in things if each.get("rule", {}).get("chain") in targets
    ]
    only_asks = all([*each[0]] == ["vmap"] and len(each) == 1 for each in follow)
    return bool(follow) and only_asks and not any(keys(m, things) for m in maps_asked(expr, things))
