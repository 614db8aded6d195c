"""The cluster's name: from the inventory, otherwise the context, otherwise kube-system's uid."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.collect.conftest import write_kubeconfig
from tests.report import sample
from tests.served_cluster import Listener, ServedCluster
from tests.snapshots import written
from wirecheck.inventory.file import InventoryError
from wirecheck.report import html, junit, markdown, message, prometheus, sonobuoy
from wirecheck.results.history import entry_of
from wirecheck.run.live import LiveCluster
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.snapshot.index import ClusterIdentity

NODES = 'nodes: [{name: "*", access: "docker://"}]\n'


@pytest.mark.parametrize(
    ("identity", "title"),
    [
        (ClusterIdentity("ctx", "uid-1", "v1", "prod"), "prod"),
        (ClusterIdentity("ctx", "uid-1"), "ctx"),
        (ClusterIdentity("in-cluster", "uid-1"), "uid-1"),
        (ClusterIdentity("in-cluster", "uid-1", name="prod"), "prod"),
        (ClusterIdentity("", "uid-1"), "uid-1"),
        (ClusterIdentity("in-cluster"), ""),
    ],
)
def test_what_a_cluster_is_called(identity: ClusterIdentity, title: str) -> None:
    assert identity.title == title


def inventory(folder: Path, line: str) -> Path:
    file = folder / "inventory.yaml"
    file.write_text(NODES + line + "\n")
    return file


def test_a_live_run_keeps_the_name_in_its_snapshot(server, tmp_path: Path) -> None:
    ServedCluster(server).serve(ServedCluster(server).looks[0])
    request = Request(
        kubeconfig=write_kubeconfig(tmp_path / "k", server.url),
        inventory=inventory(tmp_path, "cluster_name: prod-eu"),
    )

    source = LiveCluster.open(request)
    said = Listener()
    source.introduce(said)

    assert (source.identity.name, source.identity.context) == ("prod-eu", "test")
    assert "Cluster prod-eu, context test (Kubernetes" in "\n".join(said.said)


def test_an_inventory_gives_a_snapshot_another_name(tmp_path: Path) -> None:
    request = Request(
        snapshot=written(tmp_path / "seen"),
        inventory=inventory(tmp_path, "cluster_name: prod-eu"),
        report_dir=tmp_path / "reports",
    )

    results, _ = perform(request, ["pods.have_netns"], Listener())

    assert results.started.cluster.name == "prod-eu"
    assert ("cluster_name", "absent", "prod-eu") in [
        (each.name, each.was, each.now) for each in results.started.overrides
    ]
    # Its history stays the same under another name.
    assert entry_of(results, tmp_path).cluster == "uid-1"


@pytest.mark.parametrize("report", [html, junit, markdown, message, prometheus, sonobuoy])
def test_every_report_has_the_name(report) -> None:
    run = sample.broken()
    cluster = replace(run.started.cluster, name="name-of-its-own")
    named = replace(run, started=replace(run.started, cluster=cluster))

    assert "name-of-its-own" in report.render(named)


@pytest.mark.parametrize("name", ["''", "[a]", "x" * 101])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    request = Request(
        snapshot=written(tmp_path / "seen"), inventory=inventory(tmp_path, f"cluster_name: {name}")
    )

    with pytest.raises(InventoryError, match="cluster_name"):
        request.read_checked_inventory()
