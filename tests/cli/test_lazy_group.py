"""Help, lists and completion import only what they show: a shell waits for them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from wirecheck.catalogue.registry import load
from wirecheck.cli.check_outlines import outlines
from wirecheck.cli.main import COMMANDS, wirecheck
from wirecheck.report.format_names import CHAT_NAMES, FORMAT_NAMES
from wirecheck.report.registry import FORMATS
from wirecheck.report.webhook import CHATS

ALWAYS = {
    "catalogue",
    "catalogue.facts",
    "catalogue.findings",
    "catalogue.former_ids",
    "catalogue.registry",
    "catalogue.settling",
    "cli",
    "cli.complaints",
    "cli.lazy_group",
    "cli.main",
    "results",
    "results.exit_statuses",
    "run",
    "run.interrupt",
    "text",
}
"""What every command loads of wirecheck."""

OPTIONS = {
    "cli.completion",
    "cli.parameter_types",
    "cli.shared_options",
    "report",
    "report.format_names",
    "run.durations",
    "run.intervals",
    "run.report_mode",
    "run.shard",
    "run.target_version",
}
"""What commands with the usual options load besides."""

LIST = OPTIONS | {"catalogue.profiles", "cli.catalogue", "cli.check_outlines"}
RUN = OPTIONS | {
    "catalogue.profiles",
    "cli.gates",
    "cli.output_options",
    "cli.renamed_options",
    "cli.run",
    "run.renamed_options",
}

HEAVY = {
    "cryptography",
    "google",
    "importlib.metadata",
    "jinja2",
    "kubernetes",
    "mcp",
    "msgspec",
    "pytest",
    "requests",
    "rich",
    "testinfra",
    "urllib3",
    "yaml",
}
"""Libraries that take a tenth of a second or more."""

PROGRAM = """
import json, sys
from wirecheck.cli.main import main
try:
    main(sys.argv[1:])
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def loaded(*words: str, completes: str | None = None) -> tuple[set[str], set[str]]:
    """The modules of wirecheck, and the heavy ones, that a command has loaded."""
    environment = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    if completes is not None:
        environment |= {
            "_WIRECHECK_COMPLETE": "bash_complete",
            "COMP_WORDS": completes,
            "COMP_CWORD": str(len(completes.split(" ")) - 1),
        }
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout
    names = json.loads(ended.stderr.splitlines()[-1])
    own = {each.removeprefix("wirecheck.") for each in names if each.startswith("wirecheck.")}
    return own, {heavy for heavy in HEAVY if heavy in names}


@pytest.mark.parametrize(
    ("words", "completes", "expected", "heavy"),
    [
        (["--help"], None, set(), set()),
        (["--version"], None, set(), set()),
        (["run", "--help"], None, RUN, set()),
        # Other packages may add checks: only their metadata say so.
        (["list"], None, LIST, {"importlib.metadata"}),
        (["list", "dns", "*.mtu"], None, LIST, {"importlib.metadata"}),
        ([], "wirecheck sna", set(), set()),
        ([], "wirecheck run --k", RUN, set()),
        ([], "wirecheck run -o ju", RUN, set()),
        (
            [],
            "wirecheck run -k dns.pods",
            RUN | {"cli.check_outlines"},
            {"importlib.metadata"},
        ),
    ],
    # Sets are written in another order by each process.
    ids=lambda value: "" if isinstance(value, set) else str(value),
)
def test_only_what_is_needed_is_loaded(words, completes, expected, heavy):
    assert loaded(*words, completes=completes) == (ALWAYS | expected, heavy)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_their_help_says(name):
    command = wirecheck.commands[name]

    listed = click.Command(name, help=COMMANDS[name].sentence).get_short_help_str(1000)
    assert listed == command.get_short_help_str(1000)
    assert command.name == name


def test_every_command_is_in_the_list_once():
    assert sorted(wirecheck.commands) == sorted(COMMANDS) == list(COMMANDS)
    assert len(wirecheck.commands) == len(COMMANDS)


def test_the_outline_is_that_of_the_registry():
    assert [(o.id, o.sentence, o.scope) for o in outlines()] == [
        (c.id, c.sentence, c.scope) for c in load()
    ]


def test_format_names_are_those_of_the_formats():
    assert list(FORMAT_NAMES) == list(FORMATS)
    assert list(CHAT_NAMES) == list(CHATS)


@pytest.mark.parametrize("columns", ["72", "80", "150"])
def test_help_is_as_wide_as_the_terminal(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    longest = 0
    for words in (["--help"], ["run", "--help"], ["inspect", "pod", "--help"]):
        wirecheck.main(args=words, prog_name="wirecheck", standalone_mode=False)
        longest = max([longest, *map(len, capsys.readouterr().out.splitlines())])

    assert int(columns) - 15 <= longest <= int(columns)


def test_lists_are_not_cached_anywhere(tmp_path):
    """No file may appear beside the user's own."""
    environment = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd())}
    subprocess.run(
        [sys.executable, "-B", "-m", "wirecheck", "list"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )

    assert list(Path(tmp_path).iterdir()) == []
