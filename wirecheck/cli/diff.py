"""`wirecheck diff`: compares two runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wirecheck.cli.page_output import TEXT_JSON_OR_PAGE, PageOutput
from wirecheck.cli.parameter_types import PATH
from wirecheck.cli.shared_options import FAIL_ON

if TYPE_CHECKING:
    from wirecheck.evaluation.verdict import FailOn


@click.command()
@click.argument("before", type=PATH)
@click.argument("now", type=PATH)
@TEXT_JSON_OR_PAGE
@FAIL_ON
def diff(before: Path, now: Path, output: PageOutput, fail_on: FailOn) -> int:
    """Compare two runs: new, remaining and fixed findings, and what changed in the cluster.

    Each run is a results.jsonl, the folder of a run, or a snapshot. The exit status is that of the
    later run with the earlier one as its baseline.
    """
    from wirecheck.cli.diff_screen import compare

    output.refuse()
    return compare(before, now, output, fail_on)
