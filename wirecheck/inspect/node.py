"""Makes the view of one node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.inspect.ebpf import maps_of_node
from wirecheck.inspect.node_view import (
    ConntrackView,
    DestinationView,
    LinkView,
    NodeView,
    ProxyView,
    SyncView,
    TableView,
)
from wirecheck.inspect.parts import interface_view, route_views
from wirecheck.inspect.scene import Scene, findings_of
from wirecheck.inspect.wire import ranges_of
from wirecheck.model.node import Node
from wirecheck.node.table_usage import TableUsage
from wirecheck.parse.conntrack import Connection, parse_connections
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.netns import Rule

UNKNOWN = (FactMissingError, NotApplicable)
USUAL_RULES = {0: 255, 32766: 254, 32767: 253}
"""The tables local, main and default, by the priority of the rule that looks each up."""


def node_view(scene: Scene, name: str) -> NodeView:
    """Everything known about the node. Raises SnapshotError if the API objects are damaged."""
    node = scene.node(name)
    info = node.object.status.node_info
    unseen = _unseen(node)
    return NodeView(
        source=scene.source,
        name=name,
        addresses=sorted(map(str, node.addresses)),
        pod_ranges=list(ranges_of(node, node.name)),
        ready=node.is_ready,
        not_ready="" if node.is_ready else node.why_not_ready,
        kernel=info.kernel_version,
        os=info.os_image,
        runtime=info.container_runtime_version,
        kubelet=info.kubelet_version,
        via=node.visit.via,
        unseen=unseen,
        pods=sum(pod.is_running for pod in node.pods),
        links=[] if unseen else list(_links(node)),
        routes=[] if unseen else route_views(node.host),
        policy_rules=[] if unseen else [_rule(each) for each in _unusual(node)],
        proxy=ProxyView(unknown=unseen) if unseen else _proxy(node),
        ebpf=None if unseen else maps_of_node(node),
        conntrack=ConntrackView(unknown=unseen) if unseen else _conntrack(node),
        findings=[each for each in findings_of(scene.evaluated({name})) if each.node == name],
    )


def _unseen(node: Node) -> str:
    try:
        _ = node.seen.facts
    except UNKNOWN as reason:
        return str(reason)
    return node.host.record.error


def _links(node: Node) -> Iterator[LinkView]:
    pods: dict[int, str] = {}
    try:
        for pair in node.veths:
            if pair.outer and pair.points_back:
                pods[pair.outer.index] = f"{pair.pod.namespace}/{pair.pod.name}"
    except FactMissingError:
        pass  # Raised after all readable pairs; the findings report it.
    for each in node.host.interfaces:
        yield LinkView(interface=interface_view(node.host, each), pod=pods.get(each.index, ""))


def _unusual(node: Node) -> Iterator[Rule]:
    for each in node.host.record.rules:
        plain = not (each.source or each.destination or each.iif or each.oif or each.mark)
        if not plain or USUAL_RULES.get(each.priority) != each.table:
            yield each


def _rule(each: Rule) -> str:
    words = [f"{each.priority}: from {each.source or 'all'}"]
    for keyword in ("destination", "iif", "oif", "mark"):
        value = getattr(each, keyword)
        words += [f"{'to' if keyword == 'destination' else keyword} {value}"] if value else []
    return " ".join([*words, each.action, str(each.table)])


def _proxy(node: Node) -> ProxyView:
    try:
        proxy = node.proxy
    except UNKNOWN as reason:
        return ProxyView(unknown=str(reason))
    problems: list[str] = []
    mode = configured = ""
    syncs: tuple[SyncView, ...] = ()
    try:
        mode = str(proxy.facts.mode)
        syncs = tuple(
            SyncView(
                family=each.family, queued=each.queued, done=each.done, is_waiting=each.is_waiting
            )
            for each in proxy.syncs
        )
    except UNKNOWN as reason:
        problems.append(str(reason))
    try:
        configured = str(proxy.configured_mode)
    except UNKNOWN:
        configured = ""  # kube-proxy can run without a known ConfigMap.
    return ProxyView(
        unknown="; ".join(problems),
        version=proxy.version,
        mode=mode,
        configured_mode=configured,
        health_problem=proxy.health_problem,
        syncs=syncs,
        pods=node.pod_programs.forwards_for_pods,
    )


def _conntrack(node: Node) -> ConntrackView:
    table = node.conntrack
    tables: list[TableUsage] = []
    problems = []
    try:
        for each in table.tables:
            tables.append(each)
    except UNKNOWN as reason:
        problems.append(str(reason))
    samples = node.seen.facts.conntrack or []
    grown = [each.counters.get("entries", 0) for each in (samples[:1] + samples[-1:])]
    destinations, note = _destinations(node)
    try:
        newcomers = table.new_connections
    except UNKNOWN:
        newcomers = None
    ordered = [*tables[:1], *sorted(tables[1:], key=lambda each: -each.entries)]
    return ConntrackView(
        unknown="; ".join(problems),
        limit=tables[0].limit if tables else 0,
        tables=tuple(map(_table, ordered)),
        window=table.window if len(samples) > 1 else 0.0,
        grown=grown[-1] - grown[0] if grown else 0,
        losses=table.drops if len(samples) > 1 else {},
        new=str(newcomers) if newcomers else "",
        new_destinations=newcomers.record.destinations if newcomers else {},
        destinations=destinations,
        note=note,
    )


def _table(each: TableUsage) -> TableView:
    of = f"{each.ref.namespace}/{each.ref.name}" if each.ref.kind == "Pod" else ""
    return TableView(of=of, entries=each.entries, use=round(each.use, 3))


def _destinations(node: Node) -> tuple[tuple[DestinationView, ...], str]:
    """The entries that were read, by destination, the most frequent first."""
    grouped: dict[tuple[str, str, int], list[Connection]] = defaultdict(list)
    filters = []
    for name, command in sorted(node.seen.facts.commands.items()):
        if not name.startswith("conntrack") or command.problem:
            continue
        filters.append(" ".join(command.argv))
        try:
            for each in parse_connections(node.seen.output_of(name)):
                to = each.original
                key = (each.protocol, str(to.destination), to.destination_port)
                grouped[key].append(each)
        except (FactMissingError, ParseError) as reason:
            filters.append(str(reason))
    views = [
        DestinationView(
            protocol=protocol,
            destination=destination,
            port=port,
            entries=len(entries),
            unreplied=sum(not each.is_replied for each in entries),
            backends=sorted({str(each.reply.source) for each in entries}),
        )
        for (protocol, destination, port), entries in grouped.items()
    ]
    views.sort(key=lambda each: (-each.entries, each.destination, each.port))
    return tuple(views), "; ".join(filters) or "no entry was read"
