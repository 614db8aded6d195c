"""The command line: `wirecheck` and its commands, which are imported when they are called."""

from __future__ import annotations

import errno
import gc
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from wirecheck import __version__
from wirecheck.cli.complaints import (
    complain,
    former_names_in_plain_words,
    saved_traceback,
    sentence_with_notes,
    without_secrets,
)
from wirecheck.cli.lazy_group import Lazy, LazyGroup
from wirecheck.results.exit_statuses import HEALTHY, INCOMPLETE, INTERNAL_ERROR, USAGE
from wirecheck.run.interrupt import ending_like_ctrl_c
from wirecheck.text import shortened

GC_THRESHOLDS = (2_000_000, 50, 50)
"""Large snapshots are millions of small objects without cycles. At Python's own thresholds, the
search for cycles takes two fifths of the time of an evaluation."""

EPILOG = """Exit status: 0 healthy, 1 at least one fail, 2 not everything could be checked,
3 internal error, 4 usage, 5 nothing to do.

Completion: eval "$(_WIRECHECK_COMPLETE=bash_source wirecheck)" (or zsh_source, fish_source)."""

WIDEST = 10_000
"""Columns of help at most: those of the terminal."""

PROGRAM = "wirecheck"

COMMANDS = {
    "clean": Lazy(
        "wirecheck.cli.clean",
        "clean",
        "Remove what killed runs have left: unfinished reports, agent pods and helper pods.",
    ),
    "demo": Lazy(
        "wirecheck.cli.demo", "demo", "Check a recorded cluster that comes with wirecheck."
    ),
    "diff": Lazy(
        "wirecheck.cli.diff",
        "diff",
        "Compare two runs: new, remaining and fixed findings, and what changed in the cluster.",
    ),
    "doctor": Lazy(
        "wirecheck.cli.doctor",
        "doctor",
        "Show whether the cluster can be checked: API access, access to the nodes, missing tools.",
    ),
    "explain": Lazy(
        "wirecheck.cli.catalogue",
        "explain",
        "Explain a check: what it asserts, why it matters, how it is measured, what to do.",
    ),
    "init": Lazy(
        "wirecheck.cli.init",
        "init",
        "Write an inventory to FILE, with the access methods that reach the nodes.",
    ),
    "inspect": Lazy(
        "wirecheck.cli.inspect",
        "inspect",
        "Show everything known about one pod, Service, node or NetworkPolicy.",
    ),
    "list": Lazy(
        "wirecheck.cli.catalogue", "list_checks", "List the checks, or those that match a WORD."
    ),
    "mcp": Lazy(
        "wirecheck.mcp.command",
        "serve",
        "Serve an assistant over the Model Context Protocol. Its tools only read.",
    ),
    "merge": Lazy(
        "wirecheck.cli.merge",
        "merge_runs",
        "Evaluate several runs over different nodes of one cluster as one run.",
    ),
    "node-commands": Lazy(
        "wirecheck.cli.catalogue",
        "node_commands",
        "Print every command that may run on a node.",
    ),
    "policy": Lazy(
        "wirecheck.cli.policy",
        "policy",
        "Show what NetworkPolicies that are not applied yet would change.",
    ),
    "run": Lazy(
        "wirecheck.cli.run",
        "run",
        "Check a cluster, or a snapshot of one, and report what is wrong with it.",
    ),
    "snapshot": Lazy(
        "wirecheck.cli.snapshot",
        "snapshots",
        "Take, show and redact snapshots: what a run saw.",
    ),
    "test-message": Lazy(
        "wirecheck.cli.message_test",
        "send_test_message",
        "Send a test message: does the chat accept what a run with -o sends?",
    ),
    "trace": Lazy(
        "wirecheck.cli.trace",
        "trace",
        "Show which way a packet takes through the nodes, and the line at which it dies.",
    ),
    "trend": Lazy(
        "wirecheck.cli.trend",
        "trend",
        "Show how checks ended and what was measured over the last runs, from a history file.",
    ),
}


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)
@click.version_option(__version__, prog_name=PROGRAM)
def wirecheck() -> None:
    """Checks that every node's network does what the Kubernetes API says.

    wirecheck changes nothing on the cluster or its nodes. Only on request does it make pods, for
    the time of the run.
    """


def main(arguments: Sequence[str] | None = None, program: str = PROGRAM) -> None:
    """Run the command line and exit with its status.

    `program`: what the user typed before the arguments, as help and usage show it.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    with former_names_in_plain_words():
        status = _status(arguments, program)
    sys.exit(status)


def _status(arguments: Sequence[str] | None, program: str) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    try:
        with ending_like_ctrl_c():
            status = wirecheck.main(args=arguments, prog_name=program, standalone_mode=False)
    except click.ClickException as error:
        from wirecheck.cli.outputs import answer_failure

        shown = io.StringIO()
        error.show(shown)
        click.echo(without_secrets(shown.getvalue()), err=True, nl=False)
        return answer_failure(words, without_secrets(error.format_message()), USAGE)
    except (KeyboardInterrupt, click.Abort) as error:
        from wirecheck.cli.outputs import answer_failure

        what = "Interrupted before anything could be reported."
        # click raises an exception of its own from the one that has the notes.
        complain(sentence_with_notes(error.__cause__ or error, what))
        return answer_failure(words, what, INCOMPLETE)
    except Exception as error:
        return _failed(words, error)
    return status if isinstance(status, int) else HEALTHY


def _is_named(file: object, words: Sequence[str]) -> bool:
    """Whether the file is one that the command line names, or lies in a folder that it names."""
    path = Path(os.fspath(file)) if isinstance(file, str | os.PathLike) else None
    named = (Path(part) for word in words for part in (word, word.partition("=")[2]) if part)
    return path is not None and any(path == each or each in path.parents for each in named)


def _failed(words: Sequence[str], error: Exception) -> int:
    """Say why there are no results; return the exit status."""
    from wirecheck.cli.outputs import answer_failure, failure_status_for
    from wirecheck.run.request import SENTENCES, status_of

    if isinstance(error, SENTENCES):
        complain(sentence_with_notes(error, str(error)))
        # `perform_and_present` has printed the line of a format that has one for failures.
        return failure_status_for(words, status_of(error))
    if isinstance(error, RecursionError):
        complain(what := "An argument, or a file that it names, is nested too deeply to be read.")
        return answer_failure(words, what, USAGE)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        name = shortened(str(error.filename), 60)
        complain(what := f"{name} is too long for the name of a file.")
        return answer_failure(words, what, USAGE)
    if isinstance(error, OSError) and _is_named(error.filename, words):
        what = f"{error.filename} cannot be used: {error.strerror}."
        complain(what)
        return answer_failure(words, what, USAGE)
    what = f"wirecheck itself failed ({type(error).__name__}): a bug. Please report it with "
    file = saved_traceback(error)
    what += f"the traceback, which is in {file}." if file else "the traceback above."
    complain(sentence_with_notes(error, what))
    return answer_failure(words, what, INTERNAL_ERROR)
