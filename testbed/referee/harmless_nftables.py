"""Why an edit of kube-proxy's nftables table changes nothing for any Service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from testbed.referee.mutation import Edit, NodeFacts
from testbed.referee.nftables_clients import (
    are_for_outside,
    is_marked_before,
    is_never_pods,
    is_pod_or_node,
)
from testbed.referee.nftables_firewall import lets_everyone_in, lets_in_whom_it_leads, of_firewall
from testbed.referee.nftables_maps import elements, key_of, keys, maps_asked, parts
from testbed.referee.nftables_ways import is_led_to
from testbed.referee.nftables_words import (
    addresses_alone,
    equalities,
    is_exclusive,
    is_recall,
    only_clears_the_mark,
    only_remembers,
    own_source,
)

Json = Any


def why_harmless(edit: Edit, before: str, facts: NodeFacts) -> str:
    """The reason, or nothing where there is none."""
    return next(_reasons(edit, json.loads(before)["nftables"], facts), "")


def _reasons(edit: Edit, things: list[Json], facts: NodeFacts) -> Iterator[str]:
    old = json.loads(edit.before)
    if "chain" not in old:
        yield from _of_map(edit, old, things, facts)
        return
    after = json.loads(edit.after) if edit.after else None
    if not _is_called(old["chain"], things):
        yield "no rule jumps to its chain"
    rules = [old, after[0]] if edit.kind == "reorder" and after else [old]
    for each in rules:
        source = own_source(each)
        if source and edit.kind in ("reorder", "delete") and source not in facts.endpoints:
            yield "only a pod on another node that connects to itself would match"
        if source and edit.kind != "redirect" and is_never_pods(each["chain"], things):
            yield "no packet from a pod gets there"
        if source and not is_led_to(source, each["chain"], things, facts):
            yield "no packet from that address is forwarded there"
        is_left_out = edit.kind in ("reorder", "delete")
        if is_left_out and facts.masquerades_all and is_marked_before(each, things):
            yield "every connection to the Service is masqueraded anyway"
    if edit.kind == "reorder" and after:
        if any(map(only_clears_the_mark, rules)):
            yield "no later rule checks the mark"
        yield from _of_swap(old["expr"], after[0]["expr"], things, facts)
        return
    if after and after[0]["expr"] == old["expr"]:
        yield "both do the same"
    if old["chain"].startswith("firewall-") and _is_contested(old["chain"], things, facts):
        yield "an address that several Services claim"
    yield from of_firewall(edit, old, things, facts)
    yield from _of_unknown_ports(edit, old, things)
    if edit.kind == "delete":
        yield from _of_deletion(old, things)


def _of_deletion(old: Json, things: list[Json]) -> Iterator[str]:
    if only_clears_the_mark(old):
        yield "no later rule checks the mark"
    if led_to := _led_to(old["expr"], things):
        rules_after = [each["rule"] for each in things if each.get("rule", {}).get("chain")]
        chain = [each for each in rules_after if each["chain"] == old["chain"]]
        if _led_to(chain[-1]["expr"], things) == led_to and chain[-1]["handle"] != old["handle"]:
            yield "the following rules forward to the same endpoints"


def _is_called(chain: str, things: list[Json]) -> bool:
    """Whether it hangs at a hook, or some rule or element leads to it."""
    declared = [each["chain"] for each in things if each.get("chain", {}).get("name") == chain]
    if not declared or any("hook" in each for each in declared):
        return True
    lead = {"target": chain}
    return any(value == lead for _, value in parts(things))


def _of_unknown_ports(edit: Edit, old: Json, things: list[Json]) -> Iterator[str]:
    """A rule that refuses them may go, or have one before it that refuses the same packets."""
    is_own = edit.kind == "shadow" and addresses_alone(old["expr"])
    if (edit.kind == "delete" or is_own) and _is_about_unknown_ports(old, things):
        yield "ports of a ClusterIP that no Service has"


def _is_about_unknown_ports(rule: Json, things: list[Json]) -> bool:
    """Whether it refuses what goes to ClusterIPs at all, or only leads to such rules."""
    jumps = [value["target"] for kind, value in parts(rule["expr"]) if kind == "jump"]
    asked = [each["rule"]["expr"] for each in things if each.get("rule", {}).get("chain") in jumps]
    return all(
        isinstance(each, list)
        and any(kind in part for part in each for kind in ("reject", "drop"))
        and addresses_alone(each)
        for each in (asked or [rule["expr"]])
    )


def _of_swap(
    one: list[Json], other: list[Json], things: list[Json], facts: NodeFacts
) -> Iterator[str]:
    """Two rules in the other order."""
    if one == other:
        yield "both do the same"
    if is_exclusive(one, other) or is_pod_or_node(one, other, facts):
        yield "no packet matches both"
    if all("masquerade" in each[-1] for each in (one, other)):
        yield "either masquerades the packet"
    marks = [each for each in (one, other) if "mark-for-masquerade" in json.dumps(each)]
    if marks and any(map(only_remembers, (one, other))):
        yield "one marks the packet, the other remembers the client"
    if is_recall(one) and is_recall(other):
        yield "either endpoint may already have the client's affinity entry"
    if _led_to(one, things) and _led_to(one, things) == _led_to(other, things):
        yield "both forward to the same endpoints"
    if _refuse_alike(one, other, things):
        yield "both reject it"
    yield from _of_lookups(one, other, things, facts)


def _of_element(old: Json, things: list[Json], facts: NodeFacts) -> Iterator[str]:
    ((name, element),) = old.items()
    if "nodeports" in name and _has_no_node_ports(things, facts):
        yield "the node has no address for node ports"
    if key_of(element) in facts.contested:
        yield "an address that several Services claim"
    if name == "firewall-ips" and lets_everyone_in(element[1], things):
        yield "its firewall accepts all sources"
    if name == "firewall-ips" and lets_in_whom_it_leads(element, things, facts):
        yield "its firewall accepts all clients that have an endpoint"
    if name == "hairpin-connections":
        address, _, protocol, _ = element["concat"]
        if address not in facts.endpoints:
            yield "only a pod on another node that connects to itself would match"
        if address in facts.addresses:
            yield "only the node's own packets to itself would match, and they do not leave it"
        if are_for_outside(_translating(address, protocol, things), things):
            yield "no packet from a pod gets there"
    if name == "cluster-ips":
        yield "ports of a ClusterIP that no Service has"
    if name == "no-endpoint-services" and element[1] == {"goto": {"target": "reject-chain"}}:
        key = element[0].get("elem", {}).get("val", element[0])["concat"]
        kept = [each["set"] for each in things if each.get("set", {}).get("name") == "cluster-ips"]
        if any(key[0] in each.get("elem", ()) for each in kept):
            yield "all other ports of the ClusterIP are rejected as well"


def _of_map(edit: Edit, old: Json, things: list[Json], facts: NodeFacts) -> Iterator[str]:
    """An element that is gone, or that leads to another chain."""
    if edit.kind == "delete element":
        yield from _of_element(old, things, facts)
        return
    new = json.loads(edit.after)
    chains = [_rules_of(each[1], things) for of in (old, new) for each in of.values()]
    if chains[0] and chains[0] == chains[1]:
        yield "both chains do the same"
    if "nodeports" in next(iter(old)) and _has_no_node_ports(things, facts):
        yield "the node has no address for node ports"


def _refuse_alike(one: list[Json], other: list[Json], things: list[Json]) -> bool:
    """Whether one refuses what has no endpoints and the other all else of ClusterIPs."""
    targets = [
        value["target"] for expr in (one, other) for kind, value in parts(expr) if kind == "jump"
    ]
    kept = [each["set"] for each in things if each.get("set", {}).get("name") == "cluster-ips"]
    own = {address for each in kept for address in each.get("elem", ())}
    refused = [
        each[1]
        for each in elements("no-endpoint-services", things)
        if key_of(each).partition(",")[0] in own
    ]
    return sorted(targets) == ["cluster-ips-check", "service-endpoints-check"] and all(
        each == {"goto": {"target": "reject-chain"}} for each in refused
    )


def _of_lookups(one: Json, other: Json, things: list[Json], facts: NodeFacts) -> Iterator[str]:
    """One asks a map of addresses and ports, the other one of ports at the node's addresses."""
    names = [maps_asked(each, things) for each in (one, other)]
    for asked, others in (names, names[::-1]):
        if not (asked and others and all("nodeports" in each for each in others)):
            continue
        places = [key for name in asked for key in keys(name, things)]
        ports = {key for name in others for key in keys(name, things)}
        own = [key for key in places if key.partition(",")[0] in facts.addresses]
        if not any(key.partition(",")[2] in ports for key in own):
            yield "no packet is in both maps"


