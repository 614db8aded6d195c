"""A stage that failed leaves its part of the document unread. That is not the same as empty."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.catalogue.registry import load
from wirecheck.collect.on_node.stages import STAGES
from wirecheck.model.node import Node
from wirecheck.snapshot.node_document import NodeDocument

UNREAD = {
    "Pods": "pods",
    "DNS": "probes",
    "kube-proxy": "http",
    "Sysctls": "files",
    "Kernel log": "kernel_log",
    "Conntrack counters": "conntrack",
    "Traffic": "traffic",
}


def test_each_field_of_a_stage_can_be_none() -> None:
    fields = {field for each in STAGES for field in each.fields}
    values = NodeDocument.__struct_defaults__
    defaults = dict(zip(NodeDocument.__struct_fields__[-len(values) :], values, strict=True))

    is_kept = {each for each in fields if defaults[each] is not None}
    assert is_kept == {"namespaces", "commands", "blocks", "closed_processes"}


@pytest.mark.parametrize(("stage", "field"), UNREAD.items())
def test_what_was_not_read_is_no_finding(stage: str, field: str) -> None:
    fact = next(each for each in Fact if stage in each.measured.stages)
    node = seen(stage, field)

    with pytest.raises(FactMissingError, match=f"{stage}: OSError"):
        node.seen.collected(getattr(node.seen.facts, field), fact, None)
    assert failing(node) - failing(SmallCluster().node) == set()


def seen(stage: str, field: str) -> Node:
    small = SmallCluster()
    small.change_document(**{field: None, "problems": [f"{stage}: OSError: no."]})
    return small.node


def failing(node: Node) -> set[str]:
    """The checks that have a finding, except the one about what was not read."""
    return {
        check.id
        for check in load()
        if check.scope == "node" and check.id != "nodes.reachable" and has_findings(check, node)
    }


def has_findings(check: object, node: Node) -> bool:
    try:
        return any(not each.inconclusive for each in check.findings(node))  # type: ignore[attr-defined]
    except Exception:
        return False
