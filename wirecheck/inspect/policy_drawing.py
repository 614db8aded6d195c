"""The view of a NetworkPolicy as text: the pods, its rules, and who may connect to whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wirecheck.inspect.drawing import STYLES, Line, heading
from wirecheck.inspect.policy_parts import PeersView
from wirecheck.inspect.policy_view import ConnectionsView, NetworkPolicyView, RuleView
from wirecheck.text import listed, shortened

MOST_PEERS = 4
MOST_ROWS = 40
MOST_REASONS = 3
LONGEST = 300
NONE = "none"


def policy_lines(view: NetworkPolicyView) -> Iterator[Line]:
    """The lines of the drawing."""
    yield Line(f"NetworkPolicy {view.namespace}/{view.name}: {', '.join(view.types)}", style="bold")
    yield heading(view.source)
    yield Line()
    yield Line(view.selector or "all pods of the namespace", "selector")
    for each in view.selected:
        yield Line(each.text, "selects")
    if not view.selected:
        yield Line("no running pod", "selects", style=STYLES["warn"])
    if view.beside:
        yield Line(listed(view.beside, MOST_PEERS), "beside it")
    yield from _rules(view)
    yield from _connections(view.connections)
    if view.undefined:
        yield Line()
        yield Line("Inconclusive:", style="bold")
        yield from (Line(each, "  because") for each in view.undefined)


def _rules(view: NetworkPolicyView) -> Iterator[Line]:
    for direction in view.types:
        rules = [each for each in view.rules if each.direction == direction]
        yield Line()
        yield Line(f"{direction} rules:" if rules else f"{direction}: no rule", style="bold")
        for each in rules:
            yield from _rule(each)


def _rule(rule: RuleView) -> Iterator[Line]:
    word = "from" if rule.direction == "Ingress" else "to"
    ports = ", ".join(rule.ports) or "all ports"
    yield Line(f"{word} {'; '.join(rule.peers) or 'every peer'}: {ports}", f"  {rule.number}")
    if rule.peers:
        matched = listed([each.text for each in rule.matches], MOST_PEERS)
        yield Line(matched or "no running pod", "    matches")
    for reason in rule.undefined[:MOST_REASONS]:
        yield Line(reason, "    undefined")


def _connections(connections: Sequence[ConnectionsView]) -> Iterator[Line]:
    if not connections:
        return
    yield Line()
    yield Line("With all policies of the cluster:", style="bold")
    for each in connections[:MOST_ROWS]:
        yield Line(f"{peers_text(each.sources)} to {peers_text(each.targets)}", "from")
        for ports, label, style in (
            (each.allowed, "  allowed", STYLES["good"]),
            (each.denied, "  denied", STYLES["fail"]),
            (each.inconclusive, "  inconclusive", STYLES["warn"]),
        ):
            if ports != NONE:
                yield Line(shortened(ports, LONGEST), label, style=style)
        yield from reason_lines(each.reasons)
    if connections[MOST_ROWS:]:
        yield Line(f"{len(connections) - MOST_ROWS:,} more; -o json has all", "…")


def peers_text(peers: Sequence[PeersView]) -> str:
    """The peers in words, the first few of them."""
    return listed([each.text for each in peers], MOST_PEERS)


def reason_lines(reasons: Sequence[str]) -> Iterator[Line]:
    """Why, in a few lines."""
    for reason in reasons[:MOST_REASONS]:
        yield Line(shortened(reason, LONGEST), "  because")
    if reasons[MOST_REASONS:]:
        yield Line(f"{len(reasons) - MOST_REASONS:,} more; -o json has all", "  because")
