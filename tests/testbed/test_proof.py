from __future__ import annotations

from collections.abc import Callable

import click
from click.testing import CliRunner, Result

from testbed.commands import TestbedError
from testbed.proof import LONGEST, conclude


def concluded(prove: Callable[[], list[str]]) -> Result:
    @click.command()
    def main() -> None:
        conclude(prove, "it works", "it does NOT work")

    return CliRunner().invoke(main)


def test_what_holds_ends_with_0() -> None:
    result = concluded(list)

    assert result.exit_code == 0
    assert result.output.startswith("it works (")


def test_each_thing_that_is_wrong_is_a_line_and_the_status_is_1() -> None:
    result = concluded(lambda: ["one thing", "x" * 2 * LONGEST])

    assert result.exit_code == 1
    first, second, last = result.output.splitlines()
    assert first == "WRONG  one thing"
    assert len(second) == LONGEST
    assert last.startswith("it does NOT work (")


def test_what_could_not_be_proven_is_an_error_and_no_verdict() -> None:
    def prove() -> list[str]:
        raise TestbedError("there is no test cluster")

    result = concluded(prove)

    assert result.exit_code == 1
    assert result.output == "Error: there is no test cluster\n"
