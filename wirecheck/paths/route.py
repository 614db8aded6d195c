"""The routing decision for one packet, and the source address that it gets (net/ipv4/route.c)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, address, network
from wirecheck.node.netns import Interface
from wirecheck.node.routing_rules import rule_text
from wirecheck.node.rule_selectors import Origin
from wirecheck.paths.packet import Segment
from wirecheck.paths.place import Place
from wirecheck.snapshot.netns import Route, Rule

USUAL_TABLES = frozenset({253, 254, 255})


@dataclass(frozen=True)
class Decision:
    """Where a packet goes next."""

    lines: tuple[str, ...]
    is_local: bool = False
    device: Interface | None = None
    neighbour: IPAddress | None = None
    source: IPAddress | None = None
    """The source address that the route prefers."""
    share: float = 1.0
    refused: str = ""
    unknown: str = ""


def decisions(place: Place, packet: Segment, origin: Origin) -> tuple[Decision, ...]:
    """The decision for a packet; several if the route has several next hops."""
    target = packet.destination
    route, rule = place.routing.decision(target, origin=origin)
    lines = _lines(place, route, rule)
    if doubt := _uncertain_rule(place, target.version, rule):
        return (
            Decision((rule_text(doubt),), unknown="a routing rule asks for more than is known"),
        )
    if route is None:
        return (Decision(("no route",), refused=f"no route to {target}"),)
    if route.type == "local":
        return (Decision(lines, is_local=True),)
    if route.type != "unicast":
        return (Decision(lines, refused=f"the route to {target} is {route.type}"),)
    return tuple(_towards(place, packet, route, lines))


def _towards(
    place: Place, packet: Segment, route: Route, lines: tuple[str, ...]
) -> Iterator[Decision]:
    hops = [
        (hop.get("index", ""), hop.get("gateway", ""), hop.get("weight", "1")) for hop in route.hops
    ] or [(str(route.index or ""), route.gateway, "1")]
    weights = [int(weight) if weight.isdigit() else 1 for _, _, weight in hops]
    for (index, gateway, _), weight in zip(hops, weights, strict=True):
        device = place.links.get(int(index)) if index.isdigit() else None
        if device is None:
            yield Decision(lines, unknown="the device of the route is not known")
            continue
        yield Decision(
            lines,
            device=device,
            neighbour=address(gateway) if gateway else packet.destination,
            source=address(route.source) if route.source else None,
            share=weight / sum(weights),
        )


def _lines(place: Place, route: Route | None, rule: Rule | None) -> tuple[str, ...]:
    """The route, and the rule that chose its table unless it is one of every netns."""
    text = place.routing.text_of(route)
    is_usual = rule is None or (rule.table in USUAL_TABLES and not rule.source and not rule.mark)
    return (text,) if rule is None or is_usual else (f"rule {rule_text(rule)}", text)


def _uncertain_rule(place: Place, family: int, chosen: Rule | None) -> Rule | None:
    """A rule before the chosen one that only some packets match: of a user, of a port."""
    last = chosen.priority if chosen else 1 << 32
    rules = (each for each in place.netns.record.rules if each.family == family)
    return next((e for e in rules if e.other_selectors and e.priority <= last), None)


def source_on(place: Place, device: Interface, towards: IPAddress) -> IPAddress | None:
    """The address that the kernel gives to packets leaving by a device (inet_select_addr)."""
    record = place.netns.record.addresses
    of_device = [
        each
        for each in record
        if each.index == device.index
        and "secondary" not in each.flags
        and address(each.address).version == towards.version
        and each.scope == "global"
    ]
    near = [e for e in of_device if towards in network(f"{e.address}/{e.prefix}")]
    chosen = near or of_device
    if chosen:
        return address(chosen[0].address)
    others = [e for e in record if address(e.address).version == towards.version]
    return next((address(e.address) for e in others if e.scope == "global"), None)
