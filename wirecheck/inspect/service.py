"""Makes the view of one Service on each node."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping

from msgspec.structs import replace

from wirecheck.api_index.endpoint_slices import is_ready
from wirecheck.api_index.service import service_key
from wirecheck.api_index.services import is_ignored, needs_health_check
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference
from wirecheck.dataplane.compare.wording import affinity_of, sources_of, verdict_of
from wirecheck.dataplane.table import (
    Client,
    Entry,
    Frontend,
    Handling,
    Masquerade,
    ServiceTable,
    Verdict,
)
from wirecheck.inspect.parts import FindingView
from wirecheck.inspect.scene import Scene, findings_of
from wirecheck.inspect.service_view import (
    DifferenceView,
    EndpointView,
    FrontendView,
    HandlingView,
    NodeServiceView,
    PortView,
    ServiceView,
)
from wirecheck.model.node import Node
from wirecheck.node.dataplane import without_pods
from wirecheck.results.ordering import REACHABLE
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.service import ServiceObject

UNKNOWN = (FactMissingError, NotApplicable)
GROUPS = ("services", "endpoints", "kube_proxy", "nodes")
"""The groups of checks that can have findings about a Service."""


def service_view(scene: Scene, service: ServiceObject, nodes: Collection[str]) -> ServiceView:
    """The Service on `nodes`. Raises SnapshotError if the API objects are damaged."""
    meta, spec = service.metadata, service.spec
    policies = {
        "internal": spec.internal_traffic_policy,
        "external": spec.external_traffic_policy,
        "affinity": "" if spec.session_affinity == "None" else spec.session_affinity,
        "distribution": spec.traffic_distribution,
    }
    slices = scene.cluster.slices.get((meta.namespace, meta.name), ())
    return ServiceView(
        source=scene.source,
        namespace=meta.namespace,
        name=meta.name,
        type=spec.type,
        cluster_ips=list(spec.cluster_ips or filter(None, [spec.cluster_ip])),
        external_ips=list(spec.external_ips),
        load_balancer_ips=[each.ip for each in service.status.load_balancer.ingress if each.ip],
        selector=dict(spec.selector),
        traffic_policies={name: value for name, value in policies.items() if value},
        ports=[
            PortView(
                name=each.name,
                port=each.port,
                protocol=each.protocol,
                target_port=str(each.target_port),
                node_port=each.node_port,
            )
            for each in spec.ports
        ],
        endpoints=[view for each in slices for view in _endpoints(each)],
        note=_note(service),
        nodes=[_on_node(scene.node(name), service) for name in sorted(nodes)],
        findings=list(_concerning(service, scene, nodes)),
    )


def _note(service: ServiceObject) -> str:
    spec = service.spec
    if spec.type == "ExternalName":
        return f"type ExternalName: only DNS answers, with {spec.external_name}"
    if spec.cluster_ip == "None":
        return "headless: only DNS answers, with the endpoints"
    return "its label assigns it to another proxy" if is_ignored(service) else ""


def _endpoints(slice_: EndpointSliceObject) -> Iterator[EndpointView]:
    ports = [f"{each.port}/{each.protocol} {each.name or ''}" for each in slice_.ports or ()]
    for each in slice_.endpoints or ():
        target = each.target_ref
        yield EndpointView(
            addresses=list(each.addresses),
            ports=[port.rstrip() for port in ports],
            node=each.node_name,
            target=f"{target.namespace}/{target.name}" if target else "",
            ready=is_ready(each),
            serving=each.conditions.serving is not False,
            terminating=bool(each.conditions.terminating),
        )


def _concerning(
    service: ServiceObject, scene: Scene, nodes: Collection[str]
) -> Iterator[FindingView]:
    """The findings about the Service, and those about all rules of a node."""
    own = ("Service", service.metadata.namespace, service.metadata.name)
    for each in findings_of(scene.evaluated(nodes, GROUPS)):
        group = each.check.partition(".")[0]
        is_about_all = each.kind == "Node" and group in ("services", "kube_proxy")
        unreachable = each.check == REACHABLE
        if (each.kind, each.namespace, each.name) == own or is_about_all or unreachable:
            yield each


def _on_node(node: Node, service: ServiceObject) -> NodeServiceView:
    if not node.cilium.were_read:
        return _by_rules(node, service)
    maps = _by_maps(node, service)
    if node.cilium.replaces_kube_proxy or maps.unknown:
        return maps
    rules = _by_rules(node, service)
    return replace(
        rules,
        mode=f"{rules.mode}, eBPF for pods" if rules.mode else maps.mode,
        pods="",
        decided=maps.decided,
        frontends=[*rules.frontends, *maps.frontends],
    )


def _by_maps(node: Node, service: ServiceObject) -> NodeServiceView:
    """By Cilium's eBPF maps."""
    decided = node.cilium.where_decided(node.cilium.clients)
    view = NodeServiceView(
        node=node.name, mode="eBPF", unknown="", pods="", decided=decided, frontends=[]
    )
    try:
        wanted, found = node.cilium.tables
    except UNKNOWN as reason:
        return replace(view, unknown=str(reason))
    wanted, found = _only(service, wanted, found)
    return replace(view, frontends=_frontends(wanted, found, compare(wanted, found)))


