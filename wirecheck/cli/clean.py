"""`wirecheck clean`: what an interrupted run has left, in the cluster and among the reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wirecheck.collect.api.client import Api
from wirecheck.collect.pods.run_pods import listed, remove_pods
from wirecheck.evaluation.verdict import HEALTHY, INCOMPLETE
from wirecheck.run.live import connect
from wirecheck.run.report_retention import remove_abandoned
from wirecheck.run.request import Request
from wirecheck.snapshot.run_labels import OWNER, OWNER_LABEL
from wirecheck.text import plural

PATH = click.Path(path_type=Path)


@click.command("clean")
@click.option("--inventory", "-i", type=PATH, help="Names the pods' namespaces.")
@click.option("--kubeconfig", type=PATH, help="Else the inventory's, $KUBECONFIG, …")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@click.option("--report-dir", type=PATH, default="reports", show_default=True)
def clean(report_dir: Path, **cluster: Any) -> int:
    """Remove what killed runs have left: unfinished reports, and pods, agents and helpers.

    A run that still goes on loses its pods, but not its report. An agent that is deployed to stay
    is not touched.
    """
    for folder in remove_abandoned(report_dir):
        click.echo(f"removed {folder}")
    request = Request(**cluster)
    inventory = request.read_inventory()
    api = connect(request, inventory)
    namespaces = dict.fromkeys([inventory.agent.namespace, inventory.helper_pods.namespace])
    left = sum(_cleaned(api, namespace) for namespace in namespaces)
    if left:
        click.echo(f"{plural(left, 'pod')} did not end yet; run it again to see whether they do.")
    return INCOMPLETE if left else HEALTHY


def _cleaned(api: Api, namespace: str) -> int:
    """Remove what is in the namespace; how many pods are still there after a while."""
    found = sorted(each.metadata.name for each in listed(api, namespace, f"{OWNER_LABEL}={OWNER}"))
    if not found:
        click.echo(f"Nothing is left in namespace {namespace}.")
        return 0
    left = remove_pods(api, namespace)
    click.echo("\n".join(f"removed {name}" for name in found))
    return left
