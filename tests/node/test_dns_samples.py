"""Single DNS queries, summarised over all replicas."""

from __future__ import annotations

from tests.checks.small_cluster import SmallCluster
from wirecheck.node.dns_samples import Sample, Samples


def test_losses_of_all_replicas_are_added_and_only_lossy_ones_are_named(
    small: SmallCluster,
) -> None:
    dns, web, *_ = small.cluster.pods
    found = Samples([Sample(dns, 40, 10), Sample(web, 60, 0)])

    assert (found.sent, found.lost, found.percent) == (100, 10, 10.0)
    assert found.replicas == [dns]
    assert str(found) == "10 of 100 queries lost (10 %): 10 of 40 at kube-system/dns"
