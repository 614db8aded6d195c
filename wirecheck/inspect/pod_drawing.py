"""A pod's network from top to bottom: the pod, its netns, the node, other nodes. As text."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.inspect.drawing import (
    CROSS,
    STYLES,
    Line,
    findings_here,
    found_lines,
    heading,
    interface_text,
)
from wirecheck.inspect.ebpf_view import PodMapsView
from wirecheck.inspect.parts import FindingView, InterfaceView
from wirecheck.inspect.pod_view import (
    LookupView,
    NodeSide,
    PeerView,
    PodSide,
    PodView,
    WireView,
)

INSIDE = "  │ "
ON_NODE = "│ "
MOST_LINES = 10
BAD = STYLES["fail"]


def pod_lines(view: PodView) -> Iterator[Line]:
    """The lines of the drawing."""
    yield from _title(view)
    yield Line()
    yield from _inside(view)
    yield from _node(view)
    yield Line()
    yield from _dns(view)
    yield from _around(view)
    yield from _findings(view)


def _at(view: PodView, step: str) -> list[FindingView]:
    return [each for each in view.findings if each.step == step]


def _title(view: PodView) -> Iterator[Line]:
    ready = "Ready" if view.ready else "not Ready"
    yield Line(
        f"Pod {view.namespace}/{view.name} on {view.node or 'no node'}: {view.phase}, {ready}, "
        f"{', '.join(view.addresses) or 'no address'} ({view.workload})",
        style="bold",
    )
    yield heading(view.source)


def _inside(view: PodView) -> Iterator[Line]:
    wire = view.wire
    for each in view.containers:
        restarts = f", {each.restarts} restarts" if each.restarts else ""
        state = "ready" if each.ready else "not ready"
        yield Line(f"{each.name}  {each.image}  {state}{restarts}", "container", INSIDE)
    yield from findings_here(_at(view, "pod"), INSIDE)
    if wire.netns:
        runtime = f", started by {wire.runtime}" if wire.runtime else ""
        yield Line(f"{wire.netns.processes}{runtime}", "processes", INSIDE)
    yield _netns(wire)
    yield from findings_here(_at(view, "netns"), INSIDE)
    if wire.pod_side:
        yield from _pod_side(view, wire.pod_side)


def _netns(wire: WireView) -> Line:
    netns = wire.netns
    if netns is None:
        return Line(wire.unseen, "netns", f"  {CROSS} ", STYLES["error"])
    if netns.is_the_nodes:
        return Line(f"{netns.inode}: the node's own (hostNetwork)", "netns", INSIDE)
    number = f", number {netns.nsid} on the node" if netns.nsid is not None else ""
    return Line(f"{netns.inode}{number}  {netns.mounted}", "netns", INSIDE)


def _pod_side(view: PodView, side: PodSide) -> Iterator[Line]:
    if side.interface:
        yield from _interface(side.interface, INSIDE)
    else:
        yield Line("no interface but lo", "eth0", f"  {CROSS} ", BAD)
    yield from findings_here(_at(view, "interface"), INSIDE)
    if not side.routes:
        yield Line("none: it cannot send packets", "route", f"  {CROSS} ", BAD)
    for route in side.routes[:MOST_LINES]:
        yield Line(route.text, "route", INSIDE)
    yield from findings_here(_at(view, "routes"), INSIDE)
    yield Line(rail=f"  {CROSS}" if _is_cut(view) else "  │")


def _interface(
    each: InterfaceView, rail: str, port: str = "", *, bad: bool = False
) -> Iterator[Line]:
    style = BAD if bad or not each.up else ""
    yield Line(interface_text(each) + port, each.label, rail, style)
    for program in each.programs[:MOST_LINES]:
        yield Line(program, "attached", rail)


def _is_cut(view: PodView) -> bool:
    """Whether no packet gets from the pod to the node, or back."""
    side = view.wire.node_side
    steps = {each.step for each in view.findings if each.level == "fail"}
    unpaired = side is None or side.interface is None or bool(side.problem)
    return unpaired or bool(steps & {"netns", "interface", "host_side", "bridge"})


def _node(view: PodView) -> Iterator[Line]:
    wire = view.wire
    yield Line(f"node {view.node} {'─' * 30}", rail="┌─" if wire.pod_side is None else "├─")
    yield from findings_here(_at(view, "node"), ON_NODE)
    if wire.node_side:
        yield from _node_side(view, wire.node_side)
    if wire.way_out:
        for each in (wire.way_out.overlay, wire.way_out.uplink):
            if each:
                yield from _interface(each, ON_NODE)
        peers = wire.way_out.peers
        for at, peer in enumerate(peers[:MOST_LINES], start=1):
            yield _peer(peer, "└─ " if at == len(peers) else "├─ ")
        if (more := len(peers) - MOST_LINES) > 0:
            yield Line(f"and {more} more nodes (-o json has all of them)", rail="└─ ")
    yield from findings_here(_at(view, "way_out"))


def _node_side(view: PodView, side: NodeSide) -> Iterator[Line]:
    if side.interface:
        port = f"  port of {side.interface.master}" if side.interface.master else ""
        yield from _interface(side.interface, ON_NODE, port, bad=bool(side.problem))
        yield from findings_here(_at(view, "programs"), ON_NODE)
    if side.problem:
        yield Line(side.problem, "host side", f"{CROSS} ", BAD)
    elif side.interface is None:
        yield Line("none: it is not a veth pair", "host side", ON_NODE)
    yield from findings_here(_at(view, "host_side"), ON_NODE)
    if side.bridge:
        yield from _interface(side.bridge, ON_NODE)
    yield from findings_here(_at(view, "bridge"), ON_NODE)
    for route in side.routes:
        yield Line(route.text, "route to pod", ON_NODE)


def _peer(peer: PeerView, rail: str) -> Line:
    if not peer.route:
        return Line(f"{peer.range}: no route", peer.node, rail, STYLES["warn"])
    words = [f"{peer.range} by {peer.device}", f"via {peer.gateway}" if peer.gateway else ""]
    if peer.gateway_mac:
        words.append(f"({peer.gateway_mac})")
    if peer.tunnel_to:
        own = peer.tunnel_to in peer.node_addresses
        words.append(f"in a tunnel to {peer.tunnel_to}" + ("" if own else ", NOT that node's"))
    return Line(" ".join(filter(None, words)), peer.node, rail)


def _dns(view: PodView) -> Iterator[Line]:
    dns = view.wire.dns
    if dns is None:
        return
    if dns.unread:
        yield Line(f"not read: {dns.unread}", "resolv.conf", "", STYLES["error"])
    elif dns.servers or dns.searches:
        servers = ", ".join(dns.servers) or "none"
        yield Line(f"nameserver {servers}  search {' '.join(dns.searches)}", "resolv.conf")
    for lookup in dns.lookups:
        yield _lookup(lookup)
    if not dns.lookups:
        yield Line("no lookups were made here", "DNS")
    yield from findings_here(_at(view, "dns"))


def _lookup(lookup: LookupView) -> Line:
    query = f"{lookup.question} at {lookup.server} over {lookup.transport.upper()}"
    if lookup.problem:
        return Line(f"{query}: {lookup.problem}", "DNS", "", BAD)
    return Line(f"{query}: {lookup.answer} in {lookup.seconds * 1000:.1f} ms", "DNS")


def _maps(found: PodMapsView) -> Iterator[Line]:
    if found.decided:
        yield Line(found.decided, "to Services")
    if found.unknown:
        yield Line(found.unknown, "eBPF maps", "", STYLES["error"])
    for text in found.entries[:MOST_LINES]:
        yield Line(text, "eBPF map")


def _around(view: PodView) -> Iterator[Line]:
    if view.ebpf:
        yield from _maps(view.ebpf)
    yield from findings_here(_at(view, "maps"))
    for text in view.wire.connections[:MOST_LINES]:
        yield Line(text, "conntrack")
    if view.wire.connections[MOST_LINES:]:
        yield Line(f"and {len(view.wire.connections) - MOST_LINES} more", "conntrack")
    if view.wire.connections_note:
        yield Line(view.wire.connections_note, "conntrack")
    yield from findings_here(_at(view, "connections"))
    policies = [f"{each.name} ({', '.join(each.types)})" for each in view.policies]
    yield Line("; ".join(policies) or "none selects the pod", "NetworkPolicy")
    yield Line(", ".join(view.services) or "none has the pod as an endpoint", "Services")
    yield from findings_here(_at(view, "services"))


PASSED = (
    "The first round shows a problem above, but no check of `wirecheck run` has a finding that "
    "counts: it was a change in flight, or there is a legitimate reason for it."
)


def _has_unexplained_problem(view: PodView) -> bool:
    """Whether the drawing itself shows that something is wrong that no finding is about."""
    lookups = view.wire.dns.lookups if view.wire.dns else []
    side = view.wire.node_side
    about = tuple(each.check for each in view.findings)
    has_lookups = any(each.startswith("dns.pods_resolve_") for each in about)
    has_pair = any(each.startswith(("links.", "pods.")) for each in about)
    is_dns_wrong = any(each.problem for each in lookups) and not has_lookups
    is_pair_wrong = bool(side and side.problem) and not has_pair
    return is_dns_wrong or is_pair_wrong


def _findings(view: PodView) -> Iterator[Line]:
    yield Line()
    if view.wire.unseen and not view.findings:
        sentence = f"Nothing is known about its network: {view.wire.unseen}."
        yield Line(sentence, style=STYLES["error"])
    elif _has_unexplained_problem(view):
        yield Line(PASSED, style=STYLES["warn"])
    elif not view.findings:
        yield Line("No check of `wirecheck run` has a finding here.", style=STYLES["good"])
    yield from found_lines(view.findings)
