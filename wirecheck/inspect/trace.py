"""Makes the view of a path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from wirecheck.inspect.scene import Scene
from wirecheck.inspect.trace_view import HopView, PathView, TraceView, WayView
from wirecheck.model.path_world import PathNodes
from wirecheck.node.cluster_seen import ClusterSeen
from wirecheck.paths.answer import Path, paths
from wirecheck.paths.ends import Destination, Named, NoSuchEndError, destinations
from wirecheck.paths.further import further_hops
from wirecheck.paths.journey import Hop, Journey, Result
from wirecheck.paths.mtu import with_size
from wirecheck.paths.place import World
from wirecheck.paths.start import start

WORST_FIRST = (Result.DIES, Result.UNDECIDED, Result.REACHES)


def trace_view(
    scene: Scene, source: Named, to: Destination, *, one_way: bool = False, size: int = 0
) -> TraceView:
    """The view of the path. Raises NoSuchEndError where an end does not exist.

    `size` is the payload in bytes; 0 for a packet that fits everywhere.
    """
    world = PathNodes(scene.cluster, scene.node).world
    beginning = start(world, source, to)
    if size and not isinstance(beginning, str):
        beginning = replace(beginning, packet=with_size(beginning.packet, size))
    found = () if isinstance(beginning, str) else paths(world, beginning, one_way=one_way)
    views = sorted(map(partial(_path, world, beginning, one_way=one_way), found), key=_gravity)
    unknown = beginning if isinstance(beginning, str) else ""
    return TraceView(
        source=scene.source,
        sender=source.label,
        destination=to.label,
        address=str(to.address),
        port=to.port,
        protocol=to.protocol,
        result=views[0].result if views else Result.UNDECIDED,
        reason=views[0].reason if views else unknown,
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


def _families(cluster: ClusterSeen, source: Named) -> frozenset[int]:
    """The families of the source's addresses; empty if they are not known."""
    if source.kind == "address":
        return frozenset({6 if ":" in source.name else 4})
    pods = (e for e in cluster.pods if f"{e.namespace}/{e.name}" == source.name)
    own = pods if source.kind == "pod" else ()
    return frozenset(each.version for pod in own for each in pod.addresses)


def _gravity(view: PathView) -> tuple[int, float]:
    return WORST_FIRST.index(Result(view.result)), -view.share


def _path(world: World, start: Journey | str, path: Path, *, one_way: bool) -> PathView:
    further: list[Hop] = []
    if path.result is Result.DIES and not isinstance(start, str):
        further += further_hops(world, start, path, one_way=one_way)
    decisive = path.decisive
    return PathView(
        share=round(path.share, 4),
        result=path.result,
        reason=path.reason,
        decisive=_hop(decisive) if decisive else None,
        further=_hops(further),
        there=_way(path.there),
        back=_way(path.back) if path.back else None,
        unread=list(path.open),
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
