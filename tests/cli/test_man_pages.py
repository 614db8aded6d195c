"""The manual pages are those of the commands' help, and groff reads them without a warning."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from testbed.man_pages import FOLDER, escaped, page, pages
from wirecheck.cli.main import COMMANDS

PROJECT = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text())
MADE = pages()


def groff(file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["groff", "-man", *options, str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def one(command: click.Command) -> str:
    with click.Context(command, info_name=command.name) as context:
        return page(context, ("program", "do"))


def test_the_pages_are_those_of_the_help() -> None:
    kept = {file.name: file.read_text() for file in FOLDER.glob("*.1")}

    assert kept == MADE, "run `python -m testbed.man_pages`"


def test_every_command_has_a_page() -> None:
    assert {f"wirecheck-{name}.1" for name in COMMANDS} < set(MADE)
    assert {"wirecheck.1", "wirecheck-inspect-pod.1", "wirecheck-snapshot-redact.1"} < set(MADE)


def test_the_wheel_and_the_source_have_them() -> None:
    targets = PROJECT["tool"]["hatch"]["build"]["targets"]

    assert targets["wheel"]["shared-data"] == {FOLDER.name: "share/man/man1"}
    assert f"/{FOLDER.name}" in targets["sdist"]["include"]


@pytest.mark.parametrize("name", MADE)
def test_a_page_names_what_man_looks_for(name: str) -> None:
    lines = MADE[name].splitlines()
    title = name.removesuffix(".1")

    assert lines[0].startswith(f'.TH "{escaped(title.upper())}" 1 ')
    assert lines[2].startswith(f"{escaped(title)} \\- ")
    sections = [line.removeprefix(".SH ") for line in lines if line.startswith(".SH ")]
    assert sections[:4] == ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS"]
    assert "EXIT STATUS" in sections
    assert ("SEE ALSO" in sections) == (title != "wirecheck")


@pytest.mark.needs("groff")
@pytest.mark.parametrize("name", MADE)
def test_groff_has_no_objections(name: str) -> None:
    read = groff(FOLDER / name, "-ww", "-z")

    assert (read.returncode, read.stderr) == (0, "")


@pytest.mark.needs("groff")
def test_groff_objects_to_a_damaged_page(tmp_path: Path) -> None:
    file = tmp_path / "damaged.1"
    file.write_text(MADE["wirecheck.1"].replace(".TP", ".TPP", 1))

    assert "TPP" in groff(file, "-ww", "-z").stderr


@pytest.mark.needs("groff")
def test_what_could_be_taken_for_a_request_is_shown(tmp_path: Path) -> None:
    """Backslashes, dots and apostrophes at the beginning of a line, and blocks that stay."""
    text = ".hidden is shown.\n\n'quoted' too: a\\b -x.\n\n\b\nfirst line\n.second line"
    file = tmp_path / "made.1"
    file.write_text(one(click.Command("do", help=text)))

    shown = groff(file, "-Tascii", "-P-cbou").stdout
    assert ".hidden is shown." in shown
    assert "'quoted' too: a\\b -x." in shown
    assert "first line\n       .second line\n" in shown


def test_options_without_help_and_hidden_ones() -> None:
    options = [
        click.Option(["--plain"], help="Plain."),
        click.Option(["--bare"]),
        click.Option(["--secret"], hidden=True),
    ]
    text = one(click.Command("do", params=[*options], help="Does."))

    assert "\\fB\\-\\-plain TEXT\\fR\nPlain.\n" in text
    assert "\\-\\-bare" in text
    assert "secret" not in text
