"""The view of a Service as text: its ports, its endpoints, and each frontend on all nodes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from wirecheck.api_index.grouping import grouped
from wirecheck.dataplane.table import Client
from wirecheck.inspect.drawing import STYLES, Line, found_lines, heading
from wirecheck.inspect.service_view import (
    DifferenceView,
    FrontendView,
    HandlingView,
    NodeServiceView,
    ServiceView,
)
from wirecheck.text import listed, plural

MOST_NAMES = 4
MOST_ENDPOINTS = 20


def service_lines(view: ServiceView, node: str = "") -> Iterator[Line]:
    """The lines of the drawing; with `node` also the rules on that node."""
    yield from _title(view)
    yield from _endpoints(view)
    yield from _unknown(view)
    yield from _decided(view)
    for frontend in dict.fromkeys(each.frontend for on in view.nodes for each in on.frontends):
        yield Line()
        yield from _frontend(view, frontend, with_rules=bool(node))
    yield Line()
    if view.findings:
        yield from found_lines(view.findings)
    elif any(each.unknown for each in view.nodes):
        yield Line("Not every node could be checked.", style=STYLES["error"])
    else:
        limit = ", as far as kube-proxy forwards" if any(e.pods for e in view.nodes) else ""
        text = f"As expected on {plural(len(view.nodes), 'node')}{limit}."
        yield Line(text, style="" if limit else STYLES["good"])


def _title(view: ServiceView) -> Iterator[Line]:
    addresses = ", ".join(view.cluster_ips) or "no address"
    yield Line(f"Service {view.namespace}/{view.name}: {view.type} {addresses}", style="bold")
    yield heading(view.source)
    yield Line()
    for name, values in (
        ("external IPs", view.external_ips),
        ("load balancer", view.load_balancer_ips),
        ("selector", [f"{key}={value}" for key, value in view.selector.items()]),
        ("policies", [f"{key} {value}" for key, value in view.traffic_policies.items()]),
    ):
        if values:
            yield Line(", ".join(values), name)
    for port in view.ports:
        node_port = f", node port {port.node_port}" if port.node_port else ""
        text = f"{port.port}/{port.protocol} {port.name} to {port.target_port}{node_port}"
        yield Line(text, "port")
    if view.note:
        yield Line(view.note, "kube-proxy")


def _endpoints(view: ServiceView) -> Iterator[Line]:
    if not view.endpoints:
        yield Line("none", "endpoint")
    for each in view.endpoints[:MOST_ENDPOINTS]:
        state = "ready" if each.ready else "not ready"
        if each.terminating:
            state = "terminating" + (", serving" if each.serving else "")
        where = f"  on {each.node}" if each.node else ""
        text = f"{', '.join(each.addresses)} {', '.join(each.ports)}  {each.target}{where}  {state}"
        yield Line(text, "endpoint")
    if more := view.endpoints[MOST_ENDPOINTS:]:
        yield Line(f"and {len(more)} more", "endpoint")


def _unknown(view: ServiceView) -> Iterator[Line]:
    reasons = grouped((each.unknown, each.node) for each in view.nodes if each.unknown)
    for reason, nodes in reasons.items():
        yield Line(f"{listed(nodes, MOST_NAMES)}: {reason}", "not known", "", STYLES["error"])
    elsewhere = grouped((each.pods, each.node) for each in view.nodes if each.pods)
    for sentence, nodes in elsewhere.items():
        text = f"{listed(nodes, MOST_NAMES)}: {sentence}, by maps that were not read"
        yield Line(text, "not known")


def _decided(view: ServiceView) -> Iterator[Line]:
    where = grouped((each.decided, each.node) for each in view.nodes if each.decided)
    for sentences, nodes in where.items():
        for sentence in sentences.split("; "):
            yield Line(f"{listed(nodes, MOST_NAMES)}, {sentence}", "decided")


def _frontend(view: ServiceView, frontend: str, *, with_rules: bool) -> Iterator[Line]:
    on = [
        (each, front)
        for each in view.nodes
        for front in each.frontends
        if front.frontend == frontend
    ]
    port = next((front.port for _, front in on if front.port), "")
    yield Line(f"{frontend} {port}".rstrip(), style="bold")
    alike: dict[tuple[str, ...], list[tuple[NodeServiceView, FrontendView]]] = defaultdict(list)
    for each, front in on:
        texts = (
            front.frontend,
            *map(_text_of, front.expected),
            *map(_different, front.differences),
        )
        alike[texts].append((each, front))
    for same in alike.values():
        yield from _alike(same)
        if with_rules:
            rules = dict.fromkeys(rule for _, front in same for rule in front.rules)
            for rule in rules:
                yield Line(rule, "    rule")
            if not rules:
                yield Line("none on this node", "    rule")


def _alike(same: list[tuple[NodeServiceView, FrontendView]]) -> Iterator[Line]:
    """The nodes that handle a frontend the same way."""
    nodes = listed([each.node for each, _ in same], MOST_NAMES)
    modes = sorted({each.mode for each, _ in same})
    front = same[0][1]
    mark = "✗" if front.differences else "✓"
    style = STYLES["fail"] if front.differences else ""
    yield Line(f"{mark} {nodes} ({', '.join(modes)})", rail="  ", style=style)
    for handling in front.expected:
        yield Line(_text_of(handling), "    expected" if front.differences else "    does")
    if front.differences:
        for handling in front.found:
            yield Line(_text_of(handling), "    found")
        if not front.found:
            yield Line("nothing", "    found")
    for difference in front.differences:
        yield Line(_different(difference), "    ✗", "", STYLES["fail"])


def _text_of(handling: HandlingView) -> str:
    return f"{_clients(handling.clients)}{handling.text}"


def _different(difference: DifferenceView) -> str:
    return (
        f"{difference.kind}: {_clients(difference.clients)}expected {difference.expected}; "
        f"found {difference.found}"
    )


def _clients(clients: list[str]) -> str:
    return "" if len(clients) == len(Client) else f"{', '.join(clients)}: "
