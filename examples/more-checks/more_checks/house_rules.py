"""House rules: what holds in this company's clusters, and needs not hold elsewhere."""

from wirecheck.catalogue import Fact, Finding, Findings, check
from wirecheck.model.node import Node


@check(
    remedy="kubectl label node NAME topology.kubernetes.io/zone=ZONE",
    facts=[Fact.API],
)
def nodes_have_a_zone(node: Node) -> Findings:
    """Each node says in which zone it is.

    Services that prefer close endpoints treat all nodes without a zone as one place.
    """
    if "topology.kubernetes.io/zone" not in node.object.metadata.labels:
        yield Finding(node, expected="a label topology.kubernetes.io/zone", found="none")
