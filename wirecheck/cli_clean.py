"""`wirecheck clean`: what an interrupted run has left in the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wirecheck.collect.agent_manifest import OWNER, OWNER_LABEL
from wirecheck.collect.agent_pods import listed, remove_pods
from wirecheck.live import connect
from wirecheck.report.sentences import plural
from wirecheck.request import Request
from wirecheck.verdict import HEALTHY, INCOMPLETE

PATH = click.Path(path_type=Path)


@click.command("clean")
@click.option("--inventory", "-i", type=PATH, help="Names the agents' namespace.")
@click.option("--kubeconfig", type=PATH, help="Else the inventory's, $KUBECONFIG, …")
@click.option("--context", metavar="NAME", help="Context of the kubeconfig.")
def clean(**cluster: Any) -> int:
    """Remove the agent pods that runs have left; a run that still goes on loses its own.

    An agent that is deployed to stay is not touched.
    """
    request = Request(**cluster)
    inventory = request.read_inventory()
    api = connect(request, inventory)
    namespace = inventory.agent.namespace
    found = sorted(each.metadata.name for each in listed(api, namespace, f"{OWNER_LABEL}={OWNER}"))
    if not found:
        click.echo(f"Nothing is left in namespace {namespace}.")
        return HEALTHY
    left = remove_pods(api, namespace)
    click.echo("\n".join(f"removed {name}" for name in found))
    if left:
        click.echo(f"{plural(left, 'pod')} did not end yet; run it again to see whether they do.")
        return INCOMPLETE
    return HEALTHY