def _is_contested(chain: str, things: list[Json], facts: NodeFacts) -> bool:
    """Whether all that a chain is for is claimed by several Services."""
    places = [
        key_of(each)
        for each in elements("firewall-ips", things)
        if each[1] == {"goto": {"target": chain}}
    ]
    return bool(places) and facts.contested >= set(places)


def _rules_of(verdict: Json, things: list[Json]) -> list[Json]:
    """What the rules do of the chain that an element leads to."""
    name = verdict.get("goto", {}).get("target")
    rules = [each["rule"] for each in things if "rule" in each]
    return [each["expr"] for each in rules if each["chain"] == name]


def _translating(address: str, protocol: str, things: list[Json]) -> set[str]:
    """The chains that translate connections of a protocol to an address."""
    rules = [each["rule"] for each in things if "rule" in each]
    return {
        rule["chain"]
        for rule in rules
        if protocol in equalities(rule["expr"]).values()
        and any(json.dumps(address) in json.dumps(e["dnat"]) for e in rule["expr"] if "dnat" in e)
    }


def _has_no_node_ports(things: list[Json], facts: NodeFacts) -> bool:
    sets = [each["set"] for each in things if each.get("set", {}).get("name") == "nodeport-ips"]
    return bool(sets) and not any(set(each.get("elem", ())) & facts.addresses for each in sets)


def _led_to(expr: Json, things: list[Json]) -> frozenset[str]:
    """Every translation that a rule, or a chain that it leads to, makes."""
    found: set[str] = set()
    seen: set[str] = set()
    waiting = [expr]
    while waiting:
        for kind, value in parts(waiting.pop()):
            if kind == "dnat":
                found.add(json.dumps(value, sort_keys=True))
            elif kind == "target" and isinstance(value, str) and value not in seen:
                seen.add(value)
                waiting += [
                    each["rule"]["expr"]
                    for each in things
                    if each.get("rule", {}).get("chain") == value
                ]
    return frozenset(found)
