"""A node is freed with its document as soon as nothing refers to it."""

import gc
import weakref
from collections.abc import Iterator
from contextlib import suppress

import pytest
from msgspec.structs import asdict

from testbed.record import RECORDED
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.model.cluster import Cluster
from wirecheck.model.fingerprint import fingerprint_of
from wirecheck.model.node import Node
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument

CLUSTERS = sorted(folder.name for folder in RECORDED.iterdir())


@pytest.fixture
def without_cycle_detection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


class Watched(NodeDocument, frozen=True, weakref=True):
    """A document that a test may refer to weakly."""


def run_every_check(node: Node) -> None:
    """Make every part of the node on the way."""
    for check in load():
        if check.scope == "node":
            with suppress(FactMissingError, NotApplicable):
                list(check.findings(node))
    fingerprint_of(node)


@pytest.mark.parametrize("name", CLUSTERS)
@pytest.mark.usefixtures("without_cycle_detection")
def test_a_node_and_its_document_are_freed_by_counting_references(name: str) -> None:
    snapshot = Snapshot.open(RECORDED / name)
    cluster = Cluster(snapshot.api(), snapshot.index, snapshot.index.looks[0])
    seen = [
        each for each, visit in cluster.round.visits.items() if visit.status is VisitStatus.SEEN
    ]
    kept: list[tuple[str, str]] = []
    for each in seen:
        document = Watched(**asdict(snapshot.document(each)))
        node = Node(cluster, cluster.nodes[each], VisitRecord(VisitStatus.SEEN), document)
        run_every_check(node)
        watched = {"node": weakref.ref(node), "document": weakref.ref(document)}
        del node, document
        kept += [(each, what) for what, reference in watched.items() if reference() is not None]

    assert seen
    assert kept == []


class Watching:
    """A snapshot that watches the documents that are read from it."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.index = snapshot.index
        self.documents: list[tuple[str, weakref.ref[NodeDocument]]] = []

    def api(self, number: int = 1) -> ApiObjects:
        return self.snapshot.api(number)

    def document(self, name: str, number: int = 1) -> NodeDocument:
        document = Watched(**asdict(self.snapshot.document(name, number)))
        self.documents.append((name, weakref.ref(document)))
        return document

    @property
    def alive(self) -> set[str]:
        """The nodes whose documents are in memory."""
        return {name for name, document in self.documents if document() is not None}


@pytest.mark.usefixtures("without_cycle_detection")
def test_an_evaluation_frees_each_node_before_the_next_one() -> None:
    watching = Watching(Snapshot.open(RECORDED / "broken"))
    evaluation = Evaluation(watching, load())  # type: ignore[arg-type]
    for name in evaluation.node_names:
        # Packets of the last one may have come to it.
        assert watching.alive <= {name}
        assert list(evaluation.node(name))

    list(evaluation.cluster())
    assert len(watching.documents) >= len(evaluation.node_names)
    assert watching.alive == set()
