"""`wirecheck clean`: removes what killed runs have left behind."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wirecheck.cli.parameter_types import PATH
from wirecheck.cli.shared_options import CONTEXT, KUBECONFIG, REPORT_DIR
from wirecheck.results.exit_statuses import HEALTHY, INCOMPLETE
from wirecheck.text import plural

if TYPE_CHECKING:
    from wirecheck.collect.api.client import Api


@click.command("clean")
@click.option("--inventory", "-i", type=PATH, help="Inventory with the namespaces of the pods.")
@KUBECONFIG
@CONTEXT
@REPORT_DIR
def clean(report_dir: Path, **cluster: Any) -> int:
    """Remove what killed runs have left: unfinished reports, agent pods and helper pods.

    A run that is still going on loses its pods, but not its report. Permanently deployed agents
    stay.
    """
    from wirecheck.run.live import connect
    from wirecheck.run.report_retention import remove_abandoned
    from wirecheck.run.request import Request

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
    from wirecheck.collect.pods.run_pods import listed, remove_pods
    from wirecheck.snapshot.run_labels import OWNER, OWNER_LABEL

    found = sorted(each.metadata.name for each in listed(api, namespace, f"{OWNER_LABEL}={OWNER}"))
    if not found:
        click.echo(f"No left-over pods in namespace {namespace}.")
        return 0
    left = remove_pods(api, namespace)
    click.echo("\n".join(f"removed {name}" for name in found))
    return left
