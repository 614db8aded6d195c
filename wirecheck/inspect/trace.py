"""Makes the view of a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from wirecheck.inspect.scene import Scene
from wirecheck.inspect.trace_policies import PathPolicies, policy_view
from wirecheck.inspect.trace_view import HopView, PathView, TraceView, WayView
from wirecheck.model.path_world import PathNodes
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.paths.answer import Path, paths
from wirecheck.paths.assumed_service import MOST_BACKENDS, backends_of
from wirecheck.paths.ends import Destination, Named, NoSuchEndError, destinations
from wirecheck.paths.further import further_hops
from wirecheck.paths.journey import Hop, Journey, Result
from wirecheck.paths.mtu import with_size
from wirecheck.paths.place import World
from wirecheck.paths.start import start
from wirecheck.policy.manifest import Manifest

WORST_FIRST = (Result.DIES, Result.UNDECIDED, Result.REACHES)


def trace_view(
    scene: Scene,
    source: Named,
    to: Destination,
    *,
    one_way: bool = False,
    size: int = 0,
    manifest: Manifest | None = None,
    backends: Sequence[Destination] = (),
) -> TraceView:
    """The view of the path. Raises NoSuchEndError where an end does not exist.

    `size` is the payload in bytes; 0 for a packet that fits everywhere. The policies of `manifest`
    are assumed to be applied. `backends` are those of an assumed Service, which share the
    connections to it equally.
    """
    world = PathNodes(scene.cluster, scene.node).world
    policies = PathPolicies(scene.cluster, manifest)
    views: list[PathView] = []
    unknown = ""
    for each in backends or (to,):
        beginning = start(world, source, each)
        if isinstance(beginning, str):
            unknown = unknown or beginning
            continue
        if backends:
            what = f"assumed: {to.label} would forward to {each.label}, port {each.port}"
            beginning = beginning.noted("Service", what)
        if size:
            beginning = replace(beginning, packet=with_size(beginning.packet, size))
        found = paths(world, beginning, one_way=one_way)
        share = 1 / len(backends or (to,))
        views += [_path(world, beginning, e, policies, share, one_way=one_way) for e in found]
    views.sort(key=_gravity)
    result = Result(views[0].result) if views else Result.UNDECIDED
    is_unknown = bool(unknown) and result is not Result.DIES
    return TraceView(
        source=scene.source,
        sender=source.label,
        destination=to.label,
        address=str(to.address),
        port=to.port,
        protocol=to.protocol,
        result=Result.UNDECIDED if is_unknown else result,
        reason=unknown if is_unknown else views[0].reason if views else "",
        assumed=policies.names,
        paths=views,
    )


def destination(
    cluster: ClusterSeen, source: Named, end: Named, port: str, protocol: str
) -> Destination:
    """The destination's address in a family of the source. Raises NoSuchEndError without one."""
    found = [*destinations(cluster, end, port, protocol)]
    families = _families(cluster, source)
    fitting = [each for each in found if not families or each.address.version in families]
    if not fitting:
        raise NoSuchEndError(f"{source.label} and {end.label} have no address family in common.")
    return fitting[0]


def assumed_backends(
    cluster: ClusterSeen,
    source: Named,
    end: Named,
    manifest: Manifest | None,
    *,
    port: str,
    protocol: str,
) -> tuple[Destination, ...]:
    """The pods that a Service of the manifest forwards to, in one family that the source has.

    Empty if the end is not such a Service. Raises NoSuchEndError if the Service has no such pod.
    """
    services = manifest.services if manifest and end.kind == "service" else ()
    names = {f"{each.metadata.namespace}/{each.metadata.name}": each for each in services}
    if end.name not in names:
        return ()
    found = backends_of(cluster, names[end.name], end, port, protocol)
    families = _families(cluster, source)
    fitting = [each for each in found if not families or each.address.version in families]
    if not fitting:
        raise NoSuchEndError(f"{source.label} and {end.label} have no address family in common.")
    family = fitting[0].address.version
    return tuple(e for e in fitting if e.address.version == family)[:MOST_BACKENDS]


def _families(cluster: ClusterSeen, source: Named) -> frozenset[int]:
    """The families of the source's addresses; empty if they are not known."""
    if source.kind == "address":
        return frozenset({6 if ":" in source.name else 4})
    pods = (e for e in cluster.pods if f"{e.namespace}/{e.name}" == source.name)
    own = pods if source.kind == "pod" else ()
    return frozenset(each.version for pod in own for each in pod.addresses)


def _gravity(view: PathView) -> tuple[int, float]:
    return WORST_FIRST.index(Result(view.result)), -view.share


def _path(
    world: World,
    start: Journey,
    path: Path,
    policies: PathPolicies,
    share: float,
    *,
    one_way: bool,
) -> PathView:
    further: list[Hop] = []
    if path.result is Result.DIES:
        further += further_hops(world, start, path, one_way=one_way)
    decisive, verdict = path.decisive, policies.of(start, path)
    return PathView(
        share=round(path.share * share, 4),
        result=verdict.result,
        reason=verdict.reason,
        decisive=_hop(decisive) if decisive else None,
        further=_hops(further),
        there=_way(path.there),
        back=_way(path.back) if path.back else None,
        unread=list(path.open),
        policy=policy_view(verdict.now),
        assumed=policy_view(verdict.assumed),
    )


def _way(journey: Journey) -> WayView:
    sent, hops = journey.sent or journey.packet, journey.hops
    return WayView(
        packet=str(sent),
        arrives_as=str(journey.packet),
        result=str(journey.result),
        hops=_hops(hops),
    )


def _hops(hops: Sequence[Hop]) -> list[HopView]:
    return [_hop(each) for each in hops]


def _hop(hop: Hop) -> HopView:
    return HopView(
        node=hop.node, netns=hop.netns, stage=hop.stage, text=hop.text, lines=list(hop.lines)
    )
