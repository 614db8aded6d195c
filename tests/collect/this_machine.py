"""This machine, or a container of it, visited as a node: real transports need no cluster."""

from __future__ import annotations

import msgspec

from wirecheck.collect.plan.dns import DnsPlan
from wirecheck.collect.plan.visit_plan import Plan, RoundOptions
from wirecheck.collect.visit import visit_all
from wirecheck.inventory.file import AccessMethod
from wirecheck.snapshot.index import VisitRecord
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeStatus

NO_DNS = DnsPlan(queries={}, pods=[], node=[], addresses=[], rate=1.0, tries=1, timeout=1.0)


def visited(*methods: AccessMethod) -> list[tuple[VisitRecord, NodeDocument | None]]:
    """This machine, visited as a node, by each of the ways at once."""
    status = NodeStatus(addresses=[NodeAddress(type="InternalIP", address="127.0.0.1")])
    by_name = {f"n{number}": access for number, access in enumerate(methods, 1)}
    nodes = {name: NodeObject(metadata=Metadata(name=name), status=status) for name in by_name}
    plan = Plan("test", 30.0, 0.1, NO_DNS)
    options = RoundOptions()
    found = visit_all(by_name, nodes, lambda _: plan, options, lambda *_: None)
    return [
        (record, msgspec.json.decode(document, type=NodeDocument) if document else None)
        for _, record, document in found
    ]


def document(access: AccessMethod) -> NodeDocument:
    ((record, found),) = visited(access)
    assert found, record.reason
    return found
