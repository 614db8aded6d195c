"""`wirecheck trace`: which way a packet takes, and the line at which it dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from wirecheck.cli import completion
from wirecheck.cli.inspect import source_options
from wirecheck.cli.json_text import json_text
from wirecheck.results.exit_statuses import FAILED, HEALTHY, INCOMPLETE

if TYPE_CHECKING:
    from wirecheck.inspect.trace_view import TraceView
    from wirecheck.model.cluster import Cluster

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
@source_options
def trace(
    *,
    source: str,
    destination: str,
    protocol: str | None,
    port: str | None,
    size: int | None,
    one_way: bool,
    output: str,
    **cluster: Any,
) -> int:
    """Show which way a packet takes through the nodes, and the line at which it dies.

    SOURCE is pod/NAMESPACE/NAME, node/NAME, an address or `outside`. DESTINATION is a pod, a node
    or an address, with node/NAME:PORT or ADDRESS:PORT, or service/NAMESPACE/NAME[:PORT], or the
    Service's DNS name: NAME.NAMESPACE.svc. Nothing is sent.

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
    options: dict[str, Any],
) -> TraceView:
    """The path. Raises RequestError where an end does not exist."""
    from wirecheck.cli.inspect_subject import scene_of, source_request
    from wirecheck.inspect.trace import destination as destination_of
    from wirecheck.inspect.trace import trace_view
    from wirecheck.paths.ends import NoSuchEndError, named, nodes_concerned
    from wirecheck.run.request import RequestError

    def nodes(cluster: Cluster) -> frozenset[str]:
        destination_of(cluster, start, end, port, protocol)
        return nodes_concerned(cluster, start, end)

    try:
        start, end = named(source), named(destination)
        with scene_of(source_request(**options), nodes) as scene:
            to = destination_of(scene.cluster, start, end, port, protocol)
            return trace_view(scene, start, to, one_way=one_way, size=size)
    except NoSuchEndError as error:
        raise RequestError(str(error)) from error