def _by_rules(node: Node, service: ServiceObject) -> NodeServiceView:
    """By kube-proxy's rules."""
    mode = ""
    pods = node.pod_programs.forwards_for_pods if node.document else ""
    view = NodeServiceView(node=node.name, mode=mode, unknown="", pods="", decided="", frontends=[])
    try:
        mode = str(node.proxy.facts.mode)
        wanted, found = node.service_tables
    except UNKNOWN as reason:
        return replace(view, mode=mode, unknown=str(reason))
    wanted, found = _only(service, wanted, found)
    differences: Iterable[Difference] = compare(wanted, found)
    if pods:
        addresses = node.cluster.service_addresses.without_load_balancers
        differences = without_pods(differences, addresses)
    if pods and node.cilium.were_read:
        wanted, found = (_without_pods(each, addresses) for each in (wanted, found))
    return replace(view, mode=mode, pods=pods, frontends=_frontends(wanted, found, differences))


def _without_pods(table: ServiceTable, of: frozenset[str]) -> ServiceTable:
    """The table without pods as clients of some addresses: Cilium's maps have them."""
    entries = {
        frontend: replace(
            entry, handlings={c: h for c, h in entry.handlings.items() if c is not Client.POD}
        )
        if frontend.address in of
        else entry
        for frontend, entry in table.entries.items()
    }
    return replace(table, entries=entries)


def _frontends(
    wanted: ServiceTable, found: ServiceTable, differences: Iterable[Difference]
) -> list[FrontendView]:
    differing: dict[Frontend, list[Difference]] = defaultdict(list)
    for each in differences:
        differing[each.frontend].append(each)
    frontends = dict.fromkeys([*wanted.entries, *found.entries, *differing])
    return [
        _frontend(each, wanted.entries.get(each), found.entries.get(each), differing[each])
        for each in frontends
    ]


def _only(
    service: ServiceObject, wanted: ServiceTable, found: ServiceTable
) -> tuple[ServiceTable, ServiceTable]:
    """The parts of both tables about the Service: its claims and its addresses."""
    name = service_key(service)
    own = {
        frontend
        for frontend, entry in wanted.entries.items()
        for claim in wanted.contested.get(frontend, (entry,))
        if claim.owner and (claim.owner.namespace, claim.owner.service) == name
    }
    theirs = {each.address for each in own if each.address}
    port = service.spec.health_check_node_port
    ports = {(4, port), (6, port)} if needs_health_check(service) else set()
    return (
        replace(
            wanted,
            entries={each: wanted.entries[each] for each in wanted.entries if each in own},
            health_check_ports=wanted.health_check_ports & ports,
        ),
        replace(
            found,
            entries={
                each: entry
                for each, entry in found.entries.items()
                if each in own or (each.address in theirs and each not in wanted.entries)
            },
        ),
    )


def _frontend(
    frontend: Frontend, wanted: Entry | None, found: Entry | None, differences: list[Difference]
) -> FrontendView:
    lines = (line for each in (found.handlings.values() if found else ()) for line in each.lines)
    return FrontendView(
        frontend=str(frontend),
        port=wanted.owner.name if wanted and wanted.owner else "",
        expected=list(_handlings(wanted.handlings)) if wanted else [],
        found=list(_handlings(found.handlings)) if found else [],
        differences=[
            DifferenceView(
                kind=str(each.kind),
                clients=[str(client) for client in each.clients],
                expected=each.expected,
                found=each.found,
                evidence=list(each.evidence),
            )
            for each in differences
        ],
        rules=list(dict.fromkeys(lines)),
    )


def _handlings(by_client: Mapping[Client, Handling]) -> Iterator[HandlingView]:
    """The handlings; clients with the same handling share one view."""
    alike: dict[Handling, list[Client]] = {}
    for client, handling in by_client.items():
        plain = replace(
            handling,
            evidence=(),
            refusing=(),
            admitted=(),
            third_party=False,
            by_source=False,
            by_mark=False,
        )
        alike.setdefault(plain, []).append(client)
    for handling, clients in alike.items():
        yield HandlingView(
            clients=[str(each) for each in clients],
            verdict=str(handling.verdict),
            backends=[str(each) for each in handling.backends],
            shares=list(handling.shares),
            affinity=list(handling.affinity),
            masquerade=str(handling.masquerade),
            allowed=None if handling.allowed is None else list(handling.allowed),
            text=_text_of(handling),
        )


def _text_of(handling: Handling) -> str:
    words = [verdict_of(handling)]
    if handling.verdict is Verdict.FORWARD:
        kept = handling.masquerade in (Masquerade.NEVER, Masquerade.UNKNOWN)
        words += [] if kept else [str(handling.masquerade)]
        words += [affinity_of(handling)] if any(handling.affinity) else []
    if handling.allowed is not None:
        words.append(sources_of(handling.allowed))
    return ", ".join(words)
