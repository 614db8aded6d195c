"""The command line: `wirecheck` and its commands."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec

from wirecheck import __version__
from wirecheck.catalogue.profiles import PROFILES
from wirecheck.cli.catalogue import explain, list_checks, node_commands
from wirecheck.cli.clean import clean
from wirecheck.cli.console import (
    ConsoleProgress,
    complain,
    former_names_in_plain_words,
    saved_traceback,
    sentence_with_notes,
)
from wirecheck.cli.demo import CLUSTERS, recorded
from wirecheck.cli.diff import diff
from wirecheck.cli.gates import Gates, gate_options
from wirecheck.cli.inspect import inspect
from wirecheck.cli.merge import merge_runs
from wirecheck.cli.message_test import send_test_message
from wirecheck.cli.outputs import (
    answer_failure,
    failure_status_for,
    output_options,
    perform_and_present,
)
from wirecheck.cli.parameter_types import INTERVALS, PATH, SHARD, VERSION
from wirecheck.cli.renamed_options import RenamedOptions
from wirecheck.cli.shared_options import FAIL_ON, REPORT_DIR, TEXT_OR_JSON
from wirecheck.cli.snapshot import record_snapshot, redact_snapshot
from wirecheck.cli.trend import trend
from wirecheck.evaluation.verdict import HEALTHY, INCOMPLETE, INTERNAL_ERROR, USAGE, FailOn
from wirecheck.inspect.snapshot_summary import summary
from wirecheck.report.delivery import Output
from wirecheck.run.doctor import examine
from wirecheck.run.interrupt import ending_like_ctrl_c
from wirecheck.run.request import SENTENCES, Request, status_of
from wirecheck.run.shard import Shard
from wirecheck.snapshot.folder import Snapshot

GC_THRESHOLDS = (2_000_000, 50, 50)
"""Large snapshots are millions of small objects without cycles. At Python's own thresholds, the
search for cycles takes two fifths of the time of an evaluation."""

EPILOG = """Exit status: 0 healthy, 1 at least one fail, 2 not everything could be checked,
3 internal error, 4 usage, 5 nothing to do.

