"""`python -m testbed.mutants`: how many of the mutants of our own code the tests notice."""

from __future__ import annotations

import hashlib
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import click

from testbed.mutants import summary
from testbed.mutants.campaign import Deadline, Log, run_all, still_killed
from testbed.mutants.draw import draw, sources_below
from testbed.mutants.recording import Recording, RecordingError, read_or_record, record_tests
from testbed.mutants.tree import Tree, files_of, fingerprint
from testbed.mutants.trial import Outcome, Result, Trial

PROJECT = Path(__file__).parents[2]
MUTATED = (
    "checks",
    "wirecheck/dataplane",
    "wirecheck/evaluation",
    "wirecheck/model",
    "wirecheck/node",
)
RECORDED = ("checks", "wirecheck")
WORKERS = 2


@click.command()
@click.option("--seed", type=int, help="What decides which mutants are drawn; random by default.")
@click.option("--count", default=300, show_default=True, help="How many mutants are drawn.")
@click.option("--limit", default=60.0, show_default=True, help="Seconds for one mutant.")
@click.option("--hours", default=3.0, show_default=True, help="Time for everything.")
@click.option("--tests", multiple=True, default=["tests"], help="Only the tests below this path.")
@click.option(
    "--previous",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of an earlier run, made before tests were added: what it killed is not repeated.",
)
@click.option("--list", "only_list", is_flag=True, help="Print the mutants and end.")
def main(
    *,
    seed: int | None,
    count: int,
    limit: float,
    hours: float,
    tests: tuple[str, ...],
    previous: Path | None,
    only_list: bool,
) -> None:
    """Draw mutants of our own code, and run each against the tests that touch its line.

    A call with the same seed, count and tests goes on where an earlier one ended, as long as no
    source has changed.
    """
    deadline = Deadline(hours * 3600)
    seed = int(time.time()) % 100_000 if seed is None else seed
    click.echo(f"Seed {seed}, {count} mutants.")
    sources = sources_below(PROJECT, RECORDED)
    drawn = draw({name: text for name, text in sources.items() if _is_mutated(name)}, seed, count)
    if only_list:
        click.echo("\n".join(mutant.id for mutant in drawn))
        return
    files = files_of(PROJECT)
    state = fingerprint(PROJECT, files, tests)
    trees = [Tree(_cache() / f"tree-{number}") for number in range(WORKERS)]
    for tree in trees:
        tree.synchronise(PROJECT, files)
    recording = _recording(trees[0], tests, state, deadline)

    log = Log(_cache() / f"run-{state}-seed-{seed}-count-{count}/results.jsonl")
    if previous and not log.read():
        earlier = Log(previous / log.file.name).read()
        for each in still_killed(drawn, earlier, sources, recording.tests):
            log.append(each)
    trials = [
        Trial(tree, sources, recording, limit=limit, is_stopped=deadline.is_over) for tree in trees
    ]
    found = run_all(drawn, trials, log, deadline, partial(_say, len(drawn)))
    _conclude(found, len(drawn), seed, log.file.parent)
    sys.exit(len(found) < len(drawn))


def _recording(tree: Tree, tests: Sequence[str], state: str, deadline: Deadline) -> Recording:
    """Return which test touches which line in this state of the sources."""

    def record() -> Recording:
        return record_tests(
            tree,
            RECORDED,
            (*tests, "-n", str(WORKERS), "--dist", "worksteal"),
            folder=_cache() / "coverage",
            limit=deadline.left,
            is_stopped=deadline.is_over,
        )

    try:
        recording = read_or_record(_cache() / f"recorded-{state}.json.gz", record, click.echo)
    except RecordingError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{len(recording.tests)} tests passed and are used; {len(recording.failed)} failed.")
    return recording


def _say(drawn: int, result: Result, done: int) -> None:
    by = f" by {result.killer}" if result.outcome is Outcome.KILLED else ""
    click.echo(f"{done}/{drawn} {result.outcome.value}: {result.mutant.id}{by}")


def _conclude(found: Sequence[Result], drawn: int, seed: int, folder: Path) -> None:
    """Write the survivors and the summary beside the results, and print the counts."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "survivors.diff").write_text(summary.survivors(found))
    (folder / "summary.md").write_text(summary.markdown(found, drawn, seed))
    click.echo(f"Seed {seed}. {summary.counts(found, drawn)}")
    click.echo(f"{folder}/summary.md\n{folder}/survivors.diff")


def _is_mutated(name: str) -> bool:
    return name.startswith(tuple(f"{root}/" for root in MUTATED))


def _cache() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    name = hashlib.sha256(str(PROJECT).encode()).hexdigest()[:10]
    return Path(cache) / "wirecheck/mutants" / name


if __name__ == "__main__":
    main()
