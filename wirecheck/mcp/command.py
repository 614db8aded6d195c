"""`wirecheck mcp`."""

from __future__ import annotations

from pathlib import Path

import click

from wirecheck.cli.parameter_types import DURATION, PATH
from wirecheck.cli.shared_options import cluster_options


@click.command("mcp")
@cluster_options
@click.option(
    "--snapshots",
    type=PATH,
    metavar="DIR",
    help="Let tools read the snapshots and results below DIR. Alone, no live cluster is read.",
)
@click.option(
    "--report-dir",
    type=PATH,
    metavar="DIR",
    help="Keep the reports of live runs in DIR. Default: they are removed when the call ends.",
)
@click.option(
    "--time-limit",
    type=DURATION,
    default="10m",
    show_default=True,
    help="How long one call may take.",
)
def serve(
    *,
    inventory: Path | None,
    kubeconfig: Path | None,
    context: str | None,
    snapshots: Path | None,
    report_dir: Path | None,
    time_limit: float,
) -> int:
    """Serve an assistant over the Model Context Protocol. Its tools only read.

    Standard input and output carry the protocol. Needs pip install 'wirecheck[mcp]'.
    """
    from wirecheck.mcp.settings import Settings
    from wirecheck.results.exit_statuses import HEALTHY
    from wirecheck.run.request import Request, RequestError

    try:
        import anyio
        import mcp.server.lowlevel  # noqa: F401
        import mcp_types  # noqa: F401

        from wirecheck.mcp.server import serve_stdio
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("wirecheck"):
            raise
        raise RequestError(
            "wirecheck mcp needs the SDK of the Model Context Protocol. Install it: "
            "pip install 'wirecheck[mcp]'"
        ) from None
    if snapshots is not None and not snapshots.is_dir():
        raise RequestError(f"{snapshots} is not a folder: name the one that has the snapshots.")
    Request(inventory=inventory).read_checked_inventory()
    settings = Settings(
        inventory=_absolute(inventory),
        kubeconfig=_absolute(kubeconfig),
        context=context,
        snapshots=_absolute(snapshots),
        report_dir=_absolute(report_dir),
        time_limit=time_limit,
    )
    anyio.run(serve_stdio, settings)
    return HEALTHY


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
