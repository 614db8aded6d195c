"""Why an edit of kube-proxy's nftables table changes nothing for any Service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from testbed.referee.mutation import Edit, NodeFacts
from testbed.referee.nftables_firewall import lets_everyone_in, of_firewall
from testbed.referee.nftables_maps import elements, key_of, keys, maps_asked, parts
from testbed.referee.nftables_ways import is_led_to, leading_to

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
        yield "nothing leads to its chain"
    rules = [old, after[0]] if edit.kind == "reorder" and after else [old]
    for each in rules:
        source = _own_source(each)
        if source and edit.kind in ("reorder", "delete") and source not in facts.endpoints:
            yield "a pod on another node that connects to itself"
        if source and edit.kind != "redirect" and _is_never_pods(each["chain"], things):
            yield "pods do not get there"
        if source and not is_led_to(source, each["chain"], things, facts):
            yield "nothing from that address is led there"
        is_left_out = edit.kind in ("reorder", "delete")
        if is_left_out and facts.masquerades_all and _is_marked_before(each, things):
            yield "every connection to the Service is masqueraded"
    if edit.kind == "reorder" and after:
        if any(map(_only_clears_the_mark, rules)):
            yield "a mark that nothing looks at any more"
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
    if _only_clears_the_mark(old):
        yield "a mark that nothing looks at any more"
    if led_to := _led_to(old["expr"], things):
        rules_after = [each["rule"] for each in things if each.get("rule", {}).get("chain")]
        chain = [each for each in rules_after if each["chain"] == old["chain"]]
        if _led_to(chain[-1]["expr"], things) == led_to and chain[-1]["handle"] != old["handle"]:
            yield "what follows leads to the same endpoints"


def _is_called(chain: str, things: list[Json]) -> bool:
    """Whether it hangs at a hook, or some rule or element leads to it."""
    declared = [each["chain"] for each in things if each.get("chain", {}).get("name") == chain]
    if not declared or any("hook" in each for each in declared):
        return True
    lead = {"target": chain}
    return any(value == lead for _, value in parts(things))


def _only_clears_the_mark(rule: Json) -> bool:
    """Whether a rule after routing takes the mark away: all that looks at it came before."""
    return rule["chain"] == "masquerading" and all("mangle" in each for each in rule["expr"])


def _of_unknown_ports(edit: Edit, old: Json, things: list[Json]) -> Iterator[str]:
    """A rule that refuses them may go, or have one before it that refuses the same packets."""
    is_own = edit.kind == "shadow" and _addresses_alone(old["expr"])
    if (edit.kind == "delete" or is_own) and _is_about_unknown_ports(old, things):
        yield "ports of a ClusterIP that no Service has"


def _is_about_unknown_ports(rule: Json, things: list[Json]) -> bool:
    """Whether it refuses what goes to ClusterIPs at all, or only leads to such rules."""
    jumps = [value["target"] for kind, value in parts(rule["expr"]) if kind == "jump"]
    asked = [each["rule"]["expr"] for each in things if each.get("rule", {}).get("chain") in jumps]
    return all(
        isinstance(each, list)
        and any(kind in part for part in each for kind in ("reject", "drop"))
        and _addresses_alone(each)
        for each in (asked or [rule["expr"]])
    )


def _addresses_alone(expr: list[Json]) -> bool:
    """Whether its only condition is a destination in a range, or in the set of ClusterIPs."""
    matches = [each["match"] for each in expr if "match" in each]
    return bool(matches) and all(
        each["left"].get("payload", {}).get("field") == "daddr" for each in matches
    )


def _of_swap(
    one: list[Json], other: list[Json], things: list[Json], facts: NodeFacts
) -> Iterator[str]:
    """Two rules in the other order."""
    if one == other:
        yield "both do the same"
    if _is_exclusive(one, other) or _is_pod_or_node(one, other, facts):
        yield "no packet matches both"
    if all("masquerade" in each[-1] for each in (one, other)):
        yield "either masquerades the packet"
    marks = [each for each in (one, other) if "mark-for-masquerade" in json.dumps(each)]
    if marks and any(map(_only_remembers, (one, other))):
        yield "one marks the packet, the other remembers the client"
    if _is_recall(one) and _is_recall(other):
        yield "either endpoint has met the client before"
    if _led_to(one, things) and _led_to(one, things) == _led_to(other, things):
        yield "both lead to the same endpoints"
    if _refuse_alike(one, other, things):
        yield "both refuse it"
    yield from _of_lookups(one, other, things, facts)


def _of_element(old: Json, things: list[Json], facts: NodeFacts) -> Iterator[str]:
    ((name, element),) = old.items()
    if "nodeports" in name and _has_no_node_ports(things, facts):
        yield "the node has no address for node ports"
    if key_of(element) in facts.contested:
        yield "an address that several Services claim"
    if name == "firewall-ips" and lets_everyone_in(element[1], things):
        yield "its firewall lets everyone in"
    if name == "hairpin-connections":
        address, _, protocol, _ = element["concat"]
        if address not in facts.endpoints:
            yield "a pod on another node that connects to itself"
        if address in facts.addresses:
            yield "what the node sends to itself does not leave it"
        if _are_for_outside(_translating(address, protocol, things), things):
            yield "pods do not get there"
    if name == "cluster-ips":
        yield "ports of a ClusterIP that no Service has"
    if name == "no-endpoint-services" and element[1] == {"goto": {"target": "reject-chain"}}:
        key = element[0].get("elem", {}).get("val", element[0])["concat"]
        kept = [each["set"] for each in things if each.get("set", {}).get("name") == "cluster-ips"]
        if any(key[0] in each.get("elem", ()) for each in kept):
            yield "all other ports of a ClusterIP are refused as well"


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
        if protocol in _equalities(rule["expr"]).values()
        and any(json.dumps(address) in json.dumps(e["dnat"]) for e in rule["expr"] if "dnat" in e)
    }


def _has_no_node_ports(things: list[Json], facts: NodeFacts) -> bool:
    sets = [each["set"] for each in things if each.get("set", {}).get("name") == "nodeport-ips"]
    return bool(sets) and not any(set(each.get("elem", ())) & facts.addresses for each in sets)


def _own_source(rule: Json) -> str:
    """The endpoint that a rule masquerades the connections to itself of."""
    if not rule.get("chain", "").startswith("endpoint-"):
        return ""
    for expr in rule["expr"]:
        left = expr.get("match", {}).get("left", {})
        if left.get("payload", {}).get("field") == "saddr":
            source = expr["match"]["right"]
            return source if isinstance(source, str) else ""
    return ""


def _is_never_pods(chain: str, things: list[Json]) -> bool:
    """Whether only clients from outside are led to an endpoint: policy Local spares pods."""
    return _are_for_outside({each["chain"] for each in leading_to(chain, things)}, things)


def _are_for_outside(callers: set[str], things: list[Json]) -> bool:
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


def _is_marked_before(rule: Json, things: list[Json]) -> bool:
    """Whether all that gets to a rule is marked, where what comes for ClusterIPs always is."""
    chain = rule["chain"]
    if _own_source(rule):
        callers = {each["chain"] for each in leading_to(chain, things)}
        return not any(each.startswith("local-") for each in callers)
    rules = [each["rule"] for each in things if "rule" in each]
    external = {each["chain"] for each in rules if each["chain"].startswith("external-")}
    mark = [{"jump": {"target": "mark-for-masquerade"}}]
    return chain == "masquerading" and external <= {
        each["chain"] for each in rules if each["expr"] == mark
    }


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


def _is_recall(expr: list[Json]) -> bool:
    """Whether it leads clients back to the endpoint that they were sent to before."""
    return any("@affinity-" in str(each.get("match", {}).get("right", "")) for each in expr)


def _only_remembers(expr: list[Json]) -> bool:
    """Whether a rule puts the client into an affinity set and does nothing else."""
    return all("set" in each for each in expr)


def _is_exclusive(one: list[Json], other: list[Json]) -> bool:
    """Whether some field must be one value for the first rule and another for the second."""
    left, right = _equalities(one), _equalities(other)
    return any(key in right and right[key] != value for key, value in left.items())


def _is_pod_or_node(one: list[Json], other: list[Json], facts: NodeFacts) -> bool:
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
        if is_local and any(_is_by_interface(each) for each in left):
            return True
        for prefix in prefixes if is_local else ():
            span = ip_network(f"{prefix['addr']}/{prefix['len']}")
            return not any(ip_address(each) in span for each in facts.addresses)
    return False


def _is_by_interface(expr: Json) -> bool:
    """Whether it is about packets that come in by an interface of pods.

    One with an address of the node itself never does: the kernel drops it as martian.
    """
    match = expr.get("match", {})
    return bool(match.get("op") == "==" and match.get("left") == {"meta": {"key": "iifname"}})


def _equalities(expr: list[Json]) -> dict[str, str]:
    found = {}
    for each in expr:
        match = each.get("match")
        is_plain = match and match["op"] == "==" and isinstance(match["right"], (str, int))
        if is_plain and not str(match["right"]).startswith("@"):
            found[json.dumps(match["left"], sort_keys=True)] = str(match["right"])
    return found
