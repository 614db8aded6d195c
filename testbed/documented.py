"""`python -m testbed.documented`: run the documentation's commands on the test cluster.

Every `$` line of a console block is a command. Those that need no cluster are run by
tests/test_docs.py; those of `make` name a target, and are run by CI as such.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import yaml

from testbed import helper_pods
from testbed.state import State, state
from testbed.workloads import without_policies

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "inventories/README.md",
    ROOT / "ci/README.md",
]
CONSOLE = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACEHOLDERS = ("FOLDER", "PART-1", "PART-2")
OFFLINE_VERBS = ("demo", "list", "explain", "node-commands", "mcp")
COMPLETION = "_WIRECHECK_COMPLETE"
LAST_RUN = "reports/TIME/snapshot"
_LIMIT = 900.0


def commands_of(page: Path) -> list[str]:
    """The commands on a page, in their order."""
    return [
        line.removeprefix("$ ")
        for block in CONSOLE.findall(page.read_text())
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def needs_no_cluster(command: str) -> bool:
    """Whether it evaluates a recording, or is about wirecheck itself."""
    if COMPLETION in command:
        return True
    words = shlex.split(command, comments=True)
    if words[0] == "jq":
        return True
    if words[0] != "wirecheck":
        return False
    return words[1] in OFFLINE_VERBS or bool(set(words) & set(PLACEHOLDERS))


def is_target(command: str) -> bool:
    """Whether it is one of make's."""
    return command.startswith("make ")


@click.command()
def main() -> None:
    """Run them page by page, each page in a folder of its own; every one must end with 0."""
    here = state()
    helper_pods.prepare(here)
    with without_policies():
        failed = sum(map(_failed_on, PAGES))
    click.echo(f"{failed} commands failed")
    sys.exit(1 if failed else 0)


def _failed_on(page: Path) -> int:
    """How many of a page's commands failed."""
    # `diff`, `trend` and the like go by what the commands before them left.
    live = [each for each in commands_of(page) if not needs_no_cluster(each)]
    live = [each for each in live if not is_target(each)]
    failed = 0
    with tempfile.TemporaryDirectory(prefix="wirecheck-documented-") as scratch:
        for line in _run_page(live, Path(scratch), state()):
            failed += line.startswith("✗")
            click.echo(f"{page.relative_to(ROOT)}: {line}")
    return failed


def _run_page(commands: Sequence[str], folder: Path, here: State) -> Iterator[str]:
    inventory = yaml.safe_load(here.inventory.read_text())
    inventory["helper_pods"] = {"image": helper_pods.IMAGE}
    (folder / "inventory.yaml").write_text(yaml.safe_dump(inventory))
    environment = {
        **os.environ,
        "HOME": str(folder / "home"),
        "KUBECONFIG": str(here.kubeconfig),
        # kubectl finds its plugin beside this interpreter.
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        # pipx and uv would write the same programs into the same folder.
        "UV_TOOL_BIN_DIR": str(folder / "home/uv"),
    }
    for command in commands:
        began = time.monotonic()
        ended = subprocess.run(
            _words(command, folder, here),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT,
            check=False,
        )
        seconds = time.monotonic() - began
        if ended.returncode:
            yield f"✗ {command}: {ended.returncode}\n{ended.stdout[-1500:]}{ended.stderr[-1500:]}"
        else:
            yield f"✓ {command} ({seconds:.1f} s)"


def _words(command: str, folder: Path, here: State) -> list[str]:
    """The command as words, on this cluster and with this interpreter."""
    words = shlex.split(command, comments=True)
    # A replay keeps no snapshot of its own.
    runs = sorted((folder / "reports").glob("2*/snapshot")) or [Path("reports")]
    instead = {
        "inventories/ssh.yaml": str(here.root / "inventory-ssh.yaml"),
        LAST_RUN: str(runs[-1]),
        "deploy/helper-pods": str(ROOT / "deploy/helper-pods"),
        ".": str(ROOT),
    }
    words = [instead.get(word, word) for word in words]
    words = [f"{folder}/home/{w[2:]}" if w.startswith("~/") else w for w in words]
    if words[0] in ("wirecheck", "pytest", "pipx", "uv"):
        return [sys.executable, "-m", *words]
    return [sys.executable, *words[1:]] if words[0] == "python3" else words


if __name__ == "__main__":
    main()
