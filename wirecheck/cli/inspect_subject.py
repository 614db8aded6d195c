"""What `wirecheck inspect` shows: a snapshot, or one round over the nodes concerned."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Never

from wirecheck.api_index.pod import Pod
from wirecheck.cli.console import ConsoleProgress
from wirecheck.inspect.scene import Scene
from wirecheck.model.cluster import Cluster
from wirecheck.run.live import LiveCluster
from wirecheck.run.request import Request, RequestError
from wirecheck.run.session import Session
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex
from wirecheck.snapshot.objects.service import ServiceObject

Nodes = Callable[[Cluster], Collection[str]]
"""The nodes to visit for a subject. Raises RequestError where the subject does not exist."""


@contextmanager
def scene_of(
    *,
    snapshot: Path | None,
    inventory: Path | None,
    kubeconfig: Path | None,
    context: str | None,
    nodes: Nodes,
) -> Iterator[Scene]:
    """The scene of a snapshot, or of one round over the nodes that `nodes` returns.

    Raises what `request.SENTENCES` lists.
    """
    if snapshot is not None:
        if inventory or kubeconfig or context:
            raise RequestError(
                "--snapshot needs no cluster: leave out --inventory, --kubeconfig and --context."
            )
        scene = Scene(Snapshot.open(snapshot))
        nodes(scene.cluster)
        yield scene
        return
    with live_scene(
        Request(inventory=inventory, kubeconfig=kubeconfig, context=context), nodes
    ) as it:
        yield it


@contextmanager
def live_scene(request: Request, nodes: Nodes) -> Iterator[Scene]:
    """The scene of one round over the nodes that `nodes` returns. Raises as `scene_of`."""
    source = LiveCluster.open(request)
    wanted = set(nodes(_api_alone(source))) & set(source.node_names)
    with tempfile.TemporaryDirectory(prefix="wirecheck-") as folder:
        yield Scene(Session(source, ConsoleProgress()).see(Path(folder), wanted))


def _api_alone(source: LiveCluster) -> Cluster:
    index = SnapshotIndex(format=1, wirecheck="", time=0.0)
    return Cluster(source.objects, index, RoundRecord(0.0, 0.0))


def pod_named(cluster: Cluster, name: str) -> Pod:
    """The pod `NAMESPACE/NAME`; raises RequestError, with near names, where there is none."""
    pods = {f"{each.namespace}/{each.name}": each for each in cluster.pods}
    return pods.get(name) or _refuse("pod", name, pods)


def service_named(cluster: Cluster, name: str) -> ServiceObject:
    """The Service `NAMESPACE/NAME`; raises RequestError where there is none."""
    services = {f"{space}/{each}": service for (space, each), service in cluster.services.items()}
    return services.get(name) or _refuse("Service", name, services)


def node_named(cluster: Cluster, name: str) -> str:
    """The node's name; raises RequestError where there is no such node."""
    return name if name in cluster.nodes else _refuse("node", name, cluster.nodes)


def _refuse(kind: str, name: str, known: Iterable[str]) -> Never:
    names = sorted(known)
    if kind != "node" and "/" not in name:
        near = [each for each in names if each.partition("/")[2].startswith(name)]
    else:
        near = [each for each in names if each.startswith(name)]
    near = (near or difflib.get_close_matches(name, names, n=3))[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {len(names):,} others."
    form = "" if kind == "node" or "/" in name else " Names are written NAMESPACE/NAME."
    raise RequestError(f"There is no {kind} {name};{' ' + hint}{form}")
