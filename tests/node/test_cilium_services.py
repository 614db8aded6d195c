"""One frontend of Cilium's maps is handled as the table of all frontends has it."""

from collections.abc import Callable
from pathlib import Path

from tests.cilium_with_maps import with_maps
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.node.cilium_services import FEW
from wirecheck.snapshot.folder import Snapshot

__all__ = ["with_maps"]


def test_few_addresses_are_decoded_alone_and_more_all_at_once(
    with_maps: Callable[..., Path],
) -> None:
    snapshot = Snapshot.open(with_maps("dual-stack"))
    cluster = Cluster(snapshot.api(), snapshot.index, snapshot.index.looks[0])
    visit = cluster.visit_to("td-w1")
    assert visit is not None
    cilium = Node(cluster, cluster.nodes["td-w1"], visit, snapshot.document("td-w1")).cilium
    _, table = cilium.tables
    addresses = list(dict.fromkeys(each.address for each in table.entries))
    assert len(addresses) > FEW
    for frontend, entry in table.entries.items():
        for client, handling in entry.handlings.items():
            found = cilium.handling(frontend, client)
            assert (found.verdict, found.backends) == (handling.verdict, handling.backends)
            assert (found.reason, found.lines) == (handling.reason, handling.lines)
    assert list(cilium._by_address) == addresses[:FEW]
