"""Snapshots on disk, made of small clusters: one cluster for each look."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec.structs import replace

from tests.checks.small_cluster import KUBERNETES, WEB_NETNS, SmallCluster
from wirecheck import __version__
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import (
    ClusterIdentity,
    RoundRecord,
    SnapshotIndex,
    VisitRecord,
    VisitStatus,
    Waiver,
)

CHECKS = ("pods", "links", "nodes")
"""The groups that the small cluster holds every fact for."""


def healthy() -> SmallCluster:
    """One node, which is seen: a whole run would miss the neighbour that nobody visits."""
    small = SmallCluster()
    del small.api["nodes"][1:]
    return small


def broken() -> SmallCluster:
    """The web pod has lost its address."""
    small = healthy()
    small.change_netns(WEB_NETNS, addresses=[])
    return small


def risky() -> SmallCluster:
    """The node's connection table is nearly full: a warning."""
    small = healthy()
    small.change_file("/proc/sys/net/netfilter/nf_conntrack_count", "110000")
    return small


def unreachable() -> SmallCluster:
    visit = VisitRecord(
        VisitStatus.UNREACHABLE, via="ssh://n1", reason="n1 refuses the connection."
    )
    small = healthy()
    small.visit, small.document = visit, None
    return small


def written(
    folder: Path,
    *looks: SmallCluster,
    waivers: list[Waiver] | None = None,
    thresholds: dict[str, float] | None = None,
) -> Path:
    """The folder, with a look for each cluster; the web pod fails if none is given."""
    index = SnapshotIndex(
        format=1,
        wirecheck=__version__,
        time=1_800_000_000.0,
        cluster=ClusterIdentity("small", "uid-1", "v1.34.4"),
        thresholds=thresholds or {},
        waivers=waivers or [],
        queries={"kubernetes": KUBERNETES},
        helper_pods=looks[0].helper_pods if looks else None,
    )
    writer = SnapshotWriter(folder, index)
    for number, small in enumerate(looks or [broken()], start=1):
        writer.write_api(number, msgspec.convert(small.api, ApiObjects))
        started = index.time + 10 * number
        if small.document is not None:
            document = replace(small.document, started=started, finished=started + 1)
            writer.write_document(number, "n1", msgspec.json.encode(document))
        record = RoundRecord(started, started + 2, {"n1": small.visit}, small.changes)
        writer.finish_round(record)
    return Snapshot.open(folder).path