Completion: eval "$(_WIRECHECK_COMPLETE=bash_source wirecheck)" (or zsh_source, fish_source)."""

Command = TypeVar("Command", bound=Callable[..., Any])


def cluster_options(command: Command) -> Command:
    """Which cluster: the same options for every command that reads one."""
    for decorate in (
        click.option("--context", metavar="NAME", help="Context of the kubeconfig."),
        click.option("--kubeconfig", type=PATH, help="Default: the inventory's, then $KUBECONFIG."),
        click.option("--inventory", "-i", type=PATH, help="Access, thresholds, waivers."),
    ):
        command = decorate(command)
    return command


@click.group(epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="wirecheck")
def wirecheck() -> None:
    """Checks that every node's network does what the Kubernetes API says.

    wirecheck changes nothing on the cluster or its nodes. Only on request does it make pods, for
    the time of the run.
    """


@wirecheck.command(cls=RenamedOptions)
@cluster_options
@click.option(
    "--snapshot", type=PATH, help="Evaluate the snapshot of an earlier run, without a cluster."
)
@REPORT_DIR
@click.option(
    "--keep", type=click.IntRange(min=1), help="Remove all but the newest N reports there."
)
@FAIL_ON
@gate_options
@output_options
@click.option(
    "--check", "-k", "globs", multiple=True, metavar="GLOB", help="Only these checks: dns, pods.*."
)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    help="Only the checks of this profile; see `wirecheck list --long`.",
)
@click.option(
    "--target-version",
    type=VERSION,
    help="Leave out deprecations that a later version of Kubernetes brings: 1.40.",
)
@click.option(
    "--dns-rate",
    type=click.FloatRange(min=0, min_open=True),
    help="DNS queries per second, over the whole cluster.",
)
@click.option("--shard", type=SHARD, help="Visit only shard K of N; /N in an Indexed Job.")
@click.option("--rounds", type=click.IntRange(1, 6), help="Maximum number of visits to a node.")
@click.option(
    "--round-intervals", type=INTERVALS, help="Pauses before the second, third … round: 10,30."
)
@click.option(
    "--helper-pods",
    is_flag=True,
    help="Create a pod on each node for the run, to send large payloads between all nodes.",
)
def run(
    *,
    snapshot: Path | None,
    report_dir: Path,
    keep: int | None,
    globs: Sequence[str],
    profile: str | None,
    target_version: str | None,
    rounds: int | None,
    round_intervals: tuple[float, ...] | None,
    dns_rate: float | None,
    shard: Shard | None,
    helper_pods: bool,
    fail_on: FailOn,
    gates: Gates,
    outputs: Sequence[Output],
    **cluster: Any,
) -> int:
    """Check a cluster, or a snapshot of one, and report what is wrong with it."""
    request = Request(
        snapshot=snapshot,
        report_dir=report_dir,
        keep=keep,
        profile=profile,
        target_version=target_version,
        fail_on=fail_on,
        dns_rate=dns_rate,
        shard=shard,
        rounds=rounds,
        round_intervals=round_intervals,
        helper_pods=helper_pods,
        **gates,
        **cluster,
    )
    return perform_and_present(request, globs, outputs)


@wirecheck.command()
@click.argument("cluster", type=click.Choice(CLUSTERS), default=CLUSTERS[0])
@REPORT_DIR
def demo(cluster: str, report_dir: Path) -> int:
    """Check a recorded cluster that comes with wirecheck. No cluster is needed."""
    perform_and_present(Request(snapshot=recorded(cluster), report_dir=report_dir), (), ())
    return HEALTHY


@wirecheck.command()
@TEXT_OR_JSON
@cluster_options
def doctor(output: str, **cluster: Any) -> int:
    """Show whether the cluster can be checked: API access, access to the nodes, missing tools.

    Every node is visited once. There is no verdict.
    """
    examination = examine(Request(**cluster), ConsoleProgress())
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(examination), indent=1).decode())
        return examination.status
    shown = ConsoleProgress(stderr=False)
    for remark in examination.remarks:
        shown.say(str(remark))
    return examination.status


@wirecheck.group("snapshot")
def snapshots() -> None:
    """Take, show and redact snapshots: what a run saw."""


for each in (list_checks, explain, node_commands, inspect):
    wirecheck.add_command(each)
wirecheck.add_command(diff)
wirecheck.add_command(merge_runs)
wirecheck.add_command(trend)
wirecheck.add_command(clean)
wirecheck.add_command(send_test_message)
for each in (redact_snapshot, record_snapshot):
    snapshots.add_command(each)


@snapshots.command("show")
@click.argument("folder", type=PATH)
def show_snapshot(folder: Path) -> None:
    """Show which cluster a snapshot is of, when it was taken, and what was seen."""
    progress = ConsoleProgress(stderr=False)
    for line in summary(Snapshot.open(folder)):
        progress.say(line)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    gc.set_threshold(*GC_THRESHOLDS)
    with former_names_in_plain_words():
        status = _status(arguments)
    sys.exit(status)


def _status(arguments: Sequence[str] | None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with ending_like_ctrl_c():
            status = wirecheck.main(args=arguments, prog_name="wirecheck", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return answer_failure(words, error.format_message(), USAGE)
    except SENTENCES as error:
        complain(sentence_with_notes(error, str(error)))
        # `perform_and_present` has printed the line of a format that has one for failures.
        return failure_status_for(words, status_of(error))
    except (KeyboardInterrupt, click.Abort) as error:
        what = "Interrupted before anything could be reported."
        # click raises an exception of its own from the one that has the notes.
        complain(sentence_with_notes(error.__cause__ or error, what))
        return answer_failure(words, what, INCOMPLETE)
    except Exception as error:
        what = f"wirecheck itself failed ({type(error).__name__}): a bug. Please report it with "
        what += f"the traceback, which is in {saved_traceback(error)}."
        complain(sentence_with_notes(error, what))
        return answer_failure(words, what, INTERNAL_ERROR)
    return status if isinstance(status, int) else HEALTHY
