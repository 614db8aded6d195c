"""Each finding offers the `wirecheck inspect` that shows its object as the run saw it."""

from __future__ import annotations

import shlex
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import SmallCluster
from tests.report import sample
from tests.report.test_counts import evaluated, screen
from tests.served_cluster import Listener
from tests.snapshots import broken, written
from tests.verdicts import CLUSTERS
from wirecheck.catalogue.findings import Ref
from wirecheck.cli import main as cli
from wirecheck.model.cluster import Cluster
from wirecheck.model.inspect_arguments import inspect_arguments
from wirecheck.report import html, junit, markdown
from wirecheck.report.sentences import inspect_command
from wirecheck.results.records import FURTHER
from wirecheck.run.reported_run import perform
from wirecheck.run.request import Request
from wirecheck.snapshot.folder import Snapshot


@cache
def cluster_of(name: str) -> Cluster:
    snapshot = Snapshot.open(CLUSTERS[name])
    return Cluster(snapshot.api(1), snapshot.index, snapshot.index.looks[0])


@pytest.mark.parametrize("name", ["broken", "older-broken"])
def test_every_finding_of_a_recorded_cluster_names_an_object_that_there_is(name):
    cluster = cluster_of(name)
    for item in evaluated(name).items:
        for finding in item.findings:
            if finding.object.part == FURTHER or (not item.node and not finding.inspect):
                continue
            kind, about, *rest = shlex.split(finding.inspect)
            known = {
                "pod": {f"{pod.namespace}/{pod.name}" for pod in cluster.pods},
                "service": {f"{space}/{each}" for space, each in cluster.services},
                "node": set(cluster.nodes),
            }[kind]
            assert about in known, (item.check, finding.object)
            assert rest in ([], ["--node", item.node])


def test_most_findings_about_the_cluster_have_one_too():
    items = evaluated("broken").items
    about = [f for item in items if not item.node for f in item.findings]
    assert all(f.inspect for f in about if f.object.kind in ("Pod", "Service", "Node"))


def subject(pods=(), services=(), nodes=("w1",)) -> Any:
    return SimpleNamespace(
        name="w1",
        cluster=SimpleNamespace(
            pod_names=frozenset(pods),
            services=dict.fromkeys(services),
            nodes=dict.fromkeys(nodes),
        ),
    )


@pytest.mark.parametrize(
    ("about", "arguments"),
    [
        (Ref("Pod", "web-0", "shop"), "pod shop/web-0"),
        (Ref("Pod", "gone", "shop"), ""),
        (Ref("Service", "web", "shop"), "service shop/web"),
        (Ref("Service", "gone", "shop"), ""),
        (Ref("Node", "w1"), "node w1"),
        (Ref("Node", "gone"), ""),
        (Ref("Pod", "a;b $(x)", "shop"), "pod 'shop/a;b $(x)'"),
        (Ref("link", "veth1"), ""),
        (Ref("Cluster", "prod"), ""),
    ],
)
def test_a_finding_about_the_cluster(about, arguments, monkeypatch):
    monkeypatch.setattr("wirecheck.model.inspect_arguments.Cluster", SimpleNamespace)
    pods = [("shop", "web-0"), ("shop", "a;b $(x)")]
    seen = subject(pods, [("shop", "web")]).cluster

    assert inspect_arguments(about, seen) == arguments


@pytest.mark.parametrize(
    ("about", "arguments"),
    [
        (Ref("Service", "kube-dns", "kube-system", "53"), "service kube-system/kube-dns --node n1"),
        (Ref("Pod", "web", "shop"), "pod shop/web"),
        (Ref("Pod", "gone", "shop"), "node n1"),
        (Ref("link", "veth1"), "node n1"),
        (Ref("Node", "n1", part="kube-proxy"), "node n1"),
    ],
)
def test_a_finding_on_a_node(about, arguments):
    small = SmallCluster()
    node = small.node

    assert inspect_arguments(about, node) == arguments


def test_the_command_carries_the_snapshot_that_the_run_keeps(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    seen = written(tmp_path / "what was seen", broken())
    request = Request(snapshot=seen, report_dir=Path("reports"))

    results, _ = perform(request, ["pods.ip_on_interface"], Listener())

    (finding,) = [each for item in results.items for each in item.findings]
    command = inspect_command(finding, results.started)
    assert command == f"wirecheck inspect pod shop/web --snapshot '{seen}'"
    with pytest.raises(SystemExit) as left:
        cli.main(shlex.split(command)[1:])
    assert not left.value.code
    assert "pods.ip_on_interface" in capsys.readouterr().out


def test_every_format_for_people_shows_it():
    run = sample.broken()
    items = [
        replace(item, findings=[replace(f, inspect="pod shop/web-6d4") for f in item.findings])
        for item in run.items
    ]
    started = replace(run.started, inspect_options="--snapshot reports/now/snapshot")
    run = replace(run, items=items, started=started)
    command = "wirecheck inspect pod shop/web-6d4 --snapshot reports/now/snapshot"

    for text in (screen(run), junit.render(run), markdown.render(run), html.render(run)):
        assert command in text


def test_without_an_object_there_is_no_command():
    text = screen(sample.broken())
    assert "wirecheck inspect" not in text
    assert "wirecheck inspect" not in junit.render(sample.broken())
