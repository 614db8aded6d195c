"""`wirecheck clean`: removes what killed runs have left behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wirecheck.cli.parameter_types import PATH
from wirecheck.cli.shared_options import REPORT_DIR
from wirecheck.collect.api.client import Api
from wirecheck.collect.pods.run_pods import listed, remove_pods
from wirecheck.evaluation.verdict import HEALTHY, INCOMPLETE
from wirecheck.run.live import connect
from wirecheck.run.report_retention import remove_abandoned
from wirecheck.run.request import Request
from wirecheck.snapshot.run_labels import OWNER, OWNER_LABEL
from wirecheck.text import plural


@click.command("clean")
@click.option("--inventory", "-i", type=PATH, help="Inventory with the namespaces of the pods.")
@click.option("--kubeconfig", type=PATH, help="Default: the inventory's, then $KUBECONFIG.")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
@REPORT_DIR
def clean(report_dir: Path, **cluster: Any) -> int:
    """Remove what killed runs have left: unfinished reports, agent pods and helper pods.

    A run that is still going on loses its pods, but not its report. Permanently deployed agents
    stay.
    """
    for folder in remove_abandoned(report_dir):
        click.echo(f"removed {folder}")
    request = Request(**cluster)
    inventory = request.read_inventory()
    api = connect(request, inventory)
    namespaces = dict.fromkeys([inventory.agent.namespace, inventory.helper_pods.namespace])
    left = sum(_cleaned(api, namespace) for namespace in namespaces)
    if left:
        click.echo(f"{plural(left, 'pod')} are still terminating; run the command again to check.")
    return INCOMPLETE if left else HEALTHY


def _cleaned(api: Api, namespace: str) -> int:
    """Remove the pods in the namespace; return how many are still there after a while."""
    found = sorted(each.metadata.name for each in listed(api, namespace, f"{OWNER_LABEL}={OWNER}"))
    if not found:
        click.echo(f"No left-over pods in namespace {namespace}.")
        return 0
    left = remove_pods(api, namespace)
    click.echo("\n".join(f"removed {name}" for name in found))
    return left
