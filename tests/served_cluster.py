"""A live cluster without nodes: its API is served by this process, its visits are scripted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import msgspec

from tests.checks.small_cluster import SmallCluster
from tests.collect.conftest import ApiServer
from tests.snapshots import healthy
from wirecheck.collect.plan.visit_plan import Plan
from wirecheck.inventory.file import AccessMethod
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument

Visit = tuple[VisitRecord, NodeDocument | None]
SEEN = VisitRecord(VisitStatus.SEEN, via="docker://n", commands=1)


def node(name: str, *, ready: str = "True") -> dict[str, object]:
    """A further node, which has no pods."""
    return {
        "metadata": {"name": name, "uid": f"node-{name}"},
        "spec": {"podCIDR": "10.244.9.0/24", "podCIDRs": ["10.244.9.0/24"]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "192.0.2.9"}],
            "conditions": [{"type": "Ready", "status": ready, "reason": "KubeletNotReady"}],
        },
    }


@dataclass
class ServedCluster:
    """One small cluster for each look, the last one for all further looks."""

    server: ApiServer
    looks: list[SmallCluster] = field(default_factory=lambda: [healthy()])
    visits: dict[str, Visit] = field(default_factory=dict)
    """What visits of other nodes than n1 end with."""
    access_methods: set[str] = field(default_factory=lambda: {"n1"})
    """The nodes that are containers of this machine."""
    visited: list[list[str]] = field(default_factory=list)
    """The nodes visited, look by look."""
    plans: dict[str, Plan] = field(default_factory=dict)
    """The last one of each node."""
    before_visit: Callable[[str], None] = lambda _: None
    after_plan: Callable[[Plan], None] = lambda _: None

    def serve(self, small: SmallCluster) -> None:
        """Let the API show this cluster from now on."""
        self.server.lists["/api/v1/nodes"] = small.api["nodes"]
        self.server.lists["/api/v1/pods"] = small.api["pods"]
        self.server.lists["/api/v1/services"] = small.api["services"]
        slices = small.api["endpointSlices"]
        self.server.lists["/apis/discovery.k8s.io/v1/endpointslices"] = slices

    def container_access(self, nodes: list) -> dict[str, AccessMethod]:
        names = {each.metadata.name for each in nodes}
        return {
            n: AccessMethod(n, f"docker://{n}", "192.0.2.1")
            for n in sorted(names & self.access_methods)
        }

    def visit_all(
        self, methods: Mapping[str, AccessMethod], _nodes, plans, _options, progress
    ) -> Iterator[tuple[str, VisitRecord, bytes | None]]:
        self.visited.append([])
        for name in sorted(methods):
            self.before_visit(name)
            plan = plans(name)
            assert plan.program
            self.plans[name] = plan
            self.after_plan(plan)
            self.visited[-1].append(name)
            record, document = self.visit(name)
            progress(name, record)
            yield name, record, msgspec.json.encode(_dated(document)) if document else None

    def visit(self, name: str) -> Visit:
        if name != "n1":
            return self.visits[name]
        small = self.looks[min(len(self.visited), len(self.looks)) - 1]
        return msgspec.structs.replace(small.visit, via="docker://n1"), small.document


class Listener:
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.seen: list[str] = []

    def say(self, sentence: str) -> None:
        self.said.append(sentence)

    def visits(self, _total: int) -> AbstractContextManager[Listener]:
        return nullcontext(self)

    def visited(self, node: str, visit: VisitRecord) -> None:
        self.seen.append(f"{node} {visit.status}")

    @property
    def text(self) -> str:
        return "\n".join(self.said)


def _dated(document: NodeDocument) -> NodeDocument:
    """As of now: a node's clock that is years behind is a fault of its own."""
    return msgspec.structs.replace(document, started=time.time(), finished=time.time())


def emptied(document: NodeDocument | None) -> NodeDocument:
    """The document of a node of the same kind that has no pods, and the addresses of `node`."""
    assert document is not None
    host, *_ = document.namespaces
    own = {"192.0.2.1": "192.0.2.9", "10.244.0.1": "10.244.9.1"}
    addresses = [msgspec.structs.replace(e, address=own[e.address]) for e in host.addresses]
    links = [each for each in host.links if each.kind != "veth"]
    return msgspec.structs.replace(
        document,
        namespaces=[msgspec.structs.replace(host, links=links, addresses=addresses)],
        pods=[],
        probes=[],
    )
