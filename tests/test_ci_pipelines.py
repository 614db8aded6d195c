"""The pipelines to copy: they are YAML, and call wirecheck as it can be called."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
import yaml

from wirecheck.cli import wirecheck

CI = Path(__file__).parent.parent / "ci"
PIPELINES = sorted(CI.glob("*.yml"))


def calls(text: str) -> list[list[str]]:
    """The arguments of every call of wirecheck in a script."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    found = (
        re.search(r"(?:^|[-;&] ?|\s)wirecheck (run|list|explain|doctor)\b(.*)", x) for x in lines
    )
    return [
        shlex.split(re.split(r"\s(?:\|\||>|\||&&)", match[1] + match[2])[0])
        for match in found
        if match
    ]


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda path: path.name)
def test_a_pipeline_calls_wirecheck_with_options_that_exist(pipeline):
    text = pipeline.read_text()
    assert yaml.safe_load(text)

    found = calls(text)
    assert found
    for name, *arguments in found:
        command = wirecheck.commands[name]
        command.make_context(name, arguments, parent=click.Context(wirecheck))


def test_every_pipeline_is_explained():
    readme = (CI / "README.md").read_text()

    assert len(PIPELINES) >= 2
    assert all(f"({path.name})" in readme for path in PIPELINES)
