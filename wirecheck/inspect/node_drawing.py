"""The view of a node as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

from wirecheck.inspect.drawing import STYLES, Line, found_lines, heading, interface_text
from wirecheck.inspect.ebpf_view import NodeMapsView
from wirecheck.inspect.node_view import ConntrackView, LinkView, NodeView, ProxyView
from wirecheck.text import listed, plural

MOST_LINES = 30
MOST_TABLES = 5
MOST_MAPS = 8


def node_lines(view: NodeView) -> Iterator[Line]:
    """The lines of the drawing."""
    yield from _title(view)
    if view.unseen:
        yield Line(view.unseen, "not seen", "", STYLES["error"])
    else:
        yield from _links(view)
        yield from _routes(view)
        yield Line()
        yield from _proxy(view.proxy)
        yield Line()
        if view.ebpf:
            yield from _maps(view.ebpf)
            yield Line()
        yield from _conntrack(view.conntrack)
    yield Line()
    if view.findings:
        yield from found_lines(view.findings)
    elif not view.unseen:
        yield Line("No check of `wirecheck run` has a finding here.", style=STYLES["good"])


def _title(view: NodeView) -> Iterator[Line]:
    ready = "Ready" if view.ready else f"not Ready: {view.not_ready}"
    yield Line(f"Node {view.name}: {ready}, {', '.join(view.addresses)}", style="bold")
    yield heading(view.source)
    yield Line()
    yield Line(", ".join(filter(None, (view.os, view.kernel))) or "unknown", "system")
    yield Line(f"{view.kubelet}, {view.runtime}".strip(", "), "kubelet")
    yield Line(", ".join(view.pod_ranges) or "none", "pod range")
    yield Line(f"{view.pods} running", "pods")
    yield Line(view.via or "not visited", "visited by")


def _links(view: NodeView) -> Iterator[Line]:
    yield Line()
    ordered = sorted(view.links, key=lambda each: bool(each.pod))
    for each in ordered[:MOST_LINES]:
        yield _link(each)
        if not each.pod:
            yield from (Line(program, "  attached") for program in each.interface.programs)
    yield from _programs_of_pods(view)
    if more := ordered[MOST_LINES:]:
        yield Line(f"and {len(more)} more interfaces (-o json has all of them)", "…")


def _programs_of_pods(view: NodeView) -> Iterator[Line]:
    """The programs on pods' devices, each once: on most nodes all devices have the same."""
    pods = [each.interface for each in view.links if each.pod]
    # The id differs from device to device.
    names = Counter(text.partition(" (id ")[0] for each in pods for text in each.programs)
    for name, count in names.most_common(MOST_LINES):
        yield Line(f"{name}, on {count} of {plural(len(pods), 'pod interface')}", "  attached")


def _link(each: LinkView) -> Line:
    interface = each.interface
    kind = f"{interface.kind}  " if interface.kind and not each.pod else ""
    port = f"  port of {interface.master}" if interface.master else ""
    pod = f"  to {each.pod}" if each.pod else ""
    style = "" if interface.up else STYLES["fail"]
    return Line(f"{kind}{interface_text(interface)}{port}{pod}", interface.label, "", style)


def _routes(view: NodeView) -> Iterator[Line]:
    yield Line()
    for each in view.routes[:MOST_LINES]:
        yield Line(each.text, "route")
    if more := view.routes[MOST_LINES:]:
        yield Line(f"and {len(more)} more (-o json has all of them)", "route")
    for text in view.policy_rules:
        yield Line(text, "rule")


def _proxy(proxy: ProxyView) -> Iterator[Line]:
    if proxy.mode:
        asked = proxy.configured_mode
        differs = f", configured for {asked}" if asked and asked != proxy.mode else ""
        yield Line(f"{proxy.version}, {proxy.mode} mode{differs}", "kube-proxy")
    if proxy.unknown:
        yield Line(proxy.unknown, "kube-proxy", "", STYLES["error"])
    elif proxy.health_problem:
        yield Line(proxy.health_problem, "  healthz", "", STYLES["fail"])
    else:
        yield Line("healthy", "  healthz")
    if proxy.pods:
        yield Line(proxy.pods, "  beside it")
    for sync in proxy.syncs:
        waiting = f", change of {_moment(sync.queued)} pending" if sync.is_waiting else ""
        yield Line(f"{_moment(sync.done)}{waiting} {sync.family}".rstrip(), "  last sync")


def _maps(found: NodeMapsView) -> Iterator[Line]:
    for sentence in found.decided.split("; "):
        yield Line(sentence, "Services")
    if found.unknown:
        yield Line(found.unknown, "eBPF maps", "", STYLES["error"])
    for each in found.maps[:MOST_MAPS]:
        entries = plural(each.entries, "entry", "entries")
        text = f"{each.name}  {entries} of {each.limit:,} ({each.use:.1f} %)"
        yield Line(text, "eBPF map")
    if more := found.maps[MOST_MAPS:]:
        yield Line(f"and {len(more)} more (-o json has all of them)", "eBPF map")


def _moment(stamp: float) -> str:
    return datetime.fromtimestamp(stamp, tz=UTC).strftime("%H:%M:%S UTC") if stamp else "never"


def _conntrack(table: ConntrackView) -> Iterator[Line]:
    if table.unknown:
        yield Line(table.unknown, "conntrack", "", STYLES["error"])
    shown = [each for each in table.tables if each.entries or not each.of]
    for each in shown[:MOST_TABLES]:
        of = each.of or "the node's own netns"
        text = f"{each.entries:,} entries of {table.limit:,} ({each.use:.1f} %)  {of}"
        yield Line(text, "conntrack")
    if table.window:
        yield Line(f"{table.grown:+,} entries in {table.window:.1f} s", "  growth")
        lost = {name: number for name, number in table.losses.items() if number}
        text = ", ".join(f"{name} {number:,}" for name, number in lost.items()) or "none"
        yield Line(text, "  lost", "", STYLES["fail"] if lost else "")
    if table.new:
        yield Line(table.new, "  new")
    for destination, number in table.new_destinations.items():
        yield Line(f"{number:,} to {destination}", "  new to")
    for entry in table.destinations[:MOST_LINES]:
        to = f"{entry.destination}:{entry.port}/{entry.protocol}"
        answered = f", {entry.unreplied} without an answer" if entry.unreplied else ""
        text = f"{entry.entries:,} to {to}{answered}, answered by {listed(entry.backends, 5)}"
        yield Line(text, "  entries")
    yield Line(table.note, "  read by")
