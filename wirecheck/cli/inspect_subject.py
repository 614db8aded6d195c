"""What `wirecheck inspect` shows: a snapshot, or one round over the nodes concerned."""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Never

from wirecheck.api_index.pod import Pod
from wirecheck.cli.console import ConsoleProgress
from wirecheck.inspect.scene import Scene
from wirecheck.model.cluster import Cluster
from wirecheck.run.live import LiveCluster
from wirecheck.run.request import Request, RequestError
from wirecheck.run.session import Session
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex
from wirecheck.snapshot.objects.network_policy import NetworkPolicyObject
from wirecheck.snapshot.objects.service import ServiceObject

Nodes = Callable[[Cluster], Collection[str]]
"""The nodes to visit for a subject. Raises RequestError where the subject does not exist."""


def source_request(**source: Any) -> Request:
    """The request for a cluster or a snapshot. Raises RequestError if both are named."""
    request = Request(**source)
    if request.snapshot and request.cluster_options:
        raise RequestError(
            "--snapshot needs no cluster: leave out --inventory, --kubeconfig and --context."
        )
    return request


@contextmanager
def scene_of(request: Request, nodes: Nodes) -> Iterator[Scene]:
    """The scene of a snapshot, or of one round over the nodes that `nodes` returns.

    Raises what `request.SENTENCES` lists.
    """
    if request.snapshot is not None:
        scene = Scene(Snapshot.open(request.snapshot))
        nodes(scene.cluster)  # raises where the subject does not exist
        yield scene
        return
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
    return pods.get(name) or _refuse("Pod", name, pods)


def service_named(cluster: Cluster, name: str) -> ServiceObject:
    """The Service `NAMESPACE/NAME`; raises RequestError where there is none."""
    services = {f"{space}/{each}": service for (space, each), service in cluster.services.items()}
    return services.get(name) or _refuse("Service", name, services)


def policy_named(cluster: Cluster, name: str) -> NetworkPolicyObject:
    """The NetworkPolicy `NAMESPACE/NAME`; raises RequestError where there is none."""
    listed = cluster.api.network_policies
    policies = {f"{each.metadata.namespace}/{each.metadata.name}": each for each in listed}
    return policies.get(name) or _refuse("NetworkPolicy", name, policies)


def node_named(cluster: Cluster, name: str) -> str:
    """The node's name; raises RequestError where there is no such node."""
    return name if name in cluster.nodes else _refuse("Node", name, cluster.nodes)


def _refuse(kind: str, name: str, known: Iterable[str]) -> Never:
    names = sorted(known)
    if kind != "Node" and "/" not in name:
        near = [each for each in names if each.partition("/")[2].startswith(name)]
    else:
        near = [each for each in names if each.startswith(name)]
    near = (near or difflib.get_close_matches(name, names, n=3))[:3]
    hint = f"did you mean {' or '.join(near)}?" if near else f"{len(names):,} others exist."
    form = "" if kind == "Node" or "/" in name else " Names are written NAMESPACE/NAME."
    raise RequestError(f"{kind} {name} not found; {hint}{form}")
