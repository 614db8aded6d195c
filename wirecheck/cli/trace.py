"""`wirecheck trace`: which way a packet takes, and the line at which it dies."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wirecheck.cli import completion
from wirecheck.cli.inspect import namespace_option, source_options
from wirecheck.cli.json_text import json_text
from wirecheck.cli.parameter_types import PATH
from wirecheck.results.exit_statuses import FAILED, HEALTHY, INCOMPLETE

if TYPE_CHECKING:
    from wirecheck.inspect.trace_view import TraceView
    from wirecheck.model.cluster import Cluster
    from wirecheck.policy.manifest import Manifest

STATUSES = {"reaches": HEALTHY, "dies": FAILED}


@click.command("trace")
@click.argument("source", metavar="SOURCE", shell_complete=completion.ends)
@click.argument("destination", metavar="DESTINATION", shell_complete=completion.ends)
@click.option(
    "--protocol",
    type=click.Choice(["tcp", "udp", "sctp"]),
    help="Default: that of the Service's port, otherwise tcp.",
)
@click.option("--port", metavar="PORT", help="The destination port: a number, or a Service's name.")
@click.option(
    "--size",
    metavar="BYTES",
    type=click.IntRange(1, 65_000),
    help="The payload of each packet, compared with the MTU of the devices on the way.",
)
@click.option("--one-way", is_flag=True, help="Without the way of the answer.")
@click.option(
    "--assume",
    metavar="FILE",
    type=PATH,
    help="As if the NetworkPolicies and Services of this manifest were applied.",
)
@namespace_option
@source_options
def trace(
    *,
    source: str,
    destination: str,
    protocol: str | None,
    port: str | None,
    size: int | None,
    one_way: bool,
    assume: Path | None,
    namespace: str | None,
    output: str,
    **cluster: Any,
) -> int:
    """Show which way a packet takes through the nodes, and the line at which it dies.

    SOURCE is pod/NAMESPACE/NAME, node/NAME, an address or `outside`. DESTINATION is a pod, a node
    or an address, with node/NAME:PORT or ADDRESS:PORT, or service/NAMESPACE/NAME[:PORT], or the
    Service's DNS name: NAME.NAMESPACE.svc. Nothing is sent, and nothing is changed.

    With --assume, policies of the cluster with the same name count as replaced, and a Service of
    the file forwards to the ready pods that it selects.

    On a live cluster, only the nodes concerned are visited. The exit status is 0 if the packet and
    its answer arrive, 1 if one of them dies, 2 if that cannot be decided, 4 if an end does not
    exist.
    """
    view = _view(
        source,
        destination,
        port=port or "",
        protocol=protocol or "",
        size=size or 0,
        one_way=one_way,
        manifest=_manifest(assume, namespace or ""),
        options=cluster,
    )
    if output == "json":
        click.echo(json_text(view))
    else:
        from rich.console import Console

        from wirecheck.inspect.drawing import show
        from wirecheck.inspect.trace_drawing import trace_lines

        show(trace_lines(view), Console(highlight=False))
    return STATUSES.get(view.result, INCOMPLETE)


def _view(
    source: str,
    destination: str,
    *,
    port: str,
    protocol: str,
    size: int,
    one_way: bool,
    manifest: Manifest | None,
    options: dict[str, Any],
) -> TraceView:
    """The path. Raises RequestError where an end does not exist."""
    from dataclasses import replace

    from wirecheck.cli.inspect_subject import scene_of, source_request
    from wirecheck.inspect.trace import assumed_backends, trace_view
    from wirecheck.inspect.trace import destination as destination_of
    from wirecheck.paths.ends import Destination, Named, NoSuchEndError, named, nodes_concerned
    from wirecheck.run.request import RequestError

    def ends_of(cluster: Cluster) -> tuple[Destination, tuple[Destination, ...]]:
        options = {"port": port, "protocol": protocol}
        if backends := assumed_backends(cluster, start, end, manifest, **options):
            return replace(backends[0], label=end.label), backends
        return destination_of(cluster, start, end, port, protocol), ()

    def nodes(cluster: Cluster) -> frozenset[str]:
        _, backends = ends_of(cluster)
        pods = [Named("pod", each.label.removeprefix("pod ")) for each in backends]
        return nodes_concerned(cluster, start, *(pods or [end]))

    try:
        start, end = named(source), named(destination)
        with scene_of(source_request(**options), nodes) as scene:
            to, backends = ends_of(scene.cluster)
            return trace_view(
                scene,
                start,
                to,
                one_way=one_way,
                size=size,
                manifest=manifest,
                backends=backends,
            )
    except NoSuchEndError as error:
        raise RequestError(str(error)) from error


def _manifest(file: Path | None, namespace: str) -> Manifest | None:
    from wirecheck.cli.policy_file import read_assumed

    return read_assumed(file, namespace) if file else None
